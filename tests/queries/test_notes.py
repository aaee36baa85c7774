"""An empty answer says why it is empty, where the reason is not that nothing happened."""

from __future__ import annotations

import pytest

from tallymark.errors import RequestRefused
from tallymark.queries.ask import Limits
from tallymark.queries.notes import Looking, explain_empty
from tallymark.queries.parse import parse_question

pytestmark = pytest.mark.store

YEAR = {"from": "2024-01-01", "to": "2025-01-01"}
TREND = {**YEAR, "kind": "trend", "series": [{"event_name": "t"}]}
FUNNEL = {**YEAR, "kind": "funnel", "by": "user_id", "window": "1d"}
RULE = '1 is a number, "1" a text, true a boolean.'


def event(name="t", **fields):
    return {"event_name": name, "event_time": "2024-03-01T12:00:00Z", **fields}


@pytest.mark.parametrize("more", [{}, {"breakdown": ["os"]}])
def test_a_funnel_by_what_events_lack_says_how_many_lack_it(insert, ask, more):
    """Not that nothing happened: three events did, and none tells who it was."""
    project = insert([event() for _ in range(3)] + [event("b", user_id="u")])
    answer = ask(project, FUNNEL, steps=[{"event_name": "t"}, {"event_name": "b"}], **more)
    assert "3 events of 't' have no user_id: a funnel leaves out who has none." in answer.notes
    assert not any("'b'" in note for note in answer.notes)


def test_the_events_that_lack_it_are_those_of_the_step_and_the_time(insert, ask):
    """The step's own conditions, the common ones and the period hold for the number too."""
    project = insert(
        [
            event(attributes={"os": "iOS", "plan": "a"}),
            event(attributes={"os": "iOS", "plan": "b"}),
            event(attributes={"os": "Web", "plan": "a"}),
            event(attributes={"os": "iOS", "plan": "a"}, event_time="2023-03-01T12:00:00Z"),
        ]
    )
    step = {"event_name": "t", "filters": [{"field": "os", "op": "eq", "value": "iOS"}]}
    answer = ask(project, FUNNEL, steps=[step], filters=[{"field": "plan", "op": "eq", "value": "a"}])
    assert "1 event of 't' has no user_id: a funnel leaves out who has none." in answer.notes


def test_a_later_step_without_who_is_said_too(insert, ask):
    """A first step that tells who, and a second that does not, gives no conversion and the reason."""
    project = insert([event(user_id="u"), event("paid"), event("paid")])
    answer = ask(project, FUNNEL, steps=[{"event_name": "t"}, {"event_name": "paid"}])
    assert [row[2] for row in answer.rows] == [1, 0]
    assert answer.notes == ["2 events of 'paid' have no user_id: a funnel leaves out who has none."]


def test_an_unseen_attribute_as_who_is_named_once(insert, ask):
    """Where no event at all has the field, its near names say more than the number."""
    project = insert([event(attributes={"account": "a"})])
    answer = ask(project, {**FUNNEL, "by": "acount"}, steps=[{"event_name": "t"}])
    assert "No event called t has the attribute 'acount'. Near names: account." in answer.notes
    assert not any("have no acount" in note or "has no acount" in note for note in answer.notes)


@pytest.mark.parametrize(
    ("stored", "op", "value", "told"),
    [
        (
            [1, 1],
            "eq",
            "1",
            "x of 't' is a number in all 2 events that have it; the filter eq asks for a text",
        ),
        (["1"], "eq", 1, "x of 't' is a text in the 1 event that has it; the filter eq asks for a number"),
        (
            [True],
            "eq",
            "true",
            "x of 't' is a boolean in the 1 event that has it; the filter eq asks for a text",
        ),
        ([1.5, 2], "in", ["1.5", True], "the filter in asks for a text or a boolean"),
        (["5"], "gt", 3, "the filter gt asks for a number"),
        ([7], "matches", "7", "the filter matches asks for a text"),
        ([7], "contains", "7", "the filter contains asks for a list or a text"),
        (["a"], "contains", 7, "the filter contains asks for a list"),
        ([[1]], "eq", 1, "x of 't' is a list in the 1 event that has it; the filter eq asks for a number"),
        (
            [1, "a"],
            "eq",
            "1",
            "In 1 event of 't' x reads the same and is of another type; the filter eq asks for a text",
        ),
    ],
)
def test_a_filter_of_another_type_is_not_silent(insert, ask, stored, op, value, told):
    """The answer stays 0, and a note says which type there is and how each is written."""
    project = insert([event(attributes={"x": one}) for one in stored])
    answer = ask(project, TREND, filters=[{"field": "x", "op": op, "value": value}])
    assert answer.rows == [[0]]
    (note,) = answer.notes
    assert told in note
    assert note.endswith(RULE)


@pytest.mark.parametrize(
    ("stored", "op", "value"),
    [
        ([1, 2], "eq", 3),
        (["a"], "eq", "b"),
        (["a"], "contains", "b"),
        ([["a"]], "contains", "b"),
        ([1, 1.5], "lt", 0.5),
        (["a"], "eq", None),
        (["a", 1], "in", ["b", 2]),
    ],
)
def test_a_filter_that_nothing_meets_needs_no_note(insert, ask, stored, op, value):
    """Values of the right type that are others, or missing, are an answer as it is."""
    project = insert([event(attributes={"x": one}) for one in stored])
    answer = ask(project, TREND, filters=[{"field": "x", "op": op, "value": value}])
    assert (answer.rows, answer.notes) == ([[0]], [])


def test_a_nested_attribute_has_its_type_too(insert, ask):
    """A name with dots is looked up as it is found: as a key, else as the way into an object."""
    project = insert([event(attributes={"http": {"status": 200}}), event(attributes={"http.status": 200})])
    answer = ask(project, TREND, filters=[{"field": "http.status", "op": "eq", "value": "200"}])
    assert "http.status of 't' is a number in all 2 events" in answer.notes[0]


def test_an_answer_with_figures_is_not_looked_into(insert, ask):
    """As long as there is something to show, no event is read a second time."""
    project = insert([event(attributes={"x": 1}), event(attributes={"x": "1"})])
    answer = ask(project, TREND, filters=[{"field": "x", "op": "eq", "value": "1"}])
    assert (answer.rows, answer.notes) == ([[1]], [])


def test_a_note_never_costs_the_answer(store, insert):
    """A look that runs into a limit gives no note; a store that is away is still an error."""
    project = insert([event(attributes={"x": 1}) for _ in range(1_000)])
    filters = [{"field": "x", "op": "eq", "value": "1"}]
    question = parse_question({**TREND, "series": [{"event_name": "t", "filters": filters}]})
    doubted = question.selections()
    assert explain_empty(Looking(question, store, project, Limits()), doubted)
    assert explain_empty(Looking(question, store, project, Limits(rows_to_read=10)), doubted) == []
    store_away = type("Away", (), {"query_raw": _away})()
    with pytest.raises(RequestRefused) as caught:
        explain_empty(Looking(question, store_away, project, Limits()), doubted)
    assert caught.value.code == "store_unavailable"


def _away(*arguments, **named):
    raise RequestRefused("store_unavailable")
