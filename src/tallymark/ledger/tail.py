"""The journal's tail in numbers: what was received and has not been passed by the loader.

The web process keeps one for the ledger and for readiness. What is judged is read from the verdict log, what is not from
the headings of the journal, and remembered as a few numbers each: asking costs little however long the tail is.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tallymark.clock import MINUTE_US
from tallymark.journal.reader import SegmentReader
from tallymark.journal.verdicts import VerdictReader


@dataclass(frozen=True, slots=True)
class TailRecord:
    """A record in flight: its number, whose it is, when it was received (µs since 1970), and its events."""

    number: int
    project: str
    source: str
    received_us: int
    events: int

    @property
    def minute(self) -> int:
        """The minute of receipt, counted from 1970."""
        return self.received_us // MINUTE_US


class Tail:
    """Records from the loader's position to the durable end of the journal in `folder`. Thread-safe."""

    def __init__(self, folder: Path) -> None:
        self._journal = SegmentReader(folder)
        self._verdicts = VerdictReader(folder)
        self._records: deque[TailRecord] = deque()
        self._next = 0
        # Held by whoever reads the loader's position and then the tail: of two readers, the one that saw the older
        # position must not find the records gone that the other one let go.
        self.lock = threading.RLock()

    def read(self, cursor: int) -> list[TailRecord]:
        """Return the durable records with events from `cursor` on; `cursor` is the loader's, and only rises."""
        with self.lock:
            while self._records and self._records[0].number < cursor:
                self._records.popleft()
            self._next = max(self._next, cursor)
            for record in self._read_on():
                self._next = record.number + 1
                if record.events:
                    self._records.append(record)
            return [record for record in self._records if record.number >= cursor]

    def close(self) -> None:
        """Let go of the shared files."""
        self._journal.close()
        self._verdicts.close()

    def _read_on(self) -> Iterator[TailRecord]:
        for judged in self._verdicts.read(self._next):
            yield TailRecord(judged.number, judged.project, judged.source, judged.received_us, judged.total)
        for number, heading in self._journal.read_headings(self._next):
            yield TailRecord(number, heading.project, heading.source, heading.received_us, heading.total)
