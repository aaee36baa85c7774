"""What the intake allows, and the counters that enforce it across requests.

Requests that are being read or judged are bounded in number and in bytes, and one project may take half of them.
Bodies that have to be read before their key is known have a smaller room of their own, of which each address has a
part. Each project may have a rate. Past a bound a request is refused at once: memory does not grow.
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


@dataclass(frozen=True, slots=True)
class Room:
    """How many bytes and requests there may be together, and how many of them one holder may have.

    `whose` and `memory_factor` are for messages: who a holder is, and how many times its bytes `intake_memory_bytes` is.
    """

    all_bytes: int
    all_requests: int
    each_bytes: int
    each_requests: int
    whose: str = "this project"
    memory_factor: int = 2


def build_project_room(limits: IntakeLimits) -> Room:
    """Return the room for requests whose project is known: each project may have half of it."""
    return Room(limits.memory_bytes, limits.requests, limits.memory_bytes // 2, limits.requests // 2)


def build_address_room(limits: IntakeLimits) -> Room:
    """Return the room for bodies that hold their key inside, until it is known: each address may have a quarter of it.

    It comes on top of the room for projects, so it takes nothing from them.
    """
    memory, requests = limits.memory_bytes // 2, max(4, limits.requests // 2)
    return Room(memory, requests, memory // 4, max(1, requests // 4), "this address", 8)


class MemoryBudget:
    """Bytes and requests that are in the intake's hands at this moment, by holder: a project, or an address.

    One holder may have a part of each: its slow senders do not keep the others out.
    """

    def __init__(self, room: Room) -> None:
        self._room = room
        self._bytes: Counter[str] = Counter()
        self._requests: Counter[str] = Counter()
        # Sums of the counters: a request's pieces are too many to add up all holders for each.
        self._all_bytes = 0
        self._all_requests = 0

    def request(self, holder: str) -> Reservation:
        """Hold a place for one request, until it is closed. Raises `overloaded`."""
        room = self._room
        if self._requests[holder] >= room.each_requests:
            raise RequestRefused(
                "overloaded",
                f"{room.each_requests:,} requests of {room.whose} are open, which is its share. Try again in a second, with"
                " fewer requests at once.",
                retry_after=1,
            )
        if self._all_requests >= room.all_requests:
            raise RequestRefused("overloaded", retry_after=1)
        self._requests[holder] += 1
        self._all_requests += 1
        return Reservation(self, holder)

    def give_back(self, holder: str, size: int) -> None:
        """Free a request's place and its bytes."""
        self._all_requests -= 1
        self._all_bytes -= size
        self._requests[holder] -= 1
        self._bytes[holder] -= size
        if not self._requests[holder]:
            del self._requests[holder], self._bytes[holder]

    def check_alone(self, size: int) -> None:
        """Raise `body_too_large` for a request that takes more than its holder's share."""
        room = self._room
        if size > room.each_bytes:
            times = "twice" if room.memory_factor == 2 else f"{room.memory_factor} times"
            raise RequestRefused(
                "body_too_large",
                f"The request takes {size:,} bytes of memory, {room.whose} may take {room.each_bytes:,}. Send smaller"
                f" batches, or raise intake_memory_bytes, which is {times} that.",
            )

    def take(self, holder: str, size: int) -> None:
        """Add bytes, or raise `overloaded`."""
        room, held = self._room, self._bytes[holder]
        if held + size > room.each_bytes:
            raise RequestRefused(
                "overloaded",
                f"The open requests of {room.whose} hold {held:,} bytes of memory, its share is {room.each_bytes:,}. Try again in"
                " a second, with fewer or smaller requests at once.",
                retry_after=1,
            )
        if self._all_bytes + size > room.all_bytes:
            raise RequestRefused("overloaded", retry_after=1)
        self._bytes[holder] = held + size
        self._all_bytes += size


class Reservation:
    """What one request took of the budget, in bytes. A context manager; closing it twice is fine."""

    __slots__ = ("_budget", "_open", "bytes", "holder")

    def __init__(self, budget: MemoryBudget, holder: str) -> None:
        self._budget = budget
        self.holder = holder
        self._open = True
        self.bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def take(self, size: int) -> None:
        """Take `size` more bytes; raises `overloaded`, or `body_too_large` where waiting for others would not help."""
        self._budget.check_alone(self.bytes + size)
        self._budget.take(self.holder, size)
        self.bytes += size

    def close(self) -> None:
        """Give everything back."""
        if self._open:
            self._open = False
            self._budget.give_back(self.holder, self.bytes)


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
