"""The time of a question: from when to when, cut into which intervals, in which time zone.

Comes in: the texts of a question. Goes out: a `Period` with the SQL that gives an event's interval a number, and
for every number the time at which the interval begins. The kinds call it.

An interval is an unbroken stretch of local time. The engine adds the zone's offset, which changes at a few known
instants, and divides; offsets come from one source only (the time zone data of Python), so both sides always agree.
"""

from __future__ import annotations

import difflib
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import cached_property
from itertools import pairwise
from operator import itemgetter
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from tallymark.queries.local_time import (
    find_change,
    find_midnight,
    find_offset,
    is_repeated,
    is_skipped,
    resolve_local,
)
from tallymark.queries.question import refuse

MAX_INTERVALS: Final = 50_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAY: Final = 86_400
# Seconds added so that local times just before 1970 stay positive; whole weeks, and a Monday stays a Monday.
_SHIFT_DAYS: Final = 7
# No zone changed its offset and back within this time since 1970, so every change shows at one of the looks.
_LOOK: Final = 3 * _DAY
_FIRST_YEAR: Final = 1970
_LAST_YEAR: Final = 2100
_FIRST: Final = datetime(_FIRST_YEAR, 1, 1, tzinfo=UTC)
_LAST: Final = datetime(_LAST_YEAR, 1, 1, tzinfo=UTC)
_SECONDS: Final = "toUnixTimestamp(event_time)"
_SHORT: Final = {"minute": 60, "hour": 3_600}
# Added to the second in which a minute or an hour begins, which may be one before 1970, to make its number.
_KEY_SHIFT: Final = _DAY


@dataclass(frozen=True, slots=True)
class Bucket:
    """One interval: its number in the engine and the time at which it begins, aware, in the question's zone."""

    key: int
    start: datetime


