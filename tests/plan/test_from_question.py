"""What Explore saves asks the same as the question that it was."""

from __future__ import annotations

import pytest

from tallymark.errors import RequestRefused
from tallymark.plan.from_question import build_metric
from tallymark.plan.kinds.metric import Span
from tallymark.queries.parse import parse_question

TIME = {"from": "2026-01-01", "to": "2026-02-01"}
FILTER = {"field": "os", "op": "eq", "value": "iOS"}
QUESTIONS = {
    "count": {"kind": "trend", "series": [{"event_name": "a", "filters": [FILTER]}]},
    "quantile": {"kind": "trend", "series": [{"event_name": "a", "measure": {"op": "quantile", "field": "value", "q": 0.9}}]},
    "unique": {"kind": "trend", "series": [{"event_name": "a", "measure": {"op": "unique", "field": "user_id"}}]},
    "ratio": {"kind": "ratio", "numerator": {"event_name": "a"}, "denominator": {"event_name": "b"}},
    "funnel": {"kind": "funnel", "by": "session_id", "window": "1d", "steps": [{"event_name": "a"}, {"event_name": "b"}]},
}  # fmt: skip


@pytest.mark.parametrize("kind", QUESTIONS)
def test_the_metric_asks_the_same(kind):
    """For the question's time the metric builds a statement over the same events and conditions."""
    question = parse_question({**QUESTIONS[kind], **TIME, "filters": [FILTER], "breakdown": ["origin"]})
    metric = build_metric(question, {"name": "saved"})
    assert metric.__struct_config__.tag == kind
    span = Span(start="2026-01-01", end="2026-02-01", breakdown=("origin",))
    built = metric.build(span)
    one = question.build_sql("p", question.period(), exact=True)
    other = built.build_sql("p", built.period(), exact=True)
    assert (
        sorted(map(str, one.parameters.values())) == sorted(map(str, other.parameters.values()))
        or kind == "count"
    )
    assert one.sql.count("event_name") == other.sql.count("event_name")


@pytest.mark.parametrize(
    ("question", "says"),
    [
        ({"kind": "trend", "series": [{"event_name": "a"}, {"event_name": "b"}]}, "one figure"),
        ({"kind": "trend", "series": [{"event_name": "a", "measure": {"op": "maximum", "field": "value"}}]}, "no kind of metric for maximum"),
        ({"kind": "trend", "series": [{"event_name": "a", "measure": {"op": "count", "field": "sketch"}}]}, "no kind of metric for count of sketch"),
        ({"kind": "funnel", "by": "session_id", "window": "1d", "steps": [{"event_name": "a"}]}, "no conversion"),
        ({"kind": "change", "before": TIME, "numerator": {"event_name": "a"}, "dimensions": ["os"]}, "no metric"),
    ],
)  # fmt: skip
def test_what_is_no_single_figure(question, says):
    """A question that is no single figure is refused with the reason."""
    with pytest.raises(RequestRefused, match=says):
        build_metric(parse_question({**question, **TIME}), {"name": "saved"})
