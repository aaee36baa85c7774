-- Different people who began: per week, and of the whole time (the totals).
SELECT toMonday(event_time) AS time, uniqExact(user_id) AS figure, count() AS n
FROM plain.events
WHERE project = 'default' AND event_name = 'INPUT_PHONE_NUMBER'
    AND event_time >= '2024-01-01 00:00:00' AND event_time < '2025-01-01 00:00:00' AND user_id != ''
GROUP BY time WITH TOTALS
ORDER BY time
