"""Verdicts: what meets a condition, what chance explains, and what nobody can tell."""

from __future__ import annotations

import math
from typing import get_args

import pytest

from tallymark.alerts import conditions, words
from tallymark.alerts.conditions import judge
from tallymark.metrics.figures import NOTHING, Figure
from tallymark.plan.kinds.alert import Above, Alert, Below, Condition, Falls, Rises, Unusual
from tallymark.plan.kinds.metric import Count, Formula, Rate, Sum
from tallymark.queries.kinds.ratio import wilson_interval
from tallymark.queries.question import Selection

COUNT = Count(name="m", event_name="seen")
SHARE = Rate(name="m", numerator=Selection(event_name="done"), denominator=Selection(event_name="begun"))


def alert(when, **more):
    return Alert(name="a", metric="m", when=when, window="1h", **more)


def count(value):
    return Figure(value, value)


def share(through, n):
    return Figure(through / n if n else None, n, *(wilson_interval(through, n) if n else (None, None)))


@pytest.mark.parametrize(
    ("when", "value", "verdict"),
    [(Below(value=5), 4, "met"), (Below(value=5), 5, "not met"), (Above(value=5), 6, "met"), (Above(value=5), 5, "not met")],
)  # fmt: skip
def test_a_value(when, value, verdict):
    """Below and above mean what they say; the value itself is neither."""
    found = judge(alert(when), COUNT, count(value), [])
    assert (found.verdict, found.normal) == (verdict, 5)


@pytest.mark.parametrize(
    ("when", "before", "now", "verdict"),
    [
        (Falls(percent=20), 100, 80, "met"),
        (Falls(percent=20), 100, 81, "not met"),
        (Falls(percent=20), 100, 130, "not met"),
        (Falls(by=30), 100, 70, "met"),
        (Rises(percent=50), 100, 150, "met"),
        (Rises(percent=50), 100, 149, "not met"),
        (Rises(percent=50), 0, 149, "not met"),
        (Rises(by=10), 0, 10, "met"),
    ],
)
def test_a_change(when, before, now, verdict):
    """A change is held against the earlier window, in percent of it or as a difference; of 0 no percentage can be told."""
    found = judge(alert(when), COUNT, count(now), [count(before)])
    assert (found.verdict, found.normal) == (verdict, before)


def test_a_change_that_chance_explains_wakes_nobody():
    """A fall by half of a few is no news; the same fall of many is."""
    when = alert(Falls(percent=15))
    few = judge(when, SHARE, share(5, 8), [share(8, 9)])
    assert few.verdict == "not met"
    assert "chance" in few.reason
    assert judge(when, SHARE, share(500, 800), [share(800, 900)]).verdict == "met"


def test_nothing_to_compare_with_is_said():
    """Without an earlier figure a change cannot be told, and the verdict says why."""
    found = judge(alert(Falls(percent=20)), COUNT, count(5), [NOTHING])
    assert found.verdict == "not met"
    assert "no figure in the same window last week" in found.reason


@pytest.mark.parametrize(
    ("value", "side", "verdict"),
    [
        (100, "both", "not met"),
        (20, "both", "met"),
        (20, "above", "not met"),
        (20, "below", "met"),
        (900, "above", "met"),
    ],
)
def test_what_is_unusual(value, side, verdict):
    """The band comes from the same window of the weeks before, and the verdict says from how many."""
    history = [count(one) for one in (100, 104, 97, 99, 103, 101)]
    found = judge(alert(Unusual(side=side)), COUNT, count(value), [*history, NOTHING, NOTHING])
    assert (found.verdict, found.weeks) == (verdict, 6)
    assert found.usual_low < 100 < found.usual_high


def test_too_few_weeks_are_no_band():
    """What nobody has seen often enough cannot be unusual."""
    found = judge(alert(Unusual()), COUNT, count(0), [count(100)] * 3)
    assert (found.verdict, found.weeks) == ("not met", 3)
    assert "Only 3 of the weeks" in found.reason


def test_too_few_events_are_no_verdict():
    """Below the minimum sample, the alert's own before the metric's, nothing is said."""
    metric = Rate(name="m", numerator=SHARE.numerator, denominator=SHARE.denominator, minimum_sample=50)
    assert judge(alert(Below(value=0.9)), metric, share(10, 40), []).verdict == "too few"
    assert judge(alert(Below(value=0.9), minimum_sample=30), metric, share(10, 40), []).verdict == "met"


