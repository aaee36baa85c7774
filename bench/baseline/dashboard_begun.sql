-- Sign-ups begun: per week and of the whole time (the totals), beside those of the same time a week earlier.
SELECT
    toMonday(event_time) AS time,
    countIf(event_time >= '2024-01-01 00:00:00') AS figure,
    countIf(event_time < '2024-12-25 00:00:00') AS earlier
FROM plain.events
WHERE project = 'default' AND event_name = 'INPUT_PHONE_NUMBER'
    AND event_time >= '2023-12-25 00:00:00' AND event_time < '2025-01-01 00:00:00'
GROUP BY time WITH TOTALS
ORDER BY time
