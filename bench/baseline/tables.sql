-- The plain table that the baseline reads: typed columns, no JSON, merged into one part.
CREATE TABLE plain.flights
(
    event_name LowCardinality(String),
    event_time DateTime('UTC'),
    session_id String,
    value Nullable(Float64),
    carrier LowCardinality(String),
    origin LowCardinality(String),
    distance UInt32
)
ENGINE = MergeTree ORDER BY (event_name, event_time);

CREATE TABLE plain.large
(
    event_name LowCardinality(String),
    event_time DateTime64(6, 'UTC'),
    session_id String,
    value Nullable(Float64),
    os LowCardinality(String),
    amount Float64
)
ENGINE = MergeTree ORDER BY (event_name, event_time);
