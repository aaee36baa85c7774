"""Following the journal under a name: judged records in order, a cursor that is kept, and lines of its own.

`tallymark journal follow` and whatever forwards events read here. A reader that keeps its own position, in the transaction
that keeps its events, goes on with `seek` and is exact; all others see each record at least once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec
import structlog

from tallymark.clock import SYSTEM_CLOCK, Clock, to_microseconds
from tallymark.errors import TallymarkError
from tallymark.journal.judged import JudgedReader, JudgedRecord
from tallymark.journal.verdicts import RecordVerdicts
from tallymark.ledger.readers import ReaderLimits, Readers, count_new

log = structlog.get_logger("tallymark.journal")

# Nothing was read yet, so there is nothing to recognise.
_NOTHING: Final = 0


class Position(msgspec.Struct, frozen=True):
    """A place in the journal: the record of a shard that is read next, and a checksum of the one read last."""

    shard: int
    record: int
    checksum: int = _NOTHING


class JournalFollower:
    """One reader of one shard, open for following. One thread.

    `journal` is the shard's folder, `path` the database of readers. A new reader begins with the oldest record that is
    still there, or behind the newest with `from_end`. Raises TallymarkError: invalid_reader_name, journal_not_judged.
    """

    def __init__(
        self,
        journal: Path,
        path: Path,
        name: str,
        *,
        shard: int = 0,
        from_end: bool = False,
        limits: ReaderLimits | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._records = JudgedReader(journal, shard=shard)
        if not self._records.exists():
            raise TallymarkError(
                "journal_not_judged",
                f"Nothing in {journal} was judged yet. Start the server of this version on it once.",
            )
        self._readers = Readers(path)
        self._clock = clock
        begin = self._records.end if from_end else self._records.begin
        self._state = self._readers.open(name, shard, begin, self._now_us(), limits)
        self._position = Position(shard, self._state.record)
        # What was read and is not committed yet.
        self._passed: list[RecordVerdicts] = []
        self._damaged: list[RecordVerdicts] = []

    @property
    def position(self) -> Position:
        """Where reading goes on."""
        return self._position

    def seek(self, position: Position) -> None:
        """Go on where a reader that keeps its own position stopped; that may be behind or ahead of the kept cursor.

        Raises TallymarkError: reader_position_unknown where the journal is not the one that the position is of, or no longer
        has the records behind it.
        """
        last = self._records.find(position.record - 1)
        same = not position.checksum or last is None or last.checksum == position.checksum
        begin, end = self._records.begin(), self._records.end()
        if not begin <= position.record <= end or not same:
            raise TallymarkError(
                "reader_position_unknown",
                f"The journal has the records {begin} to {end - 1}, and record {position.record - 1} is not the one that was"
                " read last. It was restored from a backup, or its records are gone. Begin anew with the oldest record: events"
                " that come again have the same ids.",
            )
        self._position = position
        # What it kept before it could say so.
        self._passed = list(self._records.list_verdicts(self._state.record, position.record))
        self._damaged = []

    def read(self, max_bytes: int) -> list[JudgedRecord]:
        """Return the next judged records, about `max_bytes` of them.

        Where nothing waits, the position stays.
        """
        found = self._records.read_from(self._position.record, max_bytes)
        if found.damaged:
            log.error(
                "reader_records_damaged",
                reader=self._state.name,
                records=found.damaged,
                fix="tallymark journal verify",
            )
        self._passed += [item.judged for item in found.records]
        self._damaged += found.unread
        if found.following > self._position.record:
            checksum = found.records[-1].judged.checksum if found.records else _NOTHING
            self._position = Position(self._position.shard, found.following, checksum)
        return found.records

    def commit(self) -> None:
        """Note, durably, that everything read so far was dealt with.

        Raises TallymarkError: reader_superseded when another program reads under this name, or the reader fell behind its
        limits; then nothing is noted.
        """
        before = self._state.record
        if self._position.record > before:
            # What a reader of its own position reads again was counted.
            passed, damaged = (
                count_new(item for item in items if item.number >= before)
                for items in (self._passed, self._damaged)
            )
            self._state = self._readers.move(
                self._state, self._position.record, passed, damaged, self._now_us()
            )
        self._passed, self._damaged = [], []

    def close(self) -> None:
        """Let go of the files; the cursor stays."""
        self._records.close()
        self._readers.close()

    def _now_us(self) -> int:
        return to_microseconds(self._clock.now())
