"""What is remembered as long as it holds, and made once however many wait for it: answers, panels, verdicts.

A key is a project, what was asked, and a number that says how long it holds: for answers the position up to which events are
in the store. With the same number nothing is older than what the store would say.

What takes long to make holds a little longer, as long again as it took, waiting for its place included: where events arrive all
the time, a heavy dashboard would otherwise be made anew without end, by all who look, and nobody would get it sooner.
The room is shared: when it is full, the project with the most in it loses its oldest.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from tallymark.clock import SYSTEM_CLOCK, Clock
from tallymark.store.cancelling import present

T = TypeVar("T")

Key = tuple[str, bytes, int]

# In seconds. What is made faster is always made anew. What was begun longer ago nobody joins; nothing that is given is older
# than twice that.
_SLOW: Final = 0.25
JOIN_SECONDS: Final = 5.0


@dataclass(slots=True)
class _Entry(Generic[T]):
    """Something that was made, or is being made; times are monotonic, `done` is negative until then."""

    number: int
    made: Future[T]
    begun: float
    done: float = -1.0
    # Whether it was given up because nobody waited for its maker any more; others may still want it.
    given_up: bool = False

    def holds(self, number: int, now: float) -> bool:
        """Whether it may be given to somebody who asks now."""
        if number == self.number:
            return True
        if self.done < 0:
            return _SLOW <= now - self.begun <= JOIN_SECONDS
        took = self.done - self.begun
        return took >= _SLOW and now - self.done <= min(took, JOIN_SECONDS)


class Remembered(Generic[T]):
    """Keeps the last `most` things. Thread-safe. Failures are not remembered: the next one tries again.

    `weigh` tells how large a thing is; one above `heaviest` is given, and not kept.
    """

    def __init__(
        self, most: int, weigh: Callable[[T], int], heaviest: int, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._most = most
        self._weigh = weigh
        self._heaviest = heaviest
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, bytes], _Entry[T]] = OrderedDict()

    def get(self, key: Key, make: Callable[[], T]) -> T:
        """Return what belongs to the key, making it when nobody has or does."""
        project, asked, number = key
        name = (project, asked)
        while True:
            with self._lock:
                now = self._clock.monotonic()
                found = self._kept.get(name)
                mine = None
                if found is None or not found.holds(number, now):
                    found = mine = self._kept[name] = _Entry(number, Future(), now)
                self._kept.move_to_end(name)
            if mine is not None:
                return self._make(name, mine, make)
            try:
                return found.made.result()
            except Exception:
                if not found.given_up:
                    raise

    def _make(self, name: tuple[str, bytes], mine: _Entry[T], make: Callable[[], T]) -> T:
        try:
            made = make()
        except BaseException as error:
            cancellation = present()
            mine.given_up = cancellation is not None and cancellation.cancelled
            self._forget(name, mine)
            mine.made.set_exception(error)
            raise
        mine.done = self._clock.monotonic()
        mine.made.set_result(made)
        if self._weigh(made) > self._heaviest:
            self._forget(name, mine)
        self._shrink()
        return made

    def keep(self, key: Key, made: T, asked: float) -> None:
        """Keep what somebody made who began to wait for it at `asked` (monotonic seconds)."""
        project, name, number = key
        if self._weigh(made) > self._heaviest:
            return
        entry: _Entry[T] = _Entry(number, Future(), asked, self._clock.monotonic())
        entry.made.set_result(made)
        with self._lock:
            self._kept[project, name] = entry
            self._kept.move_to_end((project, name))
        self._shrink()

    def recall(self, key: Key) -> T | None:
        """Return what belongs to the key where it is made already and still holds."""
        project, asked, number = key
        with self._lock:
            found = self._kept.get((project, asked))
            there = found is not None and found.done >= 0 and found.holds(number, self._clock.monotonic())
        return found.made.result() if found is not None and there else None

    def _forget(self, name: tuple[str, bytes], entry: _Entry[T]) -> None:
        with self._lock:
            if self._kept.get(name) is entry:
                del self._kept[name]

    def _shrink(self) -> None:
        with self._lock:
            if len(self._kept) <= self._most:
                return
            largest = Counter(project for project, _ in self._kept).most_common(1)[0][0]
            del self._kept[next(name for name in self._kept if name[0] == largest)]
