"""Stories of alerts with a clock of their own: what fires, who is told, and that it is so once, whatever happens between."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tallymark.alerts.notices import RETRY_SECONDS
from tallymark.alerts.own import JUDGING, LOADING, TELLING
from tallymark.alerts.rounds import MOST_CAUGHT_UP
from tallymark.alerts.routing import EVERYBODY
from tallymark.errors import RequestRefused
from tallymark.loader.state import Stall
from tests.alerts.stories import START, World


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    yield made
    made.close()


@pytest.fixture
def steady(world):
    """Give a world in which six events a minute have come for a while, and somebody is told."""
    world.watch()
    world.receiver("pager", "growth")
    world.run(8, count=1)
    world.send()
    world.first = len(world.changes())
    return world


def test_trouble_is_told_once_and_so_is_its_end(steady):
    """One message when it begins, one when it is over, about one trouble, with the figures of those moments."""
    steady.receiver("others", "finance")
    assert steady.run(4) == ["ok", "firing", "firing", "firing"]
    assert steady.send() == [("pager", ["firing"], False)]
    assert steady.send() == []
    assert steady.run(4, count=4)[-1] == "ok"
    assert steady.send() == [("pager", ["ok"], False)]
    begun, ended = steady.changes()[steady.first :]
    assert begun.incident == ended.incident == begun.id
    assert (begun.cause.standing.judged.value, begun.cause.owner) == (4, "growth")
    assert ended.cause.standing.judged.value >= 5


def test_what_came_and_went_unsaid_is_one_message(steady):
    """Who could not be told in time hears of beginning and end together."""
    steady.run(4)
    steady.run(6, count=4)
    assert steady.send() == [("pager", ["firing", "ok"], False)]


def test_silence_is_not_zero(steady):
    """No traffic at all: once the window is empty it is no data and not a figure that is too low; the same trouble goes on."""
    assert steady.run(8)[-1] == "no data"
    states = [one.after for one in steady.changes()[steady.first :]]
    assert states == ["firing", "no data"]
    # Where other events come in, nothing of these is a count of 0.
    steady.watch(name="other", filters=[])
    assert len({one.incident for one in steady.changes()[steady.first :]}) == 1


@pytest.mark.parametrize("restarted", [False, True])
def test_it_has_to_last(world, restarted):
    """With `for` it is pending first; a restart in the middle begins nothing anew."""
    world.watch(**{"for": "30s"})
    world.receiver("pager", "growth")
    world.run(8, count=1)
    world.send()
    states = []
    for _ in range(5):
        states += world.run(1)
        if restarted:
            world.open()
    assert states == ["ok", "pending", "pending", "pending", "firing"]
    assert world.send() == [("pager", ["firing"], False)]
    (pending, firing) = world.changes()[-2:]
    assert firing.at - pending.at == timedelta(seconds=30)


def test_a_round_that_breaks_off_is_done_again(steady, monkeypatch):
    """What was judged and not written is judged again, with the same result: never missed, never twice."""
    steady.run(1)

    def fail(*_):
        raise OSError("the disk is gone")

    monkeypatch.setattr(steady.book, "write", fail)
    assert "OSError" in steady.tick().problems["shop"]
    monkeypatch.undo()
    steady.open()
    steady.tick(1)
    assert steady.state() == "firing"
    assert len(steady.changes()) == steady.first + 1
    assert steady.send() == [("pager", ["firing"], False)]


def test_what_was_being_sent_is_sent_again_as_the_same_message(steady):
    """Ended between sending and noting it, a message goes out once more with the same id, and then never again."""
    steady.run(4)
    (lost,) = steady.notices.claim(steady.now)
    assert steady.notices.claim(steady.now) == []
    assert steady.notices.recover(steady.now) == 1
    (again,) = steady.notices.claim(steady.now)
    assert (again.id, again.attempt) == (lost.id, 2)
    steady.notices.finish(again, "", steady.now)
    assert steady.notices.recover(steady.now) == 0
    assert steady.send() == []


def test_who_cannot_be_told_is_tried_again_then_given_up(steady):
    """Failures wait longer and longer, are to be seen, and end; the same message all the time."""
    steady.run(4)
    change = steady.changes()[-1].id
    for number, pause in enumerate(RETRY_SECONDS, 1):
        (batch,) = steady.notices.claim(steady.now)
        assert batch.attempt == number
        steady.notices.finish(batch, "It said 500.", steady.now)
        (told,) = steady.notices.list_deliveries([change])[change]
        assert (told.status, told.attempts, told.error) == ("waiting", number, "It said 500.")
        assert steady.notices.claim(steady.now + timedelta(seconds=pause - 1)) == []
        steady.now += timedelta(seconds=pause)
    (batch,) = steady.notices.claim(steady.now)
    steady.notices.finish(batch, "It said 500.", steady.now)
    (told,) = steady.notices.list_deliveries([change])[change]
    assert told.status == "failed"
    (receiver,) = steady.receivers.list("shop")
    assert receiver.failing_since is not None
    assert receiver.error == "It said 500."


def test_news_comes_in_its_order(steady):
    """While the beginning waits for its next attempt the end does not overtake it."""
    steady.run(4)
    assert steady.send("refused") == [("pager", ["firing"], False)]
    steady.run(4, count=4)
    assert steady.send() == [("pager", ["firing"], False), ("pager", ["ok"], False)]


def test_each_value_is_an_alert(world):
    """Broken down, only the value in trouble is told, with its name; the others stay as they are."""
    world.watch(breakdown=["attributes.os"])
    world.receiver("pager", "growth")
    for _ in range(8):
        world.happen(1, "iOS", world.now + timedelta(seconds=2))
        world.run(1, count=1, value="Android")
    world.send()
    before = len(world.changes())
    world.run(4, count=1, value="Android")
    assert (world.state("iOS"), world.state("Android")) == ("firing", "ok")
    (change,) = world.changes()[before:]
    assert change.values == ("iOS",)
    assert world.send() == [("pager", ["firing"], False)]


def test_a_value_that_is_not_among_the_largest_is_not_gone(world):
    """Of the largest only so many are watched anew, but whoever is watched already is asked for by name."""
    world.watch(breakdown=["attributes.os"], limit=1)
    for _ in range(8):
        world.run(1, count=1, value="first")
    world.run(10, count=1, value="first")
    for _ in range(8):
        world.happen(1, "first", world.now + timedelta(seconds=2))
        world.run(1, count=3, value="larger")
    assert (world.state("first"), world.state("larger")) == ("ok", "ok")


def test_no_value_at_all_is_no_data(world):
    """Broken down and nothing there: that is said of the alert itself, and ends when the first value comes."""
    world.watch(breakdown=["attributes.os"])
    # What was empty before there was the alert is not told at once.
    assert world.run(2)[-1] == "ok"
    assert world.run(6)[-1] == "no data"
    world.run(8, count=1, value="iOS")
    assert (world.state(), world.state("iOS")) == (None, "ok")


def test_a_short_pause_is_caught_up(steady):
    """After a pause the windows in between are judged: what fell into it is found, and told though it is over."""
    for _ in range(12):
        steady.now += timedelta(seconds=10)
    for _ in range(12):
        steady.now += timedelta(seconds=10)
        steady.happen(2, at=steady.now - timedelta(seconds=5))
    steady.open()
    pulse = steady.tick(0)
    assert pulse.missed == 0
    assert [one.after for one in steady.changes()[steady.first :]] == ["firing", "no data", "firing", "ok"]
    assert steady.send() == [("pager", ["firing", "no data", "firing", "ok"], False)]


def test_a_long_pause_is_marked(steady):
    """Of a long pause so many windows are judged, evenly spread, and the others are counted as missed."""
    steady.open()
    asked = steady.asked
    pulse = steady.tick(10_000)
    assert pulse.missed == 1000 - MOST_CAUGHT_UP
    assert steady.asked - asked <= MOST_CAUGHT_UP + 10
    assert steady.state() == "no data"


def test_what_cannot_be_asked_now_is_asked_later(steady):
    """While the store is away nothing is judged and nothing is said; afterwards all of it is."""
    steady.fails = RequestRefused("store_unavailable", retry_after=5)
    steady.run(5)
    assert steady.state() == "ok"
    assert "shop/low" in steady.tick(0).problems
    steady.fails = None
    steady.tick(1)
    assert steady.state() == "firing"
    assert steady.changes()[steady.first].at == START + timedelta(seconds=100)


def test_what_can_never_be_asked_is_an_error(steady):
    """A question that is refused for good is a state of its own after a minute, told with the reason."""
    steady.fails = RequestRefused("query_too_expensive", "The question ran into a limit.")
    assert steady.run(8)[-1] == "error"
    assert steady.changes()[-1].cause.standing.judged.reason == "The question ran into a limit."
    assert steady.send() == [("pager", ["error"], False)]


def test_a_metric_that_is_gone_is_an_error(steady):
    """An alert whose metric was taken away says so."""
    steady.undefine("metric", "seen")
    steady.run(8, count=1)
    assert steady.state() == "error"
    assert "no metric 'seen'" in steady.changes()[-1].cause.standing.judged.reason


def test_late_events_take_it_back(steady):
    """What fired for want of late events is over once they have come, though no new window says so."""
    steady.run(1)
    steady.run(1)
    assert steady.state() == "firing"
    steady.happen(5, at=steady.now - timedelta(seconds=30))
    steady.run(1, count=1)
    assert steady.state() == "ok"


def test_clocks_that_are_set_back_make_nobody_blind(steady):
    """A clock that was an hour ahead does not keep alerts from being judged for an hour."""
    steady.run(1, count=1)
    steady.tick(3600)
    steady.now -= timedelta(seconds=3600)
    steady.events = []
    steady.run(2)
    assert steady.state() == "no data"
    steady.run(8, count=1)
    assert steady.state() == "ok"


def test_it_is_told_again_while_it_lasts(steady):
    """Every `repeat` it is said that it still is wrong; acknowledged or over, no more."""
    steady.watch(repeat="1m")
    steady.run(4)
    assert steady.send() == [("pager", ["firing"], False)]
    assert steady.run(5, count=0)[-1] in ("firing", "no data")
    steady.send()
    steady.run(6)
    steady.tick(0)
    assert steady.send() == [("pager", ["no data"], True)]
    steady.run(7)
    incident = steady.changes()[-1].incident
    steady.silences.create(
        "shop", "low", "I look at it", "ana", steady.now, steady.now + timedelta(hours=1), incident=incident
    )
    assert steady.send() == []
    steady.run(8, count=1)
    assert steady.send() == [("pager", ["ok"], False)]


def test_a_silence_holds_what_lasts_and_drops_what_passes(steady):
    """While it is silenced nobody is told; afterwards only of what is still wrong."""
    silences = steady.silences
    silences.create("shop", "", "A move", "ana", steady.now, steady.now + timedelta(seconds=60))
    steady.run(3)
    assert steady.send() == []
    assert steady.run(4)[-1] == "no data"
    assert [name for name, _, _ in steady.send()] == ["pager"]
    steady.run(8, count=1)
    steady.send()
    silences.create("shop", "low", "Another move", "ana", steady.now, steady.now + timedelta(seconds=200))
    steady.run(4)
    assert steady.send() == []
    steady.run(8, count=2)
    assert steady.state() == "ok"
    assert steady.send() == []
    steady.run(12, count=2)
    assert steady.send() == []


@pytest.mark.parametrize("how", ["removed", "broken down"])
def test_an_alert_that_is_not_there_any_more_is_over(steady, how):
    """Taken away, or broken down by something else: trouble that was told ends, with the reason."""
    steady.run(4)
    steady.send()
    if how == "removed":
        steady.undefine("alert", "low")
    else:
        steady.watch(breakdown=["attributes.os"])
    steady.tick()
    last = next(one for one in reversed(steady.changes()) if one.values == ())
    assert (last.before, last.after) == ("firing", "ok")
    assert last.cause.standing.judged.reason.startswith("The alert was")
    # What is wrong by the new definition is another trouble, and a message of its own.
    assert steady.send()[0] == ("pager", ["ok"], False)


def test_judging_late_is_an_alarm(steady):
    """Events that are on the disk and not in the store let nothing be judged: that is told to all, and its end."""
    steady.receiver("office", EVERYBODY)
    complete = steady.now
    for _ in range(8):
        steady.tick(10, complete)
    assert steady.state() == "ok"
    assert steady.state(alert=JUDGING.name) == "firing"
    assert sorted(steady.send()) == [("office", ["firing"], False), ("pager", ["firing"], False)]
    steady.run(32, count=6)
    assert steady.state(alert=JUDGING.name) == "ok"


def test_a_loader_that_stands_still_is_an_alarm(steady):
    """That nothing is stored any more is told, with the loader's last error, to people of every project; and its end."""
    stall = Stall(121.0, "Nothing was stored for 121 s. Too many partitions.")
    steady.tick(10, stall=stall)
    assert steady.state(alert=LOADING.name) == "firing"
    last = next(one for one in reversed(steady.changes(LOADING.name)))
    assert last.cause.standing.judged.reason == stall.reason
    assert steady.send() == [("pager", ["firing"], False)]
    steady.run(32, count=6)
    assert steady.state(alert=LOADING.name) == "ok"


