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
from tests.store.conftest import PASSWORD
from tests.store_version_2 import CREATE_EVENTS_2

pytestmark = pytest.mark.store

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
        CREATE_EVENTS_2,
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
