"""The verdict log's files: what dedup decided about each record of the journal, and reading it.

The log stands beside the journal's segments. One frame holds the verdicts of one round, and is numbered with the record
behind the round's last one. A published verdict never changes. `verdict_writer.py` writes the log, `judged.py` joins it
with the records, and the ledger counts with it what is in flight.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path
from typing import Final

import google_crc32c
import msgspec
import numpy as np
from numpy.typing import NDArray

from tallymark.errors import FormatError
from tallymark.journal.files import PublishedEnd, list_numbered_files
from tallymark.journal.frames import read_frames

FORMAT_VERSION: Final = 1
END_FILE: Final = "verdicts-end"
_MAGIC: Final = b"TALLYVER"
# magic, version, shard, number of the first record, CRC32C
_HEADER: Final = struct.Struct("<8sIIQI")
HEADER_BYTES: Final = _HEADER.size
_PREFIX: Final = "verdicts-"
_SUFFIX: Final = ".log"


class Verdict(IntEnum):
    """What became of an event's id. A conflict is a duplicate whose content differs from the first."""

    NEW = 0
    DUPLICATE = 1
    CONFLICT = 2


Verdicts = NDArray[np.uint8]
RecordNumbers = NDArray[np.uint64]


class RecordVerdicts(msgspec.Struct, array_like=True, omit_defaults=True, frozen=True):
    """What is known of record `number` without its rows.

    `received_us` is the receive time in µs since 1970. `accepted`, `failed` and `dropped` are numbers of events. The
    last three are columns with an item for each event whose id came before: its position in the record (32 bits), its
    verdict (8 bits) and the record of the first event with this id (64 bits). All other events are new.
    """

    number: int
    project: str
    source: str
    received_us: int
    accepted: int
    failed: int = 0
    dropped: int = 0
    positions: bytes = b""
    verdicts: bytes = b""
    first_records: bytes = b""

    @property
    def total(self) -> int:
        """Events received with this record."""
        return self.accepted + self.failed + self.dropped

    @property
    def new(self) -> int:
        """Events whose id did not come before."""
        return self.accepted - len(self.verdicts)

    @property
    def checksum(self) -> int:
        """A number by which a reader knows that the record is the one it read before."""
        return int(google_crc32c.value(_encoder.encode(self)))

    def expand(self) -> tuple[Verdicts, RecordNumbers]:
        """Return a verdict and a first record (0 where new) for each accepted event."""
        verdicts = np.zeros(self.accepted, dtype=np.uint8)
        first_records = np.zeros(self.accepted, dtype=np.uint64)
        if self.verdicts:
            positions = np.frombuffer(self.positions, dtype=np.uint32)
            verdicts[positions] = np.frombuffer(self.verdicts, dtype=np.uint8)
            first_records[positions] = np.frombuffer(self.first_records, dtype=np.uint64)
        return verdicts, first_records


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[RecordVerdicts])


def render_round(verdicts: list[RecordVerdicts]) -> bytes:
    """Return the payload of a round's frame."""
    return _encoder.encode(verdicts)


def verdicts_path(folder: Path, first_number: int) -> Path:
    """Name the file that begins with the verdicts of record `first_number`."""
    return folder / f"{_PREFIX}{first_number:020d}{_SUFFIX}"


def list_verdict_files(folder: Path) -> list[tuple[int, Path]]:
    """Return (first number, path) of the log's files in `folder`, in order."""
    return list_numbered_files(folder, _PREFIX, _SUFFIX)


def render_header(shard: int, first_number: int) -> bytes:
    """Return the first bytes of a file."""
    body = _HEADER.pack(_MAGIC, FORMAT_VERSION, shard, first_number, 0)[:-4]
    return body + struct.pack("<I", google_crc32c.value(body))


def check_header(raw: bytes, path: Path) -> bool:
    """Tell whether a header is whole: the frames behind it can be read all the same.

    Raises FormatError when a newer program wrote it.
    """
    if len(raw) < HEADER_BYTES or raw[:8] != _MAGIC:
        return False
    _, version, _, _, checksum = _HEADER.unpack_from(raw)
    if google_crc32c.value(raw[: HEADER_BYTES - 4]) != checksum:
        return False
    if version > FORMAT_VERSION:
        raise FormatError(
            f"The verdict log has format {version}; this program reads up to {FORMAT_VERSION}. "
            "Start the newer program again, or restore the backup made before the upgrade.",
            at=path.name,
        )
    return True


class VerdictReader:
    """One reader of the log, in any process. Keeps its place, so that reading on is cheap; not thread-safe."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._end = PublishedEnd(folder, END_FILE)
        # Where to go on: the record number wanted, the file's first number, the offset in it.
        self._place = (-1, -1, 0)

    def end(self) -> int:
        """Return the number after the last record whose verdicts are durable; 0 before there is a log."""
        return self._end.get()

    def exists(self) -> bool:
        """Tell whether there is a log: not before the first start of a program that keeps one."""
        return self._end.exists()

    def begin(self) -> int:
        """Return the number of the first record whose verdicts the log still has."""
        files = list_verdict_files(self._folder)
        return files[0][0] if files else self.end()

    def read(self, number: int, end: int | None = None) -> Iterator[RecordVerdicts]:
        """Yield the durable verdicts of the records from `number` to before `end`, in order.

        A damaged part of the log is left out.
        """
        published = self.end()
        end = published if end is None else min(end, published)
        files = list_verdict_files(self._folder)
        for position, (first, path) in enumerate(files):
            following = files[position + 1][0] if position + 1 < len(files) else published
            if first >= end or following <= number:
                continue
            # A round that reaches into the next file was written and not published.
            for verdicts in self._read_file(path, first, number, min(end, following), following):
                number = verdicts.number + 1
                yield verdicts

    def close(self) -> None:
        """Let go of the shared file."""
        self._end.close()

    def _read_file(
        self, path: Path, first: int, number: int, end: int, valid_end: int
    ) -> Iterator[RecordVerdicts]:
        offset = self._place[2] if self._place[:2] == (number, first) else HEADER_BYTES
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except FileNotFoundError:  # released in this moment
            return
        try:
            check_header(os.pread(descriptor, HEADER_BYTES, 0), path)
            # What is damaged is left out; what is not wholly written yet was not published.
            for following, payload, after in read_frames(descriptor, offset):
                if following > valid_end:
                    return
                if following > number:
                    for verdicts in _decoder.decode(payload):
                        if verdicts.number >= end:
                            return
                        if verdicts.number >= number:
                            # The frame is read again for what is left of it.
                            self._place = (verdicts.number + 1, first, offset)
                            yield verdicts
                    self._place = (max(self._place[0], following), first, after)
                offset = after
        finally:
            os.close(descriptor)
