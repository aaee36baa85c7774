-- Sign-ups begun per week and operating system.
SELECT toMonday(event_time) AS time, attributes.os.:String AS os, count() AS figure
FROM plain.events
WHERE project = 'default' AND event_name = 'INPUT_PHONE_NUMBER'
    AND event_time >= '2024-01-01 00:00:00' AND event_time < '2025-01-01 00:00:00'
GROUP BY time, os
ORDER BY time, os
