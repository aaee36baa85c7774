"""A metric by hour and weekday of local time: when in the week it is high or low.

Counts and sums are given per hour that there was: in thirty days some weekdays come five times and others four.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, timedelta
from typing import Final

import msgspec

from tallymark.metrics.figures import Ask, Figures, ask_metric
from tallymark.plan.kinds.metric import Count, Metric, Span, Sum
from tallymark.queries.fields import WEEKDAYS
from tallymark.queries.period import build_period
from tallymark.queries.result import Column

HOURS: Final = 24
RHYTHM: Final = ("event_weekday", "event_hour")
_WEEK: Final = len(WEEKDAYS) * HOURS


def ask_rhythm(metric: Metric, span: Span, ask: Ask, others: Mapping[str, Metric]) -> Figures:
    """Return a metric's figures by weekday and hour, in their order; columns as of `ask_metric`.

    Hours of the week that the time does not have are not there; counts and sums of those without an event are 0.
    Raises RequestRefused as `ask_metric` does.
    """
    whole = msgspec.structs.replace(span, interval=None, breakdown=RHYTHM, limit=_WEEK, others=False)
    figures = ask_metric(metric, whole, ask, others)
    adds_up = isinstance(metric, (Count, Sum))
    hours = count_hours(span)
    found = {(row[0], row[1]): row for row in figures.rows}
    rows = []
    for day in WEEKDAYS:
        for hour in range(HOURS):
            row = found.get((day, hour))
            times = hours.get((day, hour), 0.0)
            if row is not None and adds_up and times:
                row = [day, hour, (row[2] or 0) / times, *row[3:]]  # type: ignore[operator]
            elif row is None and adds_up and times:
                row = [day, hour, 0.0, 0, None, None, metric.minimum_sample == 0]
            if row is not None:
                rows.append(row)
    notes = list(figures.notes)
    if adds_up:
        notes.append("Figures are per hour: each weekday's total divided by how often it came.")
    columns = tuple(
        Column(one.name, "number", f"{one.unit} per hour".lstrip())
        if one.name == "figure" and adds_up
        else one
        for one in figures.columns
    )
    return msgspec.structs.replace(
        figures,
        columns=columns,
        rows=rows,
        notes=notes,
        exact=figures.exact and not adds_up,
        estimate=figures.estimate or adds_up,
    )


def count_hours(span: Span) -> dict[tuple[str, int], float]:
    """Return how many hours of each hour of the week a time has, in part where it begins or ends inside one.

    The hour that autumn repeats is there twice, the one that spring skips is not. Raises RequestRefused for more than five
    years.
    """
    period = build_period(span.start, span.end, "hour", span.timezone)
    begins = [bucket.start.astimezone(UTC) for bucket in period.buckets]
    hours: dict[tuple[str, int], float] = {}
    if period.is_empty:
        return hours
    for bucket, begin, end in zip(period.buckets, begins, [*begins[1:], period.end], strict=True):
        key = WEEKDAYS[bucket.start.weekday()], bucket.start.hour
        lasts = (min(end, period.end) - max(begin, period.start)) / timedelta(hours=1)
        hours[key] = hours.get(key, 0.0) + lasts
    return hours
