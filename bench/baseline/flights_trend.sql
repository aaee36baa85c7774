-- Departures per month and origin.
SELECT toStartOfMonth(event_time) AS time, attributes.origin.:String AS origin, count() AS departures
FROM plain.events
WHERE project = 'flights' AND event_name = 'flight_departed' AND event_time >= '2013-01-01 00:00:00' AND event_time < '2014-01-01 00:00:00'
GROUP BY time, origin
ORDER BY time, origin
