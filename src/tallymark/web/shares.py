"""Runs blocking work beside the event loop, with a share for every project. Waiting costs no thread.

Comes in: a blocking function and for whom it runs. Goes out: what it returns, or a refusal with Retry-After. Work whose caller
goes away is stopped. `services` has one `Share` for each kind of work, with places and threads of its own, so that no kind waits
for another.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import Final, ParamSpec, TypeVar

from tallymark.errors import RequestRefused
from tallymark.fair_queue import Bounds, QueueFull, Turns
from tallymark.meters import WORK_ENDED, WORK_RUNNING, WORK_WAITING
from tallymark.store.cancelling import Cancellation, work_under

P = ParamSpec("P")
T = TypeVar("T")

# After how many seconds somebody who was turned away is asked to try again.
RETRY_AFTER: Final = 5
# How work ends: it returned, it raised, its caller went away, it ran into its limit, it got no place.
OUTCOMES: Final = ("done", "failed", "cancelled", "timeout", "refused")
# The threads that stop the questions of callers who went away; each stop is a short request to the store.
_STOPPING: Final = 2


def call_in_loop(loop: asyncio.AbstractEventLoop, function: Callable[[], object]) -> None:
    """Call a function in the event loop soon, from any thread. A closed loop has nobody left who waits: it is not called."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(function)


@dataclass(slots=True, eq=False)
class _Waiter:
    """A coroutine in the queue. `has_place` is set by whoever gives it a place, before it wakes."""

    woken: asyncio.Future[None]
    has_place: bool = False


class Share:
    """Places for one kind of work. Call it from the event loop; only the work itself runs in threads.

    A caller who gets no place within `patience` seconds is refused. `what` is the work's name in that refusal, such as
    "questions"; `whose` says who has a share, where it is no project. `limit` bounds the seconds of waiting and working
    together: a disk may hang.
    """

    def __init__(
        self, what: str, bounds: Bounds, patience: float, limit: float | None = None, whose: str = "project"
    ) -> None:
        self._what = what
        self._whose = whose
        self._patience = patience
        self._limit = limit
        self._turns: Turns[_Waiter] = Turns(bounds)
        name = what.replace(" ", "-")
        self._ended = {one: WORK_ENDED.labels(what, one) for one in OUTCOMES}
        self._running = WORK_RUNNING.labels(what)
        self._waiting = WORK_WAITING.labels(what)
        self._threads = ThreadPoolExecutor(bounds.places, thread_name_prefix=name)
        self._stopping = ThreadPoolExecutor(_STOPPING, thread_name_prefix=f"stop-{name}")

    @asynccontextmanager
    async def place(self, project: str, sender: str = "") -> AsyncIterator[None]:
        """Hold one of a project's places, without a thread.

        Raises RequestRefused: too_many_at_once where so much of the project waits already, overloaded where no place became
        free in time.
        """
        await self._take(project, sender, None)
        try:
            yield
        finally:
            self._give_back(project)

    @contextmanager
    def counted(self, limit: asyncio.Timeout | None = None) -> Iterator[None]:
        """Count how the work in this block ends: `timeout` where `limit` cancelled it."""
        try:
            yield
        except asyncio.CancelledError:
            self._count_cancelled(limit)
            raise
        except BaseException:
            self._ended["failed"].inc()
            raise
        self._ended["done"].inc()

    async def run(self, project: str, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a blocking function in a place of the project's. Cancelling it also stops what the function asks of the store.

        Raises RequestRefused as `place` does, and no_answer past the limit.
        """
        return await self.run_for(project, "", lambda: function(*args, **kwargs))

    async def run_for(self, project: str, sender: str, function: Callable[[], T]) -> T:
        """Run a blocking function for one sender among several of the project; raises as `run` does."""
        try:
            async with asyncio.timeout(self._limit) as limit:
                await self._take(project, sender, limit)
                with self.counted(limit):
                    # The place stays taken until the thread is free, however long ago the asker went away.
                    return await self._work(function, lambda: self._give_back(project))
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise RequestRefused("no_answer", retry_after=RETRY_AFTER) from error

    async def work(self, function: Callable[[], T]) -> T:
        """Run a blocking function for somebody who holds a `place`."""
        with self.counted():
            return await self._work(function, lambda: None)

    async def _work(self, function: Callable[[], T], end: Callable[[], None]) -> T:
        loop = asyncio.get_running_loop()
        cancellation = Cancellation()

        def run() -> T:
            with work_under(cancellation):
                cancellation.check()
                return function()

        try:
            running = self._threads.submit(run)
        except BaseException:
            end()
            raise
        running.add_done_callback(lambda _: call_in_loop(loop, end))
        answer = asyncio.wrap_future(running)
        try:
            return await asyncio.shield(answer)
        except asyncio.CancelledError:
            # Nobody looks at it any more, whatever it comes to.
            answer.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
            if cancellation.cancel():
                self._stopping.submit(cancellation.stop)
            raise

    def close(self) -> None:
        """Let go of the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._stopping.shutdown(wait=False, cancel_futures=True)

    async def _take(self, project: str, sender: str, limit: asyncio.Timeout | None) -> None:
        if self._turns.take(project):
            self._running.inc()
            return
        waiter = _Waiter(asyncio.get_running_loop().create_future())
        try:
            self._turns.wait(project, sender, waiter)
        except QueueFull:
            self._ended["refused"].inc()
            raise RequestRefused(
                "too_many_at_once",
                f"Too many {self._what} of this {self._whose} wait already. Try again in {RETRY_AFTER} seconds.",
                retry_after=RETRY_AFTER,
            ) from None
        self._waiting.inc()
        try:
            async with asyncio.timeout(self._patience):
                await waiter.woken
        except BaseException as error:
            if waiter.has_place:
                self._give_back(project)
            else:
                self._turns.leave(project, sender, waiter)
                self._waiting.dec()
            if isinstance(error, TimeoutError):
                self._ended["refused"].inc()
                message = f"No place among the {self._what} became free within {self._patience:g} seconds."
                raise RequestRefused("overloaded", message, retry_after=RETRY_AFTER) from None
            self._count_cancelled(limit)
            raise

    def _count_cancelled(self, limit: asyncio.Timeout | None) -> None:
        is_over = limit is not None and limit.expired()
        self._ended["timeout" if is_over else "cancelled"].inc()

    def _give_back(self, project: str) -> None:
        self._running.dec()
        for waiter in self._turns.give_back(project):
            self._waiting.dec()
            self._running.inc()
            waiter.has_place = True
            if not waiter.woken.done():
                waiter.woken.set_result(None)
