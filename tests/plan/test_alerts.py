"""Alerts as definitions: what cannot be judged is refused where it is written."""

from __future__ import annotations

import pytest

from tallymark.errors import RequestRefused
from tallymark.plan.kinds import BY_NAME
from tallymark.plan.kinds.metric import Count
from tallymark.plan.lengths import parse_length, write_length
from tallymark.plan.objects import check_object, parse_object, read_object, render_yaml
from tallymark.plan.yaml_text import parse_yaml

OBJECTS = {
    "metric": {
        "orders": Count(name="orders", event_name="order"),
        "carts": Count(name="carts", event_name="cart", role="intermediate", caveat="No order yet."),
    }
}
GOOD = {"name": "few", "metric": "orders", "when": {"is": "below", "value": 5}, "window": "1h"}


def check(**more):
    one = parse_object(BY_NAME["alert"], {**GOOD, **more})
    check_object(BY_NAME["alert"], one, OBJECTS)
    return one


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"when": {"is": "falls", "percent": 20}},
        {"when": {"is": "rises", "by": 3, "against": "previous"}},
        {"when": {"is": "unusual", "side": "below", "weeks": 6}},
        {"metric": "carts", "although_intermediate": True},
        {"breakdown": ["agent_os", "attributes.plan"], "limit": 100},
        {
            "window": "7d",
            "every": "1d",
            "timezone": "Europe/Berlin",
            "for": "2d",
            "no_data": {"for": "3d", "tell": False},
        },
    ],
)
def test_what_can_be_judged_is_taken(more):
    """Each kind of condition is taken, and comes back from YAML as it was."""
    one = check(**more)
    (value,) = parse_yaml(render_yaml({"alert": [one]})).value["alerts"]
    assert parse_object(BY_NAME["alert"], value) == one


@pytest.mark.parametrize(
    ("more", "at", "said"),
    [
        ({"metric": "order"}, "metric", "no metric 'order'"),
        ({"metric": "carts"}, "metric", "although_intermediate: true"),
        ({"name": "tallymark_few"}, "name", "tallymark's own"),
        ({"when": {"is": "falls"}}, "when", "percent"),
        ({"when": {"is": "falls", "percent": 20, "by": 3}}, "when", "one of them"),
        ({"when": {"is": "falls", "percent": 120}}, "when.percent", "Nothing falls by 120"),
        ({"when": {"is": "lower", "value": 3}}, "when.is", "lower"),
        ({"window": "5s"}, "window", "shortest"),
        ({"window": "90d"}, "window", "longer than"),
        ({"window": "1h", "every": "2h"}, "every", "longer than the window"),
        ({"every": "1s"}, "every", "shortest is 5s"),
        ({"timezone": "Mars/Base"}, "timezone", "Mars"),
        ({"filters": [{"field": "a", "op": "matches", "value": "("}]}, "filters[0].value", "RE2"),
        ({"breakdown": ["figure"]}, "breakdown[0]", "twice"),
    ],
)
def test_what_cannot_be_judged_is_refused(more, at, said):
    """Each mistake names its place and what is allowed."""
    with pytest.raises(RequestRefused, match=said) as refused:
        check(**more)
    assert (refused.value.code, refused.value.at) in (("invalid_definition", at), ("invalid_question", at))


def test_lengths():
    """A length of time is a whole number and a unit, and is written in the largest one that fits."""
    assert [parse_length(one) for one in ("30s", "15m", "2h", "1d", "1w")] == [30, 900, 7200, 86_400, 604_800]
    assert [write_length(one) for one in (90, 900, 7200, 172_800, 604_800)] == [
        "90s",
        "15m",
        "2h",
        "2d",
        "1w",
    ]
    with pytest.raises(RequestRefused, match="no length of time"):
        parse_length("soon")


@pytest.mark.parametrize(
    ("when", "at", "message"),
    [
        ({"is": "less", "value": 3}, "when.is", "is is 'less'. Allowed: below, above, falls, rises, unusual."),
        ({"value": 3}, "when", "`is` is missing, which says what kind it is. Allowed: below, above, falls, rises, unusual."),
        ("below 3", "when", "Expected a mapping such as {is: below, ...}, not 'below 3'. Allowed for is: below, above, falls, rises, unusual."),
        ({"is": "falls", "percent": 10, "against": "lastweek"}, "when.against", "Invalid enum value 'lastweek'. Allowed: last week, previous, yesterday."),
        ({"is": "falls", "persent": 10}, "when.persent", "Object contains unknown field `persent`. Fields: percent, by, against."),
        ({"is": "below"}, "when", "Object missing required field `value`. Fields: value."),
    ],
)  # fmt: skip
def test_a_condition_that_is_none_is_told_what_there_is(when, at, message):
    """The commonest mistakes name what is allowed in their place."""
    value = {"name": "a", "metric": "m", "window": "1h", "when": when}
    _, (mistake,) = read_object(BY_NAME["alert"], value)
    assert (mistake.at, mistake.message) == (at, message)
