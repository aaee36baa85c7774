"""The time that pages show: up to now and no further, whatever clocks do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tallymark.errors import RequestRefused
from tallymark.queries.period import build_period
from tallymark.web.spans import Wanted, find_span, shorten_moment

NOW = datetime(2026, 11, 23, 6, 41, 30, tzinfo=UTC)


def ends(last, now=NOW, timezone="UTC"):
    span = find_span(Wanted(last=last, timezone=timezone), now)
    period = build_period(span.start, span.end, "", span.timezone)
    return period.start, period.end


@pytest.mark.parametrize(
    ("last", "start"),
    [("1d", (2026, 11, 23)), ("7d", (2026, 11, 17)), ("2w", (2026, 11, 10)), ("1m", (2026, 10, 24)), ("1y", (2025, 11, 24))],
)  # fmt: skip
def test_days_end_with_today_as_far_as_it_has_come(last, start):
    """Whole local days and what there is of today, up to the next five minutes."""
    assert ends(last) == (datetime(*start, tzinfo=UTC), datetime(2026, 11, 23, 6, 45, tzinfo=UTC))


def test_who_looks_in_the_same_five_minutes_asks_the_same():
    """Answers are shared: the time does not move with every second."""
    spans = {find_span(Wanted(last="7d"), NOW + timedelta(seconds=10 * n)).end for n in range(20)}
    assert len(spans) == 1


@pytest.mark.parametrize("hour", range(24))
@pytest.mark.parametrize("day", [datetime(2026, 10, 25, tzinfo=UTC), datetime(2026, 3, 29, tzinfo=UTC)])
def test_a_day_of_hours_is_24_hours(day, hour):
    """The last 24 hours end with this minute and are 24 hours, also where an hour is skipped or comes twice."""
    now = day + timedelta(hours=hour, minutes=45)
    start, end = ends("24h", now, "Europe/Berlin")
    assert (end, end - start) == (now + timedelta(minutes=1), timedelta(hours=24))


def test_a_breakdown_has_five_fields_at_the_most():
    """As in a question: an address with more is refused, not asked."""
    fields = tuple(f"field_{number}" for number in range(6))
    assert find_span(Wanted(last="7d"), NOW, breakdown=fields[:5]).breakdown == fields[:5]
    with pytest.raises(RequestRefused, match="at most 5 fields, not 6") as refused:
        find_span(Wanted(last="7d"), NOW, breakdown=fields)
    assert refused.value.at == "by"


def test_days_are_local():
    """In Auckland it is a day later already."""
    start, end = ends("1d", datetime(2026, 11, 23, 12, 0, tzinfo=UTC), "Pacific/Auckland")
    assert start == datetime(2026, 11, 23, 11, tzinfo=UTC)
    assert end == datetime(2026, 11, 23, 12, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("2026-11-17", "2026-11-17"),
        ("2026-11-17T00:00:00", "2026-11-17"),
        ("2026-11-23T06:45:00+00:00", "2026-11-23 06:45"),
        ("2026-11-23T06:45:30+01:00", "2026-11-23 06:45:30"),
        ("2026-11-23 06:45", "2026-11-23 06:45"),
        ("2026-11-23T06:45Z", "2026-11-23 06:45Z"),
        ("2026-11-23T00:00:00Z", "2026-11-23 00:00Z"),
        ("2026-11-23T06:45:00.250Z", "2026-11-23 06:45:00.250Z"),
    ],
)
def test_times_are_written_short(text, shown):
    """A midnight is its date; a time that says its zone still says it."""
    assert shorten_moment(text) == shown
