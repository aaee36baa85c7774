"""People on call take turns: the one whose turn it is is told, and others while nobody answers."""

from __future__ import annotations

from datetime import timedelta

import pytest

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


def _pass(world, ticks, *well):
    """Let so many times ten seconds pass in which something comes of these values alone; return who was told, and when."""
    told = []
    for _ in range(ticks):
        for value in well:
            world.happen(1, value)
        world.run(1)
        told += [(name, world.now) for name, *_ in world.send()]
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
    world.silences.create("shop", "low", "I look", "ana", world.now, until, incident=incident)
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
    world.silences.create("shop", "low", "A move", "ana", world.now, world.now + timedelta(hours=2))
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
    world.silences.create("shop", "low", "I look", "ana", world.now, until, incident=incident)
    told = _tell(world, 59)
    assert [name for name, _ in told] == ["bo"]
    assert 44 <= told[0][1] <= 47


def test_a_value_that_joins_what_somebody_is_at_has_to_be_answered_too(world):
    """Whoever is at it knows of the values of then: for one that joins, the waiting begins when it does."""
    world.watch(tell=["on_call"], repeat="1d", no_data={"for": "7d"}, breakdown=["os"])
    _pass(world, 8, "a", "b", "c")
    assert [name for name, _ in _pass(world, 4, "b", "c")] == ["ana"]
    incident = world.book.load("shop")["low"].watch.incident
    until = world.now + timedelta(hours=5)
    world.silences.create("shop", "low", "I look", "ana", world.now, until, incident=incident)
    assert _pass(world, 30 * 6, "b", "c") == []
    told = _pass(world, 65 * 6, "c")
    joined = world.changes()[-1]
    assert (joined.values, joined.after, joined.incident) == (("b",), "firing", incident)
    assert [(name, when - joined.at) for name, when in told] == [
        ("ana", timedelta(0)),
        ("bo", timedelta(minutes=15)),
        ("boss", timedelta(hours=1)),
    ]


def test_what_was_found_after_the_answer_was_not_answered(world):
    """Judged late, a value may have joined before somebody said that they are at it, who could not know of it."""
    world.watch(tell=["on_call"], repeat="1d", no_data={"for": "7d"}, breakdown=["os"])
    _pass(world, 8, "a", "b", "c")
    _pass(world, 4, "b", "c")
    for _ in range(30):
        # Half a minute of events waits for the store, and b is silent already.
        world.happen(1, "c")
        world.tick(10, complete=world.now - timedelta(seconds=20))
    world.send()
    incident, joined = world.book.load("shop")["low"].watch.incident, world.changes()[-1]
    assert joined.values == ("b",)
    begins = joined.at + (joined.found_at - joined.at) / 2
    world.silences.create(
        "shop", "low", "I look", "ana", begins, begins + timedelta(hours=5), incident=incident
    )
    told = _pass(world, 20 * 6, "c")
    assert "bo" in [name for name, _ in told]


def test_who_was_told_before_is_called_again_when_the_waiting_begins_anew(world):
    """After an answer that ended without an end, the next one is told once more, though there was a message before."""
    world.run(4)
    world.send()
    told = _tell(world, 20)
    assert [name for name, _ in told] == ["bo"]
    incident = world.book.load("shop")["low"].watch.incident
    until = world.now + timedelta(minutes=10)
    world.silences.create("shop", "low", "I look", "ana", world.now, until, incident=incident)
    told = _tell(world, 80)
    assert [name for name, _ in told] == ["bo", "boss"]
    assert 25 <= told[0][1] <= 27
    assert 70 <= told[1][1] <= 72


def test_nobody_is_called_while_it_is_well_and_only_kept_firing(world):
    """With `keep_firing` it is over later; until then nobody is woken with good figures."""
    world.watch(tell=["on_call"], repeat="1d", no_data={"for": "7d"}, keep_firing="30m")
    world.run(4)
    world.send()
    world.run(20 * 6, count=2)
    assert world.state() == "firing"
    assert world.send() == []
