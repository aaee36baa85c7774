-- The four steps of a sign-up within a day, per session.
SELECT countIf(level >= 1), countIf(level >= 2), countIf(level >= 3), countIf(level >= 4)
FROM
(
    SELECT windowFunnel(86400000000)(
        toUInt64(toUnixTimestamp64Micro(event_time)),
        event_name = 'INPUT_PHONE_NUMBER',
        event_name = 'VERIFY_SMS_CODE',
        event_name = 'INPUT_NAME',
        event_name = 'INPUT_PASSWORD'
    ) AS level
    FROM plain.events
    WHERE project = 'default' AND event_time >= '2024-01-01 00:00:00' AND event_time < '2025-01-01 00:00:00'
        AND event_name IN ('INPUT_PHONE_NUMBER', 'VERIFY_SMS_CODE', 'INPUT_NAME', 'INPUT_PASSWORD')
    GROUP BY session_id
)
