"""Which times are judged: on a grid that no restart moves, in days that follow the calendar."""

from __future__ import annotations

from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest

from tallymark.alerts.windows import find_last_end, find_next_end, find_window, list_ends, shift_window
from tallymark.plan.kinds.alert import Alert, Below, Unusual
from tests.conftest import utc

BERLIN = "Europe/Berlin"


def alert(window, **more):
    return Alert(name="a", metric="m", when=Below(value=1.0), window=window, **more)


def test_ends_lie_on_a_grid_whatever_the_time():
    """Two looks at different moments find the same ends, and nothing between them is left out or comes twice."""
    first = list_ends(10, "UTC", utc("2026-01-01T00:00:00"), utc("2026-01-01T00:00:37"))
    later = list_ends(10, "UTC", first[-1], utc("2026-01-01T00:01:01"))
    whole = list_ends(10, "UTC", utc("2026-01-01T00:00:00"), utc("2026-01-01T00:01:01"))
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
    found = find_last_end(86_400, BERLIN, utc(before))
    assert found == utc(end)
    window = find_window(alert("1d", timezone=BERLIN), found)
    assert window.end - window.start == timedelta(hours=hours)


def test_weeks_end_on_mondays():
    """What moves by weeks ends where Mondays begin."""
    assert find_last_end(7 * 86_400, "UTC", utc("2026-01-01T12:00:00")) == utc("2025-12-29T00:00:00")


def test_short_windows_follow_the_clock():
    """An hour is an hour, also in the night in which clocks change."""
    window = find_window(alert("1h", timezone=BERLIN), utc("2026-03-29T01:30:00"))
    assert window.end - window.start == timedelta(hours=1)


def test_the_same_window_of_another_day_is_at_the_same_wall_time():
    """Yesterday and last week mean the same time on the wall, across a change of clocks too; previous is what lies before."""
    one = alert("1h", timezone=BERLIN)
    window = find_window(one, utc("2026-03-30T07:00:00"))
    assert shift_window(one, window, "yesterday").end == utc("2026-03-29T07:00:00")
    assert shift_window(one, window, "last week").end == utc("2026-03-23T08:00:00")
    assert shift_window(one, window, "last week", 2).end == utc("2026-03-16T08:00:00")
    assert shift_window(one, window, "previous") == find_window(one, window.start)


@pytest.mark.parametrize("day", ["2026-03-29", "2026-04-05", "2026-10-25", "2026-11-01"])
@pytest.mark.parametrize("against", ["yesterday", "last week", "previous"])
def test_earlier_windows_are_as_long_as_this_one(day, against):
    """In the hours that clocks skip or repeat, and a day or a week after those, no earlier window is empty or doubled."""
    one = alert("1h", timezone=BERLIN)
    for minutes in range(0, 360, 30):
        window = find_window(one, utc(f"{day}T00:00:00") + timedelta(minutes=minutes))
        earlier = shift_window(one, window, against)
        assert earlier.end - earlier.start == timedelta(hours=1)
        assert earlier.end <= window.start


def test_days_without_a_midnight():
    """Where clocks skip midnight a day begins at one, and the days before it at midnight."""
    zone = "America/Santiago"
    ends = list_ends(86_400, zone, utc("2026-09-03T12:00:00"), utc("2026-09-08T12:00:00"))
    local = [end.astimezone(ZoneInfo(zone)) for end in ends]
    assert [(one.day, one.hour) for one in local] == [(4, 0), (5, 0), (6, 1), (7, 0), (8, 0)]
    windows = [find_window(alert("1d", timezone=zone), end) for end in ends]
    assert [one.start for one in windows[1:]] == [one.end for one in windows[:-1]]
    assert [find_next_end(86_400, zone, end) for end in ends[:-1]] == ends[1:]


@pytest.mark.parametrize(("window", "when", "step"), [("10s", "below", 5), ("5m", "below", 5), ("15m", "below", 15), ("1h", "below", 60), ("1d", "below", 900), ("1h", "unusual", 300), ("1d", "unusual", 3600)])  # fmt: skip
def test_steps_fit_their_windows(window, when, step):
    """Long windows move on slowly: what hardly changes is not asked all the time."""
    condition = Below(value=1.0) if when == "below" else Unusual()
    assert Alert(name="a", metric="m", when=condition, window=window).step == step
