"""What a round makes of values that come and go, of faults, of windows that cannot be judged, of late events and of pauses."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tallymark.alerts import verdicts
from tallymark.alerts.own import JUDGING
from tallymark.alerts.rounds import MOST_CAUGHT_UP
from tallymark.alerts.watcher import Watcher
from tallymark.alerts.words import write_judged
from tallymark.catalog.definitions import Write
from tallymark.errors import RequestRefused
from tallymark.metrics.figures import NOTHING
from tests.alerts.stories import COUNT, START, World


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    made.watch(breakdown=["attributes.os"], when={"is": "above", "value": 100}, limit=2)
    made.receiver("pager", "growth")
    yield made
    made.close()


def _absent_is_nothing(monkeypatch):
    """Let a value without events have no figure, as a ratio has none, and not 0."""
    monkeypatch.setattr("tallymark.alerts.questions.find_absent", lambda *_: NOTHING)


def test_a_value_that_came_once_is_not_missed(world, monkeypatch):
    """One event of a value that nobody had before wakes nobody when it does not come again."""
    _absent_is_nothing(monkeypatch)
    world.happen(1, "WindowsPhone", world.now + timedelta(seconds=2))
    for _ in range(12):
        world.run(1, count=1, value="Android")
    assert world.state("WindowsPhone") == "ok"
    assert world.changes() == []


def test_nothing_at_all_is_told_of_every_value(world, monkeypatch):
    """When all values stop at once it is no data, however short they were there; it ends when any of them comes back."""
    _absent_is_nothing(monkeypatch)
    world.happen(1, "WindowsPhone", world.now + timedelta(seconds=2))
    world.run(3, count=1, value="Android")
    world.run(10)
    assert (world.state("WindowsPhone"), world.state("Android")) == ("no data", "no data")
    world.run(2, count=1, value="Android")
    assert (world.state("WindowsPhone"), world.state("Android")) == ("ok", "ok")


def test_a_value_that_was_always_there_is_missed_for_a_day(world, monkeypatch):
    """One that every window had for long is missed when it stops; a day later it is let go, and that is told."""
    _absent_is_nothing(monkeypatch)
    for _ in range(70):
        world.happen(1, "iOS", world.now + timedelta(seconds=2))
        world.run(1, count=1, value="Android")
    world.run(8, count=1, value="Android")
    assert (world.state("iOS"), world.state("Android")) == ("no data", "ok")
    assert world.send() == [("pager", ["no data"], False)]
    for _ in range(25):
        world.now += timedelta(hours=1)
        world.run(8, count=1, value="Android")
        world.send()
    assert world.state("iOS") is None
    last = next(one for one in reversed(world.changes()) if one.values == ("iOS",))
    assert last.after == "ok"
    told = last.cause
    assert "not waited for" in write_judged(told.alert, told.standing.judged, told.unit)
    assert world.book.load("shop")["low"].watch.incident == 0


def test_values_are_capped(world):
    """Whatever a field's values are, only so many are kept, and those in trouble are not dropped for new ones."""
    world.watch(breakdown=["attributes.os"], when={"is": "above", "value": 3}, limit=2)
    for number in range(60):
        world.happen(6, "wrong", world.now + timedelta(seconds=2))
        world.run(1, count=1, value=f"value {number}")
        assert len(world.book.load("shop")["low"].standings) <= 4
    assert world.state("wrong") == "firing"


def test_a_fault_in_one_alert_leaves_the_others_alone(world, monkeypatch):
    """What cannot be judged for a fault of ours is an error of that alert, told after a minute, and the others go on."""
    world.watch()
    world.watch(name="faulty")
    judge = verdicts.judge

    def fail(alert, *rest, **more):
        if alert.name == "faulty":
            raise ValueError("a fault")
        return judge(alert, *rest, **more)

    monkeypatch.setattr(verdicts, "judge", fail)
    world.run(10, count=1)
    assert (world.state(), world.state(alert="faulty")) == ("ok", "error")
    assert "ValueError" in world.changes("faulty")[-1].cause.standing.judged.reason


