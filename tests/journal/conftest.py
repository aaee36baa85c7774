"""Builders of records, and a shard that is written and read in the test's own process."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tallymark.errors import RequestRefused
from tallymark.journal.reader import SegmentReader
from tallymark.journal.record import FINGERPRINT_BYTES, Heading, Record
from tallymark.journal.segments import SegmentWriter


def build_record(number: int, size: int = 40, **heading: Any) -> Record:
    rows = f'{{"n":{number},"x":"{"x" * size}"}}\n'.encode()
    accepted = heading.pop("accepted", 1)
    known = Heading("default", "http", heading.pop("received_us", 1_000_000 + number), accepted, **heading)
    return Record(known, bytes([number % 256]) * (FINGERPRINT_BYTES * accepted), rows)


@dataclass
class Shard:
    folder: Path
    options: dict[str, Any] = field(default_factory=dict)
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    writer: SegmentWriter | None = None
    made: int = 0

    def open(self, **options: Any) -> SegmentWriter:
        self.writer = SegmentWriter(self.folder, **{"reserve_bytes": 0, **self.options, **options})
        return self.writer

    def append(self, count: int = 1, size: int = 40) -> list[RequestRefused | None]:
        """Append records that wait together; return why each was refused, None where it is durable.

        The records are numbered in their rows, through all restarts: `contents` finds them again.
        """
        writer = self.writer
        assert writer is not None

        async def run() -> list[RequestRefused | None]:
            waiting = [writer.append(build_record(self.made + place, size)) for place in range(count)]
            self.made += count
            return [await self._outcome(done) for done in waiting]

        return self.loop.run_until_complete(run())

    @staticmethod
    async def _outcome(done: asyncio.Future[None]) -> RequestRefused | None:
        try:
            await done
        except RequestRefused as refusal:
            return refusal
        return None

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
            self.writer = None

    def read(self, number: int = 0, folder: Path | None = None) -> list[Record]:
        """Read all from `number` on with a reader of its own."""
        reader = SegmentReader(folder or self.folder)
        try:
            found: list[Record] = []
            while records := reader.read_from(found[-1].number + 1 if found else number, 1000):
                found += records
            return found
        finally:
            reader.close()

    def numbers(self, number: int = 0) -> list[int]:
        return [record.number for record in self.read(number)]

    def contents(self, number: int = 0) -> list[int]:
        """Return which of the appended records are read, from record `number` on."""
        return [json.loads(record.rows)["n"] for record in self.read(number)]

    def segments(self) -> list[Path]:
        return sorted(self.folder.glob("segment-*.log"))


@pytest.fixture(name="build_record", scope="session")
def _build_record():
    return build_record


@pytest.fixture
def shard(tmp_path):
    made = Shard(tmp_path / "shard")
    yield made
    made.close()
    made.loop.close()


@pytest.fixture(scope="session")
def make_shard():
    return Shard
