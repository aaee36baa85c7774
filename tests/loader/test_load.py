"""The loader: each acknowledged event is stored once and stands on one line of the ledger, whatever interrupts it."""

from __future__ import annotations

import socket
import sqlite3
import threading
from contextlib import closing

import pytest

from tallymark.ledger.trace import trace_event
from tallymark.store.errors import StoreError, StoreUnavailable

pytestmark = pytest.mark.store


def _events(*numbers: int) -> list[dict]:
    return [{"event_id": f"event-{number:03}"} for number in numbers]


def _ids(*numbers: int) -> list[str]:
    return [f"event-{number:03}" for number in numbers]


@pytest.fixture
def poison(monkeypatch):
    """Spoil the rows of events whose id says so, between journal and store."""
    from tallymark.loader import rows  # noqa: PLC0415 - patched here alone

    render = rows.render_rows

    def spoil(record, stored_us):
        return [
            row.replace(b'"event_type":"t"', b'"event_type":"t","value":"no number"')
            if b"poison" in row
            else row
            for row in render(record, stored_us)
        ]

    monkeypatch.setattr(rows, "render_rows", spoil)


def test_each_event_once(bench):
    """Repetitions within a request, between requests and after a restart are duplicates, not rows."""
    bench.accept(*_events(1, 2, 2, 3))
    bench.load()
    bench.accept(*_events(3, 4))
    bench.load()
    bench.restart()
    bench.accept(*_events(1, 5))
    bench.load()
    assert bench.stored() == _ids(1, 2, 3, 4, 5)
    totals = bench.totals()
    assert (totals.received, totals.stored, totals.duplicate, totals.in_flight) == (8, 5, 3, 0)


def test_crash_after_insert_before_commit(bench, monkeypatch):
    """What was stored but not committed is found in the store by the next loader, and not stored again."""
    bench.accept(*_events(1, 2, 3))

    def die(*_) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(bench.book, "commit", die)
        with pytest.raises(KeyboardInterrupt):
            bench.load()
    assert bench.stored() == _ids(1, 2, 3)
    bench.accept(*_events(4))
    bench.restart()
    bench.load()
    assert bench.stored() == _ids(1, 2, 3, 4)
    assert bench.totals().stored == 4


def test_bisection_finds_the_rows_that_the_store_refuses(bench, poison):
    """Of a batch with rows that the store cannot take, all others are stored and those are quarantined (F8)."""
    bench.accept(
        *_events(*range(20)), {"event_id": "poison-1"}, *_events(*range(20, 33)), {"event_id": "poison-2"}
    )
    bench.load()
    assert bench.stored() == _ids(*range(33))
    totals = bench.totals()
    assert (totals.stored, totals.quarantined) == (33, {"store_refused": 2})


def test_bisection_that_is_interrupted(bench, poison, monkeypatch):
    """When the store goes away in the middle of a bisection, what was stored stays and the rest follows: none is lost.

    The halves of the second attempt are other rows than those of the first, and must not pass for them.
    """
    bench.accept(*_events(*range(8)), {"event_id": "poison"}, *_events(*range(8, 15)))
    insert = bench.store.insert_ndjson
    done = []

    def fail_after_two(table, body, *, token, **options):
        if len(done) == 2 and "probe" not in token:
            done.append(token)
            raise StoreUnavailable("gone for a moment")
        answer = insert(table, body, token=token, **options)
        done.append(token)
        return answer

    monkeypatch.setattr(bench.store, "insert_ndjson", fail_after_two)
    bench.load()
    assert bench.stored() == _ids(*range(15))
    assert bench.totals().stored == 15


def test_stop_while_the_store_is_down(bench):
    """What was judged while the store could not be reached, and is known to the index on disk, is stored after a restart.

    Its verdicts are in the log: nobody takes the pending events for repetitions.
    """
    bench.accept(*_events(1))
    bench.load()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{probe.getsockname()[1]}"
    loader = bench.restart(nowhere)
    bench.accept(*_events(2, 3, 1))
    bench.judge()
    bench.station.flush()
    stopping = threading.Timer(0.5, bench.stopping.set)
    stopping.start()
    loader.run()
    stopping.join()
    assert bench.stored() == _ids(1)
    bench.restart()
    assert bench.index.ids == 3
    bench.load()
    assert bench.stored() == _ids(1, 2, 3)
    totals = bench.totals()
    assert (totals.received, totals.stored, totals.duplicate) == (4, 3, 1)


