"""Which times an alert judges: the ends of its windows, on a grid that no restart moves.

Pure. Windows of whole days follow the calendar of the alert's time zone, shorter ones the clock: an hour is always an
hour, and a day may have 23 or 25 of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Final

from tallymark.plan.kinds.alert import Against, Alert
from tallymark.plan.lengths import DAY
from tallymark.queries.period import parse_zone

# A Monday: weeks end where Mondays begin.
_ANCHOR: Final = date(2024, 1, 1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Window:
    """A time from `start` to `end` (exclusive), both aware and in UTC."""

    start: datetime
    end: datetime


def find_window(alert: Alert, end: datetime) -> Window:
    """Return the window that ends at a time."""
    return Window(_move(end, -alert.seconds, parse_zone(alert.timezone)), end)


def shift_window(alert: Alert, window: Window, against: Against, times: int = 1) -> Window:
    """Return the window before, or the same one a day or a week earlier on the local calendar, so many times over."""
    zone = parse_zone(alert.timezone)
    seconds = {"previous": alert.seconds, "yesterday": DAY, "last week": 7 * DAY}[against] * times
    if against == "previous":
        return Window(_move(window.start, -seconds, zone), _move(window.end, -seconds, zone))
    # As long as the window itself, also where clocks changed within it that day.
    return find_window(alert, _move_days(window.end, -seconds // DAY, zone))


def find_last_end(step: int, timezone: str, before: datetime) -> datetime:
    """Return the last end of a window that is not after `before`, for windows whose ends lie `step` seconds apart."""
    zone = parse_zone(timezone)
    if step % DAY:
        return _EPOCH + (before - _EPOCH) // timedelta(seconds=step) * timedelta(seconds=step)
    days = step // DAY
    local = before.astimezone(zone).date()
    return _midnight(_ANCHOR + (local - _ANCHOR) // timedelta(days=days) * timedelta(days=days), zone)


def find_day(alert: Alert, end: datetime) -> datetime | None:
    """Return the beginning of the days that were over at a window's end, for alerts on whole days; None for other ends and alerts.

    What is known at midnight is said of the day before, or of as many as lie between two ends.
    """
    zone = parse_zone(alert.timezone)
    if alert.step % DAY or end != _midnight(end.astimezone(zone).date(), zone):
        return None
    return _move_days(end, -(alert.step // DAY), zone)


def find_next_end(step: int, timezone: str, after: datetime) -> datetime:
    """Return the first end of a window after a time."""
    return _move(find_last_end(step, timezone, after), step, parse_zone(timezone))


def list_ends(step: int, timezone: str, after: datetime, until: datetime) -> list[datetime]:
    """Return the ends of windows after one time and up to another, in order."""
    zone = parse_zone(timezone)
    ends = []
    end = find_last_end(step, timezone, until)
    while end > after:
        ends.append(end)
        end = _move(end, -step, zone)
    return ends[::-1]


def _move(moment: datetime, seconds: int, zone: tzinfo) -> datetime:
    """Move by whole local days where it is whole days, else by the clock."""
    if seconds % DAY:
        return moment + timedelta(seconds=seconds)
    return _move_days(moment, seconds // DAY, zone)


def _move_days(moment: datetime, days: int, zone: tzinfo) -> datetime:
    """Move on the local calendar; a time that a clock change skips is the same distance behind it.

    A day's first moment becomes another day's, which is not midnight where clocks skip that.
    """
    local = moment.astimezone(zone).replace(tzinfo=None)
    if moment == _midnight(local.date(), zone):
        return _midnight(local.date() + timedelta(days=days), zone)
    return (local + timedelta(days=days)).replace(tzinfo=zone).astimezone(UTC)


def _midnight(day: date, zone: tzinfo) -> datetime:
    """Return a day's first moment."""
    return datetime.combine(day, time(), zone).astimezone(UTC)
