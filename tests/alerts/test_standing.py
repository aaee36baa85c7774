"""States follow from rows of verdicts: how long they last decides, and who judges again comes to the same."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark.alerts.conditions import Judged
from tallymark.alerts.standing import OPEN, Standing, advance, settle, step_back
from tallymark.plan.kinds.alert import Alert, Below, NoData

START = datetime(2026, 1, 1, tzinfo=UTC)
WORDS = {"m": "met", ".": "not met", "f": "too few", "0": "no data", "e": "error"}


def alert(**more):
    """Return an alert whose windows of a minute end every ten seconds."""
    return Alert(name="a", metric="m", when=Below(value=1.0), window="1m", every="10s", **more)


def end(number):
    return START + timedelta(seconds=10 * number)


def run(one, verdicts, standing=None, first=1):
    """Advance through verdicts, a letter for each; returns the state after each and the last standing."""
    standing = standing or Standing(since=START, seen=START)
    states = []
    for number, letter in enumerate(verdicts, first):
        standing = advance(standing, Judged(verdict=WORDS[letter]), end(number), one)
        states.append(standing.state)
    return states, standing


@pytest.mark.parametrize(
    ("more", "verdicts", "states"),
    [
        ({}, ".m.", ["ok", "firing", "ok"]),
        ({"lasting": "20s"}, "mmmm.", ["pending", "pending", "firing", "firing", "ok"]),
        ({"lasting": "20s"}, "mm.mmm", ["pending", "pending", "ok", "pending", "pending", "firing"]),
        # Too few events: no reason to wake anybody, and no reason to say that it is over.
        ({"lasting": "20s"}, "mfmm", ["pending", "ok", "pending", "pending"]),
        ({}, "mfm", ["firing", "firing", "firing"]),
        # Nothing in a window of a minute: nothing for a minute.
        ({}, ".0", ["ok", "no data"]),
        ({}, "m0m", ["firing", "no data", "firing"]),
        ({"no_data": NoData(after="80s")}, "0000.", ["ok", "ok", "no data", "no data", "ok"]),
        ({"no_data": NoData(after="80s")}, "m000", ["firing", "firing", "firing", "no data"]),
        # A question that fails now and then is no error, one that fails for a minute is.
        ({}, "e.", ["ok", "ok"]),
        ({}, "eeeeeee.", [*["ok"] * 6, "error", "ok"]),
        ({}, "meeeeeeem", [*["firing"] * 7, "error", "firing"]),
    ],
)
def test_states_follow_from_rows_of_verdicts(more, verdicts, states):
    """What lasts long enough changes the state; what is interrupted begins anew."""
    assert run(alert(**more), verdicts)[0] == states


def test_trouble_is_one_until_all_is_well():
    """From firing over no data and errors back to firing it is one trouble, with one beginning."""
    one = alert()
    opened = []
    standing = None
    for number, letter in enumerate("m0meeeeeeem.m", 1):
        _, standing = run(one, letter, standing, number)
        opened.append(standing.opened)
    assert set(opened[:11]) == {end(1)}
    assert opened[11:] == [None, end(13)]


def judged(letter):
    return Judged(verdict=WORDS[letter])


def run_late(one, fresh, sure, behind=6):
    """Judge windows as they end by `fresh`, and `behind` windows later for good by `sure`; returns the states."""
    standing = Standing(since=START, seen=START)
    states = []
    for number, letter in enumerate(fresh, 1):
        standing = advance(standing, judged(letter), end(number), one)
        if number > behind:
            settled = number - behind
            standing = settle(standing, judged(sure[settled - 1]), end(settled), end(number), one)
        states.append(standing.state)
    return states


def test_late_events_take_a_verdict_back():
    """The newest window, met for want of late events, and not after all, ends what it began."""
    one = alert()
    _, standing = run(one, ".m")
    assert standing.state == "firing"
    assert settle(standing, judged("."), end(2), end(2), one).state == "ok"
    # A later window that meets it, too, holds it.
    _, standing = run(one, ".mm")
    assert settle(standing, judged("."), end(2), end(3), one).state == "firing"


def test_late_events_bring_a_verdict():
    """A window that is met once its late events have come fires, though it was not met when it ended."""
    _, standing = run(alert(), "...")
    assert settle(standing, judged("m"), end(3), end(3), alert()).state == "firing"
    assert settle(standing, judged("m"), end(2), end(3), alert()).state == "firing"


def test_late_events_end_a_silence():
    """Where events came late it was no silence."""
    _, standing = run(alert(), ".0")
    assert standing.state == "no data"
    assert settle(standing, judged("."), end(2), end(2), alert()).state == "ok"


@pytest.mark.parametrize("lasting", ["", "1m"])
def test_events_that_are_always_late_are_one_trouble(lasting):
    """What only windows with their late events show begins once, also with `for`, and ends once they are well."""
    states = run_late(alert(lasting=lasting), "." * 60, "m" * 30 + "." * 30)
    changes = [state for before, state in zip(["ok", *states], states, strict=False) if before != state]
    assert changes == ["firing", "ok"]
    assert states.index("firing") == 6 + one_more(lasting)
    assert states[::-1].index("firing") == 60 - 36


def one_more(lasting):
    return 6 if lasting else 0


def test_a_window_without_late_events_does_not_end_what_those_show():
    """One window that is met at once in between leaves the trouble to the late events that showed it."""
    fresh = "." * 30 + "m" + "." * 29
    states = run_late(alert(), fresh, "m" * 60)
    assert set(states[6:]) == {"firing"}


def test_what_windows_show_at_once_ends_at_once():
    """In order, trouble ends with the first window that is well; what is judged for good later begins nothing anew."""
    verdicts = "...mmmmmmmmm" + "." * 20
    assert run_late(alert(), verdicts, verdicts) == run(alert(), verdicts)[0]
    short = "....m" + "." * 20
    assert run_late(alert(), short, short) == run(alert(), short)[0]


def test_the_figures_of_a_change_are_those_that_caused_it():
    """A trouble that late events brought says their figures, not those of the last window."""
    _, standing = run(alert(), "...")
    late = Judged(verdict="met", value=12.0)
    assert settle(standing, late, end(2), end(3), alert()).judged == late


def test_it_is_over_when_it_was_well_for_long_enough():
    """With keep_firing a trouble that comes back soon is the same one."""
    one = alert(keep_firing="30s")
    assert run(one, "m.m...m....")[0] == [*["firing"] * 10, "ok"]
    assert run(one, "m.m....")[0] == [*["firing"] * 6, "ok"]
    # What is met again, or cannot be judged, is not well.
    slow = alert(keep_firing="30s", lasting="30s")
    assert set(run(slow, "mmmm.mmmmmmmm")[0][3:]) == {"firing"}
    assert run(one, "m.eee...")[0][-1] == "firing"
    assert run(one, "m.fff")[0][-1] == "firing"


@pytest.mark.parametrize(
    ("more", "verdicts", "states"),
    [
        # From no data back to events that are wrong: it is the same trouble until that is decided.
        ({"lasting": "20s"}, ".0mmm", ["ok", "no data", "no data", "no data", "firing"]),
        ({"lasting": "20s"}, ".0m.", ["ok", "no data", "no data", "ok"]),
        # Any event ends a trouble of no data.
        ({}, ".0f", ["ok", "no data", "ok"]),
        # Firing with too few events to judge is not for ever.
        ({}, "mfffffff", [*["firing"] * 7, "ok"]),
        # From firing over no data to too few events: not known to be over.
        ({}, "m0f", ["firing", "no data", "firing"]),
    ],
)
def test_no_data_and_too_few(more, verdicts, states):
    """Silence ends with the first event, and what cannot be known any more is over after a while."""
    assert run(alert(**more), verdicts)[0] == states


def test_a_clock_that_is_set_back_leaves_nothing_in_the_future():
    """Every time of a standing is at most the newest window's end, so that rows go on from there."""
    _, standing = run(alert(lasting="1m"), "...mmm")
    back = step_back(standing, end(1))
    assert back.fresh.met_since == back.since == end(1)
    after = advance(back, judged("m"), end(8), alert(lasting="1m"))
    assert after.state == "firing"


