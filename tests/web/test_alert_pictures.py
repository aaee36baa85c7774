"""The picture of a message is of the value that the message is about."""

from __future__ import annotations

from tallymark.plan.kinds.alert import Alert, Below
from tallymark.plan.kinds.metric import Span
from tallymark.queries.question import Filter
from tallymark.web.alert_pictures import _narrow_span


def test_a_picture_is_of_its_value_alone():
    """Also where the value is that there is none: all events would be another figure."""
    alert = Alert(name="a", metric="m", when=Below(value=1.0), window="1h", breakdown=("os", "plan"))
    span = Span(start="2026-01-01", end="2026-01-02", breakdown=alert.breakdown)
    narrow = _narrow_span(alert, span, ("iOS", None))
    assert narrow.breakdown == ()
    assert narrow.filters == (Filter("os", "eq", "iOS"), Filter("plan", "exists", value=False))
