"""The time that a figure is compared with: the period before, or the same one a week or a year earlier.

Pure. Comes in: the span of a question. Goes out: the span to compare with, and a sentence where the two are not equally long.
`Asker` calls it for figures and explanations.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Final, Literal

import msgspec

from tallymark.plan.kinds.metric import Span
from tallymark.queries.local_time import find_day, find_midnight, is_midnight, move_days, write_moment
from tallymark.queries.period import Period, build_period
from tallymark.queries.question import refuse

Comparison = Literal["previous", "week", "year"]
_MOMENT: Final = timedelta(microseconds=1)
_DAY: Final = timedelta(days=1)
# No event is older.
_FIRST: Final = datetime(1970, 1, 1, tzinfo=UTC)
COMPARISONS: Final[tuple[Comparison, ...]] = ("previous", "week", "year")


def shift_span(span: Span, comparison: Comparison) -> Span:
    """Return the span that a comparison looks at.

    A span of whole local days moves on the calendar: it is compared with whole days, also where one of them has 23 or 25 hours.
    One that begins with a day and ends within another moves in the same way, and of the last day as much time is compared. Any
    other is compared with exactly as much time: right before it, or from the same local time a week or a year earlier.
    29 February becomes the 28th. Raises RequestRefused for a time that cannot be read, and where all of the other one lies
    before 1970.
    """
    period = build_period(span.start, span.end, "", span.timezone)
    if period.is_empty:
        # A time that the clock skips has nothing before it that is as long: no time is compared with no time.
        return span
    start, end = (max(moment, _FIRST) for moment in _shift(period, comparison))
    if start >= end:
        message = "The time to compare with lies before 1970, when there are no events."
        raise refuse(message, "compare")
    return msgspec.structs.replace(
        span, start=write_moment(start, period.zone), end=write_moment(end, period.zone)
    )


def note_lengths(span: Span, other: Span) -> list[str]:
    """Say how long two spans are where one is longer than the other: figures that add up differ by that alone."""
    lengths = [_length(one) for one in (span, other)]
    if lengths[0] == lengths[1]:
        return []
    shown, compared = (_write_length(one) for one in lengths)
    return [f"This time is {shown} long, the one that it is compared with {compared}."]


def _shift(period: Period, comparison: Comparison) -> tuple[datetime, datetime]:
    """Return both ends of the time to compare with, never empty and never later than the period."""
    try:
        if not is_midnight(period.start, period.zone):
            return _shift_by_time(period, comparison)
        start, end = _shift_by_days(period, comparison)
        # A day that a zone skips has no length: nothing can be compared with it.
        return (start, end) if start < end else _shift_by_time(period, comparison)
    except (OverflowError, ValueError):
        # Before the first year there is.
        return _FIRST, _FIRST


def _shift_by_time(period: Period, comparison: Comparison) -> tuple[datetime, datetime]:
    """Move a period that is no whole days: the other one is exactly as long."""
    length = period.end - period.start
    if comparison == "previous":
        return period.start - length, period.start
    if comparison == "week":
        start = move_days(period.start, -7, period.zone)
    else:
        day = find_day(period.start, period.zone)
        start = move_days(period.start, (_year_before(day) - day).days, period.zone)
    return start, start + length


def _shift_by_days(period: Period, comparison: Comparison) -> tuple[datetime, datetime]:
    """Move a period that begins with a local day, on the calendar; the end of one that is not over keeps its distance."""
    zone = period.zone
    first, last = find_day(period.start, zone), find_day(period.end - _MOMENT, zone)
    if comparison == "previous":
        back = timedelta(days=(last - first).days + 1)
        first, last = first - back, last - back
    elif comparison == "week":
        first, last = first - 7 * _DAY, last - 7 * _DAY
    else:
        first, last = _year_before(first), _year_before(last)
    begin, over = find_midnight(last, zone), find_midnight(last + _DAY, zone)
    if is_midnight(period.end, zone):
        return find_midnight(first, zone), over
    passed = period.end - find_midnight(find_day(period.end, zone), zone)
    # Of a shorter day there is no more than all of it.
    return find_midnight(first, zone), min(begin + passed, over)


def _year_before(day: date) -> date:
    if (day.month, day.day) == (2, 29):
        day = day.replace(day=28)
    return day.replace(year=day.year - 1)


def _length(span: Span) -> timedelta:
    period = build_period(span.start, span.end, "", span.timezone)
    return period.end - period.start


def _write_length(length: timedelta) -> str:
    """Return a length in hours, of more than four days in days and hours."""
    minutes = round(length.total_seconds() / 60)
    hours, rest = divmod(minutes, 60)
    days, over = divmod(hours, 24)
    if hours <= 4 * 24:
        days, over = 0, hours
    parts = [(days, "day"), (over, "hour"), (rest, "minute")]
    return " ".join(f"{n:,} {name}{'s' if n != 1 else ''}" for n, name in parts if n) or "less than a minute"
