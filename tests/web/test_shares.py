"""Work beside the event loop: shared, bounded, and stopped when nobody waits for it any more."""

from __future__ import annotations

import asyncio
import threading

import pytest

from tallymark.errors import RequestRefused
from tallymark.fair_queue import Bounds
from tallymark.meters import WORK_ENDED, WORK_RUNNING, WORK_WAITING
from tallymark.store.cancelling import QuestionCancelled, present
from tallymark.web.shares import Share

SECONDS = 60


def _run(story, bounds, patience=SECONDS, what="questions", limit=None):
    async def run():
        share = Share(what, bounds, patience, limit)
        try:
            return await story(share)
        finally:
            share.close()

    return asyncio.run(asyncio.wait_for(run(), SECONDS))


def test_another_project_is_next_and_waiting_costs_no_thread():
    """While one project's work fills its places and its queue, another's runs at once; those that wait are no threads."""

    async def story(share):
        going_on = threading.Event()
        greedy = [asyncio.ensure_future(share.run("a", going_on.wait, SECONDS)) for _ in range(50)]
        await asyncio.sleep(0)
        assert await share.run("b", lambda: "done") == "done"
        assert len([one for one in threading.enumerate() if one.name.startswith("questions")]) <= 3
        going_on.set()
        assert all(await asyncio.gather(*greedy))

    _run(story, Bounds(places=3, each=2))


