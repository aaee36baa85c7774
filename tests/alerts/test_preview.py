"""A replay comes to the states that the same time had live, of every value."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tallymark.alerts import preview
from tallymark.alerts.preview import replay
from tallymark.alerts.questions import Questions
from tallymark.alerts.standing import OPEN
from tallymark.metrics.figures import NOTHING
from tallymark.plan.kinds.alert import Alert, Below
from tallymark.plan.objects import decode_object
from tests.alerts.stories import START, World


@pytest.fixture
def world(tmp_path, monkeypatch):
    # A value without events has no figure, as that of a ratio.
    monkeypatch.setattr("tallymark.alerts.questions.find_absent", lambda *_: NOTHING)
    made = World(tmp_path)
    yield made
    made.close()


def _replay(world):
    metrics = world.watcher.metrics_of("shop")
    alert = decode_object("alert", world.definitions.find("shop", "alert", "low").body)
    questions = Questions(
        metrics, lambda question: world._ask("shop", question), lambda window: world._look("shop", window)
    )
    # From the moment at which it began to be watched.
    return replay(
        alert,
        metrics["seen"],
        START + timedelta(seconds=5),
        world.now,
        questions,
        world.pool,
        most=10_000,
    )


def _live(world):
    """Return when values were in trouble, as a replay tells it."""
    return [(one.values, one.after, one.at) for one in world.changes() if one.after in OPEN]


def test_values_that_come_once_are_no_trouble_and_leave_room_for_those_that_are(world):
    """One that was there once is not missed, in the past as live; one that rises behind six of them is seen."""
    world.watch(breakdown=["os"], when={"is": "above", "value": 20}, limit=2, no_data={"for": "1m"})
    for number in range(6):
        world.happen(1, f"once-{number}")
        world.run(3, count=2, value="steady")
    for _ in range(12):
        world.happen(5, "rises")
        world.run(1, count=2, value="steady")
    found = _replay(world)
    assert [(one.values, one.state, one.start) for one in found.stretches] == _live(world)
    assert [one.values for one in found.stretches] == [("rises",)]
    assert found.told == 1


def test_a_value_that_is_gone_for_long_is_let_go(world):
    """Missed at first, it is not waited for after a day, while others go on."""
    world.watch(breakdown=["os"], when={"is": "above", "value": 1000}, every="1m", no_data={"for": "5m"})
    for _ in range(15):
        world.happen(1, "gone")
        world.happen(1, "steady")
        world.tick(60)
    for _ in range(25 * 60):
        world.happen(1, "steady")
        world.tick(60)
    found = _replay(world)
    assert [(one.values, one.state, one.start) for one in found.stretches] == _live(world)
    (missed,) = found.stretches
    assert (missed.values, missed.state) == (("gone",), "no data")
    assert timedelta(hours=23) < missed.end - missed.start < timedelta(hours=25)


def test_a_question_that_fails_fails_the_replay(world):
    """Half of a past would look like a calm one."""
    world.watch()
    world.run(8, count=9)
    world.fails = LookupError("the store is away")
    with pytest.raises(LookupError):
        _replay(world)


@pytest.mark.parametrize(
    ("window", "days", "step"),
    [("1d", 2, 900), ("1d", 7, 1800), ("1d", 365, 86_400), ("1m", 7, 3600), ("7d", 365, 86_400)],
)
def test_windows_are_no_further_apart_than_there_is_time_for(window, days, step):
    """Every second one of a week, where a day apart would see half of a bad day in none of them."""
    alert = Alert(name="a", metric="m", when=Below(value=1.0), window=window)
    assert preview._choose_step(alert, START, START + timedelta(days=days), 400) == step
