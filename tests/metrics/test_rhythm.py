"""Figures by weekday and hour: per hour that there was, with hours that clocks skip or repeat."""

from __future__ import annotations

import msgspec
import pytest

from tallymark.errors import RequestRefused
from tallymark.metrics.rhythm import ask_rhythm, count_hours
from tallymark.plan.kinds.metric import Average, Count, Span
from tallymark.queries.result import Answer, Column, Cost

LEAD = (Column("event_weekday", "text"), Column("event_hour", "number"))


def answer(rows, *names):
    return Answer((*LEAD, *(Column(name, "number") for name in names)), rows, [], Cost(1.0))


def test_thirty_days_have_four_or_five_of_each_weekday():
    """A month that begins on a Monday has one more of its first two weekdays."""
    hours = count_hours(Span(start="2026-06-01", end="2026-07-01"))
    assert hours["Mon", 0] == hours["Tue", 23] == 5
    assert hours["Wed", 0] == hours["Sun", 23] == 4
    assert sum(hours.values()) == 30 * 24


def test_leap_days_and_changes_of_the_clock_count():
    """29 February is a day, the hour that spring skips is not there, the one that autumn repeats is there twice."""
    assert sum(count_hours(Span(start="2024-02-28", end="2024-03-02")).values()) == 3 * 24
    spring = count_hours(Span(start="2026-03-29", end="2026-03-30", timezone="Europe/Berlin"))
    assert (("Sun", 2) in spring, sum(spring.values())) == (False, 23)
    autumn = count_hours(Span(start="2026-10-25", end="2026-10-26", timezone="Europe/Berlin"))
    assert (autumn["Sun", 2], sum(autumn.values())) == (2, 25)


def test_an_hour_that_is_not_over_counts_in_part():
    """Half an hour is half, and where clocks move by half an hour the one before lasts longer."""
    assert count_hours(Span(start="2026-06-01T06:30:00Z", end="2026-06-01T08:15:00Z")) == {
        ("Mon", 6): 0.5, ("Mon", 7): 1.0, ("Mon", 8): 0.25,
    }  # fmt: skip
    lord_howe = count_hours(Span(start="2026-04-05", end="2026-04-06", timezone="Australia/Lord_Howe"))
    assert (lord_howe["Sun", 1], sum(lord_howe.values())) == (1.5, 24.5)


def test_counts_are_per_hour_and_empty_hours_are_zero():
    """Ten events on five Mondays at nine are two an hour; hours without events are 0, hours that there were not are missing."""
    metric = Count(name="orders", event_name="order", unit="orders")
    asked = []

    def ask(question):
        asked.append(question)
        return answer([["Mon", 9, 10]], "figure")

    figures = ask_rhythm(metric, Span(start="2026-06-01", end="2026-07-01", interval="day"), ask, {})
    found = {(row[0], row[1]): row for row in figures.rows}
    assert found["Mon", 9][2:4] == [2.0, 10]
    assert found["Sun", 3][2:4] == [0.0, 0]
    assert len(found) == 168
    assert [column.unit for column in figures.columns if column.name == "figure"] == ["orders per hour"]
    assert asked[0].breakdown == ("event_weekday", "event_hour")
    assert asked[0].interval is None
    one_day = ask_rhythm(metric, Span(start="2026-06-02", end="2026-06-03"), ask, {})
    # What the store says of an hour that there was not would be shown as it is; there is none in truth.
    assert {row[0] for row in one_day.rows} == {"Mon", "Tue"}


def test_means_are_what_they_are():
    """A mean is not divided by anything, and an hour without events has none."""
    metric = Average(name="wait", event_name="order", minimum_sample=3)
    figures = ask_rhythm(
        metric,
        Span(start="2026-06-01", end="2026-07-01"),
        lambda _: answer([["Tue", 8, 1.5, 2, 0.5]], "figure", "n", "deviation"),
        {},
    )
    assert [row[:4] for row in figures.rows] == [["Tue", 8, 1.5, 2]]
    assert figures.rows[0][-1] is False


def test_too_long_a_time_is_refused():
    """Hours of a century are not counted."""
    with pytest.raises(RequestRefused, match="shorter time"):
        count_hours(Span(start="1990-01-01", end="2026-01-01"))


def test_the_span_is_left_alone():
    """Asking changes nothing of what somebody asks for."""
    span = Span(start="2026-06-01", end="2026-06-02", interval="hour", limit=3)
    before = msgspec.to_builtins(span)
    ask_rhythm(Count(name="a", event_name="a"), span, lambda _: answer([], "figure"), {})
    assert msgspec.to_builtins(span) == before
