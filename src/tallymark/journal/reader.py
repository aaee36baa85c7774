"""The reading end of local segments: durable records in order, from any number on.

The loader, the ledger and `verify` use it, also from other processes than the writer's. Damage never stops
it: a damaged record is skipped and counted, a missing segment is a gap.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import structlog

from tallymark.crashpoints import reach
from tallymark.journal.files import (
    DURABLE_END_BYTES,
    DURABLE_END_FILE,
    HEADER_BYTES,
    DurableEnd,
    list_segments,
    read_header,
    scan_frames,
    sync_folder,
)
from tallymark.journal.record import (
    FRAME,
    FRAME_MAGIC,
    Heading,
    Record,
    heading_end,
    is_intact,
    parse_heading,
    parse_payload,
)

log = structlog.get_logger("tallymark.journal")

# What is read of a record when only its heading is wanted; longer ones take a second read.
_HEADING_BYTES = 2048


class SegmentReader:
    """One reader of one shard. Keeps its place, so that reading on is cheap; not thread-safe.

    `damaged_records` counts the durable records that had to be skipped since this reader was made: damaged
    ones, and those of a missing segment.
    """

    def __init__(self, folder: Path, *, shard: int = 0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._shard = shard
        self._end: DurableEnd | None = None
        self.damaged_records = 0
        # Where to go on: the record number wanted, the segment's first number, the offset in it.
        self._place = (-1, -1, 0)

    def durable_number(self) -> int:
        """Return the number after the last durable record; 0 before there is a journal."""
        if self._end is None:
            try:
                # The writer makes the file a moment before it gives it its length.
                if (self.folder / DURABLE_END_FILE).stat().st_size < DURABLE_END_BYTES:
                    return 0
            except FileNotFoundError:
                return 0
            self._end = DurableEnd(self.folder, writable=False)
        return self._end.get()

    def read_from(self, number: int, max_bytes: int) -> list[Record]:
        """Return the durable records from `number` on: at least one where there is one, about `max_bytes`."""
        records: list[Record] = []
        size = 0
        for found, payload in self._payloads(number):
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

    def release(self, number: int, older_than_us: int) -> int:
        """Remove the segments wholly before record `number` and begun before `older_than_us`; return how many.

        The last segment always stays. A crash in between leaves a prefix removed, never a hole.
        """
        segments = list_segments(self.folder)
        removed = 0
        for (_, path), (following_first, following) in itertools.pairwise(segments):
            # A segment's records are all older than the beginning of the next one.
            if following_first > number or _begun_us(following) >= older_than_us:
                break
            reach("journal.before_segment_removal")
            path.unlink()
            reach("journal.during_segment_removal")
            removed += 1
        if removed:
            sync_folder(self.folder)
        return removed

    def close(self) -> None:
        """Let go of the shared file."""
        if self._end is not None:
            self._end.close()
            self._end = None

    def _payloads(self, number: int, *, headings_only: bool = False) -> Iterator[tuple[int, bytes]]:
        end = self.durable_number()
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
        read = _read_beginning if headings_only else _read_frame
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except FileNotFoundError:  # released by another reader in this moment
            return
        try:
            size = os.fstat(descriptor).st_size
            while offset + FRAME.size <= size:
                found = read(descriptor, offset, size)
                if found is None:
                    onward = _find_intact(descriptor, offset, size)
                    if onward is None:
                        return
                    offset = onward
                    continue
                number, payload, offset = found
                yield number, payload, offset
        finally:
            os.close(descriptor)


def _find_intact(descriptor: int, offset: int, size: int) -> int | None:
    """Return the offset of the next intact frame, None when there is none up to the end."""
    rest = os.pread(descriptor, size - offset, offset)
    for _, payload_start, _, intact in scan_frames(rest, 0, len(rest)):
        if intact:
            return offset + payload_start - FRAME.size
    return None


def _read_frame(descriptor: int, offset: int, size: int) -> tuple[int, bytes, int] | None:
    """Return (number, payload, offset after it) of the frame at `offset`; None when there is no intact one."""
    header = _read_frame_header(descriptor, offset, size)
    if header is None:
        return None
    number, length, checksum = header
    payload = os.pread(descriptor, length, offset + FRAME.size)
    if len(payload) < length or not is_intact(number, checksum, payload):
        return None
    return number, payload, offset + FRAME.size + length


def _read_beginning(descriptor: int, offset: int, size: int) -> tuple[int, bytes, int] | None:
    """Return the same with no more of the payload than its heading."""
    header = _read_frame_header(descriptor, offset, size)
    if header is None:
        return None
    number, length, _ = header
    start = offset + FRAME.size
    beginning = os.pread(descriptor, min(length, _HEADING_BYTES), start)
    if len(beginning) < 4 or heading_end(beginning) > length:
        return None
    if heading_end(beginning) > len(beginning):
        beginning = os.pread(descriptor, heading_end(beginning), start)
    return number, beginning, start + length


def _read_frame_header(descriptor: int, offset: int, size: int) -> tuple[int, int, int] | None:
    raw = os.pread(descriptor, FRAME.size, offset)
    if len(raw) < FRAME.size:  # the writer took it back in this moment
        return None
    magic, length, checksum, number = FRAME.unpack(raw)
    if magic != FRAME_MAGIC or offset + FRAME.size + length > size:
        return None
    return number, length, checksum


def _begun_us(path: Path) -> int:
    """Return when a segment was begun; where its header is damaged, when it was last written to, which is later."""
    header = read_header(path)
    return header.created_us if header is not None else path.stat().st_mtime_ns // 1000
