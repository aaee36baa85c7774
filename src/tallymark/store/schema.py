"""The event table as the store has it: its columns, its engine, and the settings with which rows enter and leave.

Migrations create the table from here, the loader inserts with `INSERT_SETTINGS`, questions read with
`QUERY_SETTINGS`. The columns of the core fields stand for `event.Event` field by field; a test compares them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

DATABASE: Final = "tallymark"
EVENTS_TABLE: Final = "tallymark.events"


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its ClickHouse type, default expression ('' = the type's own) and codec ('' = the server's)."""

    name: str
    type: str
    default: str = ""
    codec: str = ""

    def ddl(self) -> str:
        """Return the column's line in a CREATE TABLE."""
        default = f" DEFAULT {self.default}" if self.default else ""
        codec = f" CODEC({self.codec})" if self.codec else ""
        return f"`{self.name}` {self.type}{default}{codec}"


_TIME: Final = "DateTime64(6, 'UTC')"
_NAME: Final = "LowCardinality(String)"
_TEXT_CODEC: Final = "ZSTD(1)"
# Near neighbours in the sorting key differ little, so differences compress better than values.
_TIME_CODEC: Final = "Delta, ZSTD(1)"

# Where a row came from and when; not part of what the client sent.
ENVELOPE_COLUMNS: Final = (
    Column("project", _NAME),
    Column("source", _NAME),
)

# event.Event, in its order, without event_time (below) and attributes.
CORE_COLUMNS: Final = (
    Column("event_id", "String", codec=_TEXT_CODEC),
    Column("event_type", _NAME),
    Column("event_name", _NAME),
    Column("value", "Nullable(Float64)", codec=_TEXT_CODEC),
    Column("session_id", "String", codec=_TEXT_CODEC),
    Column("user_id", "String", codec=_TEXT_CODEC),
    Column("install_id", "String", codec=_TEXT_CODEC),
    Column("device_id", "String", codec=_TEXT_CODEC),
    Column("service_name", _NAME),
    Column("service_version", _NAME),
    Column("service_commit", _NAME),
    Column("is_dev", "Bool"),
    Column("agent_client_platform", _NAME),
    Column("agent_client_platform_family", _NAME),
    Column("agent_os", _NAME),
    Column("agent_browser", _NAME),
    Column("agent_app_version", _NAME),
    Column("agent_language", _NAME),
    Column("agent_user_agent", _NAME),
    Column("page_id", "String", codec=_TEXT_CODEC),
    Column("page_title", "String", codec=_TEXT_CODEC),
    Column("page_url", "String", codec=_TEXT_CODEC),
    Column("page_referrer", "String", codec=_TEXT_CODEC),
    Column("page_content_language", _NAME),
    Column("performer_id", "String", codec=_TEXT_CODEC),
    Column("performer_name", "String", codec=_TEXT_CODEC),
    Column("performer_is_logged_in", "Nullable(Bool)"),
    Column("performer_is_bot", "Nullable(Bool)"),
    Column("performer_language", _NAME),
    Column("performer_groups", f"Array({_NAME})"),
    Column("truncated", "Bool"),
    Column("sketch_values", "Array(Float64)", codec=_TEXT_CODEC),
    Column("sketch_counts", "Array(UInt64)", codec=_TEXT_CODEC),
)

TIME_COLUMNS: Final = (
    # As the client said; event_time is what questions use, after the correction of its clock.
    Column("client_time", _TIME, codec=_TIME_CODEC),
    Column("skew_ms", "Int64", codec="ZSTD(1)"),
    Column("event_time", _TIME, default="client_time + toIntervalMillisecond(skew_ms)", codec=_TIME_CODEC),
    Column("received_at", _TIME, codec=_TIME_CODEC),
)

REST_COLUMNS: Final = (
    Column("streams", f"Array({_NAME})", default="['default']"),
    Column("sample_rates", "Array(Float64)", default="[1.]"),
    Column("attributes", "JSON(max_dynamic_paths=1024)", codec=_TEXT_CODEC),
    Column("journal_shard", "UInt16"),
    Column("journal_record", "UInt64", codec="Delta, ZSTD(1)"),
    Column("stored_at", "DateTime64(3, 'UTC')", default="now64(3)", codec=_TIME_CODEC),
)

EVENT_COLUMNS: Final = (*ENVELOPE_COLUMNS, *CORE_COLUMNS, *TIME_COLUMNS, *REST_COLUMNS)

