"""People on call take turns: the one whose turn it is is told, and others while nobody answers."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tallymark.alerts.silences import Silences
from tests.alerts.stories import World

# The world begins on Monday, 5 January 2026, at noon.
ROTA = {
    "name": "on_call",
    "people": ["ana", "bo"],
    "begins": "2026-01-05T09:00",
    "escalate": [{"after": "15m", "tell": ["next"]}, {"after": "1h", "tell": ["boss"]}],
}


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    for name in ("ana", "bo", "boss"):
        made.receiver(name, "nobody")
    made.define("rota", ROTA)
    made.watch(tell=["on_call"], repeat="1d", no_data={"for": "7d"})
    made.run(8, count=1)
    made.send()
    yield made
    made.close()


def _tell(world, minutes):
    """Let so many minutes of trouble pass; return who was told, and in which of them."""
    told = []
    for minute in range(1, minutes + 1):
        world.run(6)
        told += [(name, minute) for name, *_ in world.send()]
    return told


def test_the_one_on_call_is_told_and_then_the_next(world):
    """After a quarter of an hour without an answer the next one is told too, after an hour whoever else is named; each once."""
    world.run(4)
    assert [name for name, *_ in world.send()] == ["ana"]
    told = _tell(world, 70)
    assert [name for name, _ in told] == ["bo", "boss"]
    assert [minute for _, minute in told] == [15, 60]


def test_an_answer_stops_it(world):
    """Whoever is at it keeps the others asleep."""
    world.run(4)
    world.send()
    incident = world.book.load("shop")["low"].watch.incident
    until = world.now + timedelta(hours=5)
    Silences(world.catalog).create("shop", "low", "I look", "ana", world.now, until, incident=incident)
    world.run(70 * 6)
    assert world.send() == []


def test_the_next_week_is_another_ones(world):
    """Trouble of the next week goes to the next one, and its end to whoever was told of it."""
    world.now += timedelta(days=7)
    world.run(8, count=1)
    world.send()
    world.run(4)
    assert [name for name, *_ in world.send()] == ["bo"]
    world.run(8, count=1)
    assert world.send() == [("bo", ["ok"], False)]


def test_a_long_trouble_begins_with_one(world):
    """Trouble that is found late, or told after a silence, wakes one person first, and not everybody at once."""
    Silences(world.catalog).create("shop", "low", "A move", "ana", world.now, world.now + timedelta(hours=2))
    told = _tell(world, 149)
    assert told[0] == ("ana", 120)
    assert [name for name, _ in told] == ["ana", "bo"]
    assert 135 <= told[1][1] <= 137


def test_an_answer_that_ran_out_lets_others_be_told(world):
    """An acknowledgement that ran out lets the waiting begin anew."""
    world.run(4)
    world.send()
    incident = world.book.load("shop")["low"].watch.incident
    until = world.now + timedelta(minutes=30)
    Silences(world.catalog).create("shop", "low", "I look", "ana", world.now, until, incident=incident)
    told = _tell(world, 59)
    assert [name for name, _ in told] == ["bo"]
    assert 44 <= told[0][1] <= 47
