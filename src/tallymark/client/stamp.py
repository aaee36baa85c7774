"""Time and identity of an event: UUIDv7 texts and ISO 8601 times, made cheaply in the caller's thread.

Comes in: nanoseconds since 1970. Goes out: ASCII text. UUIDv7 after RFC 9562, section 5.7: 48 bits of
milliseconds, then 74 random bits from the operating system, drawn for many ids at a time.
"""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta

_POOL_SIZE = 256
# Maps a random digit to one whose upper two bits are those of the variant: 10.
_VARIANT = bytes.maketrans(b"0123456789abcdef", b"89ab89ab89ab89ab")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# The random ends of ids, as text `xxx-yxxx-xxxxxxxxxxxx`; list.pop is atomic.
_tails: list[bytes] = []
# What events of one millisecond share: that millisecond, the beginning of the time, the beginning of the id.
_shared: tuple[int, bytes, bytes] = (-1, b"", b"")
# The last three digits of the time with what stands between time and id.
_MICROSECONDS = tuple(b'%03dZ","event_id":"' % number for number in range(1000))

now_nanoseconds = time.time_ns


def _fill() -> bytes:
    """Prepare the ends of many ids at once, column by column, and return one of them."""
    digits = os.urandom(10 * _POOL_SIZE).hex().encode()
    ends = bytearray(b"xxx-xxxx-xxxxxxxxxxxx" * _POOL_SIZE)
    width = len(ends) // _POOL_SIZE
    places = [place for place in range(width) if ends[place] != 45]
    for column, place in enumerate(places):
        ends[place::width] = digits[column * _POOL_SIZE : (column + 1) * _POOL_SIZE]
    ends[4::width] = ends[4::width].translate(_VARIANT)
    made = bytes(ends)
    _tails.extend([made[start : start + width] for start in range(width, len(made), width)])
    return made[:width]


def _build_shared(milliseconds: int) -> tuple[int, bytes, bytes]:
    global _shared  # noqa: PLW0603  thousands of events share it; the tuple is swapped whole, so threads do not mix it
    moment = _EPOCH + timedelta(milliseconds=milliseconds)
    text = f'{{"event_time":"{moment:%Y-%m-%dT%H:%M:%S}.{milliseconds % 1000:03d}'
    stamp = f"{milliseconds:012x}"
    _shared = (milliseconds, text.encode(), f"{stamp[:8]}-{stamp[8:]}-7".encode())
    return _shared


def build_stamp(nanoseconds: int) -> bytes:
    """Write time and a new id as the beginning of an event's JSON, up to the id's closing quotation mark."""
    milliseconds, front, prefix = _shared
    if milliseconds != nanoseconds // 1_000_000:
        _, front, prefix = _build_shared(nanoseconds // 1_000_000)
    try:
        tail = _tails.pop()
    except IndexError:
        tail = _fill()
    return front + _MICROSECONDS[nanoseconds // 1000 % 1000] + prefix + tail


# Where time and id stand in a stamp.
TIME_SLICE = slice(15, 42)
ID_SLICE = slice(56, 92)


def build_event_id(nanoseconds: int) -> str:
    """Make a UUIDv7 text of 36 characters for the time `nanoseconds` since 1970 (UTC)."""
    return build_stamp(nanoseconds)[ID_SLICE].decode()


def render_time(nanoseconds: int) -> str:
    """Write nanoseconds since 1970 as `2026-01-31T12:00:00.000000Z`."""
    return build_stamp(nanoseconds)[TIME_SLICE].decode()


def drop_pool() -> None:
    """Forget prepared random bits: a child process must not use its parent's."""
    _tails.clear()


os.register_at_fork(after_in_child=drop_pool)
