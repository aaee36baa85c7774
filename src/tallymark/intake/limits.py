"""What the intake allows, and the counters that enforce it across requests.

Bodies that are being read or judged are bounded in bytes together with what waits for the disk, and one project may
take half of them; each project may have a rate. Past a bound a request is turned away at once: memory does not grow.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Self

from tallymark.clock import Clock
from tallymark.errors import RequestRefused

MOST_REQUESTS = 2_000


@dataclass(frozen=True, slots=True)
class IntakeLimits:
    """Bounds of one request (bytes, events, seconds between two pieces) and of all together (bytes)."""

    body_bytes: int = 4 * 1024 * 1024
    text_bytes: int = 16 * 1024 * 1024
    events: int = 20_000
    chunk_seconds: float = 10.0
    body_seconds: float = 60.0
    memory_bytes: int = 256 * 1024 * 1024
    requests: int = MOST_REQUESTS


class MemoryBudget:
    """Bytes and requests that are in the intake's hands at this moment.

    One project may hold half of each: its slow senders do not keep the others out.
    """

    def __init__(self, limits: IntakeLimits) -> None:
        self._limits = limits
        self._most_bytes = limits.memory_bytes // 2
        self._most_requests = limits.requests // 2
        self._bytes: Counter[str] = Counter()
        self._requests: Counter[str] = Counter()
        # Sums of the counters: a request's pieces are too many to add up all projects for each.
        self._all_bytes = 0
        self._all_requests = 0

    def request(self, project: str) -> Reservation:
        """Hold a place for one request, until it is closed. Raises `overloaded`."""
        if self._requests[project] >= self._most_requests:
            raise RequestRefused(
                "overloaded",
                f"{self._most_requests:,} requests of this project are open, which is its share. Try again in a second, with"
                " fewer requests at once.",
                retry_after=1,
            )
        if self._all_requests >= self._limits.requests:
            raise RequestRefused("overloaded", retry_after=1)
        self._requests[project] += 1
        self._all_requests += 1
        return Reservation(self, project)

    def give_back(self, project: str, size: int) -> None:
        """Free a request's place and its bytes."""
        self._all_requests -= 1
        self._all_bytes -= size
        self._requests[project] -= 1
        self._bytes[project] -= size
        if not self._requests[project]:
            del self._requests[project], self._bytes[project]

    def check_alone(self, size: int) -> None:
        """Raise `body_too_large` for a request that takes more than its project's share."""
        if size > self._most_bytes:
            raise RequestRefused(
                "body_too_large",
                f"The request takes {size:,} bytes of memory, one project may take {self._most_bytes:,}. Send smaller"
                " batches, or raise intake_memory_bytes, which is twice that.",
            )

    def take(self, project: str, size: int) -> None:
        """Add bytes, or raise `overloaded`."""
        held = self._bytes[project]
        if held + size > self._most_bytes:
            raise RequestRefused(
                "overloaded",
                f"This project's open requests hold {held:,} bytes of memory, its share is {self._most_bytes:,}. Try again in"
                " a second, with fewer or smaller requests at once.",
                retry_after=1,
            )
        if self._all_bytes + size > self._limits.memory_bytes:
            raise RequestRefused("overloaded", retry_after=1)
        self._bytes[project] = held + size
        self._all_bytes += size


class Reservation:
    """What one request took of the budget, in bytes. A context manager; closing it twice is fine."""

    __slots__ = ("_budget", "_open", "_project", "bytes")

    def __init__(self, budget: MemoryBudget, project: str) -> None:
        self._budget = budget
        self._project = project
        self._open = True
        self.bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def take(self, size: int) -> None:
        """Take `size` more bytes; raises `overloaded`, or `body_too_large` where waiting for others would not help."""
        self._budget.check_alone(self.bytes + size)
        self._budget.take(self._project, size)
        self.bytes += size

    def close(self) -> None:
        """Give everything back."""
        if self._open:
            self._open = False
            self._budget.give_back(self._project, self.bytes)


class RateLimiter:
    """A token bucket per project, in events; holds one second's worth."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def admit(self, project: str, events: int, per_second: int) -> None:
        """Let `events` pass or raise `rate_limited`. No limit when `per_second` is 0.

        A batch larger than the bucket passes when the bucket is full and then has to be paid back.
        """
        if per_second <= 0:
            return
        now = self._clock.monotonic()
        level, since = self._buckets.get(project, (float(per_second), now))
        level = min(float(per_second), level + (now - since) * per_second)
        if level < min(events, per_second):
            self._buckets[project] = (level, now)
            wait = (min(events, per_second) - level) / per_second
            raise RequestRefused("rate_limited", retry_after=max(1, round(wait + 0.5)))
        self._buckets[project] = (level - events, now)