TABLE_SETTINGS: Final = {
    # An acknowledged batch survives a power loss.
    "fsync_after_insert": "1",
    "fsync_part_directory": "1",
    "min_rows_to_fsync_after_merge": "1",
    # What an insert writes has few files, so few syncs; large parts have a file per column, which questions read faster.
    "min_bytes_for_wide_part": str(64 * 1024 * 1024),
    # A batch sent twice is inserted once: the last so many insert tokens are remembered.
    "non_replicated_deduplication_window": "1000",
}

# A partition is a week of receipt, from Monday in UTC, and one of a few buckets of projects. An insert makes a part, with
# fsyncs of its own, in every partition that it touches; and field names (1,024 of JSON) are counted per part, so the
# projects of a bucket share them. Eight keeps both small: decision 0009 has the figures.
BUCKETS: Final = 8
WEEK: Final = "toMonday(received_at)"
BUCKET: Final = f"xxHash64(project) % {BUCKETS}"
PARTITION_BY: Final = f"({WEEK}, {BUCKET})"

# In the order of which rows stand on the disk; the project stands first, so a question reads only its project's rows.
SORTING_KEY: Final = "project, event_name, event_time, event_id"


def build_insert_id(shard: int) -> str:
    """Return the query id of a shard's inserts: one runs at a time, and who asks under it knows that none is running."""
    return f"tallymark-loader-{shard}"


# An event table under construction: rows of an older table are copied here, then the two change names.
NEXT_TABLE: Final = "tallymark.events_next"


def build_create_events(table: str) -> str:
    """Return the statement that makes an event table of the present format under the name `table`."""
    return (
        f"CREATE TABLE IF NOT EXISTS {table} (\n    "
        + ",\n    ".join(column.ddl() for column in EVENT_COLUMNS)
        + ",\n    INDEX journal_record_range journal_record TYPE minmax GRANULARITY 1"
        # One event by its id, without reading the project's whole column.
        + ",\n    INDEX event_id_filter event_id TYPE bloom_filter(0.01) GRANULARITY 4\n)"
        + f"\nENGINE = MergeTree\nPARTITION BY {PARTITION_BY}"
        + f"\nORDER BY ({SORTING_KEY})"
        + "\nSETTINGS "
        + ", ".join(f"{name} = {value}" for name, value in TABLE_SETTINGS.items())
    )


CREATE_EVENTS: Final = build_create_events(EVENTS_TABLE)

# Version 1 had another rule for which parts have a file per column.
CHANGE_PARTS: Final = (
    f"ALTER TABLE {EVENTS_TABLE} MODIFY SETTING min_level_for_wide_part = 0, "
    f"min_bytes_for_wide_part = {TABLE_SETTINGS['min_bytes_for_wide_part']}"
)

# Takes every row that the events' table takes and keeps none: the loader asks it whether a refusal is the row's.
PROBE_TABLE: Final = "tallymark.probe"
CREATE_PROBE: Final = f"CREATE TABLE IF NOT EXISTS {PROBE_TABLE} AS {EVENTS_TABLE} ENGINE = Null"

# Both ways: a dot inside a key stays apart from nesting, so {"a.b": 1, "a": {"b": 2}} keeps both.
_JSON_SETTINGS: Final = {"json_type_escape_dots_in_keys": "1"}

INSERT_SETTINGS: Final = {
    **_JSON_SETTINGS,
    # Times come with or without fractions and with any offset.
    "date_time_input_format": "best_effort",
    # A text that looks like a date, a number or a boolean stays the text that it is.
    "input_format_try_infer_dates": "0",
    "input_format_try_infer_datetimes": "0",
    "input_format_json_try_infer_numbers_from_strings": "0",
    "input_format_json_infer_array_of_dynamic_from_array_of_different_types": "1",
    # Of a key that stands twice the first counts, as with the name of an event id: first one wins.
    "type_json_skip_duplicated_paths": "1",
    # A column that this table does not have is a mistake of ours and must not vanish in silence.
    "input_format_skip_unknown_fields": "0",
    "input_format_null_as_default": "0",
    "input_format_defaults_for_omitted_fields": "1",
    # One insert makes one part per partition, which is what makes it atomic and its token exact.
    "max_insert_block_size": "1048576",
    "min_insert_block_size_rows": "1048576",
    "min_insert_block_size_bytes": "268435456",
    "max_partitions_per_insert_block": "1000",
    "insert_deduplicate": "1",
    # Cutting a body into pieces for several threads costs a third more CPU, and inserts are one after another anyway.
    "input_format_parallel_parsing": "0",
    "async_insert": "0",
}

QUERY_SETTINGS: Final = {
    **_JSON_SETTINGS,
    "output_format_json_quote_64bit_integers": "0",
    "output_format_json_quote_denormals": "0",
}
