"""A real store process, and all that the loader works with, in the test's own process."""

from __future__ import annotations

import asyncio
import multiprocessing
import struct
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tallymark.dedup.index import DedupIndex
from tallymark.event import Event
from tallymark.intake.accept import Acceptor, build_batch
from tallymark.journal.judged import JudgedReader
from tallymark.journal.reader import SegmentReader
from tallymark.journal.record import Heading, Record
from tallymark.journal.segments import SegmentWriter
from tallymark.journal.verdict_writer import VerdictWriter
from tallymark.ledger.book import Book, Limits
from tallymark.ledger.readers import Readers
from tallymark.ledger.report import build_report, read_cursor
from tallymark.ledger.tail import Tail
from tallymark.loader.insert import Inserter
from tallymark.loader.judging import JudgingSettings, JudgingStation
from tallymark.loader.load import Loader, LoaderSettings
from tallymark.loader.retention import Retention, RetentionSettings
from tallymark.pipeline.batch import Arrival
from tallymark.store.chdb_server import run_store
from tallymark.store.client import StoreClient
from tallymark.store.migrations import run_migrations

PASSWORD = "loader-test-password"


def _serve(folder: str, pipe: Any) -> None:
    run_store(Path(folder), 0, PASSWORD, memory_limit_bytes=1 << 30, ready=pipe.send)


@pytest.fixture(scope="module")
def store_url(tmp_path_factory) -> Iterator[str]:
    """Start a store that the tests of a module share: each has a project of its own."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_serve, args=(str(tmp_path_factory.mktemp("store")), theirs))
    process.start()
    theirs.close()
    assert ours.poll(90), "the store did not start"
    url = f"http://127.0.0.1:{ours.recv()}"
    ours.close()
    with StoreClient(url, password=PASSWORD) as client:
        run_migrations(client)
    yield url
    process.terminate()
    process.join(60)


@dataclass
class Bench:
    """One journal with a loader behind it; `restart` makes a new loader, as after a crash."""

    folder: Path
    url: str
    project: str
    shard: int
    limits: Limits = field(default_factory=Limits)
    stopping: threading.Event = field(default_factory=threading.Event)
    received: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.loop = asyncio.new_event_loop()
        # The shards of the tests differ, because they share one store.
        self.writer = SegmentWriter(self.folder / "journal", shard=self.shard, reserve_bytes=0)
        self.acceptor = Acceptor(self.writer, seed=1, shard=self.shard)
        self.store = StoreClient(self.url, password=PASSWORD)
        self.restart()

    def restart(self, url: str = "", judging: JudgingSettings | None = None, **settings: Any) -> Loader:
        """Make a loader that finds what is on disk."""
        if hasattr(self, "book"):
            self.book.close()
            self.verdicts.close()
            self.readers.close()
        self.stopping = threading.Event()
        self.book = Book(self.folder / "ledger.sqlite", self.limits)
        self.readers = Readers(self.folder / "readers.sqlite")
        self.verdicts = VerdictWriter(self.folder / "journal", shard=self.shard)
        self.index = DedupIndex(self.folder / "dedup")
        journal = SegmentReader(self.folder / "journal", shard=self.shard)
        cursor = partial(read_cursor, self.folder / "ledger.sqlite")
        retention = Retention(journal, self.verdicts, self.readers, cursor, RetentionSettings(keep_seconds=0))
        self.station = JudgingStation(journal, self.index, self.verdicts, retention, self.stopping, judging)
        self.station.catch_up()
        store = StoreClient(url, password=PASSWORD) if url else self.store
        self.loader = Loader(
            JudgedReader(self.folder / "journal", shard=self.shard),
            Inserter(store, self.stopping),
            self.book,
            self.stopping,
            LoaderSettings(linger_seconds=0.01, **settings),
        )
        return self.loader

    def accept(self, *events: dict[str, Any]) -> None:
        """Put events into the journal as one request."""
        made = [
            msgspec.convert(
                {"event_time": self.received, "event_type": "t", "event_name": "n"} | event, Event
            )
            for event in events
        ]
        batch = build_batch(Arrival(self.project, "http", self.received), made)
        self.loop.run_until_complete(self.acceptor.commit(self.acceptor.prepare(batch)))

    def judge(self) -> None:
        """Give all that is durable its verdicts."""
        while self.station.judge_once():
            pass

    def load(self) -> None:
        self.judge()
        while self.loader.load_once():
            pass

    def stored(self) -> list[str]:
        rows = self.store.query_rows(
            "SELECT event_id FROM tallymark.events WHERE project = {project:String} ORDER BY event_id",
            {"project": self.project},
        ).rows
        return [row[0] for row in rows]

    def totals(self) -> Any:
        with closing(Tail(self.folder / "journal")) as tail:
            start, end = self.received - timedelta(hours=1), self.received + timedelta(hours=1)
            report = build_report(self.folder / "ledger.sqlite", tail, self.project, start, end)
        assert report.balanced, report.totals
        return report.totals

    def close(self) -> None:
        self.book.close()
        self.verdicts.close()
        self.readers.close()
        self.writer.close()
        self.store.close()
        self.loop.close()


_made = 0


@pytest.fixture
def bench(tmp_path, store_url) -> Iterator[Bench]:
    """Set up a journal and a loader of the test's own."""
    global _made  # noqa: PLW0603 - one number for all tests of a process
    _made += 1
    made = Bench(tmp_path / "bench", store_url, f"project-{_made}", _made)
    yield made
    made.close()


@pytest.fixture(scope="session")
def append_ids():
    """Return what writes records, each a list of event ids, into a journal, durably."""
    loop = asyncio.new_event_loop()

    def build(ids: list[int]) -> Record:
        rows = b"".join(
            b'{"event_time":"2026-01-05T12:00:00Z","event_id":"%d"}\n' % identity for identity in ids
        )
        fingerprints = b"".join(struct.pack("<QQQ", identity, identity, 1) for identity in ids)
        return Record(Heading("default", "http", 1_767_614_400_000_000, len(ids)), fingerprints, rows)

    async def write(writer: SegmentWriter, records: list[Record]) -> None:
        for record in records:
            await writer.append(record)

    yield lambda writer, *records: loop.run_until_complete(write(writer, [build(ids) for ids in records]))
    loop.close()
