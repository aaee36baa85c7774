"""The explore page's form: link, form and question say the same, and an error finds its input."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark.errors import RequestRefused
from tallymark.queries.parse import parse_question
from tallymark.queries.question import Filter
from tallymark.web.filter_rows import FilterRow, build_filter, build_row
from tallymark.web.pages.explore_form import (
    ExploreForm,
    Part,
    build_question,
    find_input,
    fit_parts,
    form_of,
    parse_form,
    render_form,
)

NAMES = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=20).filter(
    lambda text: text.strip() == text and text
)
FIELDS = st.sampled_from(
    ["carrier", "value", "is_dev", "user_id", "attributes.n", "event_time", "performer_groups"]
)
SCALARS = (
    st.text(max_size=20)
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.booleans()
    | st.none()
)


@st.composite
def filters(draw):
    """Any filter of an attribute that a question can hold."""
    op = draw(st.sampled_from(["eq", "ne", "in", "not_in", "lt", "contains", "matches", "exists"]))
    field = "attributes.n"
    if op == "exists":
        return {"field": field, "op": op, **draw(st.sampled_from([{}, {"value": False}]))}
    if op in ("in", "not_in"):
        return {"field": field, "op": op, "value": draw(st.lists(SCALARS, min_size=1, max_size=4))}
    if op == "matches":
        return {"field": field, "op": op, "value": draw(st.text(min_size=1, max_size=10))}
    return {"field": field, "op": op, "value": draw(SCALARS)}


@given(filters())
def test_a_filter_survives_being_written_into_a_form(one):
    """Every filter, of any type, comes back from its row as it was: 5 stays a number and "5" a text."""
    assert build_filter(build_row(one)) == one


@given(
    st.lists(
        st.builds(Part, event=NAMES, name=NAMES | st.just(""), filters=st.just(())), min_size=1, max_size=3
    ),
    st.lists(NAMES, max_size=3),
    st.lists(st.builds(FilterRow, field=NAMES, op=st.sampled_from(["eq", "gt"]), value=NAMES), max_size=3),
    st.sampled_from(["trend", "funnel"]),
)
def test_the_link_holds_the_whole_state(parts, breakdown, rows, kind):
    """What a form says stands in its link, and the link gives the same form and question again."""
    form = ExploreForm(
        kind=kind,
        start="2026-01-01",
        end="2026-02-01",
        interval="day" if kind == "trend" else "",
        by="user_id" if kind == "funnel" else "",
        window="7d" if kind == "funnel" else "",
        parts=tuple(parts),
        filters=tuple(rows),
        breakdown=tuple(breakdown),
    )
    again = parse_form(render_form(form))
    assert again == form
    assert render_form(again) == render_form(form)
    assert build_question(again) == build_question(form)


QUESTIONS = [
    {
        "kind": "trend",
        "from": "2013-01-01T00:00:00Z",
        "to": "2014-01-01",
        "timezone": "Europe/Berlin",
        "interval": "month",
        "series": [
            {"event_name": "a", "name": "first", "measure": {"op": "quantile", "field": "value", "q": 0.95}},
            {
                "event_name": "b",
                "measure": {"op": "unique", "field": "user_id"},
                "filters": [{"field": "n", "op": "gt", "value": 5}],
            },
        ],
        "filters": [{"field": "carrier", "op": "in", "value": ["UA", "A,A", "5"]}],
        "breakdown": ["origin"],
        "limit": 7,
    },
    {
        "kind": "ratio",
        "from": "2013-01-01",
        "to": "2014-01-01",
        "interval": "day",
        "numerator": {"event_name": "a", "filters": [{"field": "x", "op": "exists", "value": False}]},
        "denominator": {"event_name": "b", "measure": {"op": "sum", "field": "value"}},
    },
    {
        "kind": "funnel",
        "from": "2013-01-01",
        "to": "2014-01-01",
        "by": "session_id",
        "window": "24h",
        "steps": [
            {"event_name": "a", "name": "start"},
            {"event_name": "b", "filters": [{"field": "n", "op": "eq", "value": "5"}]},
        ],
    },
]


@pytest.mark.parametrize("others", [True, False])
def test_others_are_kept_as_asked(others):
    """A question that gathers the other groups does so in the form, one that does not does not."""
    question = {**QUESTIONS[0], "others": others}
    form = form_of(msgspec.to_builtins(parse_question(question)))
    assert parse_question(build_question(parse_form(render_form(form)))) == parse_question(question)


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question["kind"])
def test_a_question_in_json_becomes_the_form_and_stays_itself(question):
    """Any question pasted as JSON can be shown in the form without losing anything."""
    form = form_of(msgspec.to_builtins(parse_question(question)))
    again = build_question(parse_form(render_form(form)))
    assert parse_question(again) == parse_question(question)


def test_the_values_of_a_sketch_can_be_counted():
    """The measure count has a field only for the values of sketches; with any other it counts the events."""
    series = [{"event_name": "a", "measure": {"op": "count", "field": "sketch"}}]
    question = parse_question({**QUESTIONS[0], "series": series})
    form = form_of(msgspec.to_builtins(question))
    assert parse_question(build_question(parse_form(render_form(form)))).series == question.series
    other = replace(form, parts=(replace(form.parts[0], field="duration"),))
    assert "measure" not in build_question(other)["series"][0]


def test_empty_rows_are_dropped_and_rows_close_up():
    """Gaps that come from unused inputs or a removed row do not stay in the link."""
    fields = [
        ("s0.event", "a"),
        ("s1.event", ""),
        ("s2.event", "c"),
        ("b0", ""),
        ("b1", "origin"),
        ("f0.field", ""),
    ]
    form = parse_form([*fields, ("drop", "s0")])
    assert [part.event for part in form.parts] == ["c"]
    assert form.breakdown == ("origin",)
    assert form.filters == ()


BROKEN = [
    ({"interval": "fortnight"}, "interval"),
    ({"from": "yesterday"}, "from"),
    ({"timezone": "Mars"}, "tz"),
    ({"limit": 0}, "limit"),
    ({"breakdown": ["a", "attributes."]}, "b1"),
    ({"series": [{"event_name": "a", "measure": {"op": "quantile", "field": "value", "q": 7}}]}, "s0.q"),
    ({"series": [{"event_name": "a", "measure": {"op": "sum", "field": "user_id"}}]}, "s0.field"),
    ({"series": [{"event_name": "a", "measure": {"op": "middle"}}]}, "s0.op"),
    ({"series": [{"event_name": "a"}, {"event_name": "a"}]}, "s1.event"),
    ({"series": []}, "s0.event"),
    ({"filters": [{"field": "is_dev", "op": "gt", "value": 1}]}, "f0.op"),
    ({"filters": [{"field": "value", "op": "in", "value": [1, "x"]}]}, "f0.value"),
    (
        {"series": [{"event_name": "a", "filters": [{"field": "value", "op": "eq", "value": "x"}]}]},
        "s0.f0.value",
    ),
]


@pytest.mark.parametrize(("wrong", "name"), BROKEN, ids=[name for _, name in BROKEN])
def test_an_error_belongs_to_the_input_that_caused_it(wrong, name):
    """Whatever the question's parser finds wrong, the form can show it at the right place."""
    question = {**QUESTIONS[0], **wrong}
    with pytest.raises(RequestRefused) as caught:
        parse_question(question)
    assert find_input(caught.value.at) == name


def test_another_kind_takes_over_what_it_can():
    """Changing from a trend to a funnel or ratio keeps the events, and leaves what has no place there."""
    form = parse_form(
        [("s0.event", "a"), ("s0.op", "sum"), ("s0.field", "value"), ("s1.event", "b"), ("s2.event", "c")]
    )
    assert [part.op for part in fit_parts(form, "funnel").parts] == ["count"] * 3
    assert [part.event for part in fit_parts(form, "ratio").parts] == ["a", "b"]


def test_values_are_typed_by_their_field():
    """A core text takes 5 as a text, a number as a number, and an attribute as what it looks like."""
    rows = [
        FilterRow("user_id", "eq", "5"),
        FilterRow("value", "gt", "5"),
        FilterRow("n", "eq", "5"),
        FilterRow("n", "eq", '"5"'),
    ]
    assert [build_filter(row)["value"] for row in rows] == ["5", 5, 5, "5"]
    assert all(isinstance(msgspec.convert(build_filter(row), Filter), Filter) for row in rows)
