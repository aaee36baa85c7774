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
    HEADER_BYTES,
    DurableEnd,
    SegmentHeader,
    list_segments,
    parse_header,
    scan_frames,
    sync_folder,
)
from tallymark.journal.record import (
    FRAME,
    FRAME_MAGIC,
    Heading,
    Record,
    is_intact,
    parse_heading,
    parse_payload,
)

log = structlog.get_logger("tallymark.journal")


class SegmentReader:
    """One reader of one shard. Keeps its place, so that reading on is cheap; not thread-safe.

    `damaged_records` counts what had to be skipped since this reader was made.
    """

    def __init__(self, folder: Path, *, shard: int = 0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._shard = shard
        self._end: DurableEnd | None = None
        self.damaged_records = 0
        # Where to go on: the record number wanted, the segment's first number, the offset in it.
        self._place = (-1, -1, 0)

    def durable_number(self) -> int:
        """Return the number after the last durable record; 0 before there is a journal."""
        if self._end is None:
            if not (self._folder / "durable-end").exists():
                return 0
            self._end = DurableEnd(self._folder, writable=False)
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
        """Yield (number, heading) of the durable records from `number` on."""
        for found, payload in self._payloads(number):
            yield found, parse_heading(payload)

    def release(self, number: int, older_than_us: int) -> int:
        """Remove the segments wholly before record `number` and begun before `older_than_us`; return how many.

        The last segment always stays. A crash in between leaves a prefix removed, never a hole.
        """
        segments = list_segments(self._folder)
        removed = 0
        for (_, path), (following_first, following) in itertools.pairwise(segments):
            # A segment's records are all older than the beginning of the next one.
            header = _read_header(following)
            if following_first > number or header is None or header.created_us >= older_than_us:
                break
            reach("journal.before_segment_removal")
            path.unlink()
            reach("journal.during_segment_removal")
            removed += 1
        if removed:
            sync_folder(self._folder)
        return removed

    def close(self) -> None:
        """Let go of the shared file."""
        if self._end is not None:
            self._end.close()
            self._end = None

    def _payloads(self, number: int) -> Iterator[tuple[int, bytes]]:
        end = self.durable_number()
        if number >= end:
            return
        segments = list_segments(self._folder)
        for position, (first, path) in enumerate(segments):
            following = segments[position + 1][0] if position + 1 < len(segments) else None
            if following is not None and following <= number:
                continue
            valid_end = min([end, *self._ends_told_by(segments[position + 1 :])])
            offset = self._place[2] if self._place[:2] == (number, first) else HEADER_BYTES
            for found, payload, after in self._frames(path, offset, last=following is None):
                if found >= valid_end:
                    break
                if found >= number:
                    self._place = (found + 1, first, after)
                    yield found, payload

    def _ends_told_by(self, later: list[tuple[int, Path]]) -> list[int]:
        headers = [_read_header(path) for _, path in later]
        return [header.earlier_end for header in headers if header is not None]

    def _frames(self, path: Path, offset: int, *, last: bool) -> Iterator[tuple[int, bytes, int]]:
        """Yield (number, payload, offset after it) of the intact frames of one segment."""
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except FileNotFoundError:  # released by another reader in this moment
            return
        try:
            size = os.fstat(descriptor).st_size
            while offset + FRAME.size <= size:
                found = _read_frame(descriptor, offset, size)
                if found is None:
                    onward = self._skip_damage(descriptor, path, offset, size, last=last)
                    if onward is None:
                        return
                    offset = onward
                    continue
                number, payload = found
                offset += FRAME.size + len(payload)
                yield number, payload, offset
        finally:
            os.close(descriptor)

    def _skip_damage(self, descriptor: int, path: Path, offset: int, size: int, *, last: bool) -> int | None:
        """Return the offset of the next intact frame; None at the end, where the writer may be at work."""
        rest = os.pread(descriptor, size - offset, offset)
        for _, payload_start, _, intact in scan_frames(rest, 0, len(rest)):
            if intact:
                self.damaged_records += 1
                log.error(
                    "journal_record_damaged", segment=path.name, offset=offset, fix="tallymark journal verify"
                )
                return offset + payload_start - FRAME.size
        if not last:
            self.damaged_records += 1
            log.error(
                "journal_record_damaged", segment=path.name, offset=offset, fix="tallymark journal verify"
            )
        return None


def _read_frame(descriptor: int, offset: int, size: int) -> tuple[int, bytes] | None:
    magic, length, checksum, number = FRAME.unpack(os.pread(descriptor, FRAME.size, offset))
    if magic != FRAME_MAGIC or offset + FRAME.size + length > size:
        return None
    payload = os.pread(descriptor, length, offset + FRAME.size)
    if not is_intact(number, checksum, payload):
        return None
    return number, payload


def _read_header(path: Path) -> SegmentHeader | None:
    try:
        with path.open("rb") as file:
            return parse_header(file.read(HEADER_BYTES), path)
    except FileNotFoundError:
        return None
