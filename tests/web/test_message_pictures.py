"""Pictures of messages: what falls, hangs or cannot be drawn costs a picture, never a message or much time."""

from __future__ import annotations

import signal
import threading

import psutil
import pytest

from tallymark.alerts.batches import Batch
from tallymark.errors import RequestRefused
from tallymark.server.config import Config
from tallymark.web.message_pictures import MessagePictures

DEADLINE_SECONDS = 60.0
SPEC = b'{"data": {"values": [{"x": 1}]}, "mark": "point", "encoding": {"x": {"field": "x", "type": "quantitative"}}}'
PNG = b"\x89PNG"
BATCH = Batch(1, 1, "shop", "low", 1, 1, False, [], [1])


@pytest.fixture
def open_pictures():
    opened = []

    def open_one(build, **options):
        opened.append(MessagePictures(build, **{"wait_seconds": DEADLINE_SECONDS, **options}))
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()


def _drawing(pictures):
    """Return the drawing process."""
    (number,) = pictures._drawer._pool._processes
    return psutil.Process(number)


def test_what_cannot_be_drawn_costs_only_its_picture(open_pictures):
    """A specification that the engine refuses, and a question that is refused, give none, and the next one is drawn."""
    specs = iter([b"{", None, b"", SPEC])

    def build(_):
        spec = next(specs)
        if spec is None:
            raise RequestRefused("store_unavailable")
        return spec

    pictures = open_pictures(build)
    assert [pictures.draw(BATCH)[:4] for _ in range(4)] == [b"", b"", b"", PNG]


def test_a_drawing_process_that_is_gone_is_replaced(open_pictures):
    """Killed, it costs one picture."""
    pictures = open_pictures(lambda _: SPEC)
    assert pictures.draw(BATCH).startswith(PNG)
    _drawing(pictures).send_signal(signal.SIGKILL)
    drawn = [pictures.draw(BATCH)[:4] for _ in range(2)]
    assert drawn[1] == PNG


def test_a_drawing_process_that_hangs_delays_nobody_and_is_replaced(open_pictures):
    """Who waits goes without after a moment, all others at once; ended, it is followed by another one."""
    pictures = open_pictures(lambda _: SPEC)
    assert pictures.draw(BATCH).startswith(PNG)
    _drawing(pictures).send_signal(signal.SIGSTOP)
    pictures._wait_seconds, pictures._hang_seconds = 0.05, 5.0
    assert pictures.draw(BATCH) == b""
    # Had it waited for what is late already, there would be a picture of the next process.
    pictures._wait_seconds = DEADLINE_SECONDS
    assert pictures.draw(BATCH) == b""
    with pytest.raises(TimeoutError):
        pictures._late.result(DEADLINE_SECONDS)
    pictures._hang_seconds = DEADLINE_SECONDS
    assert pictures.draw(BATCH).startswith(PNG)


def test_a_question_that_takes_long_delays_nobody(open_pictures):
    """The store is slow: the message goes without its picture."""
    go = threading.Event()

    def build(_):
        go.wait(DEADLINE_SECONDS)
        return SPEC

    pictures = open_pictures(build, wait_seconds=0.05)
    assert pictures.draw(BATCH) == b""
    assert pictures.draw(BATCH) == b""
    go.set()
    assert pictures._late.result(DEADLINE_SECONDS).startswith(PNG)
    assert Config().alert_picture_seconds <= 5


def test_closed_it_draws_nothing(open_pictures):
    """While the process stops, messages go without."""
    pictures = open_pictures(lambda _: SPEC)
    pictures.close()
    assert pictures.draw(BATCH) == b""
