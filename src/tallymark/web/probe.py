"""A check that may hang, with an answer in time all the same. `GET /readyz` asks so.

Each check runs in a thread of its own, one at a time: while one hangs, nobody starts another, and everybody is told at once.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


class Probe(Generic[T]):
    """Runs `check` beside the event loop; those who ask while it runs share its answer."""

    def __init__(self, check: Callable[[], T], seconds: float) -> None:
        self._check = check
        self._seconds = seconds
        self._running: Future[T] | None = None
        self._began = 0.0

    async def ask(self) -> T | None:
        """Return what the check says; None where it has not ended within the time. Raises what it raises."""
        if self._running is None or self._running.done():
            self._running, self._began = Future(), time.monotonic()
            threading.Thread(target=self._run, args=(self._running,), name="probe", daemon=True).start()
        left = self._began + self._seconds - time.monotonic()
        try:
            async with asyncio.timeout(max(0.0, left)):
                return await asyncio.shield(asyncio.wrap_future(self._running))
        except TimeoutError:
            return None

    @property
    def hanging_seconds(self) -> float:
        """For how long the check has been running; 0 where none is."""
        running = self._running
        return time.monotonic() - self._began if running is not None and not running.done() else 0.0

    def _run(self, future: Future[T]) -> None:
        try:
            found = self._check()
        except BaseException as error:  # noqa: BLE001 - whoever asked is told
            future.set_exception(error)
        else:
            future.set_result(found)
