"""Frames: how the journal's segments and the verdict log hold one payload after the other.

`scan_frames` looks over bytes in memory, `read_frames` reads an open file frame by frame. Damage is told apart from a payload
by magic and checksum. The writers make frames with `render_frame` of `record.py`.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from typing import Final

from tallymark.journal.record import FRAME, FRAME_MAGIC, MAX_PAYLOAD_BYTES, heading_end, is_intact

# What is read of a record when only its heading is wanted; longer ones take a second read.
_HEADING_BYTES: Final = 2048


def scan_frames(data: bytes | mmap.mmap, start: int, end: int) -> Iterator[tuple[int, int, int, bool]]:
    """Yield (number, payload start, payload end, intact) of the frames in `data[start:end]`.

    After damage the scan goes on at the next frame whose checksum holds. A damaged frame is yielded once,
    not intact, with number -1 where even that is unknown; a torn tail is yielded the same way.
    """
    at = start
    while at < end:
        frame = _frame_at(data, at, end)
        if frame is not None:
            number, payload_end = frame
            yield number, at + FRAME.size, payload_end, True
            at = payload_end
            continue
        following = _next_frame(data, at + 1, end)
        yield -1, at, following, False
        at = following


def _frame_at(data: bytes | mmap.mmap, at: int, end: int) -> tuple[int, int] | None:
    if at + FRAME.size > end:
        return None
    magic, length, checksum, number = FRAME.unpack_from(data, at)
    payload_end = at + FRAME.size + length
    if magic != FRAME_MAGIC or length > MAX_PAYLOAD_BYTES or payload_end > end:
        return None
    if not is_intact(number, checksum, bytes(data[at + FRAME.size : payload_end])):
        return None
    return number, payload_end


def _next_frame(data: bytes | mmap.mmap, at: int, end: int) -> int:
    while True:
        at = data.find(FRAME_MAGIC, at, end)
        if at < 0:
            return end
        if _frame_at(data, at, end) is not None:
            return at
        at += 1


def read_frames(
    descriptor: int, offset: int, *, headings_only: bool = False
) -> Iterator[tuple[int, bytes, int]]:
    """Yield (number, payload, offset after it) of the intact frames of an open file, as long as it is now.

    What is damaged is left out. With `headings_only` a payload may end behind its heading, and is not checked.
    """
    read = _read_beginning if headings_only else _read_frame
    size = os.fstat(descriptor).st_size
    while offset + FRAME.size <= size:
        found = read(descriptor, offset, size)
        if found is None:
            onward = _find_intact(descriptor, offset, size)
            if onward is None:
                return
            offset = onward
            continue
        offset = found[2]
        yield found


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
    """Return (number, payload length, checksum) of the frame at `offset`; None when none begins there."""
    raw = os.pread(descriptor, FRAME.size, offset)
    if len(raw) < FRAME.size:  # the writer took it back in this moment
        return None
    magic, length, checksum, number = FRAME.unpack(raw)
    if magic != FRAME_MAGIC or offset + FRAME.size + length > size:
        return None
    return number, length, checksum
