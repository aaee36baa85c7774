"""Timers: what a block, a call and an iteration take, whoever shares the timer."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading

import pytest

from tallymark import Client


class Clock:
    """A clock that the test moves, in seconds."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("tallymark.client.timer.time", clock)
    return clock


@pytest.fixture
def client(sink):
    return Client(sink=sink)


def measured(sink):
    """Return (count, sum of seconds) of the timing `work`."""
    attributes = [event["attributes"] for event in sink.named("work")]
    return sum(each["count"] for each in attributes), sum(each["sum"] for each in attributes)


def test_generator(client, sink, clock):
    """A generator is measured from its first item to its end; what is sent, thrown in and returned passes through."""

    @client.timer("work")
    def count(start):
        got = []
        try:
            got.append((yield start))
        except KeyError:
            got.append("thrown")
        clock.now += 2
        yield got
        return "returned"

    def drive():
        return (yield from count(1))

    made = count(7)
    clock.now += 100
    assert measured(sink) == (0, 0), "nobody began it"
    assert next(made) == 7
    clock.now += 3
    assert made.send("sent") == ["sent"]
    with pytest.raises(StopIteration) as ended:
        next(made)
    assert ended.value.value == "returned"
    assert measured(sink) == (1, 5)

    other = drive()
    next(other)
    assert other.throw(KeyError()) == ["thrown"]
    other.close()
    assert measured(sink) == (2, 7)
    assert inspect.isgeneratorfunction(count)
    assert count.__name__ == "count"


def test_async_generator(client, sink, clock):
    """An async generator is measured to its end too, and can be sent to, thrown into and closed as before."""
    ended = []

    @client.timer("work")
    async def count(start):
        try:
            got = yield start
        except KeyError:
            got = "thrown"
        try:
            clock.now += 2
            yield got
        finally:
            ended.append(got)

    async def main():
        assert [item async for item in count(1)] == [1, None]
        sending = count(1)
        await anext(sending)
        clock.now += 10
        assert await sending.asend("sent") == "sent"
        await sending.aclose()
        throwing = count(1)
        await anext(throwing)
        assert await throwing.athrow(KeyError()) == "thrown"
        with pytest.raises(ValueError, match="mine"):
            await throwing.athrow(ValueError("mine"))

    asyncio.run(main())
    assert ended == [None, "sent", "thrown"]
    assert measured(sink) == (3, 16)
    assert inspect.isasyncgenfunction(count)


def test_generators_that_fail(client, sink, clock):
    """An iteration that raises is measured until then, and the exception comes out."""

    @client.timer("work")
    def plain():
        clock.now += 1
        yield 1
        raise KeyError("mine")

    @client.timer("work")
    async def other():
        clock.now += 1
        yield 1
        raise KeyError("mine")

    async def main():
        return [item async for item in other()]

    with pytest.raises(KeyError, match="mine"):
        list(plain())
    with pytest.raises(KeyError, match="mine"):
        asyncio.run(main())
    assert measured(sink) == (2, 2)


def test_async_block(client, sink, clock):
    """`async with` measures as `with` does, also when the block raises."""

    async def fail(timer):
        async with timer:
            clock.now += 1
            raise KeyError("mine")

    async def main():
        async with client.timer("work") as timer:
            clock.now += 4
        assert timer.seconds == 4
        with pytest.raises(KeyError, match="mine"):
            await fail(timer)

    asyncio.run(main())
    assert measured(sink) == (2, 5)


@pytest.mark.parametrize("form", ["with", "async with"])
def test_tasks_share_a_timer(client, sink, clock, form):
    """Tasks that are in blocks of one timer at the same time are measured each from its own beginning."""
    timer = client.timer("work")
    seen = {}

    async def work(name, begin, end):
        await begin.wait()
        if form == "with":
            with timer:
                await end.wait()
        else:
            async with timer:
                await end.wait()
        seen[name] = timer.seconds

    async def main():
        events = [asyncio.Event() for _ in range(4)]
        tasks = [
            asyncio.create_task(work("first", events[0], events[2])),
            asyncio.create_task(work("second", events[1], events[3])),
        ]
        for event, seconds in zip(events, (10, 20, 40, 0), strict=True):
            event.set()
            for _ in range(3):
                await asyncio.sleep(0)
            clock.now += seconds
        await asyncio.gather(*tasks)

    asyncio.run(main())
    assert seen == {"first": 30, "second": 60}


def test_block_that_ends_elsewhere(client, sink, clock):
    """A block that a framework begins and ends in different contexts or threads is measured."""
    for _ in range(2):
        timer = client.timer("work")
        contextvars.copy_context().run(timer.__enter__)
        clock.now += 3
        thread = threading.Thread(target=timer.__exit__)
        thread.start()
        thread.join(30)
    client.timer("work").__exit__()
    assert measured(sink) == (2, 6)


def test_nested_and_repeated_blocks(client, sink, clock):
    """Blocks of one timer may be nested; nothing of an ended block stays behind."""
    timer = client.timer("work")
    for _ in range(3):
        with timer:
            clock.now += 1
            with timer:
                clock.now += 1
    assert measured(sink) == (6, 9)
    assert timer._starts == []
