"""HTTP's content encodings, both ways: gzip, deflate, zstd, and lz4 where the machine has it.

The store's HTTP side unpacks what arrives piece by piece and packs what it answers, whole or piece by piece.
"""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Iterator
from typing import Any, Final, Protocol

import zstandard

from tallymark.store.errors import EngineError

try:
    _lz4_frame: Any = importlib.import_module("lz4.frame")
except ImportError:
    _lz4_frame = None


class Packer(Protocol):
    """Packs or unpacks piece by piece."""

    def push(self, piece: bytes) -> bytes:
        """Take a piece and return what is ready."""
        ...

    def finish(self) -> bytes:
        """Return the rest. Raises EngineError where packed data ends too early."""
        ...


class _ZlibPacker:
    def __init__(self, wbits: int) -> None:
        self._raw = zlib.compressobj(1, zlib.DEFLATED, wbits)

    def push(self, piece: bytes) -> bytes:
        return self._raw.compress(piece)

    def finish(self) -> bytes:
        return self._raw.flush()


class _ZstdPacker:
    def __init__(self) -> None:
        self._raw = zstandard.ZstdCompressor(level=1).compressobj()

    def push(self, piece: bytes) -> bytes:
        return bytes(self._raw.compress(piece))

    def finish(self) -> bytes:
        return bytes(self._raw.flush())


class _Lz4Packer:
    def __init__(self) -> None:
        self._raw = _lz4_frame.LZ4FrameCompressor()
        self._begun = False

    def push(self, piece: bytes) -> bytes:
        head = b"" if self._begun else bytes(self._raw.begin())
        self._begun = True
        return head + bytes(self._raw.compress(piece))

    def finish(self) -> bytes:
        return self.push(b"") + bytes(self._raw.flush())


def pick_encoding(accepted: str) -> str:
    """Return the first encoding of an Accept-Encoding header that is spoken here, '' for none."""
    for part in accepted.split(","):
        name = part.partition(";")[0].strip().lower()
        if name in {"gzip", "deflate", "zstd"} or (name == "lz4" and _lz4_frame is not None):
            return name
    return ""


def open_packer(encoding: str) -> Packer:
    """Return a fresh packer for one of `pick_encoding`'s names."""
    if encoding == "zstd":
        return _ZstdPacker()
    if encoding == "lz4":
        return _Lz4Packer()
    return _ZlibPacker(31 if encoding == "gzip" else 15)


# An unpacked piece is at most this long, whatever its packed form claims.
_PIECE: Final = 1 << 20
# What stands behind the end of a member comes back as a copy: short slices keep a body of tiny members linear.
_SLICE: Final = 4096
# zstd gives all that a slice holds at once, and four bytes can hold 128 KB.
_ZSTD_SLICE: Final = 1024


def unpack(encoding: str, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the plain bytes of a packed body, in bounded pieces. Raises EngineError for broken or unknown packing."""
    if encoding in {"", "identity"}:
        yield from pieces
    elif encoding in {"gzip", "deflate"}:
        yield from _unpack_zlib(31 if encoding == "gzip" else 15, pieces)
    elif encoding == "zstd":
        yield from _unpack_zstd(pieces)
    elif encoding == "lz4" and _lz4_frame is not None:
        yield from _unpack_lz4(pieces)
    else:
        raise EngineError(48, f"The Content-Encoding {encoding!r} is not supported: gzip, deflate, zstd, lz4")


def _cut(pieces: Iterator[bytes], length: int) -> Iterator[bytes]:
    for piece in pieces:
        yield from (piece[begin : begin + length] for begin in range(0, len(piece), length))


def _broken(encoding: str, reason: object) -> EngineError:
    return EngineError(117, f"The {encoding} body is broken: {reason}", "INCORRECT_DATA")


def _unpack_zlib(wbits: int, pieces: Iterator[bytes]) -> Iterator[bytes]:
    raw = zlib.decompressobj(wbits)
    try:
        for piece in _cut(pieces, _SLICE):
            rest = piece
            while rest:
                if raw.eof:
                    # Several members one after another make one body.
                    raw = zlib.decompressobj(wbits)
                yield raw.decompress(rest, _PIECE)
                rest = raw.unconsumed_tail or raw.unused_data
    except zlib.error as error:
        raise _broken("gzip", error) from None
    if not raw.eof:
        raise _broken("gzip", "it ends too early")


def _unpack_zstd(pieces: Iterator[bytes]) -> Iterator[bytes]:
    raw: Any = None
    # Making one of these costs ten times what an empty frame does.
    decompressor = zstandard.ZstdDecompressor()
    try:
        for piece in _cut(pieces, _ZSTD_SLICE):
            rest = piece
            while rest:
                if raw is None or raw.eof:
                    # Several frames one after another make one body.
                    raw = decompressor.decompressobj()
                plain = raw.decompress(rest)
                rest = raw.unused_data if raw.eof else b""
                yield from (plain[begin : begin + _PIECE] for begin in range(0, len(plain), _PIECE))
    except zstandard.ZstdError as error:
        raise _broken("zstd", error) from None
    if raw is None or not raw.eof:
        raise _broken("zstd", "it ends too early")


def _unpack_lz4(pieces: Iterator[bytes]) -> Iterator[bytes]:
    raw = _lz4_frame.LZ4FrameDecompressor()
    try:
        for piece in _cut(pieces, _SLICE):
            rest = piece
            while rest:
                if raw.eof:
                    raw = _lz4_frame.LZ4FrameDecompressor()
                yield raw.decompress(rest, _PIECE)
                while not raw.needs_input and not raw.eof:
                    yield raw.decompress(b"", _PIECE)
                rest = raw.unused_data if raw.eof else b""
    except RuntimeError as error:
        raise _broken("lz4", error) from None
    if not raw.eof:
        raise _broken("lz4", "it ends too early")