def test_the_bad_window_of_a_short_fault_is_judged_later(world):
    """A day whose end fell into a fault of minutes is judged when that is over, and not left out until the next day."""
    world.watch(window="1d", every="1d", when={"is": "below", "value": 5}, no_data={"for": "3d"})
    midnight = START.replace(hour=0) + timedelta(days=1)
    world.happen(9)
    world.now = midnight - timedelta(seconds=30)
    world.tick(1)
    world.now = midnight + timedelta(days=1) - timedelta(minutes=3)
    world.happen(2)
    world.fails = RequestRefused("query_too_expensive", "The question ran into a limit.")
    world.run(30)
    assert world.state() == "error"
    world.fails = None
    world.run(12)
    assert world.state() == "firing"
    assert world.changes()[-1].cause.standing.judged.value == 2
    assert world.book.load("shop")["low"].watch.missed == 0


@pytest.mark.parametrize("lasting", ["", "1m"])
def test_events_that_are_always_late_begin_one_trouble(world, lasting):
    """Half of each window comes late: it fires once the windows are known for good, also with `for`, and only once."""
    world.watch(when={"is": "above", "value": 8}, delay="1m", **{"for": lasting})
    for _ in range(40):
        world.now += timedelta(seconds=10)
        # Two every ten seconds, half a minute late.
        world.happen(2, at=world.now - timedelta(seconds=35))
        world.tick(0)
    assert [one.after for one in world.changes() if one.after != "pending"] == ["firing"]
    assert world.changes()[-1].cause.standing.judged.value > 8


def test_what_was_left_out_is_counted_once_and_kept(world):
    """While nothing can be judged nothing is missed; afterwards the windows that were left out are counted, told and kept."""
    world.watch()
    world.run(8, count=1)
    world.fails = RequestRefused("store_unavailable", retry_after=5)
    for _ in range(5):
        pulse = world.tick(2000)
        assert pulse.missed == 0
    assert pulse.lag_seconds >= 9_000
    assert world.state(alert=JUDGING.name) == "firing"
    world.fails = None
    pulse = world.tick(0)
    assert pulse.missed == 1000 - MOST_CAUGHT_UP
    watch = world.book.load("shop")["low"].watch
    assert watch.missed == pulse.missed
    # One pause is one gap, though windows in between were judged.
    ((first, last),) = watch.gaps
    assert last - first > timedelta(seconds=10 * 900)
    assert last < watch.judged_until
    # Over is what has been well for five minutes.
    world.run(32, count=1)
    assert world.state(alert=JUDGING.name) == "ok"
    world.tick(10_000)
    assert "left out" in world.changes(JUDGING.name)[-1].cause.standing.judged.reason


def test_our_own_trouble_ends_with_the_last_alert(world):
    """When no alert is left, nothing is late any more."""
    world.watch()
    world.run(8, count=1)
    world.tick(100, world.now)
    assert world.state(alert=JUDGING.name) == "firing"
    world.undefine("alert", "low")
    for _ in range(32):
        world.tick(10, world.now - timedelta(seconds=200))
    assert world.state(alert=JUDGING.name) == "ok"


@pytest.mark.parametrize(("least", "state"), [(None, "ok"), (3, "firing"), (100, "ok")])
def test_an_alert_may_need_fewer_events_than_its_metric(world, least, state):
    """The metric's minimum is for those who say nothing; an alert that says its own is held to that."""
    world.watch(**({} if least is None else {"minimum_sample": least}))
    world.define("metric", {**COUNT, "minimum_sample": 50})
    world.happen(4, at=world.now + timedelta(seconds=5))
    world.tick(10)
    assert world.state() == state


def test_an_alert_of_a_longer_delay_waits_for_itself(world):
    """Two alerts on one figure: what one knows for good after a minute is asked again for the other after ten."""
    world.watch(when={"is": "above", "value": 10}, delay="10m")
    world.watch(name="quick", when={"is": "above", "value": 1000}, delay="10s")
    world.run(8, count=1)
    late = world.now
    world.run(20, count=1)
    world.happen(20, at=late)
    world.run(70, count=1)
    assert "firing" in [one.after for one in world.changes("low")]


