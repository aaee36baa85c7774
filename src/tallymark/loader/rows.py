"""Rows on their way from judged records into inserts: what is new, and cut so that no insert is too much at once.

Pure. `insert` sends what comes out.
"""

from __future__ import annotations

from dataclasses import dataclass

from tallymark.journal.judged import JudgedRecord
from tallymark.journal.record import render_rows
from tallymark.journal.verdicts import Verdict
from tallymark.loader.identity import parse_identity
from tallymark.store.partitions import PARTITIONS_PER_INSERT, FindPartition, Partition

# (journal record, event id) of rows that are in the store.
Present = set[tuple[int, str]]


@dataclass(frozen=True, slots=True)
class Row:
    """A row for the store, where in the journal it stands, and the partition that it goes to."""

    text: bytes
    record: int
    position: int
    partition: Partition


def render_new_rows(item: JudgedRecord, stored_us: int) -> bytes:
    """Return the new rows of a record as NDJSON."""
    rows = render_rows(item.record, stored_us)
    if not item.all_new:
        rows = [
            row for row, verdict in zip(rows, item.verdicts.tolist(), strict=True) if verdict == Verdict.NEW
        ]
    return b"\n".join(rows) + b"\n" if rows else b""


def count_new_rows(judged: list[JudgedRecord]) -> int:
    """Return how many rows the records bring."""
    return sum(
        len(item.verdicts) if item.all_new else item.verdicts.tolist().count(Verdict.NEW) for item in judged
    )


def count_partitions(judged: list[JudgedRecord], find: FindPartition) -> int:
    """Return how many partitions the records' rows go to."""
    headings = (item.record.heading for item in judged)
    return len({find(heading.project, heading.received_us) for heading in headings})


def build_rows(
    judged: list[JudgedRecord], present: Present, find: FindPartition, stored_us: int
) -> list[Row]:
    """List the new rows that the store does not have yet."""
    rows = []
    for item in judged:
        number, heading = item.record.number, item.record.heading
        partition = find(heading.project, heading.received_us)
        for position, (text, verdict) in enumerate(
            zip(render_rows(item.record, stored_us), item.verdicts.tolist(), strict=True)
        ):
            if verdict != Verdict.NEW:
                continue
            if not present or (number, parse_identity(text).event_id) not in present:
                rows.append(Row(text, number, position, partition))
    return rows


def group_rows(
    rows: list[Row], most_rows: int, most_partitions: int = PARTITIONS_PER_INSERT
) -> list[list[Row]]:
    """Cut rows into inserts with at most so many rows and partitions each.

    Rows of a partition stay together, so that few parts are made, and so that halves of a group touch fewer partitions.
    """
    groups: list[list[Row]] = []
    seen: set[Partition] = set()
    # By text, because a partition is named by a number or a project.
    for row in sorted(rows, key=lambda row: str(row.partition)):
        full = not groups or len(groups[-1]) >= most_rows
        if full or (row.partition not in seen and len(seen) >= most_partitions):
            groups.append([])
            seen = set()
        groups[-1].append(row)
        seen.add(row.partition)
    return groups


def join_rows(rows: list[Row]) -> bytes:
    """Return rows as NDJSON."""
    return b"\n".join([row.text for row in rows]) + b"\n"
