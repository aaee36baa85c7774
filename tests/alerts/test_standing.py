"""States follow from rows of verdicts: how long they last decides, and who judges again comes to the same."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark.alerts.conditions import Judged
from tallymark.alerts.standing import OPEN, Standing, advance, amend
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


def test_late_events_take_a_verdict_back():
    """A window that was met for want of late events, and is not after all, ends what it began."""
    one = alert()
    _, standing = run(one, ".m")
    assert standing.state == "firing"
    assert amend(standing, Judged(verdict="not met"), end(2), end(2), one).state == "ok"
    # With a later window that meets it, too, it goes on from there.
    _, standing = run(one, ".mm")
    amended = amend(standing, Judged(verdict="not met"), end(2), end(3), one)
    assert (amended.state, amended.met_since) == ("firing", end(3))


def test_late_events_bring_a_verdict():
    """A window that is met once its late events have come fires, though it was not met when it ended."""
    _, standing = run(alert(), "...")
    assert amend(standing, Judged(verdict="met"), end(3), end(3), alert()).state == "firing"
    # Where it has to last, one window alone is not enough, and one before a row makes the row longer.
    one = alert(lasting="20s")
    assert amend(standing, Judged(verdict="met"), end(3), end(3), one).state == "ok"
    _, standing = run(one, "..mm")
    assert standing.state == "pending"
    assert amend(standing, Judged(verdict="met"), end(2), end(4), one).state == "firing"


def test_late_events_end_a_silence():
    """Where events came late it was no silence."""
    _, standing = run(alert(), ".0")
    assert standing.state == "no data"
    assert amend(standing, Judged(verdict="not met"), end(2), end(2), alert()).state == "ok"


@given(st.text("m.f0e", max_size=40), st.sampled_from(["", "20s", "1m"]), st.sampled_from(["1m", "90s"]))
def test_what_is_judged_again_alike_changes_nothing(verdicts, lasting, empty):
    """Judging the last window again with the same verdict is the same as having judged it once; open states know their beginning."""
    one = alert(lasting=lasting, no_data=NoData(after=empty))
    _, standing = run(one, verdicts)
    assert (standing.opened is not None) == (standing.state in OPEN)
    if verdicts:
        again = Judged(verdict=WORDS[verdicts[-1]])
        last = end(len(verdicts))
        assert amend(standing, again, last, last, one).state == standing.state
        assert advance(standing, again, last, one).state == standing.state


@given(st.text("m.", min_size=1, max_size=30), st.sampled_from(["", "20s", "1m"]))
def test_it_fires_only_after_an_unbroken_row(verdicts, lasting):
    """Whatever came before, an alert fires after as many met windows as `for` says, and not before."""
    one = alert(lasting=lasting)
    needed = one.lasting_seconds // 10 + 1
    states, _ = run(one, verdicts)
    row = len(verdicts) - len(verdicts.rstrip("m"))
    assert (states[-1] == "firing") == (row >= needed)
