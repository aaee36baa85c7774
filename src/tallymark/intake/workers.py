"""Work on bodies beside the event loop: threads of their own, of which one project has half.

Comes in: a project, a blocking function, and what goes on with its outcome. `upload` calls it for bodies that take more
than a few milliseconds, so that one project's costly bodies hold neither another's nor what else the server does.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from tallymark.fair_queue import Bounds, Turns

_PLACES: Final = max(4, os.cpu_count() or 1)
# What may wait is bounded by the intake's memory and its number of requests.
BOUNDS: Final = Bounds(places=_PLACES, each=_PLACES // 2)


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """Work for a project, and what is called with its outcome in the event loop."""

    project: str
    work: Callable[[], Any]
    then: Callable[[asyncio.Future[Any]], None]


class Workers:
    """Threads for bodies. For the event loop; only the work itself runs elsewhere."""

    def __init__(self, bounds: Bounds = BOUNDS) -> None:
        self._turns: Turns[Job] = Turns(bounds)
        self._threads = ThreadPoolExecutor(bounds.places, thread_name_prefix="intake")

    def submit(self, job: Job) -> None:
        """Begin a job, at once or when it is its project's turn."""
        if self._turns.take(job.project):
            self._begin(job)
        else:
            self._turns.wait(job.project, "", job)

    def withdraw(self, job: Job) -> bool:
        """Take a job back. Returns False for one that has begun: it runs to its end."""
        return self._turns.leave(job.project, "", job)

    def close(self) -> None:
        """Let go of the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _begin(self, job: Job) -> None:
        done = asyncio.get_running_loop().run_in_executor(self._threads, job.work)
        done.add_done_callback(lambda _: self._end(job.project))
        done.add_done_callback(job.then)

    def _end(self, project: str) -> None:
        for job in self._turns.give_back(project):
            self._begin(job)
