"""From local times to moments: midnights, whole days, and times that a change of clocks skips or repeats.

Pure. Comes in: a local time or day and a zone. Goes out: a moment, aware and in UTC. Questions, comparisons, alerts and rotas
all go by these, so that one local time means the same moment everywhere.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND: Final = timedelta(seconds=1)


def resolve_local(local: datetime, zone: tzinfo) -> datetime:
    """Return the moment of a local time without an offset.

    A time that the clock skips is the moment of the change: so later local times are never earlier moments. Of a time that the
    clock shows twice it is the first. Raises OverflowError beyond the years that there are.
    """
    moment = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if not is_skipped(local, zone):
        return moment
    # Read by the offset before the change it lies behind it, read by the one after it before it.
    before = local.replace(tzinfo=zone, fold=1).astimezone(UTC)
    return _EPOCH + find_change((before - _EPOCH) // _SECOND, -((_EPOCH - moment) // _SECOND), zone) * _SECOND


def is_skipped(local: datetime, zone: tzinfo) -> bool:
    """Return whether the clock skips a local time."""
    moment = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    return moment.astimezone(zone).replace(tzinfo=None) != local.replace(fold=0)


def is_repeated(local: datetime, zone: tzinfo) -> bool:
    """Return whether the clock shows a local time twice."""
    first, second = (local.replace(tzinfo=zone, fold=fold).utcoffset() for fold in (0, 1))
    return first != second and not is_skipped(local, zone)


def find_change(before: int, after: int, zone: tzinfo) -> int:
    """Return the first Unix second with another offset than `before`; `after` has another one."""
    old = find_offset(before, zone)
    while after - before > 1:
        middle = (before + after) // 2
        if find_offset(middle, zone) == old:
            before = middle
        else:
            after = middle
    return after


def find_offset(second: int, zone: tzinfo) -> int:
    """Return the local offset at a Unix second, in seconds."""
    offset = (_EPOCH + second * _SECOND).astimezone(zone).utcoffset()
    return 0 if offset is None else int(offset.total_seconds())


def find_midnight(day: date, zone: tzinfo) -> datetime:
    """Return a day's first moment, also where the clock skips midnight; of a day that a zone skips, the next one's."""
    return resolve_local(datetime.combine(day, time()), zone)


def find_day(moment: datetime, zone: tzinfo) -> date:
    """Return the local day of a moment."""
    return moment.astimezone(zone).date()


def is_midnight(moment: datetime, zone: tzinfo) -> bool:
    """Return whether a moment is the first of its local day."""
    return moment == find_midnight(find_day(moment, zone), zone)


def move_days(moment: datetime, days: int, zone: tzinfo) -> datetime:
    """Move a moment by so many days of the local calendar, back with a negative number; it never stays where it is.

    A day's first moment becomes another day's. A time that the clock skips becomes the moment of the change. A day that a zone
    skips altogether (Samoa had no 30 December 2011) is passed over in the direction of the move.
    """
    local = moment.astimezone(zone).replace(tzinfo=None, fold=0)
    day = local.date() + timedelta(days=days)
    if days and find_day(find_midnight(day, zone), zone) != day:
        day += timedelta(days=1 if days > 0 else -1)
    if is_midnight(moment, zone):
        return find_midnight(day, zone)
    return resolve_local(datetime.combine(day, local.time()), zone)


def write_moment(moment: datetime, zone: tzinfo) -> str:
    """Return a moment as ISO 8601 with the zone's offset, which tells also repeated times apart; in UTC with a Z."""
    return moment.astimezone(zone).isoformat().replace("+00:00", "Z")
