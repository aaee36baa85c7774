"""Times as pages ask for them: the last so long or from and to, cut as finely as the length bears."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final, get_args

from tallymark.plan.kinds.dashboard import LENGTHS, Dashboard, is_last, parse_last
from tallymark.plan.kinds.metric import Span
from tallymark.queries.period import build_period
from tallymark.queries.question import MAX_BREAKDOWNS, Filters, Interval, refuse
from tallymark.web.parameters import Parameter, formed, handled, one_of

# Up to so many days an interval of this length keeps a chart readable.
_FINE: Final[tuple[tuple[float, Interval], ...]] = (
    (0.25, "minute"),
    (4, "hour"),
    (120, "day"),
    (900, "week"),
)
# Asks for one figure of the whole time.
NO_INTERVAL: Final = "none"
# The parameters that `read_wanted` reads.
TIMES: Final[tuple[Parameter, ...]] = (
    formed("last", is_last, LENGTHS),
    *(handled("from"), handled("to"), handled("tz")),
    one_of("interval", (*get_args(Interval), NO_INTERVAL)),
)
_OFFSET: Final = re.compile(r"(Z|[+-]\d\d:?\d\d)$")
# Minutes.
_TOGETHER: Final = 5
_HOURS: Final = {"h": 1, "d": 24, "w": 168}


PRESETS: Final = (
    ("24 hours", "24h"),
    ("7 days", "7d"),
    ("30 days", "30d"),
    ("90 days", "90d"),
    ("12 months", "12m"),
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A time as somebody asked for it, all texts: `last` or both of `start` and `end`; '' is not given."""

    last: str = ""
    start: str = ""
    end: str = ""
    interval: str = ""
    timezone: str = "UTC"


def own_time(dashboard: Dashboard) -> Wanted:
    """Return the time that a dashboard shows where nobody asks for another."""
    return Wanted(
        dashboard.last, dashboard.start, dashboard.end, dashboard.interval or "", dashboard.timezone
    )


def read_wanted(fields: Mapping[str, str], default: Wanted) -> Wanted:
    """Return what an address asks for; what it does not say is the default's."""
    given = Wanted(
        fields.get("last", ""),
        fields.get("from", ""),
        fields.get("to", ""),
        fields.get("interval", ""),
        fields.get("tz", "") or default.timezone,
    )
    if given.start or given.end:
        # Somebody who types a time means it, whatever length was chosen before.
        return replace(given, last="")
    if given.last:
        return given
    return Wanted(
        default.last, default.start, default.end, given.interval or default.interval, given.timezone
    )


def find_span(wanted: Wanted, now: datetime, filters: Filters = (), breakdown: tuple[str, ...] = ()) -> Span:
    """Return the span; raises RequestRefused for a time that cannot be read, and for too many fields of a breakdown.

    The last 30 days hold today as far as it has come, the last 24 hours end with this minute: what has not happened yet
    is no 0.
    """
    if wanted.interval not in ("", NO_INTERVAL, *get_args(Interval)):
        allowed = ", ".join(get_args(Interval))
        raise refuse(f"{wanted.interval[:40]!r} is no interval. Allowed: {allowed}.", "interval")
    if len(breakdown) > MAX_BREAKDOWNS:
        raise refuse(f"A breakdown has at most {MAX_BREAKDOWNS} fields, not {len(breakdown)}.", "by")
    start, end = wanted.start, wanted.end
    if wanted.last:
        start, end = _find_ends(wanted.last, wanted.timezone, now)
    period = build_period(start, end, "", wanted.timezone)
    days = (period.end - period.start) / timedelta(days=1)
    interval = wanted.interval or next((name for most, name in _FINE if days <= most), "month")
    return Span(
        start=start,
        end=end,
        interval=None if interval == NO_INTERVAL else interval,  # type: ignore[arg-type]
        timezone=wanted.timezone,
        filters=filters,
        breakdown=breakdown,
    )


def _find_ends(last: str, timezone: str, now: datetime) -> tuple[str, str]:
    number, unit = parse_last(last)
    zone = build_period("2026-01-01", "2026-01-02", "", timezone).zone
    if unit == "h":
        # Hours are counted as they pass, whatever clocks do meanwhile.
        end = now.astimezone(UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
        return tuple(one.astimezone(zone).isoformat() for one in (end - timedelta(hours=number), end))  # type: ignore[return-value]
    midnight = now.astimezone(zone).replace(tzinfo=None, hour=0, minute=0, second=0, microsecond=0)
    tomorrow = midnight + timedelta(days=1)
    if unit in _HOURS:
        start = tomorrow - timedelta(hours=number * _HOURS[unit])
    else:
        start = _months_before(tomorrow, number * (12 if unit == "y" else 1))
    return start.isoformat(), _round_up(now).astimezone(zone).isoformat()


def _round_up(now: datetime) -> datetime:
    """Return the next whole five minutes: so long those who look share what is asked."""
    begun = now.astimezone(UTC).replace(second=0, microsecond=0)
    return begun + timedelta(minutes=_TOGETHER - begun.minute % _TOGETHER)


def _months_before(end: datetime, months: int) -> datetime:
    """Return the same day of an earlier month, or that month's last day."""
    total = end.year * 12 + end.month - 1 - months
    year, month = divmod(total, 12)
    for day in (end.day, 30, 29, 28):
        try:
            return end.replace(year=max(year, 1970), month=month + 1, day=day)
        except ValueError:
            continue
    return end


def write_span(span: Span) -> str:
    """Return a time in words: 2026-11-17 to before 2026-11-23 06:45, Europe/Berlin."""
    return f"{shorten_moment(span.start)} to before {shorten_moment(span.end)}, {span.timezone}"


def shorten_moment(text: str) -> str:
    """Return a begin or end as short as it can be: a midnight is its date, whole minutes have no seconds.

    Offsets are those of the zone that stands beside it; a time in UTC says so.
    """
    day, _, clock = text.replace(" ", "T").partition("T")
    zone = "Z" if clock.endswith("Z") else ""
    clock = _OFFSET.sub("", clock).removesuffix(":00") if clock.count(":") > 1 else clock.removesuffix("Z")
    return day if clock + zone in ("", "00:00") else f"{day} {clock}{zone}"
