"""The judging station: durable records get their verdicts here, ahead of everything that reads them.

A thread of the loader process runs it, whether or not the store can be reached. One round reads what is durable, asks the
index, writes the verdict log, and only then lets the index remember. It also keeps the index on disk and lets old
segments go.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from typing import Final, TypeVar

import numpy as np
import structlog

from tallymark.clock import SYSTEM_CLOCK, Clock, to_microseconds
from tallymark.crashpoints import reach
from tallymark.dedup.index import DedupIndex
from tallymark.dedup.judge import collect_fingerprints, judge_records
from tallymark.journal.reader import SegmentReader
from tallymark.journal.record import Record
from tallymark.journal.verdict_writer import VerdictWriter
from tallymark.journal.verdicts import Verdict, VerdictReader
from tallymark.loader.retention import Retention

log = structlog.get_logger("tallymark.loader")

T = TypeVar("T")

# After a failure of the disk the station tries again in so many seconds.
_PAUSE: Final = 1.0
# Whoever asks for a round waits for it so long at most, and looks so often, in seconds.
_ASKED_SECONDS: Final = 0.2
_ASKED_POLL: Final = 0.002


@dataclass(frozen=True, slots=True)
class JudgingSettings:
    """How the station paces itself.

    Rounds begin at least `round_seconds` apart, because each costs a sync, unless somebody asks for one; `round_bytes`
    bounds one. The dedup index is written at least every `flush_seconds`, however few ids came: segments stay until then.
    """

    round_seconds: float = 0.25
    round_bytes: int = 8 * 1024 * 1024
    poll_seconds: float = 0.02
    flush_seconds: float = 600.0
    tidy_seconds: float = 30.0


class JudgingStation:
    """Judges one shard until `stopping` is set. `say_failed` gets what keeps it from that."""

    def __init__(
        self,
        reader: SegmentReader,
        index: DedupIndex,
        verdicts: VerdictWriter,
        retention: Retention,
        stopping: threading.Event,
        settings: JudgingSettings | None = None,
        clock: Clock = SYSTEM_CLOCK,
        say_failed: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._reader = reader
        self._index = index
        self._verdicts = verdicts
        self._retention = retention
        self._stopping = stopping
        self._settings = settings or JudgingSettings()
        self._clock = clock
        self._say_failed = say_failed
        self._judged_us = 0
        # Receive time of the oldest id that the index knows (µs since 1970): the ledger shows it.
        self.oldest_us: int | None = None
        self._tidied_at = float("-inf")
        self._flushed_at = clock.monotonic()
        # Set by whoever does not want to wait for the next round.
        self._asked = threading.Event()

    def judge_now(self, number: int) -> None:
        """Have all before record `number` judged, and return then, or after a moment. Other threads call it."""
        until = self._clock.monotonic() + _ASKED_SECONDS
        self._asked.set()
        while self._verdicts.end < number and self._clock.monotonic() < until:
            if self._stopping.wait(_ASKED_POLL):
                return

    def run(self) -> None:
        """Judge until told to stop. What has no verdict by then gets it after the next start."""
        self.catch_up()
        while not self._stopping.is_set():
            began = self._clock.monotonic()
            more = self._try(self.judge_once)
            self._try(self._tidy)
            if more is None:
                self._stopping.wait(_PAUSE)
            elif more < self._settings.round_bytes:
                self._wait_for_more(began)
        self._try(self.flush)

    def judge_once(self) -> int:
        """Judge one round; return its size in bytes, 0 when there was nothing. Raises OSError; then nothing is judged."""
        durable = self._reader.durable_number()
        records = self._reader.read_from(self._verdicts.end, self._settings.round_bytes)
        if not records:
            if durable > self._verdicts.end:
                # Durable and not readable: nobody can wait for it.
                log.error(
                    "journal_records_damaged",
                    records=durable - self._verdicts.end,
                    fix="tallymark journal verify",
                )
                self._verdicts.append([], durable)
            return 0
        judged = judge_records(self._index, records)
        reach("verdicts.after_judging_before_write")
        self._verdicts.append(judged.verdicts, records[-1].number + 1)
        judged.remember(self._index)
        self._judged_us = max(self._judged_us, judged.fingerprints.newest_us)
        if self._index.wants_flush():
            self._try(self.flush)
        return sum(len(record.rows) + len(record.fingerprints) for record in records)

    def _try(self, work: Callable[[], T]) -> T | None:
        """Do what a disk that fails may keep us from; None then."""
        try:
            return work()
        except OSError as error:
            log.error("judging_failed", error=str(error), retry_in_s=_PAUSE, fix="check the data disk")
            self._say_failed(f"Verdicts or the dedup index cannot be written: {error}")
            return None

    def catch_up(self) -> None:
        """Let the index learn what was judged after it was last written, without judging it again."""
        end, number = self._verdicts.end, self._index.record
        known = VerdictReader(self._reader.folder)
        try:
            while number < end:
                records = self._reader.read_from(number, self._settings.round_bytes, end)
                if not records:
                    break
                self._learn(records, known)
                number = records[-1].number + 1
        finally:
            known.close()

    def flush(self) -> None:
        """Write the index: everything with a durable verdict is in it."""
        # The earlier of two clocks: neither a record from the future nor a stepped clock may end the memory of ids.
        self._index.flush(self._verdicts.end, min(self._judged_us, self._now_us()))
        self._flushed_at = self._clock.monotonic()

    def _learn(self, records: list[Record], known: VerdictReader) -> None:
        first, following = records[0].number, records[-1].number + 1
        verdicts = {found.number: found for found in known.read(first, following)}
        # In order: what was first stays first.
        for has_verdicts, group in groupby(records, key=lambda record: record.number in verdicts):
            some = list(group)
            if has_verdicts:
                kinds = np.concatenate([verdicts[record.number].expand()[0] for record in some])
                collect_fingerprints(some).remember(self._index, kinds == Verdict.NEW)
            else:
                # The loader of an earlier version judged these: the same index gives the same verdicts.
                judge_records(self._index, some).remember(self._index)
        self._judged_us = max(self._judged_us, *(record.heading.received_us for record in records))

    def _wait_for_more(self, began: float) -> None:
        """Wait until something new is durable, and until the next round may begin or is asked for."""
        while not self._stopping.is_set() and self._reader.durable_number() <= self._verdicts.end:
            self._stopping.wait(self._settings.poll_seconds)
            self._try(self._tidy)
        left = began + self._settings.round_seconds - self._clock.monotonic()
        if left > 0:
            self._asked.wait(left)
        self._asked.clear()

    def _tidy(self) -> None:
        """Write the index and remove what nobody needs any more, now and then."""
        now = self._clock.monotonic()
        if now - self._tidied_at < self._settings.tidy_seconds:
            return
        self._tidied_at = now
        short = self._retention.is_disk_short()
        if short:
            # First, for the index needs room as well.
            self._retention.release(self._index.record, self._judged_us)
        due = now - self._flushed_at >= self._settings.flush_seconds
        if self._index.record < self._verdicts.end and (due or short):
            self.flush()
        self._retention.release(self._index.record, self._judged_us)
        self.oldest_us = self._index.oldest_us()

    def _now_us(self) -> int:
        return to_microseconds(self._clock.now())
