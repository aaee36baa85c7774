"""Judged records: the journal and its verdict log, read as one.

Every reader of the journal that has to know which events are new reads here: the loader, and all that follow the journal
under a name of their own. Nobody judges twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from tallymark.journal.reader import SegmentReader
from tallymark.journal.record import Record
from tallymark.journal.verdicts import RecordNumbers, RecordVerdicts, VerdictReader, Verdicts

log = structlog.get_logger("tallymark.journal")


@dataclass(slots=True)
class JudgedRecord:
    """A record with what the verdict log says of it.

    `verdicts` has one `Verdict` per row, `first_records` for duplicates the record of this shard that came first.
    """

    record: Record
    judged: RecordVerdicts
    verdicts: Verdicts
    first_records: RecordNumbers

    @property
    def all_new(self) -> bool:
        """True when every row is new: the record's rows can be taken as they are."""
        return not self.judged.verdicts


@dataclass(slots=True)
class Stretch:
    """What was read of the judged journal: the records up to before `following`.

    `damaged` counts the records in between that could not be read; `unread` is what the verdict log says of them, where it
    says something.
    """

    records: list[JudgedRecord]
    following: int
    damaged: int = 0
    unread: list[RecordVerdicts] = field(default_factory=list)


class JudgedReader:
    """One reader of one shard's judged records, in any process; not thread-safe. Damage never stops it."""

    def __init__(self, folder: Path, *, shard: int = 0) -> None:
        self._records = SegmentReader(folder, shard=shard)
        self._verdicts = VerdictReader(folder)

    def begin(self) -> int:
        """Return the number of the first record that can still be read with its verdicts."""
        return max(self._verdicts.begin(), self._records.first_number())

    def end(self) -> int:
        """Return the number after the last judged record."""
        return self._verdicts.end()

    def durable_number(self) -> int:
        """Return the number after the last durable record, judged or not."""
        return self._records.durable_number()

    def read_from(self, number: int, max_bytes: int, end: int | None = None) -> Stretch:
        """Read the judged records from `number` to before `end`, about `max_bytes` of them.

        There are none where nothing is judged yet (`following` is `number`), or where all that was read is damaged.
        """
        judged_end = self.end()
        end = judged_end if end is None else min(end, judged_end)
        if number >= end:
            return Stretch([], number)
        skipped = self._records.damaged_records
        records = self._records.read_from(number, max_bytes, end)
        following = records[-1].number + 1 if records else end
        if following < end and not self._records.read_from(following, 1, end):
            # Nothing that could be read follows.
            following = end
        skipped = self._records.damaged_records - skipped
        found = {record.number: record for record in records}
        judged: list[JudgedRecord] = []
        unread: list[RecordVerdicts] = []
        last = records[-1].number if records else number - 1
        for verdicts in self._verdicts.read(number, following):
            record = found.pop(verdicts.number, None)
            if record is not None:
                judged.append(JudgedRecord(record, verdicts, *verdicts.expand()))
            else:
                unread.append(verdicts)
        if found:
            log.error("verdicts_damaged", at=number, records=len(found), fix="tallymark journal verify")
        # The journal's reader counts what it skips before a record that it reads.
        behind = sum(verdicts.number > last for verdicts in unread)
        return Stretch(judged, following, skipped + behind + len(found), unread)

    def list_verdicts(self, number: int, end: int) -> Iterator[RecordVerdicts]:
        """Yield what the log says of the records from `number` to before `end`."""
        return self._verdicts.read(number, end)

    def find(self, number: int) -> RecordVerdicts | None:
        """Return what the log says of one record; None where it has nothing of it."""
        return next(self._verdicts.read(number, number + 1), None)

    def exists(self) -> bool:
        """Tell whether anything was ever judged here."""
        return self._verdicts.exists()

    def close(self) -> None:
        """Let go of the shared files."""
        self._records.close()
        self._verdicts.close()
