"""The loader's loop: read judged records, insert, commit.

It is the reader `store` of the judged journal. Each batch is repeatable: its bounds are durable before the insert, so what
a crash interrupts is read and sent again as it was.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from tallymark.clock import SYSTEM_CLOCK, Clock, to_microseconds
from tallymark.crashpoints import reach
from tallymark.journal.judged import JudgedReader, JudgedRecord, Stretch
from tallymark.ledger.book import Batch, Book
from tallymark.loader.account import build_entry
from tallymark.loader.insert import Inserter, Stopped
from tallymark.loader.mend import find_mended
from tallymark.loader.state import LoaderState

log = structlog.get_logger("tallymark.loader")


@dataclass(frozen=True, slots=True)
class LoaderSettings:
    """How the loader paces itself.

    `linger_seconds` collects rows so that the store gets few, larger inserts: it is most of the time between
    acknowledged and visible. `batch_bytes` bounds one insert.
    """

    linger_seconds: float = 0.4
    poll_seconds: float = 0.02
    batch_bytes: int = 24 * 1024 * 1024
    tidy_seconds: float = 30.0
    prune_seconds: float = 600.0


class Loader:
    """Moves one shard of the judged journal into the store and the ledger until `stopping` is set.

    `judge_now` has all before a record judged at once. `find_horizon` returns the receive time of the oldest id that dedup
    knows (µs since 1970), which the ledger shows.
    """

    def __init__(
        self,
        reader: JudgedReader,
        inserter: Inserter,
        book: Book,
        stopping: threading.Event,
        settings: LoaderSettings | None = None,
        clock: Clock = SYSTEM_CLOCK,
        shard: int = 0,
        state: LoaderState | None = None,
        judge_now: Callable[[int], None] = lambda _: None,
        find_horizon: Callable[[], int | None] = lambda: None,
    ) -> None:
        self._reader = reader
        self._inserter = inserter
        self._book = book
        self._stopping = stopping
        self._settings = settings or LoaderSettings()
        self._clock = clock
        self._shard = shard
        self._state = state
        self._judge_now = judge_now
        self._find_horizon = find_horizon
        self._cursor = book.claim(shard)
        self._begun = book.find_batch(shard)
        self._tidied_at = self._pruned_at = float("-inf")

    def run(self) -> None:
        """Load until told to stop; what is acknowledged by then stays in the journal for the next start."""
        try:
            while not self._stopping.is_set():
                loaded = self.load_once()
                self._tidy()
                if loaded < self._settings.batch_bytes:
                    self._wait_for_more()
        except Stopped:
            log.info("loader_stopped_with_backlog", next_record=self._cursor)

    def load_once(self) -> int:
        """Load one batch; return its size in bytes, 0 when there was nothing."""
        stretch, stored_us = self._read_batch()
        if stretch.following == self._cursor:
            return 0
        mended = find_mended(stretch.records, self._book.refused_by_store())
        reach("loader.before_insert")
        refused = self._inserter.insert(stretch.records, stored_us) if stretch.records else []
        reach("loader.after_insert_before_commit")
        entry = build_entry(stretch.records, refused, mended)
        entry.damaged = stretch.damaged
        self._book.commit(entry, self._shard, stretch.following, self._now_us())
        self._cursor = stretch.following
        if self._state is not None:
            self._state.say_moved()
        return sum(_size(item) for item in stretch.records)

    def _read_batch(self) -> tuple[Stretch, int]:
        """Return the records of the next insert, and the time that its rows get: those of a begun one, else new ones."""
        begun, self._begun = self._begun, None
        if begun is not None and self._cursor <= begun.first and begun.last < self._reader.end():
            return self._reader.read_from(self._cursor, 1 << 62, begun.last + 1), begun.stored_us
        stretch = self._reader.read_from(self._cursor, self._settings.batch_bytes)
        stored_us = self._now_us()
        if stretch.records:
            first, last = stretch.records[0].record.number, stretch.following - 1
            self._book.begin_batch(Batch(self._shard, first, last, stored_us))
        return stretch, stored_us

    def _wait_for_more(self) -> None:
        """Wait until something is durable, then a little for what comes with it, and for its verdicts."""
        while not self._stopping.is_set() and self._reader.durable_number() <= self._cursor:
            self._stopping.wait(self._settings.poll_seconds)
            self._tidy()
        if not self._stopping.wait(self._settings.linger_seconds):
            self._judge_now(self._reader.durable_number())

    def _tidy(self) -> None:
        """Remove from the ledger what is too old, now and then."""
        now = self._clock.monotonic()
        if now - self._tidied_at < self._settings.tidy_seconds:
            return
        self._tidied_at = now
        oldest = self._find_horizon()
        if oldest is not None:
            self._book.note("dedup_oldest_us", oldest)
        if now - self._pruned_at >= self._settings.prune_seconds:
            self._pruned_at = now
            self._book.prune(self._now_us())

    def _now_us(self) -> int:
        return to_microseconds(self._clock.now())


def _size(item: JudgedRecord) -> int:
    return len(item.record.rows) + len(item.record.fingerprints)
