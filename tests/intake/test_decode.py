"""Bodies are decompressed by what they are, never by what their headers say, and never past the limit."""

from __future__ import annotations

import gzip
import random
import time
import tracemalloc
import zlib

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from tallymark.errors import RequestRefused
from tallymark.intake.decode import MOST_MEMBERS, decompress

MOST = 1024 * 1024
PACK = {
    "plain": lambda text: text,
    "gzip": gzip.compress,
    "zlib": zlib.compress,
    "zlib fast": lambda text: zlib.compress(text, 1),
    "zstd": zstandard.ZstdCompressor().compress,
    "zstd stream": zstandard.ZstdCompressor(write_content_size=False).compress,
}
TEXT = b'{"event_id":"1"}\n' * 100


def _code(body: bytes, most: int = MOST) -> str:
    with pytest.raises(RequestRefused) as caught:
        decompress(body, most)
    return caught.value.code


@given(text=st.binary(max_size=2000), kind=st.sampled_from(sorted(PACK)))
def test_round_trip(text, kind):
    """What was packed comes out, for every kind and any JSON-like text."""
    text = b"{" + text
    assert decompress(PACK[kind](text), MOST) == text


@pytest.mark.parametrize("kind", sorted(PACK))
def test_limit_is_exact(kind):
    """A text of exactly the limit passes; one byte more is `body_too_large`."""
    assert len(decompress(PACK[kind](b"{" * MOST), MOST)) == MOST
    assert _code(PACK[kind](b"{" * (MOST + 1))) == "body_too_large"


@pytest.mark.parametrize("kind", ["gzip", "zlib", "zstd", "zstd stream"])
def test_bomb_costs_no_memory(kind):
    """A small body that would become a hundred megabytes is refused before it does."""
    bomb = PACK[kind](b"\0" * (100 * MOST))
    assert len(bomb) < MOST
    tracemalloc.start()
    try:
        assert _code(bomb) == "body_too_large"
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 * MOST


@pytest.mark.parametrize("kind", ["gzip", "zlib", "zstd", "zstd stream"])
def test_every_truncation_is_noticed(kind):
    """A body that was cut off anywhere behind its magic bytes is `invalid_encoding`, never half a text."""
    packed = PACK[kind](TEXT)
    shortest = 5 if kind.startswith("zstd") else 3
    for length in range(shortest, len(packed)):
        assert _code(packed[:length]) == "invalid_encoding", length


@pytest.mark.parametrize("kind", ["gzip", "zlib", "zstd"])
def test_broken_stream(kind):
    """Bytes that only begin like a packed text are `invalid_encoding`."""
    packed = bytearray(PACK[kind](TEXT * 50))
    packed[6:60] = bytes(54)
    assert _code(bytes(packed)) == "invalid_encoding"


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_several_members_are_one_text(kind):
    """Gzip members and zstd frames that follow each other are read on; the limit counts them together."""
    pack = PACK[kind]
    assert decompress(pack(b"{1}") + pack(b"") + pack(b"{2}"), MOST) == b"{1}{2}"
    assert _code(pack(b"x" * MOST) * 2) == "body_too_large"
    assert _code(pack(b"{1}") + b"garbage behind it") == "invalid_encoding"


@pytest.mark.parametrize("kind", ["gzip", "zlib", "zstd"])
def test_members_are_bounded(kind):
    """A body of as many empty members as are allowed is an empty text; one more is refused, and says what is allowed."""
    empty = PACK[kind](b"")
    assert decompress(empty * MOST_MEMBERS, MOST) == b""
    with pytest.raises(RequestRefused, match=r"invalid_encoding.*more than 20,000 (members|frames)"):
        decompress(empty * (MOST_MEMBERS + 1), MOST)


class Stream:
    """A stream of zlib that notes how many bytes it is given, and how many it gives back unused."""

    def __init__(self, stream, noted):
        self._stream = stream
        self._noted = noted

    def decompress(self, data, most):
        piece = self._stream.decompress(data, most)
        self._noted.append(len(data) + len(self._stream.unused_data))
        return piece

    def __getattr__(self, name):
        return getattr(self._stream, name)


@pytest.mark.parametrize("kind", ["gzip", "zlib"])
@pytest.mark.parametrize("text", [b"", TEXT])
def test_members_cost_what_they_hold(kind, text, monkeypatch):
    """What is copied for a member does not grow with what stands behind it: twice the members, twice the bytes."""
    noted: list[int] = []
    inflate = zlib.decompressobj
    monkeypatch.setattr(zlib, "decompressobj", lambda bits: Stream(inflate(bits), noted))
    costs = []
    for members in (4000, 8000):
        noted.clear()
        assert decompress(PACK[kind](text) * members, 16 * MOST) == text * members
        costs.append(sum(noted))
    assert costs[1] < 2.2 * costs[0]


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_the_largest_body_of_members_is_no_burden(kind):
    """As many members as are allowed in the largest body take a fraction of a second of a processor, not many."""
    member = PACK[kind](random.Random(1).randbytes(180))
    body = member * MOST_MEMBERS
    began = time.thread_time()
    assert len(decompress(body, 16 * MOST)) == 180 * MOST_MEMBERS
    assert time.thread_time() - began < 3


@pytest.mark.parametrize("outer", ["gzip", "zlib", "zstd"])
def test_one_layer_only(outer):
    """A packed text inside a packed text stays packed: nobody inflates twice."""
    inner = gzip.compress(TEXT)
    assert decompress(PACK[outer](inner), MOST) == inner


@pytest.mark.parametrize("text", [b'{"a":1}', b"[]", b" {}", b"\xef\xbb\xbf{}", b"x\x9c", b"8", b'"x"', b""])
def test_json_is_never_taken_for_packed(text):
    """What begins like JSON, and what is too short to tell, is plain text."""
    assert decompress(text, MOST) == text
