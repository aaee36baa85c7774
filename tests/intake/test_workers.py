"""Work on bodies takes turns by project: whoever sends much waits for itself, and leaves places to others."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable

from tallymark.fair_queue import Bounds
from tallymark.intake.workers import BOUNDS, Job, Workers

PATIENCE = 30


class Bodies:
    """Bodies that take as long as they are held; notes which have begun and which are done."""

    def __init__(self) -> None:
        self.workers = Workers(Bounds(places=4, each=2))
        self.held = threading.Event()
        self.begun: list[str] = []
        self.done: list[str] = []
        self.failed: list[str] = []
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()

    def submit(self, project: str, name: str, *, hold: bool = True, error: str = "") -> Job:
        def work() -> str:
            self.begun.append(name)
            self._loop.call_soon_threadsafe(self._changed.set)
            if hold:
                assert self.held.wait(PATIENCE)
            if error:
                raise ValueError(error)
            return name

        def note(done: asyncio.Future[str]) -> None:
            if done.exception() is None:
                self.done.append(done.result())
            else:
                self.failed.append(str(done.exception()))
            self._changed.set()

        job = self.workers.submit(project, work)
        job.done.add_done_callback(note)
        return job

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


def _run(story: Callable[[Bodies], Awaitable[None]]) -> None:
    """Let a story happen in an event loop, with four places of which a project has two."""

    async def happen() -> None:
        bodies = Bodies()
        try:
            await story(bodies)
        finally:
            bodies.held.set()
            bodies.workers.close()

    asyncio.run(happen())


def test_a_project_has_half_of_the_places():
    """However many processors there are, the places of one project leave as many to the others."""
    assert BOUNDS.places >= 2 * BOUNDS.each > 0


def test_one_projects_bodies_leave_places_to_others():
    """Ten slow bodies of one project take two places; another's body is done before any of them, then all are."""

    async def story(bodies: Bodies) -> None:
        names = [f"slow-{number}" for number in range(10)]
        for name in names:
            bodies.submit("greedy", name)
        bodies.submit("other", "quick", hold=False)
        await bodies.until(lambda: bodies.done == ["quick"] and len(bodies.begun) == 3)
        assert set(bodies.begun) == {*names[:2], "quick"}
        bodies.held.set()
        await bodies.until(lambda: len(bodies.done) == 11)
        assert sorted(bodies.done[1:]) == sorted(names)

    _run(story)


def test_what_has_not_begun_can_be_withdrawn():
    """A job that waits is taken back and never runs; one that runs is not, and ends as it would."""

    async def story(bodies: Bodies) -> None:
        jobs = [bodies.submit("p", f"b{number}") for number in range(4)]
        await bodies.until(lambda: len(bodies.begun) == 2)
        assert [bodies.workers.withdraw(job) for job in jobs] == [False, False, True, True]
        assert not bodies.workers.withdraw(jobs[2])
        bodies.held.set()
        await bodies.until(lambda: len(bodies.done) == 2)
        bodies.submit("p", "after")
        await bodies.until(lambda: len(bodies.done) == 3)
        assert sorted(bodies.done) == ["after", "b0", "b1"]

    _run(story)


def test_work_that_fails_gives_its_place_back():
    """A body whose work raises ends with what it raised, and the next has its place."""

    async def story(bodies: Bodies) -> None:
        for number in range(5):
            bodies.submit("p", f"b{number}", hold=False, error="broken")
        bodies.submit("p", "after", hold=False)
        await bodies.until(lambda: bodies.done == ["after"] and len(bodies.failed) == 5)
        assert set(bodies.failed) == {"broken"}

    _run(story)
