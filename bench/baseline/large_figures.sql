-- Four figures per day in one pass, in the days of Berlin.
SELECT
    toStartOfDay(event_time, 'Europe/Berlin') AS time,
    count(), avg(value), quantileExactInclusive(0.95)(value), sum(ifNull(attributes.amount.:Float64, toFloat64(attributes.amount.:Int64)))
FROM plain.events
WHERE project = 'large' AND event_name = 'VERIFY_SMS_CODE' AND event_time >= '2024-01-01 00:00:00' AND event_time < '2025-01-01 00:00:00'
GROUP BY time
ORDER BY time
