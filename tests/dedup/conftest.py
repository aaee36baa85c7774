"""Builders of records with fingerprints of chosen ids."""

from __future__ import annotations

import struct
from collections.abc import Iterable

import pytest

from tallymark.dedup.index import DedupIndex
from tallymark.dedup.judge import judge_records
from tallymark.journal.record import Heading, Record
from tallymark.journal.verdicts import RecordVerdicts

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


@pytest.fixture(name="judge", scope="session")
def _judge():
    """Give records their verdicts and let the index remember what was new, as the judging station does."""

    def judge(index: DedupIndex, records: list[Record]) -> list[RecordVerdicts]:
        if not records:
            return []
        judged = judge_records(index, records)
        judged.remember(index)
        return judged.verdicts

    return judge