def test_a_batch_that_was_begun_is_repeated_as_it_was(bench, monkeypatch):
    """After a crash the insert takes the same records, says the same time and has the same token, whatever came since."""
    sent = []
    insert = bench.store.insert_ndjson

    def die(table, body, *, token, **options):
        sent.append((token, body))
        raise KeyboardInterrupt

    bench.accept(*_events(1, 2))
    bench.accept(*_events(2, 3))
    with monkeypatch.context() as patch:
        patch.setattr(bench.store, "insert_ndjson", die)
        with pytest.raises(KeyboardInterrupt):
            bench.load()
    bench.accept(*_events(4))

    def watch(table, body, *, token, **options):
        sent.append((token, body))
        return insert(table, body, token=token, **options)

    bench.restart()
    monkeypatch.setattr(bench.store, "insert_ndjson", watch)
    bench.load()
    assert sent[0] == sent[1]
    assert ":0-1/" in sent[1][0]
    assert bench.stored() == _ids(1, 2, 3, 4)


def test_the_trace_of_what_waits(bench):
    """An event that the store does not have yet is in flight, and once it is judged the trace says how."""

    def trace(event_id: str) -> list[tuple[str, str, int | None]]:
        found = trace_event(bench.folder / "ledger.sqlite", bench.folder / "journal", bench.project, event_id)
        return [(station.station, station.verdict, station.first_record) for station in found]

    bench.accept(*_events(1, 2))
    assert trace("event-002") == [("journal", "in_flight", None)]
    bench.accept(*_events(2))
    bench.judge()
    assert trace("event-001") == [("journal", "in_flight", None), ("dedup", "new", None)]
    assert trace("event-002") == [
        ("journal", "in_flight", None), ("dedup", "new", None),
        ("journal", "in_flight", None), ("dedup", "duplicate", 0),
    ]  # fmt: skip
    bench.load()
    assert trace("event-001") == []


def test_a_ledger_that_is_behind_the_store(bench, monkeypatch):
    """After a restore the store has batches that its ledger knows nothing of: each is recognised, whatever its bounds."""
    ledger = bench.folder / "ledger.sqlite"
    copy = bench.folder / "copy.sqlite"
    bench.accept(*_events(1))
    bench.load()
    begin_batch = bench.book.begin_batch

    def copy_once(batch):
        begin_batch(batch)
        if not copy.exists():
            with closing(sqlite3.connect(ledger)) as source, closing(sqlite3.connect(copy)) as target:
                source.backup(target)

    monkeypatch.setattr(bench.book, "begin_batch", copy_once)
    for number in (2, 3, 4, 5):
        bench.accept(*_events(number, 1))
        bench.load()
    bench.book.close()
    for path in bench.folder.glob("ledger.sqlite*"):
        path.unlink()
    copy.rename(ledger)
    bench.restart()
    bench.accept(*_events(6))
    bench.load()
    assert bench.stored() == _ids(1, 2, 3, 4, 5, 6)
    totals = bench.totals()
    assert (totals.received, totals.stored, totals.duplicate) == (10, 6, 4)


def test_insert_of_a_loader_that_died_is_waited_for(bench, monkeypatch):
    """A new loader goes on only when the store has finished what a dead one had sent: else it could be stored twice."""
    query, begun, seen = bench.store.query_rows, threading.Event(), []

    def work() -> None:
        begun.set()
        query(
            "SELECT sleepEachRow(0.5) FROM numbers(4)",
            settings={"query_id": f"tallymark-loader-{bench.shard}"},
        )

    def watch(*arguments, **options):
        try:
            return query(*arguments, **options)
        except StoreError as error:
            seen.append(error.number)
            raise

    running = "SELECT count() FROM system.processes WHERE query LIKE 'SELECT sleepEachRow%'"
    thread = threading.Thread(target=work)
    thread.start()
    while thread.is_alive() and not query(running).rows[0][0]:
        thread.join(0.01)
    assert thread.is_alive(), "the other insert is under way"
    monkeypatch.setattr(bench.store, "query_rows", watch)
    bench.accept(*_events(1))
    bench.load()
    thread.join(60)
    assert 216 in seen
    assert bench.stored() == _ids(1)
    assert begun.is_set()
