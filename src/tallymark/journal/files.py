"""The journal's files: names, the header of a segment, and the published end of what is durable.

Both the writer (`segments.py`) and the readers (`reader.py`, `verify.py`) go through here, so that the
format stands in one place. Nothing here decodes a record.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import google_crc32c

from tallymark.errors import FormatError
from tallymark.journal.record import FRAME, FRAME_MAGIC, MAX_PAYLOAD_BYTES, is_intact

FORMAT_VERSION = 1
_MAGIC = b"TALLYJNL"
# magic, version, shard, first number, end of what is valid in earlier segments, created (µs since 1970), CRC32C
_HEADER = struct.Struct("<8sIIQQQI")
HEADER_BYTES = 64
_PREFIX = "segment-"
_SUFFIX = ".log"
DURABLE_END_FILE = "durable-end"
DURABLE_END_BYTES = 8


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    """The first bytes of a segment.

    `earlier_end`: records with this number or a higher one in earlier segments were never durable and do not
    exist. That is how a segment is abandoned after an fsync error: the next one says where it ended.
    """

    shard: int
    first_number: int
    earlier_end: int
    created_us: int


def segment_path(folder: Path, first_number: int) -> Path:
    """Name the segment that begins with record `first_number`."""
    return folder / f"{_PREFIX}{first_number:020d}{_SUFFIX}"


def list_segments(folder: Path) -> list[tuple[int, Path]]:
    """Return (first number, path) of the segments in `folder`, in order."""
    found = []
    for path in folder.glob(f"{_PREFIX}*{_SUFFIX}"):
        digits = path.name[len(_PREFIX) : -len(_SUFFIX)]
        if digits.isdigit():
            found.append((int(digits), path))
    return sorted(found)


def read_header(path: Path) -> SegmentHeader | None:
    """Read a segment's header; None where it is damaged or the segment is gone. Raises FormatError."""
    try:
        with path.open("rb") as file:
            return parse_header(file.read(HEADER_BYTES), path)
    except FileNotFoundError:  # released by another reader in this moment
        return None


def render_header(header: SegmentHeader) -> bytes:
    """Return the header's bytes, padded to `HEADER_BYTES`."""
    fields = (
        _MAGIC,
        FORMAT_VERSION,
        header.shard,
        header.first_number,
        header.earlier_end,
        header.created_us,
    )
    body = _HEADER.pack(*fields, 0)[:-4]
    return (body + struct.pack("<I", google_crc32c.value(body))).ljust(HEADER_BYTES, b"\0")


def parse_header(raw: bytes, path: Path) -> SegmentHeader | None:
    """Read a segment's header; None when it is torn or damaged, FormatError when a newer program wrote it."""
    if len(raw) < _HEADER.size or raw[:8] != _MAGIC:
        return None
    _, version, shard, first, earlier_end, created_us, checksum = _HEADER.unpack_from(raw)
    if google_crc32c.value(raw[: _HEADER.size - 4]) != checksum:
        return None
    if version > FORMAT_VERSION:
        raise FormatError(
            f"The journal's segment has format {version}; this program reads up to {FORMAT_VERSION}. "
            "Start the newer program again, or restore the backup made before the upgrade.",
            at=path.name,
        )
    return SegmentHeader(shard, first, earlier_end, created_us)


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


class DurableEnd:
    """One number in a small shared file: all records before it are durable.

    The writer stores it after each fsync, readers in other processes see it at once. It is a hint that only
    ever lags: after a crash the writer finds the true end by reading the last segment.
    """

    def __init__(self, folder: Path, *, writable: bool) -> None:
        path = folder / DURABLE_END_FILE
        flags = os.O_RDWR | os.O_CREAT if writable else os.O_RDONLY
        descriptor = os.open(path, flags, 0o600)
        try:
            if writable and os.fstat(descriptor).st_size < DURABLE_END_BYTES:
                os.ftruncate(descriptor, DURABLE_END_BYTES)
            access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
            self._map = mmap.mmap(descriptor, DURABLE_END_BYTES, access=access)
        finally:
            os.close(descriptor)
        # One aligned 8-byte store: a reader sees the old number or the new one, nothing between.
        self._view = memoryview(self._map).cast("Q")

    def get(self) -> int:
        """Return the number after the last durable record."""
        return self._view[0]

    def set(self, number: int) -> None:
        """Publish that all records before `number` are durable."""
        self._view[0] = number

    def close(self) -> None:
        """Unmap the file."""
        self._view.release()
        self._map.close()


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, durably."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for place in missing:
        sync_folder(place.parent)


def sync_folder(folder: Path) -> None:
    """Make the folder's list of files durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
