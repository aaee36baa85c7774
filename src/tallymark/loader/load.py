"""The loader's loop: read the journal, judge, insert, commit, and clean up behind.

One process runs it. Each round is repeatable: what a crash interrupts is read, judged and reconciled again.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass

import structlog

from tallymark.clock import SYSTEM_CLOCK, Clock, to_microseconds
from tallymark.crashpoints import reach
from tallymark.dedup.index import DedupIndex
from tallymark.dedup.judge import judge_records
from tallymark.journal.reader import SegmentReader
from tallymark.journal.record import Record
from tallymark.ledger.book import Book
from tallymark.loader.account import build_entry
from tallymark.loader.insert import Inserter, Stopped
from tallymark.loader.mend import find_mended
from tallymark.loader.state import LoaderState

log = structlog.get_logger("tallymark.loader")


@dataclass(frozen=True, slots=True)
class LoaderSettings:
    """How the loader paces itself.

    `linger_seconds` collects rows so that the store gets few, larger inserts: it is most of the time between
    acknowledged and visible. `batch_bytes` bounds one insert, `keep_journal_seconds` how long segments stay
    after they were loaded. The dedup index is written at least every `flush_seconds`, however few ids came:
    segments stay until then, or until the room falls below twice `disk_reserve_bytes`.
    """

    linger_seconds: float = 0.4
    poll_seconds: float = 0.02
    batch_bytes: int = 24 * 1024 * 1024
    keep_journal_seconds: float = 24 * 3600.0
    tidy_seconds: float = 30.0
    prune_seconds: float = 600.0
    flush_seconds: float = 600.0
    disk_reserve_bytes: int = 0


class Loader:
    """Moves one shard of the journal into the store and the ledger until `stopping` is set."""

    def __init__(
        self,
        reader: SegmentReader,
        index: DedupIndex,
        inserter: Inserter,
        book: Book,
        stopping: threading.Event,
        settings: LoaderSettings | None = None,
        clock: Clock = SYSTEM_CLOCK,
        shard: int = 0,
        state: LoaderState | None = None,
    ) -> None:
        self._reader = reader
        self._index = index
        self._inserter = inserter
        self._book = book
        self._stopping = stopping
        self._settings = settings or LoaderSettings()
        self._clock = clock
        self._shard = shard
        self._state = state
        self._cursor = book.cursor(shard)
        self._loaded_us = 0
        self._tidied_at = self._pruned_at = -1e9
        self._flushed_at = clock.monotonic()
        self._damage_seen = 0

    def run(self) -> None:
        """Load until told to stop; what is acknowledged by then stays in the journal for the next start."""
        self._catch_up_index()
        try:
            while not self._stopping.is_set():
                loaded = self.load_once()
                self._tidy()
                if loaded < self._settings.batch_bytes:
                    self._wait_for_more()
        except Stopped:
            # What was judged but not committed stands in the index already: written now, the next start would
            # take those events for repetitions and never store them.
            log.info("loader_stopped_with_backlog", next_record=self._cursor)
        else:
            self._flush_index()

    def load_once(self) -> int:
        """Load one batch; return its size in bytes, 0 when there was nothing."""
        records = self._reader.read_from(self._cursor, self._settings.batch_bytes)
        if not records:
            return 0
        judged = judge_records(self._index, records)
        mended = find_mended(judged, self._book.refused_by_store())
        reach("loader.after_judging_before_insert")
        refused = self._inserter.insert(judged)
        reach("loader.after_insert_before_commit")
        following = records[-1].number + 1
        entry = build_entry(judged, refused, mended)
        entry.damaged, self._damage_seen = (
            self._reader.damaged_records - self._damage_seen,
            self._reader.damaged_records,
        )
        self._book.commit(entry, self._shard, following, self._now_us())
        self._cursor = following
        if self._state is not None:
            self._state.say_moved()
        self._loaded_us = max(self._loaded_us, *(record.heading.received_us for record in records))
        if self._index.wants_flush():
            self._flush_index()
        return sum(_size(record) for record in records)

    def _catch_up_index(self) -> None:
        """Judge again what was committed after the index was last written: its verdicts are known to be the same."""
        number = self._index.record
        while number < self._cursor:
            records = [
                record
                for record in self._reader.read_from(number, self._settings.batch_bytes)
                if record.number < self._cursor
            ]
            if not records:
                break
            judge_records(self._index, records)
            number = records[-1].number + 1

    def _wait_for_more(self) -> None:
        """Wait until something is durable, then a little for what comes with it."""
        while not self._stopping.is_set() and self._reader.durable_number() <= self._cursor:
            self._stopping.wait(self._settings.poll_seconds)
            self._tidy()
        self._stopping.wait(self._settings.linger_seconds)

    def _tidy(self) -> None:
        """Remove what nobody needs any more, now and then."""
        now = self._clock.monotonic()
        if now - self._tidied_at < self._settings.tidy_seconds:
            return
        self._tidied_at = now
        oldest = self._index.oldest_us()
        if oldest is not None:
            self._book.note("dedup_oldest_us", oldest)
        if now - self._pruned_at >= self._settings.prune_seconds:
            self._pruned_at = now
            self._book.prune(self._now_us())
        short = self._is_disk_short()
        if self._index.record < self._cursor and (
            short or now - self._flushed_at >= self._settings.flush_seconds
        ):
            self._flush_index()
        keep_from = self._now_us()
        if not short:
            keep_from -= int(self._settings.keep_journal_seconds * 1_000_000)
        # Segments that the index would have to read again after a crash stay, loaded or not.
        removed = self._reader.release(min(self._cursor, self._index.record), keep_from)
        if removed:
            log.info("journal_segments_removed", segments=removed)

    def _is_disk_short(self) -> bool:
        """Tell whether loaded segments had better go now: the intake stops soon, or has stopped."""
        state = os.statvfs(self._reader.folder)
        return state.f_bavail * state.f_frsize < 2 * self._settings.disk_reserve_bytes

    def _flush_index(self) -> None:
        # The earlier of two clocks: neither a record from the future nor a stepped clock may end the memory of ids.
        self._index.flush(self._cursor, min(self._loaded_us, self._now_us()))
        self._flushed_at = self._clock.monotonic()

    def _now_us(self) -> int:
        return to_microseconds(self._clock.now())


def _size(record: Record) -> int:
    return len(record.rows) + len(record.fingerprints)