def test_what_is_too_much_is_refused_at_once():
    """One more than may wait is told so with Retry-After, and the places are there again afterwards."""

    async def story(share):
        going_on = threading.Event()
        waiting = [asyncio.ensure_future(share.run("a", going_on.wait, SECONDS)) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(RequestRefused) as refused:
            await share.run("a", lambda: None)
        going_on.set()
        await asyncio.gather(*waiting)
        assert await share.run("a", lambda: "again") == "again"
        return refused.value

    refusal = _run(story, Bounds(places=1, each=1, waiting=2))
    assert (refusal.code, refusal.status) == ("too_many_at_once", 429)
    assert refusal.retry_after


def test_who_waits_too_long_is_refused():
    """A place that does not come is an answer that says so."""

    async def story(share):
        going_on = threading.Event()
        holder = asyncio.ensure_future(share.run("a", going_on.wait, SECONDS))
        await asyncio.sleep(0)
        with pytest.raises(RequestRefused) as refused:
            await share.run("b", lambda: None)
        going_on.set()
        await holder
        assert await share.run("b", lambda: "now") == "now"
        return refused.value

    refusal = _run(story, Bounds(places=1, each=1), patience=0.05)
    assert (refusal.code, refusal.status, refusal.retry_after) == ("overloaded", 503, 5)


def test_work_that_takes_too_long_is_refused():
    """Work past the limit is an answer that says so; its place is free once its thread is."""

    async def story(share):
        going_on = threading.Event()
        with pytest.raises(RequestRefused) as refused:
            await share.run("a", going_on.wait, SECONDS)
        going_on.set()
        return refused.value

    refusal = _run(story, Bounds(places=1, each=1), limit=0.05)
    assert (refusal.code, refusal.status, refusal.retry_after) == ("no_answer", 503, 5)


def test_the_works_own_timeout_is_no_refusal():
    """A TimeoutError of the work itself is raised as it is."""

    def fail():
        raise TimeoutError("mine")

    async def story(share):
        with pytest.raises(TimeoutError, match="mine"):
            await share.run("a", fail)

    _run(story, Bounds(places=1, each=1), limit=SECONDS)


def test_who_goes_away_leaves_the_queue():
    """Cancelled work that waits is never begun, and its turn is the next one's."""

    async def story(share):
        going_on, begun = threading.Event(), []
        holder = asyncio.ensure_future(share.run("a", going_on.wait, SECONDS))
        await asyncio.sleep(0)
        gone = asyncio.ensure_future(share.run("b", begun.append, "gone"))
        stays = asyncio.ensure_future(share.run("b", begun.append, "stays"))
        await asyncio.sleep(0)
        gone.cancel()
        going_on.set()
        await asyncio.gather(holder, stays)
        assert gone.cancelled()
        return begun

    assert _run(story, Bounds(places=1, each=1)) == ["stays"]


def test_cancelled_work_stops_what_it_asks_and_keeps_its_place_until_then():
    """A question that runs is stopped, one that would follow does not begin, and the place is free when the thread is."""

    async def story(share):
        asking, stopped, after = threading.Event(), threading.Event(), []

        def ask(cancellation):
            with cancellation.question(lambda _: stopped.set()):
                asking.set()
                stopped.wait(SECONDS)

        def work():
            cancellation = present()
            with pytest.raises(QuestionCancelled):
                ask(cancellation)
            with pytest.raises(QuestionCancelled), cancellation.question(after.append):
                after.append("asked")
            after.append("ended")

        task = asyncio.ensure_future(share.run("a", work))
        assert await asyncio.to_thread(asking.wait, SECONDS)
        task.cancel()
        assert await share.run("b", lambda: list(after)) == ["ended"]

    _run(story, Bounds(places=1, each=1))


def test_a_fault_gives_its_place_back():
    """Whatever is raised reaches who asked, and the next one has the place."""

    async def story(share):
        def fail():
            raise ValueError("no")

        for _ in range(3):
            with pytest.raises(ValueError, match="no"):
                await share.run("a", fail)
        assert present() is None
        return await share.run("a", lambda: "well")

    assert _run(story, Bounds(places=1, each=1)) == "well"


def test_what_runs_and_what_waits_is_counted():
    """The gauges of running and waiting work follow it, also where somebody leaves the queue, and end at nothing."""

    def counts():
        return tuple(one.labels("counted work")._value.get() for one in (WORK_RUNNING, WORK_WAITING))

    async def story(share):
        going_on = threading.Event()
        asked = [asyncio.ensure_future(share.run("a", going_on.wait, SECONDS)) for _ in range(5)]
        await asyncio.sleep(0)
        seen = [counts()]
        asked.pop().cancel()
        await asyncio.sleep(0)
        seen.append(counts())
        going_on.set()
        await asyncio.gather(*asked)
        # The last place is given back by a callback of the loop.
        await asyncio.sleep(0)
        return seen

    assert _run(story, Bounds(places=2, each=2), what="counted work") == [(2, 3), (2, 2)]
    assert counts() == (0, 0)


def _count_ended(what):
    """Return how often work of a kind ended, by how; without what never happened."""
    counts = {
        one.labels["outcome"]: int(one.value)
        for family in WORK_ENDED.collect()
        for one in family.samples
        if one.labels.get("work") == what and one.name.endswith("_total") and one.value
    }
    return dict(sorted(counts.items()))


def test_how_work_ends_is_counted_once_whatever_the_end():
    """Work that is done, that raises, whose caller goes, that gets no place, and that takes too long: each has its own name."""
    what = "work that ends"

    def fail():
        raise ValueError("no")

    async def story(share):
        going_on = threading.Event()
        await share.run("a", lambda: "well")
        with pytest.raises(ValueError, match="no"):
            await share.run("a", fail)
        async with share.place("a"):
            with pytest.raises(ValueError, match="no"):
                await share.work(fail)
            await share.work(lambda: None)
        seen = [_count_ended(what)]
        works = asyncio.ensure_future(share.run("a", going_on.wait, SECONDS))
        waits = asyncio.ensure_future(share.run("a", going_on.wait, SECONDS))
        await asyncio.sleep(0)
        with pytest.raises(RequestRefused):
            await share.run("a", fail)
        works.cancel()
        waits.cancel()
        await asyncio.wait([works, waits])
        going_on.set()
        return [*seen, _count_ended(what)]

    first, second = _run(story, Bounds(places=1, each=1, waiting=1), what=what)
    assert first == {"done": 2, "failed": 2}
    assert second == {"cancelled": 2, "done": 2, "failed": 2, "refused": 1}


def test_work_past_its_limit_is_counted_as_a_timeout():
    """Both what works and what waits when the limit is over: nobody cancelled them. A TimeoutError of the work's own is a failure."""
    what = "work past its limit"

    def fail():
        raise TimeoutError("mine")

    async def raise_its_own(share):
        with pytest.raises(TimeoutError, match="mine"):
            await share.run("a", fail)

    async def story(share):
        going_on = threading.Event()
        asked = [asyncio.ensure_future(share.run("a", going_on.wait, SECONDS)) for _ in range(2)]
        ended = await asyncio.gather(*asked, return_exceptions=True)
        going_on.set()
        return [one.code for one in ended]

    _run(raise_its_own, Bounds(places=1, each=1), what=what, limit=SECONDS)
    assert _run(story, Bounds(places=1, each=1), what=what, limit=0.05) == ["no_answer"] * 2
    assert _count_ended(what) == {"failed": 1, "timeout": 2}
