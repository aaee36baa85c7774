"""From the bytes on the wire to the bytes of the text: decompression, bounded.

What a body is compressed with is told by its first bytes, because headers are often wrong. One layer only.
"""

from __future__ import annotations

import zlib

import zstandard

from tallymark.errors import RequestRefused

_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_CHUNK = 256 * 1024
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


def _is_zlib(body: bytes) -> bool:
    """Tell a zlib header: deflate with a window up to 32 KB, and a check that divides by 31 (RFC 1950)."""
    return len(body) > 2 and body[0] & 0x0F == 8 and body[0] >> 4 <= 7 and (body[0] << 8 | body[1]) % 31 == 0


def _inflate(body: bytes, max_bytes: int, window_bits: int, kind: str) -> bytes:
    pieces, size, rest = [], 0, body
    try:
        while rest:
            # A gzip body may consist of several members.
            stream = zlib.decompressobj(window_bits)
            while not stream.eof:
                piece = stream.decompress(rest, min(_CHUNK, max_bytes - size + 1))
                size += len(piece)
                if size > max_bytes:
                    raise _too_large(max_bytes)
                pieces.append(piece)
                rest = stream.unconsumed_tail
                if not piece and not rest and not stream.eof:
                    raise RequestRefused(
                        "invalid_encoding", f"The {kind} body ends before its end: it was cut off."
                    )
            rest = stream.unused_data.lstrip(b"\0")
    except zlib.error as error:
        raise RequestRefused("invalid_encoding", f"The {kind} body is broken: {error}.") from error
    return b"".join(pieces)


def _expand_zstd(body: bytes, max_bytes: int) -> bytes:
    pieces, size, rest = [], 0, body
    try:
        while rest:
            # The streaming reader would end silently in a frame that was cut off; this object tells.
            frame = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).decompressobj()
            start = 0
            while start < len(rest) and not frame.eof:
                piece = frame.decompress(rest[start : start + _ZSTD_STEP])
                start += _ZSTD_STEP
                size += len(piece)
                if size > max_bytes:
                    raise _too_large(max_bytes)
                pieces.append(piece)
            if not frame.eof:
                raise RequestRefused("invalid_encoding", "The zstd body ends before its end: it was cut off.")
            rest = frame.unused_data + rest[start:]
    except zstandard.ZstdError as error:
        raise RequestRefused("invalid_encoding", f"The zstd body is broken: {error}.") from error
    return b"".join(pieces)


def _too_large(max_bytes: int) -> RequestRefused:
    return RequestRefused(
        "body_too_large", f"The body has more than {max_bytes} bytes of text. Send smaller batches."
    )
