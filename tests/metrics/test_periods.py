"""What a figure is compared with: whole days by the calendar, any other time by its length."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tallymark.errors import RequestRefused
from tallymark.metrics.periods import COMPARISONS, note_lengths, shift_span
from tallymark.plan.kinds.metric import Span
from tallymark.queries.local_time import find_midnight, is_midnight
from tallymark.queries.period import build_period

# Half an hour, clocks that change at midnight, twice in a Ramadan, a date that never was, no change at all.
ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "Asia/Tehran",
    "America/Sao_Paulo",
    "America/Havana",
    "Pacific/Apia",
    "UTC",
)
# Around the changes of each of these zones.
CHANGES = (
    "2026-03-29T01:00",
    "2026-10-25T01:00",
    "2026-03-08T07:00",
    "2026-11-01T06:00",
    "2026-04-04T15:00",
    "2026-10-03T15:30",
    "2026-02-15T02:00",
    "2022-03-21T20:30",
    "2022-09-21T19:30",
    "2018-11-04T03:00",
    "2019-02-17T02:00",
    "2026-11-01T05:00",
    "2011-12-30T10:00",
    "2024-02-29T12:00",
)


def moved(start, end, zone, comparison):
    found = shift_span(Span(start=start, end=end, timezone=zone), comparison)
    return build_period(found.start, found.end, "", found.timezone)


@pytest.mark.parametrize(
    ("start", "end", "zone", "comparison", "other"),
    [
        ("2026-06-08", "2026-06-15", "UTC", "previous", ("2026-06-01", "2026-06-08")),
        ("2026-06-08", "2026-06-10", "UTC", "week", ("2026-06-01", "2026-06-03")),
        # Clocks change on 29 March in Berlin: the days before are whole local days, one hour longer together.
        ("2026-03-30", "2026-04-02", "Europe/Berlin", "previous", ("2026-03-27", "2026-03-30")),
        ("2026-03-29", "2026-03-30", "Europe/Berlin", "week", ("2026-03-22", "2026-03-23")),
        ("2024-02-29", "2024-03-01", "UTC", "year", ("2023-02-28", "2023-03-01")),
        ("2024-02-28", "2024-02-29", "UTC", "year", ("2023-02-28", "2023-03-01")),
        ("2024-02-01", "2024-03-01", "UTC", "year", ("2023-02-01", "2023-03-01")),
        # Six days and a half are compared with the same half of the week before.
        ("2026-06-08", "2026-06-14T12:00:00Z", "UTC", "previous", ("2026-06-01", "2026-06-07T12:00:00Z")),
        ("2026-06-08", "2026-06-08T06:30:00Z", "UTC", "previous", ("2026-06-07", "2026-06-07T06:30:00Z")),
        ("2026-06-08T06:00:00Z", "2026-06-08T12:00:00Z", "UTC", "previous", ("2026-06-08T00:00:00", "2026-06-08T06:00:00")),
        # A day of 24 hours that begins at noon has 24 hours before it, on both sides of a change of clocks.
        ("2026-03-28T12:00Z", "2026-03-29T12:00Z", "Europe/Berlin", "previous", ("2026-03-27T12:00Z", "2026-03-28T12:00Z")),
        ("2026-03-28T12:00Z", "2026-03-29T12:00Z", "Europe/Berlin", "week", ("2026-03-21T12:00Z", "2026-03-22T12:00Z")),
        ("2026-03-29T12:00Z", "2026-03-30T12:00Z", "Europe/Berlin", "week", ("2026-03-22T13:00Z", "2026-03-23T13:00Z")),
        ("2026-10-24T12:00Z", "2026-10-25T12:00Z", "Europe/Berlin", "previous", ("2026-10-23T12:00Z", "2026-10-24T12:00Z")),
        # In the hours that clocks skip and repeat: half an hour has half an hour before it, and a week earlier.
        ("2026-03-29T01:00Z", "2026-03-29T01:30Z", "Europe/Berlin", "previous", ("2026-03-29T00:30Z", "2026-03-29T01:00Z")),
        ("2026-04-05T00:30Z", "2026-04-05T01:00Z", "Europe/Berlin", "week", ("2026-03-29T01:00Z", "2026-03-29T01:30Z")),
        ("2026-10-25T00:45Z", "2026-10-25T01:15Z", "Europe/Berlin", "previous", ("2026-10-25T00:15Z", "2026-10-25T00:45Z")),
        # The morning of a short day: as many hours of the day before.
        ("2026-03-29", "2026-03-29T06:30", "Europe/Berlin", "previous", ("2026-03-28", "2026-03-28T05:30")),
        # Of a day of 25 hours the last one has no counterpart.
        ("2026-10-25", "2026-10-25T23:30", "Europe/Berlin", "previous", ("2026-10-24", "2026-10-25")),
        # Sao Paulo's day began at one o'clock.
        ("2018-11-04", "2018-11-05", "America/Sao_Paulo", "previous", ("2018-11-03", "2018-11-04")),
        ("2018-11-05", "2018-11-06", "America/Sao_Paulo", "previous", ("2018-11-04", "2018-11-05")),
        # Samoa had no 30 December 2011: the day before the 31st is the 29th.
        ("2011-12-31", "2012-01-01", "Pacific/Apia", "previous", ("2011-12-29", "2011-12-30")),
        ("2012-01-06", "2012-01-07", "Pacific/Apia", "week", ("2011-12-29", "2011-12-30")),
    ],
)  # fmt: skip
def test_moved(start, end, zone, comparison, other):
    """Days stay days, a leap day becomes the day before, and any other time is compared with as much time."""
    wanted = build_period(*other, "", zone)
    got = moved(start, end, zone, comparison)
    assert (got.start, got.end) == (wanted.start, wanted.end)


@given(
    zone=st.sampled_from(ZONES),
    change=st.sampled_from(CHANGES),
    comparison=st.sampled_from(COMPARISONS),
    before=st.integers(-10 * 96, 10 * 96),
    length=st.integers(1, 20 * 96),
    whole=st.booleans(),
)
@example("Pacific/Apia", "2011-12-30T10:00", "previous", 0, 96, True)
def test_what_is_compared_is_as_long_and_before(zone, change, comparison, before, length, whole):
    """Every time has one to compare with: as long, or as many whole days; it is over when this one begins, if that is what is asked."""
    local = ZoneInfo(zone)
    start = datetime.fromisoformat(change).replace(tzinfo=UTC) + timedelta(minutes=15 * before)
    end = start + timedelta(minutes=15 * length)
    if whole:
        start, end = (find_midnight(one.astimezone(local).date(), local) for one in (start, end))
        if start >= end:
            return
    period = build_period(start.isoformat(), end.isoformat(), "", zone)
    got = moved(start.isoformat(), end.isoformat(), zone, comparison)
    assert got.start < got.end
    if comparison == "previous":
        assert got.end <= period.start
    else:
        assert got.start < period.start
    begins_a_day, ends_a_day = is_midnight(start, local), is_midnight(end, local)
    if not begins_a_day:
        assert got.end - got.start == end - start
        if comparison == "previous":
            assert got.end == period.start
    elif ends_a_day and got.end - got.start != end - start:
        # Whole days of the calendar, whatever their length.
        assert is_midnight(got.start, local)
        assert is_midnight(got.end, local)
    assert abs((got.end - got.start) - (end - start)) <= timedelta(days=1, hours=2)


@given(zone=st.sampled_from(ZONES), change=st.sampled_from(CHANGES), minutes=st.integers(-300, 300))
def test_what_is_written_is_read_as_the_same_moment(zone, change, minutes):
    """A span's texts carry their offset, so repeated times are told apart."""
    end = datetime.fromisoformat(change).replace(tzinfo=UTC) + timedelta(minutes=minutes)
    start = end - timedelta(minutes=7)
    got = moved(start.isoformat(), end.isoformat(), zone, "previous")
    assert (got.start, got.end) == (start - timedelta(minutes=7), start)


