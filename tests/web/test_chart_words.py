"""Which intervals of a time are counted in part, and what of them is."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tallymark.queries.period import build_period
from tallymark.web.chart_words import WHOLE, find_parts


def parts(start, end, interval, zone="UTC", now=None):
    return find_parts(build_period(start, end, interval, zone), now)


def begins(found):
    return [begin.isoformat() for begin in found.begins]


@pytest.mark.parametrize(
    ("start", "end", "interval", "notes"),
    [
        ("2013-06-05", "2013-06-24", "week", ["The first week is counted in part: Wed to Sun."]),
        ("2013-06-03", "2013-06-19", "week", ["The last week is counted in part: Mon to Tue."]),
        ("2013-06-03", "2013-06-11T06:30", "week", ["The last week is counted in part: Mon to Tue 06:30."]),
        ("2013-06-03", "2013-06-11", "week", ["The last week is counted in part: Mon."]),
        ("2013-06-04", "2013-06-07", "week", ["The only week is counted in part: Tue to Thu."]),
        ("2026-01-01", "2026-03-04", "month", ["The last month is counted in part: 1 Mar to 3 Mar."]),
        ("2026-02-01", "2027-01-01", "year", ["The only year is counted in part: 1 Feb to 31 Dec."]),
        ("2026-01-01T14:00", "2026-01-03", "day", ["The first day is counted in part: 14:00 to 24:00."]),
        ("2026-01-01T09:00", "2026-01-01T11:45", "hour", ["The last hour is counted in part: 11:00 to 11:45."]),
        ("2026-01-01T09:00", "2026-01-01T09:01:30", "minute", ["The last minute is counted in part: 09:01:00 to 09:01:30."]),
        ("2013-06-03", "2013-06-24", "week", []),
    ],
)  # fmt: skip
def test_what_is_counted_is_said(start, end, interval, notes):
    """An interval at an end that the time does not cover is told with the days or the clock of its part."""
    found = parts(start, end, interval)
    assert list(found.notes) == notes
    assert len(found.begins) == len(notes)


def test_both_ends():
    """Each end has its sentence, and the rows of both intervals are known by their begins."""
    found = parts("2013-01-01", "2014-01-01", "week")
    assert list(found.notes) == [
        "The first week is counted in part: Tue to Sun.",
        "The last week is counted in part: Mon to Tue.",
    ]
    assert begins(found) == ["2012-12-31T00:00:00+00:00", "2013-12-30T00:00:00+00:00"]


def test_days_are_those_of_the_zone():
    """Where a week begins is told by the question's zone, as its rows are."""
    found = parts("2026-07-01", "2026-07-06", "week", "Europe/Berlin")
    assert found.notes == ("The only week is counted in part: Wed to Sun.",)
    assert begins(found) == ["2026-06-29T00:00:00+02:00"]


def test_what_has_not_happened_yet_is_not_counted():
    """The interval that runs is counted up to now, also where the time asked for goes on; the time to come has no parts."""
    now = datetime(2026, 7, 8, 10, 30, tzinfo=UTC)
    found = parts("2026-07-06", "2026-07-09", "day", now=now)
    assert found.notes == ("The last day is counted in part: 00:00 to 10:30.",)
    further = parts("2026-07-06", "2026-08-01", "day", now=now)
    assert further.notes == ("The present day is counted in part: 00:00 to 10:30.",)
    assert begins(further) == begins(found) == ["2026-07-08T00:00:00+00:00"]
    assert parts("2026-08-01", "2026-08-03", "day", now=now) == WHOLE
    assert parts("2026-07-01", "2026-07-03", "day", now=now) == WHOLE
    assert parts("2026-07-01", "2026-07-03T05:00", "") == WHOLE
