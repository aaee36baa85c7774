-- What was paid per week and country.
WITH ifNull(attributes.amount.:Float64, toFloat64(attributes.amount.:Int64)) AS amount
SELECT toMonday(event_time) AS time, attributes.country.:String AS country, sum(amount) AS figure, count(amount) AS n
FROM plain.events
WHERE project = 'default' AND event_name = 'INPUT_PASSWORD'
    AND event_time >= '2024-01-01 00:00:00' AND event_time < '2025-01-01 00:00:00'
GROUP BY time, country
ORDER BY time, country