@dataclass(frozen=True)
class Period:
    """From `start` up to, not including, `end` (aware, UTC), cut into `interval` ('' = not cut) in `zone`."""

    start: datetime
    end: datetime
    interval: str
    zone: tzinfo
    # What must be said of local times that the clock skips or shows twice.
    notes: tuple[str, ...] = ()

    @cached_property
    def buckets(self) -> tuple[Bucket, ...]:
        """Return every interval that begins before `end` and ends after `start`, in the order of time."""
        if not self.interval or self.is_empty:
            return ()
        if self.interval in _SHORT:
            return tuple(self._short_buckets(_SHORT[self.interval]))
        return tuple(self._date_buckets())

    @property
    def is_empty(self) -> bool:
        """Whether the period has no length: its local times are among those that the clock skips."""
        return self.start >= self.end

    @property
    def starts_inside(self) -> bool:
        """Whether the first interval begins before the period does, so that it is counted in part."""
        return bool(self.buckets) and self.buckets[0].start < self.start

    @property
    def ends_inside(self) -> bool:
        """Whether the last interval ends after the period does, so that it is counted in part."""
        if not self.buckets:
            return False
        after = Period(self.end, self.end + timedelta(microseconds=1), self.interval, self.zone)
        return after.buckets[0].key == self.buckets[-1].key

    def local_sql(self) -> str:
        """Return an integer expression over `event_time`: its local time in seconds, from some Thursday's midnight on."""
        if self.start < _FIRST or self.end > _LAST:
            # No event lies beyond, and looking for changes of the clock there would take its time.
            return Period(max(self.start, _FIRST), min(self.end, _LAST), "", self.zone).local_sql()
        return self._local_sql()

    def _local_sql(self) -> str:
        return f"({_SECONDS} + {self._offset_sql(_SECONDS)})"

    def key_sql(self) -> str:
        """Return an integer expression over `event_time`: the number of the event's interval."""
        seconds, local = _SECONDS, self._local_sql()
        if self.interval in _SHORT:
            begin = self._at_least(f"{seconds} - {local} % {_SHORT[self.interval]}")
            return f"toUInt32({begin} + {_KEY_SHIFT})"
        number = self._at_least(f"intDiv({local}, {_DAY})")
        if self.interval == "week":
            # 1970-01-01 was a Thursday: three days on, weeks begin on Mondays.
            return f"toUInt16(intDiv({number} + 3, 7))"
        day = f"toUInt16({number})"
        if self.interval == "day":
            return day
        calendar = f"toDate32(toInt32({day}) - {_SHIFT_DAYS})"
        return {
            "month": f"toYYYYMM({calendar})",
            "quarter": f"(toYear({calendar}) * 10 + toQuarter({calendar}))",
            "year": f"toYear({calendar})",
        }[self.interval]

    def _offset_sql(self, seconds: str) -> str:
        """Return the local offset in seconds plus the shift, as a piecewise constant of the event's time."""
        return self._piecewise_sql(seconds, [offset + _SHIFT_DAYS * _DAY for _, offset in self._offsets])

    def _at_least(self, number: str) -> str:
        """Return the expression, kept from falling below what the pieces' intervals begin with (see `_floors`)."""
        if not any(self._floors):
            return number
        return f"greatest({number}, {self._piecewise_sql(_SECONDS, self._floors)})"

    def _piecewise_sql(self, seconds: str, values: Sequence[int]) -> str:
        """Return an expression that has one value in each piece of `_offsets`."""
        starts = [start for start, _ in self._offsets]
        # Neighbours of one value are one branch.
        changes = [place for place in range(1, len(values)) if values[place] != values[place - 1]]
        if not changes:
            return str(values[-1])
        branches = ", ".join(f"{seconds} < {starts[place]}, {values[place - 1]}" for place in changes)
        return f"multiIf({branches}, {values[-1]})"

    @cached_property
    def _floors(self) -> tuple[int, ...]:
        """Return for each piece the smallest number that an interval in it has before it is shifted; 0 where that goes without saying.

        A clock that is set back shows anew what was over. A minute or an hour that began before the change does not go
        on after it: the floor is the change. A date that has begun does not end again, so days are what midnights part:
        the floor is the last date before the change.
        """
        floors = [0]
        reached = 0
        for (_, before), (start, offset) in pairwise(self._offsets):
            if self.interval in _SHORT:
                floors.append(start if (start + offset) % _SHORT[self.interval] else 0)
                continue
            reached = max(reached, _day_number(start - 1, before))
            floors.append(reached if reached > _day_number(start, offset) else 0)
        return tuple(floors)

    @cached_property
    def _offsets(self) -> tuple[tuple[int, int], ...]:
        """Return (from this Unix second, local offset in seconds) pieces that cover the period, and the time just before it.

        What a change before the period did to the interval in which it begins is known only so.
        """
        first, last = _unix(self.start) - _LOOK, _unix(self.end)
        pieces = [(first, find_offset(first, self.zone))]
        at = first
        while at < last:
            step = min(at + _LOOK, last)
            if find_offset(step, self.zone) != pieces[-1][1]:
                changed = find_change(at, step, self.zone)
                pieces.append((changed, find_offset(changed, self.zone)))
                at = changed
            else:
                at = step
        return tuple(pieces)

    def _short_buckets(self, size: int) -> Iterator[Bucket]:
        first, last = _unix(self.start), _unix_up(self.end)
        pieces = self._offsets
        ends = [*(start for start, _ in pieces[1:]), last]
        for (start, offset), end in zip(pieces, ends, strict=True):
            at = max(start, first)
            if at >= end:
                continue
            at -= (at + offset) % size
            while at < end:
                # After a change of the offset an interval may begin in the middle of itself.
                begin = max(at, start)
                yield Bucket(begin + _KEY_SHIFT, self._local(begin))
                at += size

    def _date_buckets(self) -> Iterator[Bucket]:
        last = self._find_date(_unix_up(self.end) - 1)
        day = _first_of(self._find_date(_unix(self.start)), self.interval)
        while day <= last:
            begin = self._begin(day)
            if begin is not None:
                yield Bucket(_date_key(day, self.interval), begin)
            day = _next_of(day, self.interval)

    def _find_date(self, second: int) -> date:
        """Return the date to which a second of the period is counted."""
        place = bisect_right(self._offsets, second, key=itemgetter(0)) - 1
        number = max(_day_number(second, self._offsets[place][1]), self._floors[place])
        return _EPOCH.date() + timedelta(days=number - _SHIFT_DAYS)

    def _begin(self, day: date) -> datetime | None:
        """Return the first instant of the interval that begins with the local date, None where all of it is skipped."""
        begin = find_midnight(day, self.zone).astimezone(self.zone)
        return begin if begin.date() < _next_of(day, self.interval) else None

    def _local(self, second: int) -> datetime:
        return (_EPOCH + timedelta(seconds=second)).astimezone(self.zone)


