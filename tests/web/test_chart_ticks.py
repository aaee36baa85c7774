"""The ticks of a time axis are begins of intervals, at steps that people count in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallymark.queries.period import build_period
from tallymark.web.chart_ticks import MOST_TICKS, choose_ticks

INTERVALS = ["minute", "hour", "day", "week", "month", "quarter", "year"]
DAYS = {
    "minute": 2,
    "hour": 60,
    "day": 1_500,
    "week": 3_000,
    "month": 9_000,
    "quarter": 9_000,
    "year": 30_000,
}


def begins(start, end, interval, zone="UTC"):
    """Return an interval's begins as a chart has them: the wall clock, as if it were UTC."""
    buckets = build_period(start, end, interval, zone).buckets
    return [round(bucket.start.replace(tzinfo=UTC).timestamp() * 1000) for bucket in buckets]


def shown(ticks, form="%d %b %Y"):
    return [f"{datetime.fromtimestamp(tick / 1000, UTC):{form}}" for tick in ticks]


@given(
    st.sampled_from(INTERVALS),
    st.integers(0, 20_000),
    st.floats(0.001, 1),
    st.sampled_from(["UTC", "Europe/Berlin", "America/Sao_Paulo", "Asia/Kolkata", "Australia/Lord_Howe"]),
)
@settings(max_examples=60, deadline=None)
def test_every_tick_is_the_begin_of_an_interval(interval, first, share, zone):
    """Whatever is asked for, each tick stands on an interval, and there are some but not too many."""
    start = datetime(1990, 1, 1, tzinfo=UTC) + timedelta(days=first)
    end = min(start + timedelta(days=DAYS[interval] * share), datetime(2100, 1, 1, tzinfo=UTC))
    times = begins(start.isoformat(), end.isoformat(), interval, zone)
    ticks = choose_ticks(times, interval)
    assert set(ticks) <= set(times)
    assert ticks == sorted(set(ticks))
    assert min(len(set(times)), 2) <= len(ticks) <= MOST_TICKS


@pytest.mark.parametrize("end", ["2026-02-20", "2026-07-01", "2027-01-01", "2036-01-01"])
def test_ticks_of_weeks_are_mondays(end):
    """Weeks are ISO weeks: no tick of theirs is a Sunday."""
    ticks = choose_ticks(begins("2026-01-01", end, "week"), "week")
    assert set(shown(ticks, "%A")) == {"Monday"}
    gaps = {later - earlier for earlier, later in pairwise(ticks)}
    assert len(gaps) == 1


@pytest.mark.parametrize(
    ("start", "end", "interval", "form", "expected"),
    [
        ("2026-01-01", "2026-01-04", "day", "%d", ["01", "02", "03"]),
        ("2026-01-01", "2026-02-15", "day", "%a %d %b", ["Mon 05 Jan", "Mon 12 Jan", "Mon 19 Jan"]),
        ("2026-01-20", "2026-08-15", "day", "%d %b", ["01 Feb", "01 Mar", "01 Apr"]),
        (
            "2026-01-01T07:00",
            "2026-01-02T07:00",
            "hour",
            "%H",
            ["08", "10", "12", "14"],
        ),
        ("2026-01-01T07:03", "2026-01-01T08:00", "minute", "%H:%M", ["07:05", "07:10", "07:15"]),
        ("2020-01-01", "2026-01-01", "month", "%b %Y", ["Jan 2020", "Jul 2020", "Jan 2021"]),
        ("2026-01-01", "2027-01-01", "quarter", "%b", ["Jan", "Apr", "Jul", "Oct"]),
        ("1985-01-01", "2026-01-01", "year", "%Y", ["1985", "1990", "1995"]),
    ],
)
def test_steps_are_those_that_people_count_in(start, end, interval, form, expected):
    """Hours by two, weeks by Mondays, years by five: never every seventeenth day."""
    ticks = shown(choose_ticks(begins(start, end, interval), interval), form)
    assert ticks[: len(expected)] == expected


def test_a_day_that_begins_later_is_that_day():
    """Where the clock skips midnight the tick stands on the first instant that there was."""
    ticks = choose_ticks(begins("2018-10-29", "2018-11-30", "day", "America/Sao_Paulo"), "day")
    assert shown(ticks, "%d %H") == ["29 00", "05 00", "12 00", "19 00", "26 00"]
    weeks = choose_ticks(begins("2018-11-04", "2018-11-06", "day", "America/Sao_Paulo"), "day")
    assert shown(weeks, "%d %H") == ["04 01", "05 00"]


def test_an_axis_without_times_has_no_ticks():
    """Nothing in, nothing out."""
    assert choose_ticks([], "day") == []