def test_lengths_are_told_where_they_differ():
    """Who compares a day of 23 hours with one of 24 is told so; of equal ones nothing is said."""
    short = Span(start="2026-03-29", end="2026-03-30", timezone="Europe/Berlin")
    (note,) = note_lengths(short, shift_span(short, "previous"))
    assert note == "This time is 23 hours long, the one that it is compared with 24 hours."
    noon = Span(start="2026-03-28T12:00Z", end="2026-03-29T12:00Z", timezone="Europe/Berlin")
    assert note_lengths(noon, shift_span(noon, "previous")) == []
    month = Span(start="2026-03-01", end="2026-04-01", timezone="Europe/Berlin")
    (note,) = note_lengths(month, shift_span(month, "previous"))
    assert note == "This time is 30 days 23 hours long, the one that it is compared with 31 days."


@pytest.mark.parametrize("comparison", COMPARISONS)
@pytest.mark.parametrize("start", ["1970-01-01", "0001-01-02"])
def test_before_there_were_events_nothing_is_compared(start, comparison):
    """What is compared would lie before 1970, where no event can be: that is said, and names what to change."""
    with pytest.raises(RequestRefused, match="1970") as caught:
        moved(start, "1970-01-03", "UTC", comparison)
    assert caught.value.at == "compare"


def test_a_time_that_reaches_before_1970_is_cut():
    """A part of the compared time may lie before there were events: the rest of it is compared."""
    got = moved("1970-01-05", "1970-01-10", "UTC", "week")
    assert (got.start, got.end) == (datetime(1970, 1, 1, tzinfo=UTC), datetime(1970, 1, 3, tzinfo=UTC))


@pytest.mark.parametrize("comparison", ["previous", "week", "year"])
def test_a_time_that_the_clock_skips_is_compared_with_itself(comparison):
    """An hour that does not exist has no length: it is answered beside itself, and nobody is told of 1970."""
    span = Span(start="2026-03-29T02:00", end="2026-03-29T03:00", timezone="Europe/Berlin")
    assert shift_span(span, comparison) == span
