"""An event table of format version 2 becomes one of today's: every row once, whatever interrupts the copy."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from tallymark.crashpoints import POINTS
from tallymark.store.copying import CopyOptions
from tallymark.store.migrations import STORE_VERSION, VERSION_TABLE, read_version, run_migrations
from tallymark.store.partitions import is_current, read_partition_key
from tallymark.store.schema import EVENTS_TABLE, NEXT_TABLE

from .conftest import PASSWORD

pytestmark = pytest.mark.store

# The event table as format version 2 made it, word for word.
CREATE_VERSION_2 = """
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
PROJECTS, WEEKS, PER_PARTITION = 20, 3, 4
POINTS_OF_COPY = [point for point in POINTS if point.startswith("copy.")]
MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
MIGRATE = """
import sys
from tallymark.store.client import StoreClient
from tallymark.store.migrations import run_migrations
with StoreClient(sys.argv[1], password=sys.argv[2]) as client:
    run_migrations(client)
"""
# All of a row, in a form that tells apart what attributes hold; in the order of the rows' numbers.
ALL_ROWS = f"SELECT * FROM {EVENTS_TABLE} ORDER BY journal_record, event_id FORMAT JSONCompactEachRow"


def _make_version_2(client) -> None:
    for statement in (
        f"DROP TABLE {EVENTS_TABLE} SYNC",
        CREATE_VERSION_2,
        f"DELETE FROM {VERSION_TABLE} WHERE version > 2",
    ):
        client.command(statement)


@pytest.fixture
def old(store_process, render_rows, build_row):
    """Start a store of format version 2 with rows of several projects, weeks and kinds of attributes."""
    client = store_process.client()
    _make_version_2(client)
    rows = []
    for number in range(PROJECTS * WEEKS * PER_PARTITION):
        received = MONDAY + timedelta(days=7 * (number % WEEKS), microseconds=number)
        attributes = {"a": number, "b": {"c": [1, "x"]}, "d.e": None, f"name_{number}": True, "text": "ü\n"}
        rows.append(
            build_row(
                number,
                project=f"p{number % PROJECTS}",
                received_at=received.isoformat(),
                client_time=(received - timedelta(hours=number)).isoformat(),
                attributes=attributes,
                value=number / 3,
            )
        )
    client.insert_ndjson(EVENTS_TABLE, render_rows(rows), token="all")
    return store_process


def _read_all(process) -> bytes:
    return process.client().query_raw(ALL_ROWS.partition(" FORMAT")[0], fmt="JSONCompactEachRow")


def _check(process, before: bytes) -> None:
    client = process.client()
    assert _read_all(process) == before
    assert is_current(read_partition_key(client, EVENTS_TABLE))
    assert read_version(client) == STORE_VERSION
    assert read_partition_key(client, NEXT_TABLE) is None


def test_copy(old):
    """Every row is there once, unchanged; the old table is gone, and running again changes nothing."""
    before = _read_all(old)
    seen = []
    options = CopyOptions(report=lambda done, total: seen.append((done, total)))
    assert run_migrations(old.client(), options=options) == STORE_VERSION
    _check(old, before)
    assert seen[0] == (0, PROJECTS * WEEKS * PER_PARTITION)
    assert run_migrations(old.client()) == STORE_VERSION
    _check(old, before)
    parts = old.client().query_rows(
        "SELECT uniqExact(partition_id) FROM system.parts WHERE active AND table = 'events'"
    )
    assert parts.rows[0][0] <= 8 * WEEKS


@pytest.mark.parametrize("point", POINTS_OF_COPY)
def test_kill_of_the_copier(old, point):
    """Killed at any named point, several times, the copy goes on where it was: every row is there once."""
    before = _read_all(old)
    for turn in range(1, 4):
        environment = {**os.environ, "TALLYMARK_CRASH": f"{point}:{turn}"}
        command = [sys.executable, "-c", MIGRATE, old.url, PASSWORD]
        died = subprocess.run(command, env=environment, timeout=300, check=False)
        if turn == 1:
            assert died.returncode == -signal.SIGKILL
        assert _read_all(old) == before
    run_migrations(old.client())
    _check(old, before)
