"""The time that a figure is compared with: the period before, or the same days a week earlier, in local time."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import Final, Literal

import msgspec

from tallymark.plan.kinds.metric import Span
from tallymark.queries.period import build_period

Comparison = Literal["previous", "week", "year"]
_MOMENT: Final = timedelta(microseconds=1)
COMPARISONS: Final[tuple[Comparison, ...]] = ("previous", "week", "year")


def shift_span(span: Span, comparison: Comparison) -> Span:
    """Return the span that a comparison looks at.

    Times move on the local calendar: a day stays a day where clocks change. 29 February becomes the 28th. What began with a
    day moves by whole days, so that a day that is not over is compared with as much of another one.
    Raises RequestRefused for a time that cannot be read.
    """
    period = build_period(span.start, span.end, "", span.timezone)
    start, end = (
        moment.astimezone(period.zone).replace(tzinfo=None) for moment in (period.start, period.end)
    )
    if comparison == "year":
        # The end is exclusive: what moves is the last moment before it.
        moved = [_year_before(start), _year_before(end - _MOMENT) + _MOMENT]
    else:
        length = end - start
        if start.time() == time():
            length = timedelta(days=-(-length // timedelta(days=1)))
        back = timedelta(days=7) if comparison == "week" else length
        moved = [moment - back for moment in (start, end)]
    return msgspec.structs.replace(span, start=moved[0].isoformat(), end=moved[1].isoformat())


def _year_before(moment: datetime) -> datetime:
    if (moment.month, moment.day) == (2, 29):
        moment = moment.replace(day=28)
    return moment.replace(year=moment.year - 1)