def test_nobody_is_let_go_while_nothing_can_be_known(world, monkeypatch):
    """A day of silence, or of errors, ends no trouble: it is the same one until something comes."""
    _absent_is_nothing(monkeypatch)
    world.run(8, count=1, value="Android")
    for fault in (None, RequestRefused("query_too_expensive", "The question ran into a limit.")):
        world.fails = fault
        for _ in range(30):
            world.run(7)
            world.now += timedelta(hours=1)
        assert [one.after for one in world.changes() if one.values].count("ok") == 0


def test_another_definition_leaves_nothing_out(world):
    """Who judges every ten seconds what was judged once a day misses nothing by that."""
    world.watch(window="1d", every="1d", no_data={"for": "3d"})
    world.run(3, count=9)
    world.now += timedelta(hours=5)
    world.watch()
    pulse = world.tick(10)
    assert pulse.missed == 0
    assert pulse.lag_seconds < 60
    assert world.state(alert=JUDGING.name) in (None, "ok")


def test_what_did_not_happen_is_not_asked(world):
    """Windows in which none of a metric's events came need no question, and count as 0 where others came, as no data where not."""
    world.watch(when={"is": "below", "value": 5}, no_data={"for": "5m"})
    world.run(20, count=1)
    asked = world.asked
    world.others = True
    world.run(60)
    # Only those windows that hold an event.
    assert world.asked - asked <= 2 * 6
    assert world.state() == "firing"
    assert world.book.load("shop")["low"].standings[()].judged.value == 0
    world.others = False
    world.run(60)
    assert world.state() == "no data"


def test_a_window_without_late_events_is_asked_once(world):
    """Judged again after its delay, it is as it was; one late event makes it another question."""
    world.watch(when={"is": "below", "value": 5})
    world.run(30, count=1)
    asked = world.asked
    world.run(30, count=1)
    assert world.asked - asked == 30
    world.happen(1, at=world.now - timedelta(seconds=65))
    world.run(6, count=1)
    # Of the windows that are judged again meanwhile, all but the first hold it.
    assert world.asked - asked > 36


def test_what_fails_is_asked_once_a_round(world):
    """While windows cannot be judged for good, one of them is tried in each round, and the others after it."""
    world.watch()
    world.run(8, count=1)
    world.fails = RequestRefused("query_too_expensive", "The question ran into a limit.")
    world.run(60)
    asked = world.asked
    world.run(10)
    assert world.asked - asked <= 4 * 10
    world.fails = None
    world.run(12, count=1)
    watch = world.book.load("shop")["low"].watch
    assert not watch.is_stuck
    assert watch.judged_until - watch.settled_until <= timedelta(minutes=2)


def test_a_project_with_a_fault_says_that_it_is_judged_late(world, monkeypatch):
    """Nothing of it can be judged: after a minute that is told, and over when it is over."""
    world.watch()
    world.run(3, count=9)

    def fail(*_):
        raise OverflowError("a fault")

    with monkeypatch.context() as broken:
        broken.setattr(Watcher, "_judge", fail)
        pulses = [world.tick(10) for _ in range(8)]
    assert pulses[-1].lag_seconds >= 60
    assert world.state(alert=JUDGING.name) == "firing"
    assert world.send() != []
    world.run(40, count=9)
    assert world.state(alert=JUDGING.name) == "ok"


def test_a_definition_that_cannot_be_read_leaves_the_others_alone(world):
    """Judging goes on by the definitions of before, other projects are not touched, and people hear of it."""
    world.watch()
    world.run(3, count=9)
    body = '{"name": "poison", "metric": "seen", "when": {"is": "above", "value": null}, "window": "1m"}'
    world.definitions.change("shop", "ana", [Write("alert", "poison", body, 0)])
    judged = world.book.load("shop")["low"].watch.judged_until
    world.run(12, count=9)
    assert world.book.load("shop")["low"].watch.judged_until > judged
    assert world.state(alert=JUDGING.name) == "firing"
    world.undefine("alert", "poison")
    world.run(40, count=9)
    assert world.state(alert=JUDGING.name) == "ok"
