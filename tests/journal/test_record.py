"""A record survives its way to bytes and back, and nothing else is taken for it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark.journal.frames import scan_frames
from tallymark.journal.record import (
    FINGERPRINT_BYTES,
    FRAME,
    FailedEvent,
    Heading,
    Record,
    parse_heading,
    parse_payload,
    render_frame,
    render_payload,
)

_COUNTS = st.dictionaries(st.sampled_from(["too_deep", "wrong_type"]), st.integers(1, 9))
_FAILED = st.builds(
    FailedEvent,
    code=st.sampled_from(["too_deep", "wrong_type"]),
    message=st.text(max_size=20),
    index=st.integers(0, 99),
    body=st.binary(max_size=30),
    dropped=st.booleans(),
)


@given(
    accepted=st.integers(0, 5),
    rows=st.binary(max_size=300),
    failed=st.lists(_FAILED, max_size=3),
    counts=_COUNTS,
    number=st.integers(0, 2**63),
)
def test_round_trip(accepted, rows, failed, counts, number):
    """What is framed is read back exactly: heading, fingerprints, rows and failed events."""
    heading = Heading("p", "http", 17, accepted, counts, {}, {"email": 2}, ["näme"])
    record = Record(heading, b"\7" * (FINGERPRINT_BYTES * accepted), rows, failed, number, 3)
    frame = b"".join(render_frame(render_payload(record), number))
    (found, start, end, intact), *rest = scan_frames(frame, 0, len(frame))
    assert (found, intact, rest) == (number, True, [])
    assert parse_payload(frame[start:end], number, 3) == record
    assert parse_heading(frame[start:end]) == heading


@given(position=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_every_flipped_bit_is_noticed(position, bit, build_record):
    """No single flipped bit of a frame, in header, heading, fingerprints or rows, passes for the record."""
    frame = bytearray(b"".join(render_frame(render_payload(build_record(5)), 5)))
    frame[position % len(frame)] ^= 1 << bit
    assert not any(intact for _, _, _, intact in scan_frames(bytes(frame), 0, len(frame)))


def test_payload_of_another_number_is_not_intact(build_record):
    """The checksum covers the number: a frame copied to another place in the order is damage."""
    frame = bytearray(b"".join(render_frame(render_payload(build_record(5)), 5)))
    magic, length, checksum, _ = FRAME.unpack_from(frame)
    FRAME.pack_into(frame, 0, magic, length, checksum, 6)
    assert not any(intact for _, _, _, intact in scan_frames(bytes(frame), 0, len(frame)))


def test_record_past_the_limit_is_refused(build_record, monkeypatch):
    """A payload larger than a frame may be is refused before it is written."""
    monkeypatch.setattr("tallymark.journal.record.MAX_PAYLOAD_BYTES", 100)
    with pytest.raises(ValueError, match="may hold 100 bytes"):
        render_payload(build_record(1, size=200))


def test_total_counts_every_event():
    """`total` is accepted plus failed plus dropped."""
    assert Heading("p", "s", 1, 2, {"a": 3}, {"b": 4}).total == 9