def build_period(start: str, end: str, interval: str, timezone: str) -> Period:
    """Build the period of a question from its texts; `interval` is '' for one figure.

    From a local time up to a later one is always a period. Where the clock skips all of it, it is empty and says so.
    Raises `RequestRefused` for what is no time or zone, an empty period, and more than `MAX_INTERVALS` intervals.
    """
    zone = parse_zone(timezone)
    period = Period(
        parse_time(start, zone, "from"), parse_time(end, zone, "to"), interval, zone,
        list_clock_notes(start, end, zone),
    )  # fmt: skip
    if period.is_empty and not _is_skipped_whole(start, end, zone):
        raise refuse(f"'to' is exclusive and must be after 'from': {start} is not before {end}.", "to")
    if interval:
        _check_size(period)
    return period


# Whenever events can be.
ALWAYS: Final = Period(_FIRST, _LAST, "", UTC)


def parse_zone(text: str) -> tzinfo:
    """Return the IANA time zone of that name; raises `RequestRefused` with near names."""
    if text == "UTC":
        return UTC
    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        near = difflib.get_close_matches(text, available_timezones(), 3)
        hint = f" Near names: {', '.join(near)}." if near else ""
        message = (
            f"There is no time zone {text!r}. Allowed are IANA names such as UTC or Europe/Berlin.{hint}"
        )
        raise refuse(message, "timezone") from None


_MIDNIGHT: Final = time()
_TIME: Final = re.compile(
    r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}([.,]\d{1,9})?)?(Z|[+-]\d{2}:?\d{2}(:?\d{2})?)?)?", re.ASCII
)


def parse_time(text: str, zone: tzinfo, at: str) -> datetime:
    """Return the time, aware, in UTC; a date or a time without an offset is local to `zone` (see `resolve_local`)."""
    if _TIME.fullmatch(text):
        try:
            found = datetime.fromisoformat(text)
            return found.astimezone(UTC) if found.tzinfo else resolve_local(found, zone)
        except (ValueError, OverflowError):
            pass
    raise refuse(
        f"{text!r} is not a time. Allowed is ISO 8601 such as 2026-01-31 or 2026-01-31T12:00:00Z.", at
    )


def _read_local(text: str) -> datetime | None:
    """Return a time that is written without an offset; None of others and of ''. The text has been read before."""
    if not text:
        return None
    found = datetime.fromisoformat(text)
    return None if found.tzinfo else found


def _is_skipped_whole(start: str, end: str, zone: tzinfo) -> bool:
    """Return whether a later local time follows an earlier one, and the clock skips all that lies between."""
    first, last = _read_local(start), _read_local(end)
    if first is None or last is None or first >= last:
        return False
    return resolve_local(first, zone) == resolve_local(last, zone)