@pytest.mark.parametrize(
    ("metric", "least", "n", "parts_have", "verdict", "reason"),
    [
        # The metric's own minimum of 15, and those of its parts.
        (Formula(name="m", expression="1 - a", minimum_sample=15), None, 20, True, "met", ""),
        (Formula(name="m", expression="1 - a", minimum_sample=15), None, 20, False, "too few", "A part has fewer events than its own minimum."),
        (Formula(name="m", expression="1 - a", minimum_sample=15), None, 14, True, "too few", "A part has fewer than 15 events."),
        # The alert's minimum holds instead of them all.
        (Formula(name="m", expression="1 - a", minimum_sample=15), 10, 10, False, "met", ""),
        (Formula(name="m", expression="1 - a", minimum_sample=15), 10, 9, False, "too few", "A part has fewer than 10 events."),
        (Formula(name="m", expression="1 - a", minimum_sample=15), 0, 0, False, "met", ""),
        # What n is of.
        (Count(name="m", event_name="a", minimum_sample=15), None, 14, True, "too few", "Fewer than 15 events."),
        (Sum(name="m", event_name="a", field="sketch"), 15, 14, True, "too few", "Fewer than 15 values."),
    ],
)  # fmt: skip
def test_whose_minimum_it_is_that_there_are_too_few_for(metric, least, n, parts_have, verdict, reason):
    """The alert's minimum replaces those of a formula and of its parts; the reason names the minimum that was not reached."""
    figure = Figure(0.5, n, enough=parts_have)
    found = judge(alert(Below(value=0.9), minimum_sample=least), metric, figure, [])
    assert (found.verdict, found.reason) == (verdict, reason)


def test_an_earlier_window_is_held_to_the_same_minimum():
    """What an alert compares with needs as many events as what it judges, whatever a part's minimum is."""
    metric = Formula(name="m", expression="1 - a")
    now, before = Figure(0.5, 20, enough=False), Figure(1.0, 20, enough=False)
    when = Falls(percent=20)
    assert judge(alert(when, minimum_sample=10), metric, now, [before]).verdict == "met"
    assert judge(alert(when, minimum_sample=10), metric, now, [Figure(1.0, 9)]).verdict == "not met"


@pytest.mark.parametrize(
    ("figure", "quiet", "verdict"),
    [
        (share(0, 0), False, "no data"),
        (count(0), False, "met"),
        (count(0), True, "no data"),
        (Figure(0.5, 0), True, "met"),
    ],
)
def test_nothing_is_not_zero(figure, quiet, verdict):
    """A count of 0 beside other events is a figure, in a silent project it is no data; a share of nothing never is a figure."""
    assert judge(alert(Below(value=1), minimum_sample=0), COUNT, figure, [], quiet=quiet).verdict == verdict


@pytest.mark.parametrize(
    ("metric", "quiet", "reason"),
    [
        (
            Formula(name="m", expression="a / b"),
            False,
            "A part has no figure, or there is a division by zero.",
        ),
        (Formula(name="m", expression="a - b"), False, "A part has no figure."),
        (Formula(name="m", expression="a / b"), True, ""),
        (SHARE, False, ""),
    ],
)
def test_no_figure_is_not_always_no_events(metric, quiet, reason):
    """A formula may have no figure although events came, and the verdict says why; in a silent project no events is the reason."""
    found = judge(alert(Below(value=1)), metric, NOTHING, [], quiet=quiet)
    assert (found.verdict, found.quiet, found.reason) == ("no data", quiet, reason)


def test_rounding_is_no_change():
    """A change of exactly so much is met, though its difference as floating point is a hair less."""
    found = judge(alert(Falls(by=0.2)), SHARE, Figure(0.6, None), [Figure(0.8, None)])
    assert found.verdict == "met"
    assert math.isclose(found.normal, 0.8)


def test_every_condition_can_be_judged_and_told():
    """A new one fails here, and not when somebody is to be woken."""
    assert set(get_args(Condition)) == set(conditions._JUDGES) == set(words._WORDS)
