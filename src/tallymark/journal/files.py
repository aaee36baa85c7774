"""The journal's files: names, the header of a segment, and the published end of what is durable.

The writers and the readers of segments and of the verdict log go through here, so that the format stands in one
place. Nothing here decodes a record.
"""

from __future__ import annotations

import mmap
import os
import struct
import sys
from dataclasses import dataclass
from pathlib import Path

import google_crc32c

from tallymark.errors import FormatError

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
    return list_numbered_files(folder, _PREFIX, _SUFFIX)


def list_numbered_files(folder: Path, prefix: str, suffix: str) -> list[tuple[int, Path]]:
    """Return (number, path) of the files in `folder` whose names are a prefix, a number and a suffix, in order."""
    found = []
    for path in folder.glob(f"{prefix}*{suffix}"):
        digits = path.name[len(prefix) : -len(suffix)]
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


class DurableEnd:
    """One number in a small shared file: all records before it are durable, or judged.

    The writer stores it after each fsync, readers in other processes see it at once. It is a hint that only
    ever lags: after a crash the writer finds the true end by reading its last file.
    """

    def __init__(self, folder: Path, *, writable: bool, name: str = DURABLE_END_FILE) -> None:
        path = folder / name
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


class PublishedEnd:
    """The reading side of such a file, which the writer may not have made yet."""

    def __init__(self, folder: Path, name: str = DURABLE_END_FILE) -> None:
        self._folder = folder
        self._name = name
        self._end: DurableEnd | None = None

    def exists(self) -> bool:
        """Tell whether the writer has made the file."""
        return (self._folder / self._name).exists()

    def get(self) -> int:
        """Return the published number; 0 before there is one."""
        if self._end is None:
            try:
                # The writer makes the file a moment before it gives it its length.
                if (self._folder / self._name).stat().st_size < DURABLE_END_BYTES:
                    return 0
            except FileNotFoundError:
                return 0
            self._end = DurableEnd(self._folder, writable=False, name=self._name)
        return self._end.get()

    def close(self) -> None:
        """Let go of the file."""
        if self._end is not None:
            self._end.close()
            self._end = None


def publish_first(folder: Path, name: str, number: int) -> None:
    """Make such a file with a number in it, where there is none: nobody ever sees another one."""
    path = folder / name
    if not path.exists():
        draft = path.with_name(f"{name}.draft")
        draft.write_bytes(number.to_bytes(DURABLE_END_BYTES, sys.byteorder))
        draft.rename(path)


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
