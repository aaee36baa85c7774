"""What never had data stands as no data, and a project that falls silent is told once, whatever alerts watch it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tallymark.alerts.links import build_links
from tallymark.alerts.messages import build_message
from tallymark.alerts.standing import find_shown, show_standing
from tallymark.alerts.words import write_judged
from tests.alerts.stories import START, World

DAY = timedelta(days=1)


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    yield made
    made.close()


def watch_all(world, **windows):
    """Watch the metric by several alerts that never fire, each over another window."""
    for name, window in windows.items():
        world.watch(name=name, window=window, when={"is": "above", "value": 1000}, delay="1s")


def shown(world, alert="low"):
    kept = world.book.load("shop")[alert]
    return {values: find_shown(one) for values, one in kept.standings.items()}


def send(world):
    """Send what is due; returns the messages."""
    found = []
    for batch in world.notices.claim(world.now):
        world.notices.finish(batch, "", world.now)
        found.append(build_message(batch, build_links(batch, "https://t", b"secret", world.now), world.now))
    return found


def pass_time(world, ticks, count=0):
    """Let so many times ten seconds pass, and tell after each; returns the titles of messages."""
    titles = []
    for _ in range(ticks):
        world.happen(count, at=world.now + timedelta(seconds=5))
        world.tick(10)
        titles += [one.title for one in send(world)]
    return titles


# What never had data


@pytest.mark.parametrize("others", [False, True])
@pytest.mark.parametrize("breakdown", [[], ["os"]])
def test_what_never_had_data_is_no_data(world, others, breakdown):
    """Before its first event an alert stands as no data: also one that a count of 0 beside other events would call well."""
    world.others = others
    world.watch(when={"is": "above", "value": 5}, breakdown=breakdown)
    for _ in range(3):
        world.tick()
        assert set(shown(world).values()) == {"no data"}
        assert world.book.list_never("shop") == {"low"}
    assert world.changes() == []


def test_it_is_told_after_a_while_and_not_at_once(world):
    """A project that never sent anything: nobody is told before `no_data.for` has passed, and then once."""
    world.receiver("pager", "growth")
    world.watch(when={"is": "above", "value": 5}, no_data={"for": "2m"})
    assert pass_time(world, 11) == []
    assert set(shown(world).values()) == {"no data"}
    assert len(pass_time(world, 30)) == 1
    assert world.book.list_never("shop") == set()


def test_the_first_event_ends_it_without_a_word(world):
    """Whoever was not told that there was nothing is not told that there is something."""
    world.receiver("pager", "growth")
    world.watch(when={"is": "above", "value": 1000}, no_data={"for": "1h"})
    assert pass_time(world, 6) == []
    assert pass_time(world, 6, count=1) == []
    assert set(shown(world).values()) == {"ok"}
    # What had data once, and has none in one window, is not what never had any.
    world.others = True
    assert pass_time(world, 8) == []
    assert set(shown(world).values()) == {"ok"}


def test_data_before_the_alert_counts(world):
    """A metric that had events last week has data: a new alert on it stands as ok while there are none beside others."""
    world.others = True
    world.happen(3, at=START - 7 * DAY)
    world.watch(when={"is": "above", "value": 5})
    world.tick()
    assert set(shown(world).values()) == {"ok"}
    assert world.book.list_never("shop") == set()


# What had fallen silent before it was watched


DAILY = {"when": {"is": "above", "value": 5}, "window": "1d", "every": "1d"}


def test_what_fell_silent_before_it_was_watched_is_no_data(world):
    """A metric without events for a month: a new alert stands as no data from its first window on, and is told a window later."""
    world.receiver("pager", "growth")
    world.happen(3, at=START - 34 * DAY)
    world.watch(**DAILY)
    world.tick()
    kept = world.book.load("shop")["low"].standings[()]
    seen = show_standing(kept)
    assert (kept.judged.verdict, seen.state, seen.judged.verdict) == ("no data", "no data", "no data")
    assert world.book.list_never("shop") == {"low"}
    assert send(world) == []
    world.now += DAY
    world.tick()
    # It is not told as if there never had been any.
    assert [one.title for one in send(world)] == ["Warning: low: no data: the whole project is silent"]
    assert world.state() == "no data"
    world.happen(1)
    world.now += DAY
    world.tick()
    assert set(shown(world).values()) == {"ok"}


def test_an_event_ends_what_was_silent_before(world):
    """From the first event on silence is counted anew: within `no_data.for` it is ok, also without any event."""
    world.happen(3, at=START - 34 * DAY)
    world.watch(when={"is": "above", "value": 1000}, no_data={"for": "10m"})
    world.tick()
    assert set(shown(world).values()) == {"no data"}
    pass_time(world, 1, count=1)
    assert set(shown(world).values()) == {"ok"}
    pass_time(world, 12)
    kept = world.book.load("shop")["low"].standings[()]
    assert (kept.judged.verdict, find_shown(kept)) == ("no data", "ok")


@pytest.mark.parametrize(("age", "state"), [(timedelta(minutes=30), "ok"), (timedelta(hours=2), "no data")])
def test_before_the_watch_silence_counts_from_no_data_for_on(world, age, state):
    """A new alert with an empty window is ok where there was data within `no_data.for`, and no data where there was none."""
    world.happen(3, at=START - age)
    world.watch(when={"is": "above", "value": 1000}, no_data={"for": "1h"})
    world.tick()
    assert set(shown(world).values()) == {state}


def test_a_restart_keeps_what_was_silent_before(world):
    """What is shown of a new alert stays after a restart."""
    world.happen(3, at=START - 34 * DAY)
    world.watch(when={"is": "above", "value": 1000}, no_data={"for": "1h"})
    world.tick()
    world.open()
    world.tick(30)
    assert set(shown(world).values()) == {"no data"}


# What never had data, in a project that falls silent


NEVER = {"kind": "count", "name": "never", "event_name": "never", "owner": "growth"}
NEVER_MEAN = {"kind": "average", "name": "never", "event_name": "never", "owner": "growth"}


@pytest.mark.parametrize("metric", [NEVER, NEVER_MEAN])
@pytest.mark.parametrize("when", [{"is": "above", "value": 5}, {"is": "below", "value": 5}])
def test_what_never_had_data_does_not_fall_silent(world, metric, when):
    """A project falls silent: the message names the alerts that had data, and none of those that never had any."""
    world.receiver("pager", "growth")
    world.define("metric", metric)
    watch_all(world, first="1m", second="1m")
    world.watch(name="unseen", metric="never", when=when, window="1m", no_data={"for": "10m"})
    pass_time(world, 30, count=1)
    before = world.state(alert="unseen")
    titles = pass_time(world, 60)
    assert "Warning: The project shop is silent: no data for 2 alerts: first and second" in titles
    assert [one for one in titles if "unseen" in one] == []
    if metric is NEVER:
        # What a count of 0 meant while others sent it means still.
        assert world.state(alert="unseen") == before
    # With the project's events what still has none is told.
    later = ["Warning: unseen: no data: there never was any"] if metric is NEVER_MEAN else []
    assert pass_time(world, 12, count=1) == [*later, "Over: first", "Over: second"]


def test_what_never_had_data_hides_no_silence(world):
    """Whoever was told long ago that an alert never had data has not heard that the project fell silent since."""
    world.receiver("pager", "growth")
    world.define("metric", NEVER_MEAN)
    world.watch(name="unseen", metric="never", no_data={"for": "2m"})
    assert pass_time(world, 20, count=1) == ["Warning: unseen: no data: there never was any"]
    world.watch(name="first", when={"is": "above", "value": 1000})
    assert pass_time(world, 20, count=1) == []
    assert pass_time(world, 60) == ["Warning: first: no data: the whole project is silent"]


def test_a_project_that_never_sent_is_one_message(world):
    """Several alerts of a project that never sent anything are told once, and not as if it had fallen silent."""
    world.receiver("pager", "growth")
    watch_all(world, first="1m", second="1m", third="90s")
    titles = pass_time(world, 60)
    assert titles == ["Warning: 2 alerts never had any data: first and second"]


@pytest.mark.parametrize("others", [False, True])
def test_the_verdict_shown_is_that_of_the_state(world, others):
    """Where people see the state no data they see that verdict beside it, and no figure that was held against a limit."""
    world.others = others
    world.watch(when={"is": "above", "value": 5})
    world.tick()
    kept = world.book.load("shop")["low"].standings[()]
    seen = show_standing(kept)
    assert (seen.state, seen.judged.verdict) == ("no data", "no data")
    alert = world.watcher._projects["shop"].alerts["low"]
    assert write_judged(alert, seen.judged).startswith("no events")
    # From the first event on both are those of the figure.
    world.happen(1)
    world.tick()
    kept = world.book.load("shop")["low"].standings[()]
    assert show_standing(kept) is kept
    assert (kept.state, kept.judged.verdict) == ("ok", "not met")


# A project that falls silent


def test_a_silent_project_is_one_message(world):
    """Three alerts over windows of 30, 60 and 90 seconds notice within a minute of each other; people hear of it once."""
    world.receiver("pager", "growth")
    watch_all(world, first="30s", second="1m", third="90s")
    assert pass_time(world, 15, count=1) == []
    titles = pass_time(world, 30)
    assert len(titles) == 1
    assert "silent" in titles[0]
    assert [world.state(alert=name) for name in ("first", "second", "third")] == ["no data"] * 3


def test_who_notice_at_once_are_one_message(world):
    """Alerts over the same window are one message that names them."""
    world.receiver("pager", "growth")
    watch_all(world, first="1m", second="1m")
    pass_time(world, 15, count=1)
    assert pass_time(world, 30) == [
        "Warning: The project shop is silent: no data for 2 alerts: first and second"
    ]


def test_its_end_is_told_once_and_nothing_in_between(world):
    """When events come again those who heard of the silence hear of its end; alerts of which nothing was told end unsaid."""
    world.receiver("pager", "growth")
    watch_all(world, first="30s", second="1m", third="90s")
    pass_time(world, 15, count=1)
    assert len(pass_time(world, 30)) == 1
    titles = pass_time(world, 30, count=1)
    assert [title.partition(":")[0] for title in titles] == ["Over"]
    for name in ("first", "second", "third"):
        assert [one.after for one in world.changes(name)] == ["no data", "ok"]
    # The next silence is another one, and told as well.
    assert len(pass_time(world, 30)) == 1


def test_a_long_silence_is_repeated_by_one(world):
    """That it still is so is said once in four hours, and not by each of the alerts."""
    world.receiver("pager", "growth")
    watch_all(world, first="1m", second="1m", third="90s")
    pass_time(world, 15, count=1)
    assert len(pass_time(world, 30)) == 1
    world.now += timedelta(hours=4, minutes=1)
    titles = [title for title in pass_time(world, 12) if "judged late" not in title]
    assert titles == ["Warning: first: still no data: the whole project is silent"]


def test_a_silenced_alert_is_told_when_its_silence_ends(world):
    """Held back by a silence of its own, an alert is told afterwards: nobody heard of it by another one."""
    world.receiver("pager", "growth")
    watch_all(world, first="1m")
    pass_time(world, 15, count=1)
    world.silences.create("shop", "first", "a move", "ana", world.now, world.now + timedelta(minutes=5))
    assert pass_time(world, 18) == []
    assert len(pass_time(world, 30)) == 1


def test_one_value_alone_is_no_silent_project(world):
    """The count of a value that stays away beside others is 0, which is a figure: nobody is told of a silence."""
    world.receiver("pager", "growth")
    world.watch(breakdown=["os"], when={"is": "above", "value": 1000}, no_data={"for": "1m"})
    for _ in range(70):
        world.happen(1, "iOS", world.now + timedelta(seconds=5))
        world.happen(1, "web", world.now + timedelta(seconds=5))
        world.tick(10)
    assert send(world) == []
    titles = []
    for _ in range(12):
        world.happen(1, "web", world.now + timedelta(seconds=5))
        world.tick(10)
        titles += [one.title for one in send(world)]
    assert shown(world)["iOS",] == "ok"
    assert world.book.load("shop")["low"].standings["iOS",].judged.value == 0
    assert titles == []


def test_while_the_store_is_behind_nothing_is_silent(world):
    """Windows are judged when their events are stored: a loader that is behind makes no silence."""
    world.receiver("pager", "growth")
    watch_all(world, first="30s", second="1m")
    pass_time(world, 15, count=1)
    behind = world.now
    for _ in range(30):
        world.now += timedelta(seconds=10)
        world.watcher.tick(world.now, behind)
        assert [one for one in send(world) if "no data" in one.title] == []
    assert {world.state(alert=name) for name in ("first", "second")} == {"ok"}
