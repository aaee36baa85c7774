"""One record of the journal: one accepted request, as bytes and as an object.

The intake builds a `Record`, the journal frames it, every reader gets it back. The lines inside are final:
whoever loads or forwards them never decodes an event again.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import google_crc32c
import msgspec

FRAME_MAGIC = b"TMR1"
# magic, payload length, CRC32C of number and payload, record number
FRAME = struct.Struct("<4sIIQ")
_NUMBER = struct.Struct("<Q")
_HEAD = struct.Struct("<I")
MAX_PAYLOAD_BYTES = 256 * 1024 * 1024


class Heading(msgspec.Struct, omit_defaults=True):
    """What a reader may know of a record without touching its rows.

    `names` are the names of the accepted events; empty when there are too many to list.
    `skew_ms` is what is added to client times. `received_us` is the receive time in microseconds since 1970 (UTC). `accepted`, `failed` and `dropped` add
    up to the events that the request held. The failed ones follow the rows; the loader decides whether each
    is quarantined or refused.
    """

    project: str
    source: str
    received_us: int
    accepted: int = 0
    failed: dict[str, int] = {}
    dropped: dict[str, int] = {}
    scrubbed: dict[str, int] = {}
    names: list[str] = []
    skew_ms: int = 0
    rows_bytes: int = 0
    hasty: bool = False
    client_instance: str = ""
    client_dropped: dict[str, int] = {}
    turned_away: dict[str, int] = {}
    replayed: list[int] = []

    @property
    def total(self) -> int:
        """Events received with this record."""
        return self.accepted + sum(self.failed.values()) + sum(self.dropped.values())


class FailedEvent(msgspec.Struct, omit_defaults=True):
    """An event that was not accepted: kept whole (`body`, after redaction) or only described.

    `place` is where in the event or the body reading failed. `sha256` and `size` (bytes) describe what did not
    parse and is therefore not kept. `dropped` marks an event that a rule ended: it is traced, not kept.
    """

    code: str
    message: str
    index: int
    place: str = ""
    event_id: str = ""
    event_name: str = ""
    body: bytes = b""
    sha256: str = ""
    size: int = 0
    dropped: bool = False

    @property
    def kept(self) -> bool:
        """True when the event itself is here and can be replayed."""
        return bool(self.body)


@dataclass(slots=True)
class Record:
    """A request as the journal keeps it.

    `rows` is NDJSON, one line per accepted event: the event as the client meant it, after the steps. What the
    server knows of all of them stands once, in the heading; `render_rows` joins the two. `fingerprints` holds
    24 bytes per accepted event in the same order: 16 that identify (project, event_id) and 8 of its content.
    `number` is the position in the shard; the journal gives it, so it is -1 before.
    """

    heading: Heading
    fingerprints: bytes = b""
    rows: bytes = b""
    failed: list[FailedEvent] = field(default_factory=list)
    number: int = -1
    shard: int = 0


class Payload(NamedTuple):
    """A rendered record, in parts, and the bytes that they have together."""

    parts: tuple[bytes, ...]
    size: int


FINGERPRINT_BYTES = 24

_encoder = msgspec.msgpack.Encoder()
_json = msgspec.json.Encoder()
_heading_decoder = msgspec.msgpack.Decoder(Heading)
_failed_decoder = msgspec.msgpack.Decoder(list[FailedEvent])


def render_payload(record: Record) -> Payload:
    """Render a record: heading, fingerprints, rows, failed events. Its number is no part of it.

    The parts are left as they are: between a request and the disk nothing is copied.
    """
    heading = record.heading
    heading.rows_bytes = len(record.rows)
    head = _encoder.encode(heading)
    failed = _encoder.encode(record.failed) if record.failed else b""
    size = _HEAD.size + len(head) + len(record.fingerprints) + len(record.rows) + len(failed)
    if size > MAX_PAYLOAD_BYTES:
        raise ValueError(f"a record may hold {MAX_PAYLOAD_BYTES} bytes, this one has {size}")
    return Payload((_HEAD.pack(len(head)) + head, record.fingerprints, record.rows, failed), size)


def render_frame(payload: Payload, number: int) -> tuple[bytes, ...]:
    """Frame the payload of record `number`; what is returned stands one behind the other in the file."""
    checksum = google_crc32c.value(_NUMBER.pack(number))
    for part in payload.parts:
        checksum = google_crc32c.extend(checksum, part)
    return (FRAME.pack(FRAME_MAGIC, payload.size, checksum, number), *payload.parts)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Event's first member on the wire; in the store that time is `client_time`, `event_time` is the corrected one.
_TIME_KEY = b'{"event_time":'
_ROW_KEY = b'{"client_time":'
_SKIP = len(_TIME_KEY)


def render_rows(record: Record, stored_us: int) -> list[bytes]:
    """Return the rows of a numbered record as the store takes them, without line ends, in order.

    `stored_us` (µs since 1970) is the time that the rows say they were stored at.
    """
    heading = record.heading
    known = {
        "project": heading.project,
        "source": heading.source,
        "received_at": _EPOCH + timedelta(microseconds=heading.received_us),
        "skew_ms": heading.skew_ms,
        "journal_shard": record.shard,
        "journal_record": record.number,
        "stored_at": _EPOCH + timedelta(microseconds=stored_us),
    }
    ending = b"," + _json.encode(known)[1:]
    return [_ROW_KEY + line[_SKIP:-1] + ending for line in record.rows.split(b"\n") if line]


def is_intact(number: int, checksum: int, payload: bytes) -> bool:
    """Tell whether a payload is the one that was written under `number`."""
    return bool(google_crc32c.extend(google_crc32c.value(_NUMBER.pack(number)), payload) == checksum)


def parse_heading(payload: bytes) -> Heading:
    """Read the heading alone; `payload` may end behind it."""
    return _heading_decoder.decode(payload[4 : heading_end(payload)])


def heading_end(payload: bytes) -> int:
    """Return where in a payload, of which at least four bytes are given, the heading ends."""
    (length,) = _HEAD.unpack_from(payload)
    return int(4 + length)


def parse_payload(payload: bytes, number: int, shard: int) -> Record:
    """Read a whole record from the payload of its frame."""
    (length,) = _HEAD.unpack_from(payload)
    heading = _heading_decoder.decode(payload[4 : 4 + length])
    start = 4 + length
    rows_start = start + heading.accepted * FINGERPRINT_BYTES
    rows_end = rows_start + heading.rows_bytes
    failed = _failed_decoder.decode(payload[rows_end:]) if rows_end < len(payload) else []
    return Record(heading, payload[start:rows_start], payload[rows_start:rows_end], failed, number, shard)
