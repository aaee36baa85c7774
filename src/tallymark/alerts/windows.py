"""Which times an alert judges: the ends of its windows, on a grid that no restart moves.

Pure. Windows of whole days follow the calendar of the alert's time zone, shorter ones the clock: an hour is always an
hour, and a day may have 23 or 25 of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Final

from tallymark.plan.kinds.alert import Against, Alert
from tallymark.plan.lengths import DAY
from tallymark.queries.local_time import find_midnight, is_midnight, move_days
from tallymark.queries.period import parse_zone

# A Monday: weeks end where Mondays begin.
_ANCHOR: Final = date(2024, 1, 1)
_MOMENT: Final = timedelta(microseconds=1)
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
    return find_window(alert, move_days(window.end, -seconds // DAY, zone))


def find_last_end(step: int, timezone: str, before: datetime) -> datetime:
    """Return the last end of a window that is not after `before`, for windows whose ends lie `step` seconds apart."""
    zone = parse_zone(timezone)
    if step % DAY:
        return _EPOCH + (before - _EPOCH) // timedelta(seconds=step) * timedelta(seconds=step)
    days = step // DAY
    local = before.astimezone(zone).date()
    return find_midnight(_ANCHOR + (local - _ANCHOR) // timedelta(days=days) * timedelta(days=days), zone)


def find_day(alert: Alert, end: datetime) -> datetime | None:
    """Return the beginning of the days that were over at a window's end, for alerts on whole days; None for other ends and alerts.

    What is known at midnight is said of the day before, or of as many as lie between two ends.
    """
    zone = parse_zone(alert.timezone)
    if alert.step % DAY or not is_midnight(end, zone):
        return None
    return move_days(end, -(alert.step // DAY), zone)


def find_next_end(step: int, timezone: str, after: datetime) -> datetime:
    """Return the first end of a window after a time."""
    return _move(find_last_end(step, timezone, after), step, parse_zone(timezone))


def list_ends(step: int, timezone: str, after: datetime, until: datetime) -> list[datetime]:
    """Return the ends of windows after one time and up to another, in order."""
    ends = []
    end = find_last_end(step, timezone, until)
    while end > after:
        ends.append(end)
        # From just before it the last one is found anew: so a day that a zone skips moves none of the others.
        end = find_last_end(step, timezone, end - _MOMENT)
    return ends[::-1]


def move_end(end: datetime, seconds: int, timezone: str) -> datetime:
    """Return the end of another window, so many seconds later or, with a negative number, before."""
    return _move(end, seconds, parse_zone(timezone))


def _move(moment: datetime, seconds: int, zone: tzinfo) -> datetime:
    """Move by whole local days where it is whole days, else by the clock."""
    if seconds % DAY:
        return moment + timedelta(seconds=seconds)
    return move_days(moment, seconds // DAY, zone)
