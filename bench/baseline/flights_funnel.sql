-- How many flights were scheduled, then departed, then arrived within a week.
SELECT countIf(level >= 1), countIf(level >= 2), countIf(level >= 3)
FROM
(
    SELECT windowFunnel(604800000000)(
        toUInt64(toUnixTimestamp64Micro(event_time)),
        event_name = 'flight_scheduled',
        event_name = 'flight_departed',
        event_name = 'flight_arrived'
    ) AS level
    FROM plain.events
    WHERE project = 'flights' AND event_name IN ('flight_scheduled', 'flight_departed', 'flight_arrived')
        AND event_time >= '2013-01-01 00:00:00' AND event_time < '2014-01-01 00:00:00'
    GROUP BY session_id
)
