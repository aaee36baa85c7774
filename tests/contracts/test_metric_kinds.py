"""What a plan lets through can be asked: every kind of metric with every kind of field, and all that is asked of it."""

from __future__ import annotations

from itertools import product
from typing import get_args

import msgspec
import pytest

from tallymark.errors import RequestRefused
from tallymark.metrics.explain import ask_explanation, find_obstacle
from tallymark.metrics.figures import ask_metric
from tallymark.plan.kinds.metric import Metric, OfNumbers, Span, check
from tallymark.queries.question import MeasureOp
from tallymark.queries.result import Answer, Cost

FIELDS = [
    "value",
    "sketch",
    "attributes.amount",
    "session_id",
    "event_time",
    "performer_groups",
    "event_hour",
]
SPANS = [
    Span(start="2026-01-02", end="2026-01-03", breakdown=("attributes.os",)),
    Span(start="2026-01-02", end="2026-01-03", breakdown=("attributes.os",), interval="hour", others=True),
    Span(start="2026-01-02", end="2026-01-03", breakdown=("attributes.os",), groups=(("a",), (None,))),
]
BEFORE = Span(start="2026-01-01", end="2026-01-02")
# What a field of a kind can hold that is not the same for all.
OF_KIND = {
    "count": [{"event_name": "a"}],
    "ratio": [
        {"numerator": {"event_name": "a", "measure": one}, "denominator": {"event_name": "b", "measure": other}}
        for one, other in product(
            [{"op": "count"}, *({"op": op, "field": field, **({"q": 0.9} if op == "quantile" else {})}
             for op in get_args(MeasureOp) for field in ("value", "sketch", "session_id"))],
            repeat=2,
        )
    ],
    "funnel": [{"by": by, "window": "1d", "steps": [{"event_name": "a"}, {"event_name": "b"}]} for by in FIELDS],
    "formula": [{"expression": "part / 2"}],
}  # fmt: skip
OF_FIELD = [{"event_name": "a", "field": field} for field in FIELDS]
KINDS = get_args(Metric)
PART = msgspec.convert({"kind": "average", "name": "part", "event_name": "a", "field": "sketch"}, Metric)


def ask(question):
    """Build all forms of a statement, and make the table of no rows."""
    period = question.period()
    for exact in (True, False):
        question.build_sql("p", period, exact=exact)
    table = question.shape_result(period, [], exact=True)
    return Answer(table.columns, table.rows, table.notes, Cost(0.0))


def build(kind):
    tag = kind.__struct_config__.tag
    for more in OF_KIND.get(tag, OF_FIELD):
        yield msgspec.convert({"kind": tag, "name": "m", **more}, Metric)


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__struct_config__.tag)
def kind(request):
    return request.param


def test_what_is_let_through_can_be_asked(kind):
    """A metric that the check accepts has figures, by groups and over time; of those with numbers also how they spread."""
    accepted = 0
    for metric in build(kind):
        try:
            check(metric, {"part": PART})
        except RequestRefused:
            continue
        accepted += 1
        for span in SPANS:
            ask_metric(metric, span, ask, {"part": PART})
        if isinstance(metric, OfNumbers):
            ask(metric.distribution(SPANS[0]))
    assert accepted


def test_what_can_be_explained_can_be_asked(kind):
    """Where no obstacle is told, the question of what a change is made of can be asked, or says that nothing was before."""
    for metric in build(kind):
        try:
            check(metric, {"part": PART})
        except RequestRefused:
            continue
        if find_obstacle(metric):
            continue
        try:
            ask_explanation(metric, SPANS[0], BEFORE, ("attributes.os", "event_hour"), ask)
        except RequestRefused as refusal:
            assert refusal.at == "compare"  # noqa: PT017 - a quantile of no rows


@pytest.mark.parametrize("kind", ["sum", "average", "quantile"])
def test_sketches_can_be_added_averaged_and_ranked(kind):
    """Timers, which send sketches, have these three kinds; their n counts values."""
    metric = msgspec.convert({"kind": kind, "name": "m", "event_name": "a", "field": "sketch"}, Metric)
    check(metric, {})
    figures = ask_metric(metric, SPANS[0], ask, {})
    assert [column.unit for column in figures.columns if column.name == "n"] == ["values"]
