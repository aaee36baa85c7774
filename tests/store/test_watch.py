"""Callers that go away are noticed, and what was asked for them is ended."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from tallymark.store.watch import Watch

SECONDS = 60


@pytest.fixture
def watch() -> Iterator[Watch]:
    with closing(Watch()) as opened:
        yield opened


class Action:
    """Says that it ended something the third time that it is called; counts how often it was called."""

    def __init__(self) -> None:
        self.calls = 0
        self.called = threading.Event()
        self.ended = threading.Event()

    def __call__(self) -> bool:
        self.calls += 1
        self.called.set()
        if self.calls < 3:
            return False
        self.ended.set()
        return True


def test_an_action_is_called_until_it_ended_something(watch):
    """A question that has not begun yet cannot be ended: the action is tried again, and not after it said that it is done."""
    ours, theirs = socket.socketpair()
    others, far = socket.socketpair()
    action, later = Action(), Action()
    with ours, others, watch.guard(ours, action):
        theirs.close()
        assert action.ended.wait(SECONDS)
        with watch.guard(others, later):
            far.close()
            assert later.ended.wait(SECONDS)
    assert action.calls == 3


def test_who_stays_is_left_alone(watch):
    """While one caller goes, the action of another that only says nothing is not called."""
    ours, theirs = socket.socketpair()
    others, far = socket.socketpair()
    action, other = Action(), Action()
    with ours, others, far, watch.guard(ours, action), watch.guard(others, other):
        theirs.close()
        assert action.ended.wait(SECONDS)
    assert other.calls == 0


def test_nothing_is_called_behind_the_block(watch):
    """A caller who goes after the answer has nothing that could be ended: the number of its socket may be another's by then."""
    ours, theirs = socket.socketpair()
    others, far = socket.socketpair()
    action, later = Action(), Action()
    with ours, others:
        with watch.guard(ours, action):
            pass
        theirs.close()
        with watch.guard(others, later):
            far.close()
            assert later.ended.wait(SECONDS)
    assert action.calls == 0
