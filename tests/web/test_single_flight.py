"""What many look at is made once, and never older than is said."""

from __future__ import annotations

import asyncio

import pytest

from tallymark.clock import FixedClock
from tallymark.web.remembered import JOIN_SECONDS, Remembered
from tallymark.web.single_flight import SingleFlight

KEY = ("p", b"panel", 1)


class Maker:
    """Counts what it makes; each making begins when it is told and ends when it is told."""

    def __init__(self):
        self.made = []
        self.may_begin = asyncio.Event()
        self.may_end = asyncio.Event()

    async def make(self, begin):
        await self.may_begin.wait()
        begin()
        number = len(self.made)
        self.made.append("begun")
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.made[number] = "cancelled"
            raise
        self.made[number] = "made"
        return number


def _run(story):
    async def run():
        clock = FixedClock()
        return await story(SingleFlight(Remembered(8, lambda _: 0, 0, clock), clock), Maker(), clock)

    return asyncio.run(asyncio.wait_for(run(), 60))


async def _let_run():
    for _ in range(5):
        await asyncio.sleep(0)


def test_all_who_come_get_the_same():
    """Sixteen who ask at once are one making, also where data changed between them."""

    async def story(shared, maker, clock):
        asked = [asyncio.ensure_future(shared.get(("p", b"panel", n), maker.make)) for n in range(16)]
        await _let_run()
        maker.may_begin.set()
        maker.may_end.set()
        assert await asyncio.gather(*asked) == [0] * 16
        assert maker.made == ["made"]

    _run(story)


def test_a_making_that_began_long_ago_is_not_joined():
    """Whoever comes some seconds after it began gets something newer; with the same data there is nothing newer."""

    async def story(shared, maker, clock):
        maker.may_begin.set()
        first = asyncio.ensure_future(shared.get(KEY, maker.make))
        await _let_run()
        clock.advance(JOIN_SECONDS - 0.1)
        joined = asyncio.ensure_future(shared.get(("p", b"panel", 2), maker.make))
        await _let_run()
        clock.advance(0.2)
        same = asyncio.ensure_future(shared.get(KEY, maker.make))
        newer = asyncio.ensure_future(shared.get(("p", b"panel", 3), maker.make))
        await _let_run()
        maker.may_end.set()
        return await asyncio.gather(first, joined, same, newer)

    assert _run(story) == [0, 0, 0, 1]


def test_it_is_cancelled_when_all_have_gone():
    """One who goes does not end it for the others; the last one does."""

    async def story(shared, maker, clock):
        maker.may_begin.set()
        first, second = (asyncio.ensure_future(shared.get(KEY, maker.make)) for _ in range(2))
        await _let_run()
        first.cancel()
        await _let_run()
        assert maker.made == ["begun"]
        second.cancel()
        await _let_run()
        assert maker.made == ["cancelled"]
        maker.may_end.set()
        return await shared.get(KEY, maker.make)

    assert _run(story) == 1


def test_waiting_for_a_place_counts_as_making():
    """Under load what was made holds as long as it took with its waiting: so load makes less work, not more."""

    async def story(shared, maker, clock):
        first = asyncio.ensure_future(shared.get(KEY, maker.make))
        await _let_run()
        clock.advance(3)
        maker.may_begin.set()
        maker.may_end.set()
        await first
        clock.advance(2.5)
        again = await shared.get(("p", b"panel", 2), maker.make)
        clock.advance(1)
        return again, await shared.get(("p", b"panel", 3), maker.make)

    assert _run(story) == (0, 1)


def test_failures_reach_all_and_are_not_kept():
    """All who wait are told, and the next one tries again."""

    async def story(shared, maker, clock):
        async def fail(begin):
            raise ValueError("no")

        asked = [asyncio.ensure_future(shared.get(KEY, fail)) for _ in range(3)]
        told = await asyncio.gather(*asked, return_exceptions=True)
        assert [str(one) for one in told] == ["no"] * 3
        maker.may_begin.set()
        maker.may_end.set()
        assert await shared.get(KEY, maker.make) == 0
        with pytest.raises(ValueError, match="no"):
            await shared.get(("p", b"other", 1), fail)

    _run(story)
