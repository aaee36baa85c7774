"""Pictures of messages: what falls, hangs or cannot be drawn costs a picture, never a message or much time."""

from __future__ import annotations

import signal
import threading
import time

import psutil
import pytest

from tallymark.alerts.batches import Batch
from tallymark.errors import RequestRefused
from tallymark.server import sketches as sketches_room
from tallymark.server.sketches import Sketches

DEADLINE_SECONDS = 60.0
SPEC = b'{"data": {"values": [{"x": 1}]}, "mark": "point", "encoding": {"x": {"field": "x", "type": "quantitative"}}}'
PNG = b"\x89PNG"
BATCH = Batch(1, 1, "shop", "low", 1, 1, False, [], [1])


@pytest.fixture
def open_sketches():
    opened = []

    def open_one(build, **options):
        opened.append(Sketches(build, **{"wait_seconds": DEADLINE_SECONDS, **options}))
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()


def _drawing(sketches):
    """Return the drawing process."""
    (number,) = sketches._drawer._pool._processes
    return psutil.Process(number)


def test_what_cannot_be_drawn_costs_only_its_picture(open_sketches):
    """A specification that the engine refuses, and a question that is refused, give none, and the next one is drawn."""
    specs = iter([b"{", None, b"", SPEC])

    def build(_):
        spec = next(specs)
        if spec is None:
            raise RequestRefused("store_unavailable")
        return spec

    sketches = open_sketches(build)
    assert [sketches.draw(BATCH)[:4] for _ in range(4)] == [b"", b"", b"", PNG]


def test_a_drawing_process_that_is_gone_is_replaced(open_sketches):
    """Killed, it costs one picture."""
    sketches = open_sketches(lambda _: SPEC)
    assert sketches.draw(BATCH).startswith(PNG)
    _drawing(sketches).send_signal(signal.SIGKILL)
    drawn = [sketches.draw(BATCH)[:4] for _ in range(2)]
    assert drawn[1] == PNG


def test_a_drawing_process_that_hangs_delays_nobody_and_is_replaced(open_sketches):
    """Who waits goes without after a moment, all others at once; ended, it is followed by another one."""
    sketches = open_sketches(lambda _: SPEC, hang_seconds=1.0)
    assert sketches.draw(BATCH).startswith(PNG)
    _drawing(sketches).send_signal(signal.SIGSTOP)
    sketches._wait_seconds = 0.05
    assert sketches.draw(BATCH) == b""
    began = time.monotonic()
    assert sketches.draw(BATCH) == b""
    assert time.monotonic() - began < 0.5, "nobody waits for what is late already"
    with pytest.raises(TimeoutError):
        sketches._late.result(DEADLINE_SECONDS)
    sketches._wait_seconds = DEADLINE_SECONDS
    assert sketches.draw(BATCH).startswith(PNG)


def test_a_question_that_takes_long_delays_nobody(open_sketches):
    """The store is slow: the message goes without its picture."""
    go = threading.Event()

    def build(_):
        go.wait(DEADLINE_SECONDS)
        return SPEC

    sketches = open_sketches(build, wait_seconds=0.05)
    assert sketches.draw(BATCH) == b""
    assert sketches.draw(BATCH) == b""
    go.set()
    assert sketches._late.result(DEADLINE_SECONDS).startswith(PNG)
    assert sketches_room.WAIT_SECONDS <= 5


def test_closed_it_draws_nothing(open_sketches):
    """While the process stops, messages go without."""
    sketches = open_sketches(lambda _: SPEC)
    sketches.close()
    assert sketches.draw(BATCH) == b""
