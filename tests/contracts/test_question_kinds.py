"""What every kind of question keeps to; a new kind is in `KINDS` and meets this at once."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from tallymark.errors import RequestRefused
from tallymark.queries.kinds import KINDS
from tallymark.queries.parse import describe_questions, parse_question

# A question of each kind with everything that all kinds share; a kind without one here fails the contract.
COMMON = {
    "from": "2024-01-01",
    "to": "2024-02-01",
    "filters": [{"field": "os", "op": "eq", "value": "'; DROP TABLE tallymark.events --"}],
    "breakdown": ["origin"],
}
EXAMPLES: dict[str, dict[str, Any]] = {
    "trend": {"series": [{"event_name": "a"}]},
    "ratio": {"numerator": {"event_name": "a"}, "denominator": {"event_name": "b"}},
    "change": {
        "breakdown": [],
        "dimensions": ["origin", "carrier"],
        "before": {"from": "2023-12-01", "to": "2024-01-01"},
        "numerator": {"event_name": "a"},
        "denominator": {"event_name": "b"},
    },
    "histogram": {"breakdown": [], "of": {"event_name": "a"}},
    "funnel": {"by": "session_id", "window": "7d", "steps": [{"event_name": "a"}, {"event_name": "b"}]},
}


# The first column of kinds that take no breakdown.
FIRST = {"change": "dimension", "histogram": "low"}


def example(kind, **words):
    tag = kind.__struct_config__.tag
    return parse_question({"kind": tag, **COMMON, **EXAMPLES[tag], **words})


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__struct_config__.tag)
def kind(request):
    return request.param


def test_tags_are_different():
    """No two kinds answer to one name."""
    tags = [kind.__struct_config__.tag for kind in KINDS]
    assert len(set(tags)) == len(tags)


def test_a_kind_is_frozen_and_refuses_unknown_words(kind):
    """A question cannot be changed after it was checked, and a misspelt word is not ignored."""
    with pytest.raises(AttributeError):
        example(kind).limit = 1
    with pytest.raises(RequestRefused, match="limit"):
        example(kind, limti=5)


def test_every_statement_reads_one_project_and_its_period(kind):
    """The project, the times and the event names are conditions, and all of them are parameters."""
    question = example(kind)
    statement = question.build_sql("the project", question.period(), exact=True)
    for column in ("project = {", "event_name ", "event_time >= ", "event_time < "):
        assert statement.sql.count(column) >= 1
    assert statement.sql.count("tallymark.events") == statement.sql.count("project = {")
    assert "the project" in statement.parameters.values()


def test_no_value_stands_in_the_statement(kind):
    """What the asker wrote as a value is in the parameters and nowhere in the SQL."""
    question = example(kind)
    statement = question.build_sql("p", question.period(), exact=True)
    assert "DROP" not in statement.sql
    assert COMMON["filters"][0]["value"] in statement.parameters.values()


def test_the_same_question_is_the_same_statement(kind):
    """Building is pure: twice the same text and the same values."""
    question = example(kind)
    once, again = (question.build_sql("p", question.period(), exact=True) for _ in range(2))
    assert once == again


def test_no_rows_from_the_store_are_a_table_without_rows(kind):
    """A breakdown over nothing has columns and no rows, and every selection is doubted."""
    question = example(kind)
    table = question.shape_result(question.period(), [], exact=True)
    assert table.rows == []
    assert table.columns[0].name == FIRST.get(kind.__struct_config__.tag, "origin")
    assert set(table.doubts) == {at for at, _ in question.selections()}


def test_paths_of_selections_lead_into_the_question(kind):
    """A path such as series[0] names the part of the JSON that it says."""
    question = example(kind)
    asked = msgspec.to_builtins(question)
    for at, selection in question.selections():
        name, _, place = at.partition("[")
        part = asked[name][int(place[:-1])] if place else asked[name]
        assert part["event_name"] == selection.event_name


def test_the_breakdown_cannot_hide_a_column(kind):
    """A breakdown by a name that the answer uses itself is refused, and the message says how to ask for it."""
    question = example(kind)
    if not question.breakdown:
        with pytest.raises(RequestRefused, match="takes no breakdown"):
            example(kind, breakdown=["origin"])
        return
    columns = question.shape_result(question.period(), [], exact=True).columns
    for column in columns[1:]:
        with pytest.raises(RequestRefused, match="twice"):
            example(kind, breakdown=[column.name])


def test_the_schema_describes_the_kind(kind):
    """The API's description holds the kind and its words."""
    schema = json.dumps(describe_questions())
    for field in msgspec.structs.fields(kind):
        assert f'"{field.encode_name}"' in schema
