"""Time, as the rest of the program sees it: wall clock in UTC and a monotonic clock.

Everything that judges or waits takes a `Clock`, so that tests decide what time it is.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

MINUTE_US, DAY_US = 60_000_000, 86_400_000_000


def to_microseconds(when: datetime) -> int:
    """Return an aware time as microseconds since 1970 (UTC)."""
    return round(when.timestamp() * 1_000_000)


class Clock(Protocol):
    """What a part of the program may ask about time."""

    def now(self) -> datetime:
        """Wall-clock time, aware, in UTC. May step backwards."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never steps backwards."""
        ...


class SystemClock:
    """The operating system's clocks."""

    def now(self) -> datetime:
        """Wall-clock time in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds since an arbitrary start."""
        return time.monotonic()


class FixedClock:
    """A clock that stands still until it is told to move; for tests."""

    def __init__(self, now: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._now = now
        self._monotonic = 0.0

    def now(self) -> datetime:
        """Return the time that was set."""
        return self._now

    def monotonic(self) -> float:
        """Return the seconds advanced so far."""
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Move both clocks forward by `seconds`."""
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds

    def step(self, seconds: float) -> None:
        """Step the wall clock alone, as a correction by NTP would."""
        self._now += timedelta(seconds=seconds)


SYSTEM_CLOCK = SystemClock()
