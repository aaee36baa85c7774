"""From a metric to the question what its change between two times is made of."""

from __future__ import annotations

from typing import Final

import msgspec

from tallymark.errors import RequestRefused
from tallymark.metrics.figures import Ask, ask_metric
from tallymark.plan.kinds.metric import Average, Count, Metric, Quantile, Rate, Span, Sum, Unique
from tallymark.queries.fields import SKETCH
from tallymark.queries.kinds.change import Before, Change
from tallymark.queries.question import Filter, Selection
from tallymark.queries.result import Answer

# Values of a field that are told, where nobody says how many.
DEFAULT_VALUES: Final = 8
_WHOLE: Final = (Count, Unique, Sum, Average)
# Times and a field to try a metric with; any will do.
_TRIAL: Final = Span(start="2026-01-02", end="2026-01-03")
_TRIAL_BEFORE: Final = Span(start="2026-01-01", end="2026-01-02")
_TRIAL_FIELD: Final = "event_hour"


def ask_explanation(
    metric: Metric, span: Span, before: Span, dimensions: tuple[str, ...], ask: Ask
) -> Answer:
    """Return which values of `dimensions` account for the change from `before` to `span`.

    Of each field `span.limit` values are told, and all others as one. A quantile has no parts that add up. Of a timer it is
    told who is slower instead: what is split is the share of values above what the quantile was before. Raises RequestRefused
    as `build_change` does.
    """
    if not isinstance(metric, Quantile) or metric.field == SKETCH:
        return ask(build_change(metric, span, before, dimensions))
    whole = msgspec.structs.replace(before, interval=None, breakdown=())
    earlier = ask_metric(metric, whole, ask, {}).rows
    mark = earlier[0][0] if earlier else None
    if not isinstance(mark, float):
        message = "There is no figure before: there is no change to explain."
        raise RequestRefused("invalid_question", message, at="compare")
    answer = ask(build_change(_share_above(metric, mark), span, before, dimensions))
    note = f"A quantile has no parts that add up: what is split is the share of values above {mark:g}, the figure before."
    return msgspec.structs.replace(answer, notes=[note, *answer.notes])


def find_obstacle(metric: Metric) -> str:
    """Return why no change of a metric can be explained, whatever the time and the fields; '' where it can."""
    try:
        one = _share_above(metric, 0.0) if isinstance(metric, Quantile) and metric.field != SKETCH else metric
        question = build_change(one, _TRIAL, _TRIAL_BEFORE, (_TRIAL_FIELD,))
        question.build_sql("", question.period(), exact=True)
    except RequestRefused as refusal:
        return refusal.message
    return ""


def _share_above(metric: Quantile, mark: float) -> Rate:
    above = (*metric.filters, Filter(field=metric.field, op="gt", value=mark))
    there = (*metric.filters, Filter(field=metric.field, op="exists"))
    return Rate(
        name=metric.name,
        numerator=Selection(event_name=metric.event_name, filters=above),
        denominator=Selection(event_name=metric.event_name, filters=there),
    )


def build_change(metric: Metric, span: Span, before: Span, dimensions: tuple[str, ...]) -> Change:
    """Return the question which values of `dimensions` account for the change from `before` to `span`.

    Raises RequestRefused (invalid_question) for a metric that has no parts which add up: gauges, funnels, formulas and
    quantiles of sketches.
    """
    if isinstance(metric, Rate):
        numerator, denominator, filters = metric.numerator, metric.denominator, metric.filters
    elif isinstance(metric, _WHOLE):
        numerator = Selection(event_name=metric.event_name, measure=metric.measure(), filters=metric.filters)
        denominator, filters = None, ()
    else:
        kind = metric.__struct_config__.tag
        what = "quantile of sketches" if isinstance(metric, Quantile) else kind
        message = f"A {what} has no parts that add up. Counts, unique values, sums, averages, ratios and quantiles of single values can be explained."
        raise RequestRefused("invalid_question", message, at="name")
    return Change(
        start=span.start,
        end=span.end,
        timezone=span.timezone,
        filters=(*filters, *span.filters),
        limit=span.limit,
        before=Before(before.start, before.end),
        numerator=numerator,
        denominator=denominator,
        dimensions=dimensions,
    )
