"""What is too much for one insert goes in several: nobody waits for ever, and no row is refused for the company it is in."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tallymark.event import Event
from tallymark.intake.accept import build_batch
from tallymark.pipeline.batch import Arrival
from tallymark.store.errors import StoreError, StoreUnavailable, build_store_error
from tallymark.store.migrations import STORE_VERSION, VERSION_TABLE, run_migrations
from tallymark.store.partitions import is_current, read_partition_key
from tallymark.store.schema import EVENTS_TABLE, build_create_events

pytestmark = pytest.mark.store


def _accept(bench, project, events, *, received=None):
    at = received or bench.received
    made = [Event(event_time=at, event_id=one, event_type="t", event_name="n") for one in events]
    batch = build_batch(Arrival(project, "http", at), made)
    bench.loop.run_until_complete(bench.acceptor.commit(bench.acceptor.prepare(batch)))


def _count(bench, prefix):
    rows = bench.store.query_rows(
        f"SELECT count(), uniqExact(project, event_id) FROM {EVENTS_TABLE} WHERE startsWith(project, {{p:String}})",
        {"p": prefix},
    ).rows
    return rows[0]


@pytest.fixture
def old_table(bench):
    """Give the store a table of format version 2 for a while."""
    bench.store.command(f"RENAME TABLE {EVENTS_TABLE} TO tallymark.events_kept")
    current = build_create_events(EVENTS_TABLE)
    head, _, rest = current.partition("PARTITION BY ")
    bench.store.command(f"{head}PARTITION BY (project, toMonday(received_at))\n{rest.partition(chr(10))[2]}")
    yield bench
    bench.store.command(f"DROP TABLE {EVENTS_TABLE} SYNC")
    bench.store.command(f"RENAME TABLE tallymark.events_kept TO {EVENTS_TABLE}")


def _send_1500(bench):
    prefix = f"many-{bench.project}-"
    for number in range(1500):
        _accept(bench, f"{prefix}{number}", ["a", "b", "c"])
    bench.restart()
    bench.load()
    assert _count(bench, prefix) == (4500, 4500)


def test_1500_projects(bench):
    """The events of 1,500 projects that came within seconds are stored."""
    _send_1500(bench)


def test_1500_projects_in_an_old_table(old_table):
    """So they are where the table still has a partition for each project."""
    _send_1500(old_table)


def test_receipt_times_far_apart(bench):
    """Events received in hundreds of weeks, as after a restore, or by a clock that jumped, are stored."""
    for week in range(300):
        _accept(bench, bench.project, [f"w{week}"], received=bench.received - timedelta(weeks=week))
    bench.load()
    assert len(bench.stored()) == 300


@pytest.mark.parametrize("limit", [1, 3])
def test_an_engine_that_allows_fewer_partitions(bench, monkeypatch, limit):
    """Where the engine allows fewer partitions than ours does, inserts get smaller until it takes them."""
    insert = bench.store.insert_ndjson

    def limited(table, body, *, token, settings=None):
        settings = {**(settings or {}), "max_partitions_per_insert_block": limit}
        return insert(table, body, token=token, settings=settings)

    monkeypatch.setattr(bench.store, "insert_ndjson", limited)
    for number in range(40):
        _accept(bench, f"few-{bench.project}-{number}", ["a", "b"])
    bench.load()
    assert _count(bench, f"few-{bench.project}-") == (80, 80)


def test_too_little_memory_for_a_large_insert(bench, monkeypatch):
    """An insert for which the engine's memory does not do is cut until it does, and no row is refused (241)."""
    insert, refused = bench.store.insert_ndjson, []

    def limited(table, body, *, token, settings=None):
        try:
            return insert(
                table, body, token=token, settings={**(settings or {}), "max_memory_usage": 24_000_000}
            )
        except StoreError as error:
            refused.append(error.number)
            raise

    monkeypatch.setattr(bench.store, "insert_ndjson", limited)
    events = [f"{number}-{'x' * 900}" for number in range(20_000)]
    for begin in range(0, len(events), 2000):
        _accept(bench, bench.project, events[begin : begin + 2000])
    bench.load()
    assert set(refused) == {241}
    assert len(bench.stored()) == len(events)
    assert bench.totals().quarantined == {}


