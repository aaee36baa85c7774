-- 95 % quantile of the time for the code per version, between the two values that enclose it.
WITH
    arraySort(groupArray(assumeNotNull(value))) AS sorted,
    (n - 1) * 0.95 + 1 AS place,
    1.959963984540054 * sqrt(n * 0.95 * 0.05) AS reach
SELECT
    service_version,
    sorted[toUInt64(place)] + (place - floor(place)) * (sorted[toUInt64(place) + 1] - sorted[toUInt64(place)]) AS figure,
    count() AS n,
    sorted[toUInt64(n * 0.95 - reach)] AS low,
    sorted[toUInt64(ceil(n * 0.95 + reach)) + 1] AS high
FROM plain.events
WHERE project = 'default' AND event_name = 'VERIFY_SMS_CODE'
    AND event_time >= '2024-01-01 00:00:00' AND event_time < '2025-01-01 00:00:00' AND isNotNull(value)
GROUP BY service_version
ORDER BY service_version
