"""How long the journal is kept: until the index, the loader and the slowest reader within its limits have passed a segment.

The judging station calls `release` now and then. What a reader beyond its limits has not read is counted as lost on its
line before the segments go, and its cursor is moved. When the disk is short, readers lose first, those that have not
moved for longest before the others; the loader never does.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import structlog

from tallymark.clock import SYSTEM_CLOCK, Clock, to_microseconds
from tallymark.crashpoints import reach
from tallymark.journal.reader import SegmentReader
from tallymark.journal.verdict_writer import VerdictWriter
from tallymark.journal.verdicts import VerdictReader
from tallymark.ledger.readers import Counts, Readers, ReaderState, count_new

log = structlog.get_logger("tallymark.loader")


@dataclass(frozen=True, slots=True)
class RetentionSettings:
    """Segments stay `keep_seconds` after they were written, or until the free room falls below twice `reserve_bytes`."""

    keep_seconds: float = 24 * 3600.0
    reserve_bytes: int = 0


class Retention:
    """Lets segments and verdicts of one shard go. One thread. `find_cursor` returns the loader's cursor."""

    def __init__(
        self,
        journal: SegmentReader,
        verdicts: VerdictWriter,
        readers: Readers,
        find_cursor: Callable[[], int],
        settings: RetentionSettings | None = None,
        clock: Clock = SYSTEM_CLOCK,
        shard: int = 0,
    ) -> None:
        self._journal = journal
        self._verdicts = verdicts
        self._known = VerdictReader(journal.folder)
        self._readers = readers
        self._find_cursor = find_cursor
        self._settings = settings or RetentionSettings()
        self._clock = clock
        self._shard = shard

    def is_disk_short(self) -> bool:
        """Tell whether what is not needed had better go now: the intake stops soon, or has stopped."""
        state = os.statvfs(self._journal.folder)
        return state.f_bavail * state.f_frsize < 2 * self._settings.reserve_bytes

    def release(self, index_record: int, judged_us: int) -> None:
        """Remove the segments that nobody needs; those stay that the index would have to learn again after a crash.

        `judged_us` is the receive time of the newest judged record (µs since 1970).
        """
        now_us = to_microseconds(self._clock.now())
        short = self.is_disk_short()
        older_than = now_us if short else now_us - int(self._settings.keep_seconds * 1_000_000)
        # The earlier of two clocks: one that jumps costs no reader anything.
        holding = [
            state
            for state in self._readers.list_states(self._shard)
            if not self._is_beyond_limits(state, min(now_us, judged_us))
        ]
        held = min(index_record, self._find_cursor())
        first = self._find_first(holding, held, older_than, give_up=short)
        if first <= self._journal.first_number():
            return
        try:
            self._readers.release(self._shard, first, partial(self._count_lost, first))
        except sqlite3.OperationalError as error:
            log.warning("journal_not_released", error=str(error), fix="end the reader that hangs")
            return
        reach("retention.after_loss_before_removal")
        removed = self._journal.release(first)
        self._verdicts.release(first)
        log.info("journal_segments_removed", segments=removed)

    def close(self) -> None:
        """Let go of the verdict log."""
        self._known.close()

    def _find_first(self, holding: list[ReaderState], held: int, older_than: int, *, give_up: bool) -> int:
        """Return the first number that stays. With `give_up`, readers are left behind one by one until something goes."""
        waiting = sorted(holding, key=lambda state: state.moved_us)
        while True:
            passed = min([held, *(state.record for state in waiting)])
            first = self._journal.find_releasable(passed, older_than)
            if first > self._journal.first_number() or not (give_up and waiting):
                return first
            del waiting[0]

    def _is_beyond_limits(self, state: ReaderState, now_us: int) -> bool:
        if state.record >= self._verdicts.end:
            return False
        limits = state.limits
        if limits.bytes and self._journal.measure_bytes(state.record) > limits.bytes:
            return True
        waits = next(self._known.read(state.record), None)
        return bool(limits.seconds and waits and now_us - waits.received_us > limits.seconds * 1_000_000)

    def _count_lost(self, first: int, state: ReaderState) -> Counts:
        """Count what a reader has not read before record `first`."""
        lost = count_new(self._known.read(state.record, first))
        log.warning(
            "reader_lost_events",
            reader=state.name,
            events=lost.total(),
            fix="start the reader, raise its limits, or remove it: tallymark journal readers",
        )
        return lost
