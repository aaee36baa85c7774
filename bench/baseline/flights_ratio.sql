-- Departed of scheduled, per day.
SELECT
    toStartOfDay(event_time) AS time,
    countIf(event_name = 'flight_departed') AS numerator,
    countIf(event_name = 'flight_scheduled') AS denominator,
    numerator / denominator AS ratio
FROM plain.events
WHERE project = 'flights' AND event_name IN ('flight_departed', 'flight_scheduled')
    AND event_time >= '2013-01-01 00:00:00' AND event_time < '2014-01-01 00:00:00'
GROUP BY time
ORDER BY time
