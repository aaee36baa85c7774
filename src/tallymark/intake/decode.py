"""From the bytes on the wire to the bytes of the text: decompression, bounded.

Its first bytes tell what a body is compressed with, because headers are often wrong. One layer only. A body is read in
slices: what stands behind the end of a member comes back as a copy, so a member begins with a short one.
"""

from __future__ import annotations

import re
import zlib
from typing import Final

import zstandard

from tallymark.errors import RequestRefused

_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_CHUNK = 256 * 1024
# Slices of a member begin small and double.
_FIRST_SLICE = 4096
_LARGEST_SLICE = 64 * 1024
# As many as there may be events: each member costs a few microseconds, however empty it is.
MOST_MEMBERS: Final = 20_000
# Some programs pad what they pack.
_PADDING = re.compile(rb"\0*")
# A window as large as any body that may pass. Small steps in: a few bytes may become a block of 128 KB each.
_ZSTD_WINDOW = 1 << 27
_ZSTD_STEP = 256


def decompress(body: bytes, max_bytes: int) -> bytes:
    """Return the text of a body of at most `max_bytes`.

    Raises RequestRefused: body_too_large as soon as the limit is passed, invalid_encoding for what is broken.
    """
    if body[:2] == _GZIP:
        return _inflate(body, max_bytes, 31, "gzip")
    if body[:4] == _ZSTD:
        return _expand_zstd(body, max_bytes)
    if _is_zlib(body):
        return _inflate(body, max_bytes, 15, "zlib")
    if len(body) > max_bytes:
        raise _too_large(max_bytes)
    return body


def is_compressed(body: bytes) -> bool:
    """Tell by its first bytes whether a body is gzip, zlib or zstd."""
    return body[:2] == _GZIP or body[:4] == _ZSTD or _is_zlib(body)


def _is_zlib(body: bytes) -> bool:
    """Tell a zlib header: deflate with a window up to 32 KB, and a check that divides by 31 (RFC 1950)."""
    return len(body) > 2 and body[0] & 0x0F == 8 and body[0] >> 4 <= 7 and (body[0] << 8 | body[1]) % 31 == 0


def _inflate(body: bytes, max_bytes: int, window_bits: int, kind: str) -> bytes:
    view, start, members = memoryview(body), 0, 0
    pieces, size = [], 0
    try:
        while start < len(body):
            # A gzip body may consist of several members.
            members = _count_member(members, kind)
            stream = zlib.decompressobj(window_bits)
            length = _FIRST_SLICE
            while not stream.eof:
                taken = view[start : start + length]
                piece = stream.decompress(taken, min(_CHUNK, max_bytes - size + 1))
                start += len(taken) - len(stream.unconsumed_tail)
                length = min(2 * length, _LARGEST_SLICE)
                size += len(piece)
                if size > max_bytes:
                    raise _too_large(max_bytes)
                pieces.append(piece)
                if not piece and not taken:
                    raise _cut_off(kind)
            start = _skip_padding(body, start - len(stream.unused_data))
    except zlib.error as error:
        raise RequestRefused("invalid_encoding", f"The {kind} body is broken: {error}.") from error
    return b"".join(pieces)


def _expand_zstd(body: bytes, max_bytes: int) -> bytes:
    view, start, members = memoryview(body), 0, 0
    pieces, size = [], 0
    # Making one of these costs ten times what an empty frame does.
    decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
    try:
        while start < len(body):
            members = _count_member(members, "zstd")
            # The streaming reader would end silently in a frame that was cut off; this object tells.
            frame = decompressor.decompressobj()
            while start < len(body) and not frame.eof:
                taken = view[start : start + _ZSTD_STEP]
                piece = frame.decompress(taken)
                start += len(taken)
                size += len(piece)
                if size > max_bytes:
                    raise _too_large(max_bytes)
                pieces.append(piece)
            if not frame.eof:
                raise _cut_off("zstd")
            start -= len(frame.unused_data)
    except zstandard.ZstdError as error:
        raise RequestRefused("invalid_encoding", f"The zstd body is broken: {error}.") from error
    return b"".join(pieces)


def _count_member(before: int, kind: str) -> int:
    if before >= MOST_MEMBERS:
        word = "frames" if kind == "zstd" else "members"
        message = f"The {kind} body consists of more than {MOST_MEMBERS:,} {word}. Compress it as one."
        raise RequestRefused("invalid_encoding", message)
    return before + 1


def _skip_padding(body: bytes, start: int) -> int:
    padding = _PADDING.match(body, start)
    return padding.end() if padding else start


def _cut_off(kind: str) -> RequestRefused:
    return RequestRefused("invalid_encoding", f"The {kind} body ends before its end: it was cut off.")


def _too_large(max_bytes: int) -> RequestRefused:
    return RequestRefused(
        "body_too_large", f"The body has more than {max_bytes} bytes of text. Send smaller batches."
    )
