-- Verified phone numbers per day and operating system.
SELECT toStartOfDay(event_time) AS time, attributes.os.:String AS os, count() AS verified
FROM plain.events
WHERE project = 'large' AND event_name = 'VERIFY_SMS_CODE' AND event_time >= '2024-01-01 00:00:00' AND event_time < '2025-01-01 00:00:00'
GROUP BY time, os
ORDER BY time, os
