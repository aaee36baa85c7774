"""From a question that somebody asked to the metric that asks it again: what Explore saves."""

from __future__ import annotations

from typing import Any

from tallymark.errors import RequestRefused
from tallymark.plan.kinds.metric import (
    Average,
    Conversion,
    Count,
    Gauge,
    Metric,
    Quantile,
    Rate,
    Sum,
    Unique,
)
from tallymark.plan.words import refuse
from tallymark.queries.kinds import Question
from tallymark.queries.kinds.funnel import Funnel
from tallymark.queries.kinds.ratio import Ratio
from tallymark.queries.kinds.trend import Trend

_OF_FIELD: dict[str, type[Unique | Sum | Average | Gauge]] = {
    "unique": Unique,
    "sum": Sum,
    "average": Average,
    "last": Gauge,
}


def build_metric(question: Question, about: dict[str, Any]) -> Metric:
    """Return the metric of a question; `about` is what the question does not say: name, title, owner, unit.

    Its time, interval and breakdown are left out: a metric is asked for any. Raises RequestRefused (invalid_definition)
    for a question that is no single figure.
    """
    if isinstance(question, Ratio):
        return Rate(
            numerator=question.numerator, denominator=question.denominator, filters=question.filters, **about
        )
    if isinstance(question, Funnel):
        if len(question.steps) == 1:
            raise refuse("A funnel of one step has no conversion. Add a step.", "steps")
        steps: dict[str, Any] = {"by": question.by, "window": question.window, "steps": question.steps}
        return Conversion(filters=question.filters, **steps, **about)
    if isinstance(question, Trend):
        return _build_of_series(question, about)
    raise refuse("A change is no metric: save the figure that changes.", "kind")


def _build_of_series(question: Trend, about: dict[str, Any]) -> Metric:
    if len(question.series) != 1:
        raise refuse("A metric is one figure: leave one series.", "series")
    (series,) = question.series
    events: dict[str, Any] = {
        "event_name": series.event_name,
        "filters": (*question.filters, *series.filters),
    }
    measure = series.measure
    if measure.op == "count" and measure.field is None:
        return Count(**events, **about)
    if measure.op == "quantile" and measure.field is not None and measure.q is not None:
        return Quantile(field=measure.field, q=measure.q, **events, **about)
    kind = _OF_FIELD.get(measure.op)
    if kind is None or measure.field is None:
        raise _no_kind(f"count of {measure.field}" if measure.op == "count" else measure.op)
    return kind(field=measure.field, **events, **about)


def _no_kind(op: str) -> RequestRefused:
    allowed = ", ".join(["count", "quantile", *_OF_FIELD])
    return refuse(f"There is no kind of metric for {op}. Allowed: {allowed}.", "series[0].measure.op")
