"""An event table of format version 2 becomes one of today's: every row once, whatever interrupts the copy."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta

import pytest

from tallymark.crashpoints import POINTS
from tallymark.store.copying import CopyOptions, CopyStopped
from tallymark.store.errors import build_store_error
from tallymark.store.migrations import STORE_VERSION, VERSION_TABLE, read_version, run_migrations
from tallymark.store.partitions import is_current, read_partition_key
from tallymark.store.schema import EVENTS_TABLE, NEXT_TABLE
from tests.fixtures.store_version_2 import CREATE_EVENTS_2
from tests.store.conftest import PASSWORD

pytestmark = pytest.mark.store

PROJECTS, WEEKS, PER_PARTITION = 20, 2, 4
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


def test_kill_of_the_store(old):
    """When the store dies in the middle of a statement of the copy, the copy goes on with the next store."""
    before = _read_all(old)
    client, port = old.client(timeout=60), old.port
    died = threading.Event()

    def die_once(done: int, _total: int) -> None:
        if done and not died.is_set():
            died.set()
            old.kill()
            old.start(port)

    assert run_migrations(client, options=CopyOptions(report=die_once)) == STORE_VERSION
    assert died.is_set()
    _check(old, before)


def test_stop_in_the_middle(old):
    """Told to stop, the copy ends soon, and what was copied is not copied again."""
    before = _read_all(old)
    stopping, seen = threading.Event(), []

    def stop(done: int, _total: int) -> None:
        seen.append(done)
        if done:
            stopping.set()

    with pytest.raises(CopyStopped):
        run_migrations(old.client(), options=CopyOptions(stopping=stopping, report=stop))
    assert _read_all(old) == before
    assert read_version(old.client()) == 2
    again = []
    run_migrations(old.client(), options=CopyOptions(report=lambda done, _: again.append(done)))
    assert again[0] >= PER_PARTITION
    _check(old, before)


def test_too_little_room(old):
    """Without room for both tables nothing is copied, the reason is told, the rows stay readable; with room it goes on."""
    before = _read_all(old)
    reasons = []
    options = CopyOptions(reserve_bytes=2**60, postpone=reasons.append)
    assert run_migrations(old.client(), options=options) == 2
    assert "bytes on the store's disk" in reasons[0]
    assert read_partition_key(old.client(), NEXT_TABLE) is None
    assert _read_all(old) == before
    assert run_migrations(old.client()) == STORE_VERSION
    _check(old, before)


def test_rows_that_came_after_a_part_of_the_copy(old, render_rows, build_row):
    """An older program that went on with the table in between loses nothing: what differs is copied again."""
    stopping = threading.Event()
    client = old.client()
    with pytest.raises(CopyStopped):
        run_migrations(
            client, options=CopyOptions(stopping=stopping, report=lambda done, _: done and stopping.set())
        )
    late = [build_row(10_000 + n, project=f"p{n}", received_at=MONDAY.isoformat()) for n in range(PROJECTS)]
    client.insert_ndjson(EVENTS_TABLE, render_rows(late), token="late")
    before = _read_all(old)
    assert run_migrations(client) == STORE_VERSION
    _check(old, before)


def test_columns_of_somebody_else(old):
    """A table with columns that are not ours is left as it is, and the reason names them."""
    client, reasons = old.client(), []
    client.command(f"ALTER TABLE {EVENTS_TABLE} ADD COLUMN mine String DEFAULT 'x'")
    before = _read_all(old)
    assert run_migrations(client, options=CopyOptions(postpone=reasons.append)) == 2
    assert "mine" in reasons[0]
    assert _read_all(old) == before


def test_too_little_memory_for_a_block(old, monkeypatch):
    """A statement of the copy that takes too much memory is tried with smaller blocks."""
    client = old.client()
    before = _read_all(old)
    command, sizes = client.command, []

    def limited(sql, parameters=None, settings=None):
        if sql.startswith("INSERT INTO tallymark.events_next"):
            sizes.append(settings["min_insert_block_size_rows"])
            if sizes[-1] > 10_000:
                raise build_store_error(241, "MEMORY_LIMIT_EXCEEDED", "Memory limit exceeded")
        command(sql, parameters, settings)

    monkeypatch.setattr(client, "command", limited)
    assert run_migrations(client) == STORE_VERSION
    assert sizes[0] > 10_000 > sizes[-1]
    _check(old, before)


def test_large_partitions_are_copied_by_days(old, monkeypatch):
    """The days of a week are all of its rows."""
    monkeypatch.setattr("tallymark.store.copying._ROWS_PER_STATEMENT", 0)
    before = _read_all(old)
    assert run_migrations(old.client()) == STORE_VERSION
    _check(old, before)


def test_an_insert_that_a_dead_loader_left(old):
    """The copy waits for an insert that still runs: its rows would be missing in a table that was copied already."""
    name = "SELECT sleepEachRow(0.5) FROM numbers(6)"
    before = _read_all(old)
    running = threading.Thread(
        target=lambda: old.client().query_rows(name, settings={"query_id": CopyOptions().query_id})
    )
    running.start()
    listed = "SELECT count() FROM system.processes WHERE query LIKE 'SELECT sleepEachRow%'"
    while running.is_alive() and not old.client().query_rows(listed).rows[0][0]:
        running.join(0.01)
    assert running.is_alive()
    still_running = []
    options = CopyOptions(report=lambda *_: still_running.append(running.is_alive()))
    assert run_migrations(old.client(), options=options) == STORE_VERSION
    running.join()
    assert not any(still_running)
    _check(old, before)
