-- Sign-ups completed of those begun: per week, and of the whole time (the totals).
SELECT
    toMonday(event_time) AS time,
    countIf(event_name = 'INPUT_PASSWORD') / n AS figure,
    countIf(event_name = 'INPUT_PHONE_NUMBER') AS n
FROM plain.events
WHERE project = 'default' AND event_name IN ('INPUT_PASSWORD', 'INPUT_PHONE_NUMBER')
    AND event_time >= '2024-01-01 00:00:00' AND event_time < '2025-01-01 00:00:00'
GROUP BY time WITH TOTALS
ORDER BY time