def list_clock_notes(start: str, end: str, zone: tzinfo) -> tuple[str, ...]:
    """Say of local times that the clock skips, or shows twice, which moment is meant; a day always begins with its first.

    Both texts were read by `parse_time`, or are '' where nothing was asked.
    """
    notes = []
    for text in dict.fromkeys((start, end)):
        local = _read_local(text)
        if local is None or local.time() == _MIDNIGHT:
            continue
        if is_skipped(local, zone):
            moment = resolve_local(local, zone).astimezone(zone)
            notes.append(
                f"The clock in {zone} skips {local:%H:%M} on {local:%Y-%m-%d}: it means {moment:%H:%M},"
                " the moment of the change."
            )
        elif is_repeated(local, zone):
            moment = resolve_local(local, zone).astimezone(zone)
            notes.append(
                f"The clock in {zone} shows {local:%H:%M} on {local:%Y-%m-%d} twice: the first one is meant."
                f" Write {moment.replace(fold=1).isoformat()} for the second."
            )
    if _is_skipped_whole(start, end, zone):
        notes.append("All of this time is skipped: nothing can have happened in it.")
    return tuple(notes)


def _check_size(period: Period) -> None:
    for moment, at in ((period.start, "from"), (period.end, "to")):
        # Dates of zones ahead of and behind UTC stay inside what the engine's small integers hold.
        if not _FIRST_YEAR <= moment.year <= _LAST_YEAR and moment != datetime(
            _LAST_YEAR + 1, 1, 1, tzinfo=UTC
        ):
            message = f"With an interval the time lies between {_FIRST_YEAR} and {_LAST_YEAR}, not in {moment.year}."
            raise refuse(message, at)
    shortest = {"minute": 60, "hour": 3_600, "day": _DAY, "week": 7 * _DAY}.get(period.interval, 28 * _DAY)
    count = int((period.end - period.start).total_seconds() // shortest)
    if count > MAX_INTERVALS:
        message = (
            f"From {period.start:%Y-%m-%d} to {period.end:%Y-%m-%d} there are about {count:,} intervals of one"
            f" {period.interval}; at most {MAX_INTERVALS:,} are allowed. Ask for a shorter time or a longer interval."
        )
        raise refuse(message, "interval")


def _first_of(day: date, interval: str) -> date:
    """Return the first date of the interval that holds the date."""
    match interval:
        case "week":
            return day - timedelta(days=day.weekday())
        case "month":
            return day.replace(day=1)
        case "quarter":
            return day.replace(month=day.month - (day.month - 1) % 3, day=1)
        case "year":
            return day.replace(month=1, day=1)
        case _:
            return day


def _next_of(day: date, interval: str) -> date:
    """Return the first date of the interval after the one that begins with the date."""
    if interval in {"day", "week"}:
        return day + timedelta(days=1 if interval == "day" else 7)
    months = day.year * 12 + day.month - 1 + {"month": 1, "quarter": 3, "year": 12}[interval]
    return date(months // 12, months % 12 + 1, 1)


def _date_key(day: date, interval: str) -> int:
    """Return the number that `key_sql` gives to events of the interval that begins with the date."""
    days = (day - _EPOCH.date()).days
    match interval:
        case "week":
            return (days + _SHIFT_DAYS + 3) // 7
        case "month":
            return day.year * 100 + day.month
        case "quarter":
            return day.year * 10 + (day.month + 2) // 3
        case "year":
            return day.year
        case _:
            return days + _SHIFT_DAYS


def _day_number(second: int, offset: int) -> int:
    """Return the number of the local day of a second, as `_date_key` counts days."""
    return (second + offset) // _DAY + _SHIFT_DAYS


def _unix(moment: datetime) -> int:
    """Return whole Unix seconds, rounded down."""
    return (moment - _EPOCH) // timedelta(seconds=1)


def _unix_up(moment: datetime) -> int:
    """Return whole Unix seconds, rounded up."""
    return -((_EPOCH - moment) // timedelta(seconds=1))
