"""The dedup station: records of the journal go in, a verdict for every event comes out.

The loader reads judged records. Verdicts depend on the journal alone: judging
the same records again from the same index gives the same answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from tallymark.dedup.index import DedupIndex
from tallymark.journal.record import FINGERPRINT_BYTES, Record


class Verdict(IntEnum):
    """What became of an event's id. A conflict is a duplicate whose content differs from the first."""

    NEW = 0
    DUPLICATE = 1
    CONFLICT = 2


Verdicts = NDArray[np.uint8]


@dataclass(slots=True)
class JudgedRecord:
    """A record with one `Verdict` per row, and for duplicates the record that came first."""

    record: Record
    verdicts: Verdicts
    first_records: NDArray[np.uint64]

    @property
    def all_new(self) -> bool:
        """True when every row is to be loaded: the record's rows can be taken as they are."""
        return not self.verdicts.any()


def judge_records(index: DedupIndex, records: list[Record]) -> list[JudgedRecord]:
    """Judge records in the journal's order and remember what was new."""
    table = np.frombuffer(b"".join([record.fingerprints for record in records]), dtype=np.uint64)
    table = table.reshape(-1, FINGERPRINT_BYTES // 8)
    high, low, content = (np.ascontiguousarray(table[:, column]) for column in range(3))
    counts = [record.heading.accepted for record in records]
    numbers = np.repeat(np.array([record.number for record in records], dtype=np.uint64), counts)

    known, first_content, first_record = index.find(high, low)
    # The index may be ahead of the reader, after a restore for one: what it learned from this record or a later
    # one is not a first event of these.
    known &= first_record < numbers
    _mark_repeats(high, low, content, numbers, known, first_content, first_record)
    verdicts = np.where(known, np.where(first_content == content, 1, 2), 0).astype(np.uint8)

    new = ~known
    if records:
        received = [record.heading.received_us for record in records]
        index.add(high[new], low[new], content[new], numbers[new], min(received), max(received))

    judged, start = [], 0
    for record, count in zip(records, counts, strict=True):
        stop = start + count
        judged.append(JudgedRecord(record, verdicts[start:stop], first_record[start:stop]))
        start = stop
    return judged


def _mark_repeats(
    high: NDArray[np.uint64],
    low: NDArray[np.uint64],
    content: NDArray[np.uint64],
    numbers: NDArray[np.uint64],
    known: NDArray[np.bool_],
    first_content: NDArray[np.uint64],
    first_record: NDArray[np.uint64],
) -> None:
    """Find ids that occur twice among the ones judged now; the earlier place is the first one."""
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
    first_content[repeats[fresh]] = content[heads[fresh]]
    first_record[repeats[fresh]] = numbers[heads[fresh]]
