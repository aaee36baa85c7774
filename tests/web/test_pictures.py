"""Pictures are made one after another, and those that are made already wait for nobody."""

from __future__ import annotations

import asyncio
import json

import pytest

from tallymark.errors import RequestRefused
from tallymark.meters import WORK_ENDED
from tallymark.web import pictures as pictures_room
from tallymark.web.pictures import Pictures


def _spec(width):
    return json.dumps(
        {
            "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
            "width": width,
            "data": {"values": [{"a": 1, "b": 2}]},
            "mark": "point",
            "encoding": {"x": {"field": "a"}, "y": {"field": "b"}},
        }
    ).encode()


def _run(story):
    async def run():
        pictures = Pictures()
        try:
            return await story(pictures)
        finally:
            pictures.close()

    return asyncio.run(asyncio.wait_for(run(), 120))


def test_what_is_made_for_pictures_is_made_in_turn():
    """Whoever has the turn has it alone; drawing waits for it too, and what is drawn already does not."""

    async def story(pictures):
        first = await pictures.draw(_spec(100), "svg", "p")
        async with pictures.turn("p"):
            waiting = asyncio.ensure_future(pictures.draw(_spec(200), "svg", "p"))
            again = await pictures.draw(_spec(100), "svg", "p")
            await asyncio.sleep(0)
            assert not waiting.done()
        second = await waiting
        return first, again, second

    first, again, second = _run(story)
    assert first is again
    assert b"<svg" in second
    assert first != second


def test_who_waits_too_long_is_told(monkeypatch):
    """A turn that does not come is an answer that says so, and the turn after it comes."""
    monkeypatch.setattr(pictures_room, "_SECONDS", 0.05)

    async def story(pictures):
        async with pictures.turn("p"):
            with pytest.raises(RequestRefused, match="No place among the pictures") as told:
                await pictures.draw(_spec(100), "svg", "p")
        async with pictures.turn("p"):
            return told.value

    refusal = _run(story)
    assert (refusal.code, refusal.retry_after) == ("overloaded", 5)


def test_one_drawing_for_all_who_want_it():
    """The same picture asked for by many is drawn once, and one who gives up does not end it for the others."""

    async def story(pictures):
        async with pictures.turn("p"):
            asked = [asyncio.ensure_future(pictures.draw(_spec(100), "png", "p")) for _ in range(3)]
            await asyncio.sleep(0)
            asked[0].cancel()
            await asyncio.sleep(0)
        return await asyncio.gather(*asked, return_exceptions=True)

    gone, one, other = _run(story)
    assert isinstance(gone, asyncio.CancelledError)
    assert one is other
    assert one.startswith(b"\x89PNG")


def test_a_drawing_that_hangs_is_ended(monkeypatch):
    """A drawing that takes too long is given up, its process ended, and the next one is drawn by another."""
    monkeypatch.setattr(pictures_room, "_SECONDS", 0.02)

    async def story(pictures):
        with pytest.raises(RequestRefused, match="could not be drawn in time"):
            # Starting the process alone takes longer.
            await pictures.draw(_spec(100), "svg", "p")
        assert pictures._drawer._pool is None
        monkeypatch.setattr(pictures_room, "_SECONDS", 60)
        return await pictures.draw(_spec(100), "svg", "p")

    ended = [WORK_ENDED.labels("pictures", how)._value for how in ("failed", "done")]
    before = [one.get() for one in ended]
    assert b"<svg" in _run(story)
    # How drawings end is counted, as of all other work.
    assert [one.get() for one in ended] == [count + 1 for count in before]


def test_an_embed_that_wants_very_many_is_told_and_others_are_next():
    """Of one sender eight may wait; another one of the same project, and another project, wait for one picture each."""

    async def story(pictures):
        order = []

        async def make(project, sender):
            async with pictures.turn(project, sender):
                order.append(sender)

        async with pictures.turn("p", "embed 1"):
            greedy = [asyncio.ensure_future(make("p", "embed 1")) for _ in range(20)]
            await asyncio.sleep(0)
            others = [asyncio.ensure_future(make("p", "ana")), asyncio.ensure_future(make("q", "embed 2"))]
            await asyncio.sleep(0)
        await asyncio.gather(*others)
        told = await asyncio.gather(*greedy, return_exceptions=True)
        refused = [one for one in told if isinstance(one, RequestRefused)]
        assert [one.code for one in refused] == ["too_many_at_once"] * 12
        assert {"ana", "embed 2"} <= set(order[:4])

    _run(story)
