-- Passwords given of phone numbers given, on one operating system, per week.
SELECT
    toStartOfWeek(event_time, 1) AS time,
    countIf(event_name = 'INPUT_PASSWORD') AS numerator,
    countIf(event_name = 'INPUT_PHONE_NUMBER') AS denominator,
    numerator / denominator AS ratio
FROM plain.events
WHERE project = 'large' AND event_name IN ('INPUT_PASSWORD', 'INPUT_PHONE_NUMBER') AND attributes.os.:String = 'iOS'
    AND event_time >= '2024-01-01 00:00:00' AND event_time < '2025-01-01 00:00:00'
GROUP BY time
ORDER BY time
