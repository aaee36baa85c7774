"""The chart of an alert: its metric's course before and since, with the times in which something was wrong shaded.

Comes in: an alert, its metric, who asks. Goes out: a panel as all others, which pages show and messages bring as a picture.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final

import msgspec

from tallymark.alerts.batches import Batch
from tallymark.alerts.changes import BriefChange
from tallymark.alerts.values import key_of
from tallymark.alerts.windows import find_last_end
from tallymark.alerts.words import name_values
from tallymark.metrics.figures import Ask, ask_metric
from tallymark.plan.kinds.alert import Above, Alert, Below
from tallymark.plan.kinds.dashboard import Panel
from tallymark.plan.kinds.metric import Conversion, Metric, Span
from tallymark.plan.lengths import DAY
from tallymark.queries.question import Filter, Interval
from tallymark.queries.result import Cell
from tallymark.web.chart_specs import limit_spec
from tallymark.web.figure_charts import Line, build_figures_chart
from tallymark.web.panels import View
from tallymark.web.picture_specs import build_picture
from tallymark.web.shades import build_shades, shade_chart

# Seconds of a window, and what its course is cut into; for windows longer than the last, days.
_INTERVALS: Final[tuple[tuple[int, Interval, int], ...]] = (
    (1800, "minute", 3 * 3600),
    (DAY - 1, "hour", 3 * DAY),
)
_SECONDS: Final[dict[Interval, int]] = {"minute": 60, "hour": 3600, "day": DAY}
_WIDTH, _HEIGHT = 720, 300
# What a message shows ends a little before it is sent at the earliest: the last minute is not whole.
_RECENT: Final = timedelta(minutes=1)


def find_span(alert: Alert, end: datetime) -> Span:
    """Return the time that a chart of an alert shows: some windows up to and with the last one."""
    found = next(((interval, length) for most, interval, length in _INTERVALS if alert.seconds <= most), None)
    interval, length = found or ("day", 30 * DAY)
    # Whole intervals: the last one is not over, and no other is cut.
    step = _SECONDS[interval]
    end = find_last_end(step, alert.timezone, end) + timedelta(seconds=step)
    start = find_last_end(step, alert.timezone, end - timedelta(seconds=max(length, 6 * alert.seconds)))
    return Span(
        start=start.isoformat(), end=end.isoformat(), interval=interval, timezone=alert.timezone,
        filters=alert.filters, breakdown=alert.breakdown, limit=8,
    )  # fmt: skip


def build_alert_view(
    alert: Alert,
    span: Span,
    ask: Ask,
    metrics: Mapping[str, Metric],
    changes: Iterable[BriefChange],
    now: datetime,
) -> View:
    """Return the course of an alert's metric as a panel, shaded where something was wrong; raises RequestRefused as questions do."""
    view = _build_view(alert, metrics[alert.metric], span, ask, metrics)
    first, last = (datetime.fromisoformat(text) for text in (span.start, span.end))
    shades = build_shades(changes, {alert.name: alert}, first, min(last, now))
    view.chart = shade_chart(view.chart, span, shades)
    return view


def build_message_spec(
    batch: Batch, ask: Ask, metrics: Mapping[str, Metric], changes: Iterable[BriefChange], now: datetime
) -> bytes:
    """Return the chart of what a message is about, as a specification that holds everything; raises RequestRefused as questions do.

    It is of the value that changed last; b"" where there is no such metric any more. `changes` are those of the alert.
    """
    change = batch.changes[-1]
    alert = change.cause.alert
    if alert.metric not in metrics:
        return b""
    span = find_span(alert, max(change.at, now - _RECENT))
    if change.values:
        span = _narrow_span(alert, span, change.values)
    of_value = [one for one in changes if one.key == key_of(change.values)]
    view = build_alert_view(alert, span, ask, metrics, of_value, now)
    view.title = " · ".join(filter(None, (view.title, name_values(change.values))))
    return msgspec.json.encode(build_picture(view, span, "light", _WIDTH, _HEIGHT))


def _narrow_span(alert: Alert, span: Span, values: tuple[Cell, ...]) -> Span:
    """Return the time for one value of an alert's breakdown."""
    named = [
        Filter(field=field, op="eq", value=value)
        if value not in (None, "")
        else Filter(field=field, op="exists", value=False)
        for field, value in zip(alert.breakdown, values, strict=False)
    ]
    return msgspec.structs.replace(span, filters=(*span.filters, *named), breakdown=())


def _build_view(alert: Alert, metric: Metric, span: Span, ask: Ask, others: Mapping[str, Metric]) -> View:
    """Return the course of an alert's metric as a panel; raises RequestRefused as questions do."""
    title = alert.title or metric.title or metric.name
    view = View(Panel(name="alert", kind="line", metrics=(metric.name,)), title, [metric], linked=False)
    if isinstance(metric, Conversion):
        view.problem = "A funnel is counted over a whole time: it has no course."
        return view
    figures = ask_metric(_fit_sample(alert, metric, span), span, ask, others)
    view.asked.append(figures)
    view.notes += figures.notes
    view.chart = build_figures_chart([Line(metric.title or metric.name, figures)], span.interval or "hour")
    if view.chart is not None and isinstance(alert.when, Below | Above):
        view.chart = msgspec.structs.replace(view.chart, spec=limit_spec(view.chart.spec, alert.when.value))
    return view


def _fit_sample(alert: Alert, metric: Metric, span: Span) -> Metric:
    """Return the metric with the least n that fits the course: of a window's least as much as an interval is of a window."""
    least = metric.minimum_sample if alert.minimum_sample is None else alert.minimum_sample
    share = min(1.0, _SECONDS[span.interval] / alert.seconds) if span.interval in _SECONDS else 1.0
    return msgspec.structs.replace(metric, minimum_sample=math.ceil(least * share))
