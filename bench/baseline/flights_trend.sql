-- Departures per month and origin.
SELECT toStartOfMonth(event_time) AS time, origin, count() AS departures
FROM plain.flights
WHERE event_name = 'flight_departed' AND event_time >= '2013-01-01 00:00:00' AND event_time < '2014-01-01 00:00:00'
GROUP BY time, origin
ORDER BY time, origin