@given(st.text("m.f0e", max_size=40), st.sampled_from(["", "20s", "1m"]), st.sampled_from(["1m", "90s"]))
def test_what_is_judged_again_alike_changes_nothing(verdicts, lasting, empty):
    """Judging the last window again with the same verdict is the same as having judged it once; open states know their beginning."""
    one = alert(lasting=lasting, no_data=NoData(after=empty))
    _, standing = run(one, verdicts)
    assert (standing.opened is not None) == (standing.state in OPEN)
    if verdicts:
        last = end(len(verdicts))
        assert advance(standing, judged(verdicts[-1]), last, one).state == standing.state


@given(st.text("m.f0e", min_size=1, max_size=40), st.sampled_from(["", "20s", "1m"]), st.integers(1, 8))
def test_the_same_verdicts_later_change_nothing_for_long(verdicts, lasting, behind):
    """Where late events change no verdict, both ways of judging end in the same state."""
    calm = verdicts + "." * (behind + 8)
    assert run_late(alert(lasting=lasting), calm, calm, behind)[-1] == "ok"


@given(st.text("m.", min_size=1, max_size=30), st.sampled_from(["", "20s", "1m"]))
def test_it_fires_only_after_an_unbroken_row(verdicts, lasting):
    """Whatever came before, an alert fires after as many met windows as `for` says, and not before."""
    one = alert(lasting=lasting)
    needed = one.lasting_seconds // 10 + 1
    states, _ = run(one, verdicts)
    row = len(verdicts) - len(verdicts.rstrip("m"))
    assert (states[-1] == "firing") == (row >= needed)
