-- Mean time for the code per week and browser, with its interval of 95 %.
WITH 1.959963984540054 * stddevSamp(value) / sqrt(n) AS reach
SELECT toMonday(event_time) AS time, agent_browser, avg(value) AS figure, count(value) AS n, figure - reach AS low, figure + reach AS high
FROM plain.events
WHERE project = 'default' AND event_name = 'VERIFY_SMS_CODE'
    AND event_time >= '2024-01-01 00:00:00' AND event_time < '2025-01-01 00:00:00'
GROUP BY time, agent_browser
ORDER BY time, agent_browser
