"""Which times are judged: on a grid that no restart moves, in days that follow the calendar."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tallymark.alerts.windows import find_last_end, find_window, list_ends, shift_window
from tallymark.plan.kinds.alert import Alert, Below, Unusual

BERLIN = "Europe/Berlin"


def alert(window, **more):
    return Alert(name="a", metric="m", when=Below(value=1.0), window=window, **more)


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_ends_lie_on_a_grid_whatever_the_time():
    """Two looks at different moments find the same ends, and nothing between them is left out or comes twice."""
    first = list_ends(10, "UTC", at("2026-01-01T00:00:00"), at("2026-01-01T00:00:37"))
    later = list_ends(10, "UTC", first[-1], at("2026-01-01T00:01:01"))
    whole = list_ends(10, "UTC", at("2026-01-01T00:00:00"), at("2026-01-01T00:01:01"))
    assert first + later == whole
    assert [end.second for end in whole] == [10, 20, 30, 40, 50, 0]
    assert list_ends(10, "UTC", whole[-1], whole[-1] + timedelta(seconds=9)) == []


@pytest.mark.parametrize(
    ("before", "end", "hours"),
    [
        ("2026-03-29T12:00:00", "2026-03-28T23:00:00", 24),
        ("2026-03-30T12:00:00", "2026-03-29T22:00:00", 23),
        ("2026-10-26T12:00:00", "2026-10-25T23:00:00", 25),
    ],
)
def test_days_are_those_of_the_zone(before, end, hours):
    """A window of a day ends at local midnight, and is as long as that day was where clocks changed."""
    found = find_last_end(86_400, BERLIN, at(before))
    assert found == at(end)
    window = find_window(alert("1d", timezone=BERLIN), found)
    assert window.end - window.start == timedelta(hours=hours)


def test_weeks_end_on_mondays():
    """What moves by weeks ends where Mondays begin."""
    assert find_last_end(7 * 86_400, "UTC", at("2026-01-01T12:00:00")) == at("2025-12-29T00:00:00")


def test_short_windows_follow_the_clock():
    """An hour is an hour, also in the night in which clocks change."""
    window = find_window(alert("1h", timezone=BERLIN), at("2026-03-29T01:30:00"))
    assert window.end - window.start == timedelta(hours=1)


def test_the_same_window_of_another_day_is_at_the_same_wall_time():
    """Yesterday and last week mean the same time on the wall, across a change of clocks too; previous is what lies before."""
    one = alert("1h", timezone=BERLIN)
    window = find_window(one, at("2026-03-30T07:00:00"))
    assert shift_window(one, window, "yesterday").end == at("2026-03-29T07:00:00")
    assert shift_window(one, window, "last week").end == at("2026-03-23T08:00:00")
    assert shift_window(one, window, "last week", 2).end == at("2026-03-16T08:00:00")
    assert shift_window(one, window, "previous") == find_window(one, window.start)


@pytest.mark.parametrize(("window", "when", "step"), [("10s", "below", 5), ("5m", "below", 5), ("15m", "below", 15), ("1h", "below", 60), ("1d", "below", 900), ("1h", "unusual", 300), ("1d", "unusual", 3600)])  # fmt: skip
def test_steps_fit_their_windows(window, when, step):
    """Long windows move on slowly: what hardly changes is not asked all the time."""
    condition = Below(value=1.0) if when == "below" else Unusual()
    assert Alert(name="a", metric="m", when=condition, window=window).step == step
