"""Work on bodies beside the event loop: threads of their own, of which one holder has a part.

Comes in: who it is for (a project, or an address whose key is not known yet) and a blocking function. Goes out: a
`Job` whose `done` is the outcome. `ingest.py` uses it for bodies that take more than a few milliseconds, so that one
project's costly bodies hold neither another's nor what else the server does.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from tallymark.fair_queue import Bounds, Turns

T = TypeVar("T")

_PLACES: Final = max(4, os.cpu_count() or 1)
# What may wait is bounded by the intake's memory and its number of requests.
BOUNDS: Final = Bounds(places=_PLACES, each=_PLACES // 2)
# For bodies whose key is not known yet: they take nothing from those whose project is known.
UNIDENTIFIED_BOUNDS: Final = Bounds(places=2, each=1)


@dataclass(frozen=True, slots=True, eq=False)
class Job(Generic[T]):
    """Work for a holder; `done` gets its outcome in the event loop."""

    holder: str
    work: Callable[[], T]
    done: asyncio.Future[T]


class Workers:
    """Threads for bodies. For the event loop; only the work itself runs elsewhere."""

    def __init__(self, bounds: Bounds = BOUNDS, name: str = "intake") -> None:
        self._turns: Turns[Job[Any]] = Turns(bounds)
        self._threads = ThreadPoolExecutor(bounds.places, thread_name_prefix=name)

    def submit(self, holder: str, work: Callable[[], T]) -> Job[T]:
        """Begin work, at once or when it is its holder's turn."""
        job: Job[T] = Job(holder, work, asyncio.get_running_loop().create_future())
        if self._turns.take(holder):
            self._begin(job)
        else:
            self._turns.wait(holder, "", job)
        return job

    def withdraw(self, job: Job[T]) -> bool:
        """Take a job back. Returns False for one that has begun: it runs to its end."""
        return self._turns.leave(job.holder, "", job)

    def close(self) -> None:
        """Let go of the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _begin(self, job: Job[T]) -> None:
        ended = asyncio.get_running_loop().run_in_executor(self._threads, job.work)
        ended.add_done_callback(lambda ended: self._end(job, ended))

    def _end(self, job: Job[T], ended: asyncio.Future[T]) -> None:
        for following in self._turns.give_back(job.holder):
            self._begin(following)
        if job.done.done():
            return
        error = None if ended.cancelled() else ended.exception()
        if ended.cancelled():
            job.done.cancel()
        elif error is not None:
            job.done.set_exception(error)
        else:
            job.done.set_result(ended.result())
