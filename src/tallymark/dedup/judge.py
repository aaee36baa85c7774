"""Judging: records of the journal go in, a verdict for every event comes out.

Pure. The loader process judges each round, writes the verdicts to the verdict log, and only then lets the index remember
what was new: the index never knows an id that a durable verdict does not stand behind.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tallymark.dedup.bloom import Words
from tallymark.dedup.index import DedupIndex
from tallymark.journal.record import FINGERPRINT_BYTES, Record
from tallymark.journal.verdicts import RecordVerdicts, Verdict


@dataclass(slots=True)
class Fingerprints:
    """The ids of the accepted events of some records, in the journal's order: one item per event in each column."""

    high: Words
    low: Words
    content: Words
    number: Words
    oldest_us: int
    newest_us: int

    def remember(self, index: DedupIndex, chosen: NDArray[np.bool_]) -> None:
        """Let the index learn the chosen ids."""
        index.add(
            self.high[chosen],
            self.low[chosen],
            self.content[chosen],
            self.number[chosen],
            self.oldest_us,
            self.newest_us,
        )


@dataclass(slots=True)
class Round:
    """Records that were judged together; what was new in them is not remembered before `remember`."""

    verdicts: list[RecordVerdicts]
    fingerprints: Fingerprints
    new: NDArray[np.bool_]

    def remember(self, index: DedupIndex) -> None:
        """Let the index learn what was new."""
        self.fingerprints.remember(index, self.new)


def collect_fingerprints(records: list[Record]) -> Fingerprints:
    """Return the fingerprints of all accepted events of at least one record."""
    table = np.frombuffer(b"".join([record.fingerprints for record in records]), dtype=np.uint64)
    table = table.reshape(-1, FINGERPRINT_BYTES // 8)
    high, low, content = (np.ascontiguousarray(table[:, column]) for column in range(3))
    counts = [record.heading.accepted for record in records]
    numbers = np.repeat(np.array([record.number for record in records], dtype=np.uint64), counts)
    received = [record.heading.received_us for record in records]
    return Fingerprints(high, low, content, numbers, min(received), max(received))


def judge_records(index: DedupIndex, records: list[Record]) -> Round:
    """Judge at least one record, in the journal's order. The index is only asked."""
    found = collect_fingerprints(records)
    known, first_content, first_record = index.find(found.high, found.low)
    # The index may be ahead of the verdict log, after a restore for one: what it learned from this record or a later
    # one is not a first event of these.
    known &= first_record < found.number
    _mark_repeats(found, known, first_content, first_record)
    kinds = np.where(
        known, np.where(first_content == found.content, Verdict.DUPLICATE, Verdict.CONFLICT), Verdict.NEW
    ).astype(np.uint8)
    verdicts, start = [], 0
    for record in records:
        stop = start + record.heading.accepted
        verdicts.append(_describe(record, kinds[start:stop], first_record[start:stop]))
        start = stop
    return Round(verdicts, found, ~known)


def _describe(record: Record, kinds: NDArray[np.uint8], first_records: Words) -> RecordVerdicts:
    heading = record.heading
    positions = np.flatnonzero(kinds)
    repeats = (
        (
            positions.astype(np.uint32).tobytes(),
            kinds[positions].tobytes(),
            first_records[positions].tobytes(),
        )
        if len(positions)
        else ()
    )
    failed, dropped = sum(heading.failed.values()), sum(heading.dropped.values())
    return RecordVerdicts(
        record.number,
        heading.project,
        heading.source,
        heading.received_us,
        heading.accepted,
        failed,
        dropped,
        *repeats,
    )


def _mark_repeats(
    found: Fingerprints, known: NDArray[np.bool_], first_content: Words, first_record: Words
) -> None:
    """Find ids that occur twice among the ones judged now; the earlier place is the first one."""
    high, low = found.high, found.low
    order = np.lexsort((np.arange(len(high)), low, high))
    same = np.zeros(len(high), dtype=np.bool_)
    same[1:] = (high[order][1:] == high[order][:-1]) & (low[order][1:] == low[order][:-1])
    if not same.any():
        return
    # Within each group of equal ids the first in order is the earliest event.
    leaders = order[np.maximum.accumulate(np.where(same, 0, np.arange(len(order))))]
    repeats = order[same]
    heads = leaders[same]
    fresh = ~known[heads]
    known[repeats] = True
    first_content[repeats[fresh]] = found.content[heads[fresh]]
    first_record[repeats[fresh]] = found.number[heads[fresh]]
