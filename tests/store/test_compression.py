"""What is packed here can be unpacked here, and a small body cannot grow without bounds in memory."""

from __future__ import annotations

import gzip
import time
import zlib

import pytest
import zstandard

from tallymark.store.compression import open_packer, pick_encoding, unpack
from tallymark.store.errors import EngineError

ENCODINGS = ["gzip", "deflate", "zstd", "lz4"]


def split(data, size):
    return iter([data[begin : begin + size] for begin in range(0, len(data), size)])


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("size", [1, 7, 1000, 1_000_000])
def test_packed_pieces_come_back(encoding, size):
    """However a packed body is cut into pieces, it comes back whole."""
    plain = b"".join(b"%d\tline\n" % number for number in range(2000))
    packer = open_packer(encoding)
    packed = b"".join([packer.push(piece) for piece in split(plain, 777)] + [packer.finish()])
    assert b"".join(unpack(encoding, split(packed, size))) == plain


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("size", [5, 10_000])
def test_several_members_are_one_body(encoding, size):
    """Packed bodies one after another are one body, wherever the pieces are cut."""
    packed = b""
    for text in (b"first", b"second"):
        packer = open_packer(encoding)
        packed += packer.push(text) + packer.finish()
    assert b"".join(unpack(encoding, split(packed, size))) == b"firstsecond"


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_broken_bodies(encoding):
    """A body that is cut off or is not packed at all is an error, not an end."""
    packer = open_packer(encoding)
    packed = packer.push(bytes(range(256)) * 400) + packer.finish()
    for broken in (packed[: len(packed) // 2], b"plain text that is not packed"):
        with pytest.raises(EngineError) as error:
            b"".join(unpack(encoding, split(broken, 100)))
        assert error.value.number == 117


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("gzip", gzip.compress(bytes(64 << 20), 9)),
        ("deflate", zlib.compress(bytes(64 << 20), 9)),
        ("zstd", zstandard.ZstdCompressor().compress(bytes(64 << 20))),
    ],
)
def test_bombs_come_in_small_pieces(encoding, packed):
    """64 megabytes of nothing, packed to little, come in pieces of at most one megabyte."""
    sizes = [len(piece) for piece in unpack(encoding, iter([packed]))]
    assert (sum(sizes), max(sizes) <= 1 << 20) == (64 << 20, True)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_members_cost_what_they_hold(encoding):
    """A body of tiny members costs much the same in pieces of a megabyte as in small ones: what follows is not copied."""
    packer = open_packer(encoding)
    member = packer.push(b"") + packer.finish()
    packed = member * (1024 * 1024 // len(member))
    costs = []
    for size in (1024, 1024 * 1024):
        began = time.thread_time()
        assert b"".join(unpack(encoding, split(packed, size // len(member) * len(member)))) == b""
        costs.append(time.thread_time() - began)
    assert costs[1] < 4 * costs[0]


def test_unknown_encodings():
    """An unknown encoding is refused by name, and not chosen for an answer."""
    with pytest.raises(EngineError, match="br"):
        list(unpack("br", iter([b""])))
    assert pick_encoding("br, zstd;q=0.5, gzip") == "zstd"
    assert pick_encoding("identity") == ""
