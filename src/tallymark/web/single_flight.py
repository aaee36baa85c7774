"""What many look at is made once: whoever comes while it is made waits for the same, without a thread.

Comes in: a key (see `remembered`) and how to make what belongs to it. Goes out: the thing, the same for all. When all who
waited have gone, the making is cancelled.

How old it may be: a making that has not begun yet, because it waits for its place, will be newer than whoever joins it. One that
has begun is joined for `JOIN_SECONDS`; after those a second one is begun. Something made holds as `remembered` says.

`Remembered.get` makes things once among threads, for the questions inside of a panel. It cannot serve here, nor this there: a
thread that waits has its place already and cannot be cancelled, a coroutine waits for its place while others join it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from tallymark.clock import SYSTEM_CLOCK, Clock
from tallymark.web.remembered import JOIN_SECONDS, Key, Remembered

T = TypeVar("T")

Begin = Callable[[], None]


@dataclass(slots=True)
class _Making(Generic[T]):
    """Something that is being made. Times are monotonic; `begun` is None while it waits for its place."""

    number: int
    asked: float
    task: asyncio.Future[T] = field(init=False)
    begun: float | None = None
    waiting: int = 0

    def may_be_joined(self, number: int, now: float) -> bool:
        return number == self.number or self.begun is None or now - self.begun <= JOIN_SECONDS


class SingleFlight(Generic[T]):
    """Makes things once for all who ask for them. For the event loop."""

    def __init__(self, remembered: Remembered[T], clock: Clock = SYSTEM_CLOCK) -> None:
        self.remembered = remembered
        self._clock = clock
        self._making: dict[tuple[str, bytes], _Making[T]] = {}

    async def get(self, key: Key, make: Callable[[Begin], Awaitable[T]]) -> T:
        """Return what belongs to the key. `make` is given what it has to call when it has its place; raises as it does."""
        found = self.remembered.recall(key)
        if found is not None:
            return found
        name = key[:2]
        making = self._making.get(name)
        if making is None or not making.may_be_joined(key[2], self._clock.monotonic()):
            making = self._start(key, make)
        making.waiting += 1
        try:
            return await asyncio.shield(making.task)
        finally:
            making.waiting -= 1
            if not making.waiting and not making.task.done():
                self._forget(name, making)
                making.task.cancel()

    def _start(self, key: Key, make: Callable[[Begin], Awaitable[T]]) -> _Making[T]:
        making: _Making[T] = _Making(key[2], self._clock.monotonic())
        name = key[:2]

        def begin() -> None:
            making.begun = self._clock.monotonic()

        async def run() -> T:
            made = await make(begin)
            self.remembered.keep(key, made, making.asked)
            return made

        making.task = asyncio.ensure_future(run())
        self._making[name] = making
        making.task.add_done_callback(lambda ended: self._end(name, making, ended))
        return making

    def _end(self, name: tuple[str, bytes], making: _Making[T], ended: asyncio.Future[T]) -> None:
        self._forget(name, making)
        if not ended.cancelled():
            # Those who waited were told; where nobody waits any more, nobody has to be.
            ended.exception()

    def _forget(self, name: tuple[str, bytes], making: _Making[T]) -> None:
        if self._making.get(name) is making:
            del self._making[name]
