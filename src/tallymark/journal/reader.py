"""The reading end of local segments: durable records in order, from any number on.

The loader, the ledger and `verify` use it, also from other processes than the writer's. Damage never stops
it: a damaged record is skipped and counted, a missing segment is a gap.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import structlog

from tallymark.crashpoints import reach
from tallymark.journal.files import (
    HEADER_BYTES,
    PublishedEnd,
    list_segments,
    read_header,
    sync_folder,
)
from tallymark.journal.frames import read_frames
from tallymark.journal.record import Heading, Record, parse_heading, parse_payload

log = structlog.get_logger("tallymark.journal")


class SegmentReader:
    """One reader of one shard. Keeps its place, so that reading on is cheap; not thread-safe.

    `damaged_records` counts the durable records that had to be skipped since this reader was made: damaged
    ones, and those of a missing segment.
    """

    def __init__(self, folder: Path, *, shard: int = 0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._shard = shard
        self._end = PublishedEnd(folder)
        self.damaged_records = 0
        # Where to go on: the record number wanted, the segment's first number, the offset in it.
        self._place = (-1, -1, 0)

    def durable_number(self) -> int:
        """Return the number after the last durable record; 0 before there is a journal."""
        return self._end.get()

    def first_number(self) -> int:
        """Return the number of the first record that may still be here."""
        segments = list_segments(self.folder)
        return segments[0][0] if segments else self.durable_number()

    def read_from(self, number: int, max_bytes: int, end: int | None = None) -> list[Record]:
        """Return the durable records from `number` to before `end`: at least one where there is one, about `max_bytes`."""
        records: list[Record] = []
        size = 0
        for found, payload in self._payloads(number, end):
            records.append(parse_payload(payload, found, self._shard))
            size += len(payload)
            if size >= max_bytes:
                break
        return records

    def read_headings(self, number: int) -> Iterator[tuple[int, Heading]]:
        """Yield (number, heading) of the durable records from `number` on, without reading the rows.

        For counting: what is damaged behind a heading is not noticed here.
        """
        for found, payload in self._payloads(number, headings_only=True):
            yield found, parse_heading(payload)

    def find_releasable(self, number: int, older_than_us: int) -> int:
        """Return the first number that stays when all goes that `release` may take.

        That is every segment wholly before record `number` and begun before `older_than_us` (µs since 1970). The last
        segment always stays.
        """
        first = 0
        for following_first, following in list_segments(self.folder)[1:]:
            # A segment's records are all older than the beginning of the next one.
            if following_first > number or _begun_us(following) >= older_than_us:
                break
            first = following_first
        return first

    def release(self, first: int) -> int:
        """Remove the segments before the one that begins with record `first`; return how many.

        A crash in between leaves a prefix removed, never a hole.
        """
        removed = 0
        for (_, path), (following_first, _) in itertools.pairwise(list_segments(self.folder)):
            if following_first > first:
                break
            reach("journal.before_segment_removal")
            path.unlink()
            reach("journal.during_segment_removal")
            removed += 1
        if removed:
            sync_folder(self.folder)
        return removed

    def measure_bytes(self, number: int) -> int:
        """Return how many bytes the segments have that hold records from `number` on."""
        segments = list_segments(self.folder)
        ends = [first for first, _ in segments[1:]]
        kept = [
            path
            for (_, path), end in zip(segments, [*ends, None], strict=True)
            if end is None or end > number
        ]
        size = 0
        for path in kept:
            with suppress(FileNotFoundError):
                size += path.stat().st_size
        return size

    def close(self) -> None:
        """Let go of the shared file."""
        self._end.close()

    def _payloads(
        self, number: int, end: int | None = None, *, headings_only: bool = False
    ) -> Iterator[tuple[int, bytes]]:
        durable = self.durable_number()
        end = durable if end is None else min(end, durable)
        expected = number
        segments = list_segments(self.folder)
        for position, (first, path) in enumerate(segments):
            following = segments[position + 1][0] if position + 1 < len(segments) else None
            if number >= end or (following is not None and following <= number):
                continue
            header = read_header(path)
            if header is not None and header.earlier_end > expected:
                self._count_damage(header.earlier_end - expected, path)
            expected = max(expected, first)
            valid_end = min([end, *self._ends_told_by(segments[position + 1 :])])
            offset = self._place[2] if self._place[:2] == (number, first) else HEADER_BYTES
            for found, payload, after in self._frames(path, offset, headings_only=headings_only):
                if found >= valid_end:
                    break
                if found < number:
                    expected = max(expected, found + 1)
                    continue
                if found > expected:
                    self._count_damage(found - expected, path)
                expected = found + 1
                self._place = (expected, first, after)
                yield found, payload
                if expected == end:
                    return  # beyond this the writer may be at work

    def _count_damage(self, records: int, path: Path) -> None:
        self.damaged_records += records
        log.error(
            "journal_records_damaged", before=path.name, records=records, fix="tallymark journal verify"
        )

    def _ends_told_by(self, later: list[tuple[int, Path]]) -> list[int]:
        headers = [read_header(path) for _, path in later]
        return [header.earlier_end for header in headers if header is not None]

    def _frames(self, path: Path, offset: int, *, headings_only: bool) -> Iterator[tuple[int, bytes, int]]:
        """Yield (number, payload or its beginning, offset after it) of the intact frames of one segment."""
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except FileNotFoundError:  # released by another reader in this moment
            return
        try:
            yield from read_frames(descriptor, offset, headings_only=headings_only)
        finally:
            os.close(descriptor)


def _begun_us(path: Path) -> int:
    """Return when a segment was begun; where its header is damaged, when it was last written to, which is later."""
    header = read_header(path)
    return header.created_us if header is not None else path.stat().st_mtime_ns // 1000
