"""Builders of records with fingerprints of chosen ids."""

from __future__ import annotations

import struct
from collections.abc import Iterable

import pytest

from tallymark.journal.record import Heading, Record

_FINGERPRINT = struct.Struct("<QQQ")


def build_record(number: int, events: Iterable[tuple[int, int]], received_us: int | None = None) -> Record:
    """Build a record of (id, content) pairs. Ids share first halves in threes: what looks alike must not be confused."""
    fingerprints = b"".join(_FINGERPRINT.pack(event // 3, event, content) for event, content in events)
    received = number * 1_000_000 if received_us is None else received_us
    heading = Heading("default", "http", received, len(fingerprints) // _FINGERPRINT.size)
    return Record(heading, fingerprints, b"", [], number)


@pytest.fixture(name="build_record", scope="session")
def _build_record():
    return build_record
