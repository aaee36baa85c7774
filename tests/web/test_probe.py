"""A check that hangs is answered in time, and holds nobody for good."""

from __future__ import annotations

import asyncio
import threading

import pytest

from tallymark.web.probe import Probe


def test_check_that_hangs():
    """Who asks while the check hangs is told so in time, each of them; one thread hangs, and when it ends answers come again."""
    go_on, calls = threading.Event(), []

    def check() -> str:
        calls.append(1)
        go_on.wait(60)
        return "well"

    async def ask() -> None:
        probe = Probe(check, 0.1)
        assert await asyncio.gather(*(probe.ask() for _ in range(5))) == [None] * 5
        assert await probe.ask() is None
        assert probe.hanging_seconds > 0.1
        assert len(calls) == 1
        go_on.set()
        await asyncio.wait_for(asyncio.wrap_future(probe._running), 60)
        probe._seconds = 60
        assert await probe.ask() == "well"
        assert len(calls) == 2

    asyncio.run(ask())


def test_check_that_fails():
    """What the check raises is raised to who asks."""

    def check() -> str:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        asyncio.run(Probe(check, 60).ask())
