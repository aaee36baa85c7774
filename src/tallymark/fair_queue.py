"""Whose turn it is: places for work, shared fairly between those who want them.

Comes in: who wants a place, and what to wake when there is one. Goes out: whom to wake. `store.service` waits with threads,
`web.shares` with coroutines; neither knows of the other. Nothing here waits, and nothing here is thread-safe.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much of the places and of the queue one project, and one sender of a project, may have.

    `places` may be taken at once, `each` of them by one project. `waiting` of a project and `of_sender` of one sender may
    wait; more are turned away.
    """

    places: int
    each: int
    waiting: int = 1_000_000
    of_sender: int = 1_000_000


class QueueFull(Exception):
    """So many of this project, or of this sender, wait already."""


@dataclass(slots=True)
class _Line(Generic[T]):
    """The waiting work of one project: a queue per sender, the next sender first."""

    senders: OrderedDict[str, deque[T]] = field(default_factory=OrderedDict)

    def count(self) -> int:
        return sum(map(len, self.senders.values()))

    def pop(self) -> T:
        sender, queue = next(iter(self.senders.items()))
        waiter = queue.popleft()
        del self.senders[sender]
        if queue:
            self.senders[sender] = queue
        return waiter


class Turns(Generic[T]):
    """Gives places to projects in rotation, within a project to its senders in rotation, to each in order of arrival."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self._free = bounds.places
        self._held: Counter[str] = Counter()
        self._lines: OrderedDict[str, _Line[T]] = OrderedDict()

    @property
    def waiting(self) -> int:
        """How many wait."""
        return sum(line.count() for line in self._lines.values())

    def take(self, project: str) -> bool:
        """Take a place at once. Returns False where the caller has to wait."""
        if project in self._lines or not self._may_take(project):
            return False
        self._hold(project)
        return True

    def wait(self, project: str, sender: str, waiter: T) -> None:
        """Stand in the queue; raises QueueFull."""
        line = self._lines.get(project) or _Line()
        queue = line.senders.get(sender) or deque()
        if line.count() >= self.bounds.waiting or len(queue) >= self.bounds.of_sender:
            raise QueueFull
        queue.append(waiter)
        line.senders[sender] = queue
        self._lines[project] = line

    def leave(self, project: str, sender: str, waiter: T) -> bool:
        """Leave the queue. Returns False for a waiter that is not in it, such as one that has its place by now."""
        line = self._lines.get(project)
        queue = line.senders.get(sender) if line else None
        if line is None or queue is None or waiter not in queue:
            return False
        queue.remove(waiter)
        if not queue:
            del line.senders[sender]
        if not line.senders:
            del self._lines[project]
        return True

    def give_back(self, project: str) -> list[T]:
        """Give a place back. Returns the waiters that have places now."""
        self._free += 1
        self._held[project] -= 1
        if not self._held[project]:
            del self._held[project]
        woken = []
        while (following := next(filter(self._may_take, self._lines), None)) is not None:
            line = self._lines.pop(following)
            woken.append(line.pop())
            self._hold(following)
            if line.senders:
                self._lines[following] = line
        return woken

    def _may_take(self, project: str) -> bool:
        return self._free > 0 and self._held[project] < self.bounds.each

    def _hold(self, project: str) -> None:
        self._free -= 1
        self._held[project] += 1
