-- The plain table that the baseline reads: the event table's columns and sorting key, one partition, merged into one part.
CREATE TABLE plain.events AS tallymark.events
ENGINE = MergeTree ORDER BY (project, event_name, event_time, event_id);
