"""Sessions end when their time is over, and there are never too many."""

from __future__ import annotations

import pytest

from tallymark.clock import FixedClock
from tallymark.store.errors import EngineError
from tallymark.store.sessions import Sessions


class Handle:
    """Stands for an engine's connection: it tells whether it was closed, and answers nothing."""

    closed = False

    def run(self, _sql):
        return self

    body = b""

    def apply(self, settings):
        """Take settings."""

    def close(self):
        self.closed = True


@pytest.fixture
def clock():
    return FixedClock()


@pytest.fixture
def sessions(clock):
    return Sessions(clock, most=2)


def borrow(sessions, name, handle, *, seconds=60.0, must_exist=False):
    return sessions.borrow(name, seconds, {"a": "1"}, lambda: handle, must_exist=must_exist)


def test_a_session_lasts_until_its_time_is_over(sessions, clock):
    """A session keeps its connection while it is used, and closes it when nobody came back in time."""
    first, second = Handle(), Handle()
    with borrow(sessions, "s", first) as found:
        assert found is first
    clock.advance(59)
    with borrow(sessions, "s", second, must_exist=True) as found:
        assert found is first
    clock.advance(61)
    with pytest.raises(EngineError) as gone, borrow(sessions, "s", second, must_exist=True):
        pass
    assert (gone.value.number, first.closed) == (372, True)


def test_a_session_in_use_does_not_expire(sessions, clock):
    """However long a request takes, its session stays, and a second request meanwhile is refused."""
    handle = Handle()
    with borrow(sessions, "s", handle):
        clock.advance(1000)
        sessions.expire()
        assert not handle.closed
        with pytest.raises(EngineError) as busy, borrow(sessions, "s", handle):
            pass
    assert busy.value.number == 373


def test_there_are_only_so_many(sessions, clock):
    """One session too many is refused until another's time is over."""
    for name in ("a", "b"):
        with borrow(sessions, name, Handle()):
            pass
    with pytest.raises(EngineError) as many, borrow(sessions, "c", Handle()):
        pass
    assert many.value.number == 202
    clock.advance(61)
    with borrow(sessions, "c", Handle()):
        pass


def test_a_session_that_cannot_begin_takes_no_place(sessions):
    """A session whose connection cannot be opened leaves nothing behind."""

    def fail():
        raise EngineError(81, "no such database")

    for name in ("a", "b", "c", "d"):
        with pytest.raises(EngineError) as failed, sessions.borrow(name, 60.0, {}, fail, must_exist=False):
            pass
        assert failed.value.number == 81
