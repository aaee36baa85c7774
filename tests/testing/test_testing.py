"""What applications' own tests use: capture() and CaptureSink."""

from __future__ import annotations

import pytest

from tallymark import Client
from tallymark.testing import CaptureSink, capture


@pytest.fixture
def own():
    client = Client(sink=CaptureSink())
    yield client
    client.close(0)


def test_capture_catches_every_client_and_puts_its_sink_back(own):
    """Inside the block all clients record into it, copies too; before and after they use their own sinks."""
    other = Client(disabled=True)
    own.behavior("before")
    own.increment("n")
    with capture() as events:
        own.with_user("u").behavior("inside", x=1)
        own.increment("n", 5)
        other.behavior("switched off")
    own.behavior("after")
    other.behavior("after")
    assert [event["event_name"] for event in events] == ["inside", "switched off", "n"]
    assert events[0]["user_id"] == "u"
    assert events.named("n")[0]["value"] == 5
    assert len(events) == 3
    assert [event["event_name"] for event in own._core.sink.events] == ["before", "n", "after"]
    assert own._core.sink.named("n")[0]["value"] == 1
    other.close(0)


def test_capture_of_one_client_leaves_others_alone(own):
    """capture(client) catches that client only."""
    other = Client(sink=CaptureSink())
    with capture(own) as events:
        own.behavior("a")
        other.behavior("b")
    assert [event["event_name"] for event in events] == ["a"]
    assert [event["event_name"] for event in other._core.sink.events] == ["b"]
    other.close(0)


def test_capture_ends_also_when_the_block_raises(own):
    """An assertion that fails inside the block does not leave the client captured."""
    with pytest.raises(AssertionError), capture():
        raise AssertionError
    own.behavior("after")
    assert len(own._core.sink) == 1


def test_a_capture_sink_can_be_cleared(own):
    """clear() forgets what was captured, counters of the present interval included."""
    own.behavior("a")
    own.increment("n")
    own._core.sink.clear()
    assert list(own._core.sink) == []