def test_a_project_without_alerts_is_told_of_a_loader_that_stands_still(world):
    """Who watches nothing still wants to know that nothing is stored."""
    world.tick(10, stall=Stall(100.0))
    assert world.state(alert=LOADING.name) is None
    world.tick(10, stall=Stall(121.0, "Nothing was stored."))
    assert world.state(alert=LOADING.name) == "firing"


def test_a_receiver_that_fails_is_an_alarm_for_the_others(steady):
    """Whoever cannot be told for ten minutes is told of to all others, not to itself."""
    steady.receiver("office", "finance")
    steady.run(4)
    assert steady.send("It said 500.") == [("pager", ["firing"], False)]
    steady.run(62)
    assert steady.state("pager", TELLING.name) == "firing"
    sent = steady.send("")
    assert ("office", ["firing"], False) in sent
    assert sum(1 for name, states, _ in sent if name == "pager" and states == ["firing"]) <= 1


def test_alerts_that_share_a_question_ask_it_once(world):
    """Fifty alerts on one metric and one window cost the store one question a round, and one for the late events."""
    world.define("metric", {"kind": "count", "name": "seen", "event_name": "seen"})
    for number in range(50):
        world.watch(name=f"low{number}", when={"is": "below", "value": number})
    world.run(10, count=1)
    asked = world.asked
    world.tick()
    assert world.asked - asked <= 2


def test_what_alerts_did_is_forgotten_after_long(steady):
    """Old changes go with who was told of them; those of trouble that is not over stay, and so does how alerts stand."""
    steady.run(4)
    steady.send()
    steady.run(4, count=4)
    steady.send()
    old = len(steady.changes())
    steady.now += timedelta(days=2)
    steady.run(8)
    steady.send()
    present = steady.book.load("shop")["low"].watch.incident
    assert present
    assert steady.book.prune(steady.now + timedelta(days=1)) >= old
    assert {one.incident for one in steady.changes()} == {present}
    assert steady.run(8, count=4)[-1] == "ok"
    assert steady.send()[-1][1][-1] == "ok"
