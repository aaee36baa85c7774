-- Mean and 95 % quantile of the departure delay per carrier, and the mean distance.
SELECT attributes.carrier.:String AS carrier, avg(value), quantileExactInclusive(0.95)(value), avg(attributes.distance.:Int64)
FROM plain.events
WHERE project = 'flights' AND event_name = 'flight_departed' AND event_time >= '2013-01-01 00:00:00' AND event_time < '2014-01-01 00:00:00'
GROUP BY carrier
ORDER BY carrier
