"""From a metric to the question what its change between two times is made of."""

from __future__ import annotations

from typing import Final

from tallymark.errors import RequestRefused
from tallymark.plan.kinds.metric import Average, Count, Metric, Rate, Span, Sum, Unique
from tallymark.queries.kinds.change import Before, Change
from tallymark.queries.question import Selection

_WHOLE: Final = (Count, Unique, Sum, Average)


def build_change(
    metric: Metric, span: Span, before: Span, dimensions: tuple[str, ...], limit: int = 8
) -> Change:
    """Return the question which values of `dimensions` account for the change from `before` to `span`.

    Raises RequestRefused (invalid_question) for a metric that has no parts which add up: quantiles, gauges, funnels and
    formulas.
    """
    if isinstance(metric, Rate):
        numerator, denominator, filters = metric.numerator, metric.denominator, metric.filters
    elif isinstance(metric, _WHOLE):
        numerator = Selection(event_name=metric.event_name, measure=metric.measure(), filters=metric.filters)
        denominator, filters = None, ()
    else:
        kind = metric.__struct_config__.tag
        message = f"A {kind} has no parts that add up. Counts, unique values, sums, averages and ratios can be explained."
        raise RequestRefused("invalid_question", message, at="name")
    return Change(
        start=span.start,
        end=span.end,
        timezone=span.timezone,
        filters=(*filters, *span.filters),
        limit=limit,
        before=Before(before.start, before.end),
        numerator=numerator,
        denominator=denominator,
        dimensions=dimensions,
    )
