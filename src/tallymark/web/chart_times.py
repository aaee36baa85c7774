"""Where times stand on a chart's axis, and what the clock shows there.

Comes in: the times of an answer's rows, which carry their offsets. Goes out: a `Clock`, which gives every moment its place in
milliseconds and every place its local time. Charts, their shades and their words go by it.

Minutes and hours stand where they are in time: a day of 25 hours has 25 places, one of 23 has no hole. Days and longer
intervals stand on their dates, which are equally far apart however long the days are.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from tallymark.queries.result import Cell

DATES_OF: Final = frozenset({"day", "week", "month", "quarter", "year"})
_MILLISECOND: Final = timedelta(milliseconds=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAY: Final = 86_400_000


class Stretch(msgspec.Struct, frozen=True, array_like=True):
    """A time without a change of clocks: from the place `start` on the clock shows `shift` milliseconds more than the place."""

    start: int
    shift: int
    offset: str


class Clock(msgspec.Struct, frozen=True):
    """The clock of a chart's zone. `offset` is that of the first time in milliseconds; None where places are dates.

    `stretches` are empty where the clock does not change: then a place is the local time itself, carried as if it were UTC.
    """

    offset: int | None = None
    stretches: tuple[Stretch, ...] = ()

    def place(self, time: Cell | datetime) -> int:
        """Return the place of a time; one of dates has to be local to the chart's zone."""
        return wall_time(time) if self.offset is None else moment_of(time) + self.offset

    def wall(self, place: int) -> int:
        """Return what the clock shows at a place, in milliseconds as if it were UTC."""
        found = self._find(place)
        return place + found.shift if found else place

    def write(self, place: int) -> str:
        """Return the local time of a place; with its offset where the clock changes in the chart."""
        time = _read_wall(self.wall(place))
        text = f"{time:%Y-%m-%d}" if time.hour == time.minute == 0 else f"{time:%Y-%m-%d %H:%M}"
        found = self._find(place)
        return f"{text} {found.offset}" if found else text

    def label(self, ticks: Sequence[int], begins: Sequence[int]) -> dict[str, str]:
        """Return what the axis says at each of the ticks: a day's first begin is its date, any other the clock's time."""
        walls = {begin: self.wall(begin) for begin in begins}
        before = dict(zip(begins[1:], begins, strict=False))
        labels = {}
        for tick in ticks:
            time = _read_wall(walls[tick])
            earlier = before.get(tick)
            is_first = earlier is not None and walls[earlier] // _DAY < walls[tick] // _DAY
            is_date = is_first or walls[tick] % _DAY == 0
            labels[str(tick)] = _write_date(time) if is_date else f"{time:%H:%M}"
        return labels

    def _find(self, place: int) -> Stretch | None:
        at = bisect_right(self.stretches, place, key=lambda one: one.start) - 1
        return self.stretches[max(at, 0)] if self.stretches else None


DATES: Final = Clock()


def read_clock(times: Iterable[Cell | datetime], interval: str) -> Clock:
    """Return the clock of rows over time; `interval` is what they are cut into, '' and others are moments."""
    if interval in DATES_OF:
        return DATES
    found = sorted({moment_of(time): _offset_of(time) for time in times}.items())
    if not found:
        return DATES
    first = found[0][1]
    stretches: list[Stretch] = []
    for moment, offset in found:
        if not stretches or stretches[-1].shift != offset - first:
            stretches.append(Stretch(moment + first, offset - first, _write_offset(offset)))
    return Clock(first, tuple(stretches) if len(stretches) > 1 else ())


def moment_of(time: Cell | datetime) -> int:
    """Return a time as milliseconds since 1970 in UTC."""
    return round((_read(time) - _EPOCH) / _MILLISECOND)


def wall_time(time: Cell | datetime) -> int:
    """Return a time as milliseconds of its wall clock, carried as if it were UTC."""
    return moment_of(_read(time).replace(tzinfo=UTC))


def _read(time: Cell | datetime) -> datetime:
    found = time if isinstance(time, datetime) else datetime.fromisoformat(str(time))
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _offset_of(time: Cell | datetime) -> int:
    return round((_read(time).utcoffset() or timedelta()) / _MILLISECOND)


def _write_offset(offset: int) -> str:
    minutes = abs(offset) // 60_000
    return f"{'-' if offset < 0 else '+'}{minutes // 60:02}:{minutes % 60:02}"


def _read_wall(milliseconds: int) -> datetime:
    return _EPOCH + milliseconds * _MILLISECOND


def _write_date(time: datetime) -> str:
    if (time.month, time.day) == (1, 1):
        return f"{time:%Y}"
    return f"{time:%-d %b}"
