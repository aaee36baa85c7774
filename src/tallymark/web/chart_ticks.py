"""Which of a time axis's intervals get a tick: the begins of intervals themselves, at a step that people count in.

Comes in: the begins as places of the chart's clock, and the interval's name. Goes out: a few of them. `charts.py`
calls it. Vega's own ticks know neither ISO weeks nor which intervals there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from tallymark.web.chart_times import DATES, DATES_OF, Clock

# As many as fit a wide chart; on a narrow one the axis leaves out every other label.
MOST_TICKS: Final = 12
_MINUTE: Final = 60_000
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR
_WEEK: Final = 7 * _DAY
# 1970-01-05 was a Monday.
_MONDAY: Final = 4 * _DAY
_CLOCK: Final = (
    *(minutes * _MINUTE for minutes in (1, 5, 10, 15, 30)),
    *(hours * _HOUR for hours in (1, 2, 3, 6, 12, 24, 48)),
)
_WEEKS: Final = tuple(weeks * _WEEK for weeks in (1, 2, 4, 8, 13, 26, 52, 104, 260))
_MONTHS: Final = (1, 3, 6, 12, 24, 60, 120, 240, 600)
# Steps of even length, shortest first; those of months follow where an interval can begin with a month.
_EVEN: Final = {
    "minute": (*_CLOCK, _WEEK),
    "hour": (*_CLOCK, _WEEK),
    "day": (_DAY, 2 * _DAY, _WEEK),
    "week": _WEEKS,
}


def choose_ticks(begins: Sequence[int], interval: str, clock: Clock = DATES) -> list[int]:
    """Return at most `MOST_TICKS` of the begins (in any order), in the order of time; the clock tells their local times."""
    times = sorted(set(begins))
    if len(times) <= MOST_TICKS:
        return times
    # Where the clock skips midnight a day begins later; it is that day's begin nevertheless.
    floor = _DAY if interval in DATES_OF else 1
    walls = [(time, clock.wall(time)) for time in times]
    placed = [(time, wall - wall % floor) for time, wall in walls]
    found = _find_even(placed, _EVEN.get(interval, () if interval in DATES_OF else _EVEN["hour"]))
    if not found and interval != "week":
        found = _find_months(placed)
    # The begin of a round step may hardly be among them.
    return found if len(found) > 1 else times[:: len(times) // MOST_TICKS + 1]


def _find_even(placed: list[tuple[int, int]], steps: Sequence[int]) -> list[int]:
    """Return the begins at the shortest step that gives few enough; none where all give too many.

    Where the clock skips a tick the first begin after it stands for it, if it is near. What the clock shows twice has two
    ticks where there is room for both.
    """
    for step in steps:
        offset = _MONDAY if step % _WEEK == 0 else 0
        found: list[int] = []
        newest = (placed[0][1] - offset - 1) // step
        for time, place in placed:
            number, over = divmod(place - offset, step)
            is_new = number > newest and over < step / 2
            if is_new or (over == 0 and (not found or time - found[-1] >= step)):
                found.append(time)
            newest = max(newest, number)
        if len(found) <= MOST_TICKS:
            return found
    return []


def _find_months(placed: list[tuple[int, int]]) -> list[int]:
    firsts = [(time, month) for time, place in placed if (month := _month(place)) is not None]
    for step in _MONTHS:
        found = [time for time, month in firsts if month % step == 0]
        if len(found) <= MOST_TICKS:
            return found
    return []


def _month(milliseconds: int) -> int | None:
    """Return the number of the month that begins at that time, None where none does."""
    if milliseconds % _DAY:
        return None
    time = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return time.year * 12 + time.month - 1 if time.day == 1 else None
