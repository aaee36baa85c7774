"""Parsing: what is a question becomes one, what is not is refused with its place and what is allowed."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark.errors import RequestRefused
from tallymark.queries.kinds import KINDS
from tallymark.queries.parse import MAX_BYTES, describe_questions, parse_question

TREND = {"kind": "trend", "from": "2024-01-01", "to": "2025-01-01", "series": [{"event_name": "seen"}]}


def refused(question):
    with pytest.raises(RequestRefused) as caught:
        parse_question(question if isinstance(question, bytes) else json.dumps(question).encode())
    assert caught.value.status == 400
    return caught.value


@pytest.mark.parametrize(
    ("change", "at", "allowed"),
    [
        ({"kind": "pie"}, "kind", "trend, ratio, funnel"),
        ({"kind": None}, "kind", "trend, ratio, funnel"),
        ({"kind": ["trend"]}, "kind", "trend, ratio, funnel"),
        ({"interval": "fortnight"}, "interval", "day, hour, minute, month, quarter, week, year"),
        (
            {"series": [{"event_name": "a", "measure": {"op": "median"}}]},
            "series[0].measure.op",
            "average, count, deviation",
        ),
        (
            {"series": [{"event_name": "a", "filters": [{"field": "x", "op": "like"}]}]},
            "series[0].filters[0].op",
            "contains, digest, eq, exists",
        ),
        ({"serie": []}, "", "series"),
        ({"series": [{"event_name": "a", "nam": "b"}]}, "series[0]", "event_name, name"),
        ({"series": [{"name": "b"}]}, "series[0]", "event_name"),
        ({"series": []}, "series", ""),
        ({"series": "seen"}, "series", ""),
        ({"limit": 0}, "limit", ""),
        ({"limit": 1001}, "limit", "1000"),
        ({"limit": "5"}, "limit", ""),
        ({"from": 5}, "from", ""),
        ({"breakdown": ["a", 1]}, "breakdown[1]", ""),
        ({"breakdown": list("abcdef")}, "breakdown", "5"),
        (
            {"series": [{"event_name": "a", "measure": {"op": "quantile", "field": "value", "q": 2}}]},
            "series[0].measure.q",
            "1",
        ),
        ({"filters": [{"field": "attributes.", "op": "exists"}]}, "filters[0].field", "event_name"),
    ],
)
def test_a_mistake_is_answered_with_its_place_and_what_is_allowed(change, at, allowed):
    """The path is that of the mistake, and the message lists what may stand there."""
    error = refused({**TREND, **change})
    assert error.at == at
    assert allowed in error.message


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b"{",
        b'{"kind": "trend"',
        b"\xff",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b" " * (MAX_BYTES + 1),
    ],
)
def test_what_is_no_json_object_is_refused(body):
    """Broken, deep, large or other JSON is a mistake of the asker, never a fault of ours."""
    assert refused(body).code == "invalid_question"


def test_a_question_reads_back_as_it_was_asked():
    """Encoding a parsed question gives the same JSON: links and copies of a question lose nothing."""
    asked = {
        **TREND,
        "interval": "day",
        "timezone": "Europe/Berlin",
        "filters": [
            {"field": "os", "op": "in", "value": ["a", 5, None, True]},
            {"field": "x", "op": "exists"},
        ],
        "breakdown": ["origin"],
        "limit": 7,
    }
    assert json.loads(msgspec.json.encode(parse_question(asked))) == asked


def test_filters_that_ask_for_null_keep_it():
    """A value of null is not the same as no value."""
    asked = {**TREND, "filters": [{"field": "os", "op": "eq", "value": None}]}
    assert json.loads(msgspec.json.encode(parse_question(asked))) == asked


def test_the_schema_names_every_kind_and_operator():
    """The description that the API publishes holds the same words as the parser."""
    schema = json.dumps(describe_questions())
    for word in ("quantile", "not_in", "quarter", *(str(kind.__struct_config__.tag) for kind in KINDS)):
        assert f'"{word}"' in schema


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(
    key=st.sampled_from(
        ["from", "to", "interval", "timezone", "series", "filters", "breakdown", "limit", "by", "window"]
    ),
    value=json_values,
    kind=st.sampled_from(["trend", "ratio", "funnel"]),
)
def test_any_other_json_is_parsed_or_refused(key, value, kind):
    """No value in any place makes anything but a question or a refusal."""
    try:
        parse_question(json.dumps({**TREND, "kind": kind, key: value}).encode())
    except RequestRefused as error:
        assert error.status == 400  # noqa: PT017 - most values are refused and a few are fine
