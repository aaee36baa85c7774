"""What a journal is, for those who write to it and those who read it.

Local segments are the first implementation (`segments.py`, `reader.py`); another must keep the same words:
`append` answers after the record is durable, `read_from` yields records in order, `release` lets old ones go. Which of
their events are new is in the verdict log: `judged.py` reads both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Protocol

from tallymark.journal.record import Heading, Record


class JournalWriter(Protocol):
    """The end that the intake holds. One writing process is one shard."""

    @property
    def waiting_bytes(self) -> int:
        """Bytes that wait for the disk."""
        ...

    def check(self) -> None:
        """Raise RequestRefused when a record would be refused now: disk full, journal broken, queue full."""
        ...

    def close(self) -> None:
        """Write what waits and let go of everything."""
        ...

    def append(self, record: Record) -> asyncio.Future[None]:
        """Queue the record at once; what is returned is done once the record is durable.

        Raises RequestRefused, now or through the future: disk_full, journal_unavailable, overloaded. A journal on another
        machine may not know whether a record is durable, and raises journal_unavailable then: the sender sends the same
        ids again, and those that came twice are duplicates.
        """
        ...


class JournalReader(Protocol):
    """The end that readers hold: judging station, ledger, replay. Sees durable records only."""

    def durable_number(self) -> int:
        """Return the number after the last durable record."""
        ...

    def read_from(self, number: int, max_bytes: int, end: int | None = None) -> list[Record]:
        """Return the durable records from `number` to before `end`, in order, at least one if there is one, up to `max_bytes`."""
        ...

    def read_headings(self, number: int) -> Iterator[tuple[int, Heading]]:
        """Yield number and heading of every durable record from `number` on."""
        ...

    def find_releasable(self, number: int, older_than_us: int) -> int:
        """Return the first number that stays when all goes that is before `number` and older than the time (µs since 1970)."""
        ...

    def release(self, first: int) -> int:
        """Let go of what is wholly before record `first`; return how much."""
        ...
