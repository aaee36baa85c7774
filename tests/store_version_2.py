"""The event table as format version 2 of the store made it, word for word: what a folder of that time holds."""

from __future__ import annotations

CREATE_EVENTS_2 = """
CREATE TABLE tallymark.events (
    `project` LowCardinality(String),
    `source` LowCardinality(String),
    `event_id` String CODEC(ZSTD(1)),
    `event_type` LowCardinality(String),
    `event_name` LowCardinality(String),
    `value` Nullable(Float64) CODEC(ZSTD(1)),
    `session_id` String CODEC(ZSTD(1)),
    `user_id` String CODEC(ZSTD(1)),
    `install_id` String CODEC(ZSTD(1)),
    `device_id` String CODEC(ZSTD(1)),
    `service_name` LowCardinality(String),
    `service_version` LowCardinality(String),
    `service_commit` LowCardinality(String),
    `is_dev` Bool,
    `agent_client_platform` LowCardinality(String),
    `agent_client_platform_family` LowCardinality(String),
    `agent_os` LowCardinality(String),
    `agent_browser` LowCardinality(String),
    `agent_app_version` LowCardinality(String),
    `agent_language` LowCardinality(String),
    `agent_user_agent` LowCardinality(String),
    `page_id` String CODEC(ZSTD(1)),
    `page_title` String CODEC(ZSTD(1)),
    `page_url` String CODEC(ZSTD(1)),
    `page_referrer` String CODEC(ZSTD(1)),
    `page_content_language` LowCardinality(String),
    `performer_id` String CODEC(ZSTD(1)),
    `performer_name` String CODEC(ZSTD(1)),
    `performer_is_logged_in` Nullable(Bool),
    `performer_is_bot` Nullable(Bool),
    `performer_language` LowCardinality(String),
    `performer_groups` Array(LowCardinality(String)),
    `truncated` Bool,
    `sketch_values` Array(Float64) CODEC(ZSTD(1)),
    `sketch_counts` Array(UInt64) CODEC(ZSTD(1)),
    `client_time` DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    `skew_ms` Int64 CODEC(ZSTD(1)),
    `event_time` DateTime64(6, 'UTC') DEFAULT client_time + toIntervalMillisecond(skew_ms) CODEC(Delta, ZSTD(1)),
    `received_at` DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    `streams` Array(LowCardinality(String)) DEFAULT ['default'],
    `sample_rates` Array(Float64) DEFAULT [1.],
    `attributes` JSON(max_dynamic_paths=1024) CODEC(ZSTD(1)),
    `journal_shard` UInt16,
    `journal_record` UInt64 CODEC(Delta, ZSTD(1)),
    `stored_at` DateTime64(3, 'UTC') DEFAULT now64(3) CODEC(Delta, ZSTD(1)),
    INDEX journal_record_range journal_record TYPE minmax GRANULARITY 1,
    INDEX event_id_filter event_id TYPE bloom_filter(0.01) GRANULARITY 4
)
ENGINE = MergeTree
PARTITION BY (project, toMonday(received_at))
ORDER BY (project, event_name, event_time, event_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1,
    min_bytes_for_wide_part = 67108864, non_replicated_deduplication_window = 1000
"""