def test_a_store_that_dies_of_a_large_insert(bench, monkeypatch):
    """An insert that breaks the connection each time, as one does that the system kills the store for, is not sent as large."""
    insert, sizes = bench.store.insert_ndjson, []

    def dying(table, body, **options):
        sizes.append(body.count(b"\n"))
        if sizes[-1] > 10:
            raise StoreUnavailable("The store cannot be reached: connection reset")
        return insert(table, body, **options)

    monkeypatch.setattr(bench.store, "insert_ndjson", dying)
    _accept(bench, bench.project, [f"e{number:02}" for number in range(64)])
    bench.load()
    assert len(bench.stored()) == 64
    assert sizes[0] == 64
    # The next batch begins with what went well.
    sizes.clear()
    _accept(bench, bench.project, [f"f{number:02}" for number in range(64)])
    bench.load()
    assert max(sizes) <= 10


def test_asking_for_what_is_there(bench, monkeypatch):
    """Where the store finds the question for what it has too much, it is asked about fewer records."""
    for number in range(16):
        _accept(bench, bench.project, [f"e{number:02}"])

    def die(*_) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(bench.book, "commit", die)
        with pytest.raises(KeyboardInterrupt):
            bench.load()
    query, asked = bench.store.query_rows, []

    def limited(sql, parameters=None, settings=None):
        if parameters and "last" in parameters:
            asked.append(parameters["last"] - parameters["first"] + 1)
            if asked[-1] > 3:
                raise build_store_error(159, "TIMEOUT_EXCEEDED", "Timeout exceeded")
        return query(sql, parameters, settings)

    monkeypatch.setattr(bench.store, "query_rows", limited)
    bench.restart()
    bench.load()
    assert asked[0] == 16
    assert len(bench.stored()) == 16


def test_overload_is_waited_for(bench, monkeypatch):
    """That merges do not keep up has the same number and passes: the same insert comes again, whole (252)."""
    insert, tokens = bench.store.insert_ndjson, []

    def overloaded(table, body, *, token, **options):
        tokens.append(token)
        if len(tokens) < 8:
            raise build_store_error(
                252, "TOO_MANY_PARTS", "Too many parts (3001). Merges are processing slower"
            )
        return insert(table, body, token=token, **options)

    monkeypatch.setattr(bench.store, "insert_ndjson", overloaded)
    monkeypatch.setattr("tallymark.loader.insert._LONGEST_PAUSE", 0.01)
    monkeypatch.setattr("tallymark.loader.insert._FIRST_PAUSE", 0.01)
    _accept(bench, bench.project, ["a", "b"])
    bench.load()
    assert len(set(tokens)) == 1
    assert bench.stored() == ["a", "b"]
    assert bench.totals().quarantined == {}


def test_an_insert_of_unknown_outcome_before_an_upgrade(old_table, monkeypatch):
    """What an older table got before its loader died is in the new one once, though the insert's token is not known there."""
    bench = old_table
    _accept(bench, bench.project, ["a", "b", "c"])

    def die(*_) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(bench.book, "commit", die)
        with pytest.raises(KeyboardInterrupt):
            bench.load()
    assert bench.stored() == ["a", "b", "c"]
    bench.store.command(f"DELETE FROM {VERSION_TABLE} WHERE version > 2")
    assert run_migrations(bench.store) == STORE_VERSION
    assert is_current(read_partition_key(bench.store, EVENTS_TABLE))
    _accept(bench, bench.project, ["d"])
    bench.restart()
    bench.load()
    assert bench.stored() == ["a", "b", "c", "d"]
    assert bench.totals().stored == 4
