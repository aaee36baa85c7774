"""Filters: what each operator keeps, by type, and what it does with events that lack the field."""

from __future__ import annotations

import json
import random

import pytest

from tallymark.errors import RequestRefused
from tallymark.event import MAX_EVENT_BYTES
from tallymark.queries.fields import parse_field
from tallymark.queries.filters import build_filter
from tallymark.queries.parse import parse_question
from tallymark.queries.question import Filter
from tallymark.queries.sql import Parameters, build_scope

YEAR = {"kind": "trend", "from": "2024-01-01", "to": "2025-01-01"}
MISSING = object()

# Every kind of value that an attribute can have; its place is its name in the tables below.
VALUES = [
    5,  # 0
    5.0,
    "5",
    True,
    None,
    MISSING,  # 5
    "UA",
    "",
    [1, 2],
    [1.5, 5],
    ["UA", "x"],  # 10
    ["UA", 5],
    [],
    {"b": 1},
    2**63 + 1,
    -3,  # 15
    "ua5",
    False,
]


@pytest.fixture(scope="module")
def project(insert):
    events = []
    for value in VALUES:
        attributes = {} if value is MISSING else {"x": value}
        events.append({"attributes": {**attributes, "n": len(events)}})
    return insert(events)


def kept(ask, project, field, op, *value):
    one = {"field": field, "op": op, **({"value": value[0]} if value else {})}
    answer = ask(project, YEAR, series=[{"event_name": "seen"}], filters=[one], breakdown=["n"])
    return sorted(int(row[0]) for row in answer.rows)


def others(*places):
    return [place for place in range(len(VALUES)) if place not in places]


@pytest.mark.store
@pytest.mark.parametrize(
    ("op", "value", "places"),
    [
        ("eq", 5, [0, 1]),
        ("eq", 5.0, [0, 1]),
        ("eq", "5", [2]),
        ("eq", True, [3]),
        ("eq", False, [17]),
        ("eq", None, [4, 5, 13]),
        ("eq", "", [7]),
        ("eq", 2**63 + 1, [14]),
        ("eq", -3, [15]),
        ("ne", 5, others(0, 1)),
        ("ne", "UA", others(6)),
        ("ne", True, others(3)),
        ("ne", None, others(4, 5, 13)),
        ("in", [5, "UA", True], [0, 1, 3, 6]),
        ("in", ["5", "UA", None], [2, 4, 5, 6, 13]),
        ("not_in", [5, "UA", True], others(0, 1, 3, 6)),
        ("not_in", ["UA", None], others(4, 5, 6, 13)),
        ("lt", 5, [15]),
        ("lte", 5, [0, 1, 15]),
        ("gt", -3.5, [0, 1, 14, 15]),
        ("gte", 5.0, [0, 1, 14]),
        ("lt", "6", [2, 7]),
        ("gte", "UA", [6, 16]),
        ("contains", "U", [6]),
        ("contains", "UA", [6, 10, 11]),
        ("contains", 5, [9, 11]),
        ("contains", 1.5, [9]),
        ("matches", "(?i)^ua", [6, 16]),
        ("matches", "5$", [2, 16]),
    ],
)
def test_what_an_operator_keeps_of_attributes(ask, project, op, value, places):
    """Types are told apart (5 is 5.0 and is not "5"); ne and not_in keep what eq and in do not, also the missing."""
    assert kept(ask, project, "attributes.x", op, value) == places


@pytest.mark.store
def test_exists_is_having_a_value(ask, project):
    """A null is no value, nor is an object itself: its leaves are; an empty text or list is one."""
    present = others(4, 5, 13)
    assert kept(ask, project, "x", "exists") == present
    assert kept(ask, project, "x", "exists", True) == present
    assert kept(ask, project, "x", "exists", False) == [4, 5, 13]
    assert kept(ask, project, "x.b", "exists") == [13]


CORE = [
    {
        "user_id": "anna",
        "value": 5,
        "is_dev": True,
        "performer_is_bot": False,
        "performer_groups": ["staff", "x"],
    },
    {"user_id": "bob", "value": 5.5, "event_time": "2024-06-01T12:00:00.000001Z"},
    {"performer_is_bot": True, "sketch_values": [1.0], "sketch_counts": [2]},
]


@pytest.mark.store
@pytest.mark.parametrize(
    ("field", "op", "value", "places"),
    [
        ("user_id", "eq", "anna", [0]),
        ("user_id", "ne", "anna", [1, 2]),
        ("user_id", "eq", None, [2]),
        ("user_id", "in", ["anna", None], [0, 2]),
        ("user_id", "lt", "b", [0]),
        ("user_id", "gte", "", [0, 1]),
        ("user_id", "contains", "nn", [0]),
        ("user_id", "matches", "b*", [0, 1]),
        ("user_id", "exists", True, [0, 1]),
        ("value", "eq", 5, [0]),
        ("value", "ne", 5, [1, 2]),
        ("value", "gt", 5, [1]),
        ("value", "in", [5, 5.5, None], [0, 1, 2]),
        ("value", "exists", False, [2]),
        ("is_dev", "eq", True, [0]),
        ("is_dev", "ne", True, [1, 2]),
        ("performer_is_bot", "eq", False, [0]),
        ("performer_is_bot", "ne", False, [1, 2]),
        ("performer_is_bot", "exists", True, [0, 2]),
        ("performer_groups", "contains", "staff", [0]),
        ("performer_groups", "exists", False, [1, 2]),
        ("event_time", "gte", "2024-06-01T12:00:00.000001Z", [1]),
        ("event_time", "gt", "2024-06-01T14:00:00.000001+02:00", []),
        ("event_time", "in", ["2024-06-01T12:00:00.000001Z", "2023-01-01"], [1]),
        ("streams", "contains", "default", [0, 1, 2]),
        ("source", "eq", "http", [0, 1, 2]),
        ("sketch", "exists", True, [2]),
    ],
)
def test_what_an_operator_keeps_of_core_fields(ask, insert, *, field, op, value, places):
    """Core fields have one type each; what was not given is missing, also where the column holds an empty text."""
    project = insert([{**event, "attributes": {"n": n}} for n, event in enumerate(CORE)])
    assert kept(ask, project, field, op, value) == places


@pytest.mark.store
def test_a_bare_name_is_the_core_field_and_the_prefix_the_attribute(ask, insert):
    """`value` is the column, `attributes.value` the attribute of that name, `amount` the attribute."""
    project = insert([{"value": 1, "attributes": {"value": 2, "amount": 3, "n": 0}}])
    assert kept(ask, project, "value", "eq", 1) == [0]
    assert kept(ask, project, "attributes.value", "eq", 2) == [0]
    assert kept(ask, project, "amount", "eq", 3) == [0]
    assert kept(ask, project, "value", "eq", 2) == []


@pytest.mark.store
def test_a_dot_is_part_of_a_key_or_the_way_into_an_object(ask, insert):
    """`http.method` finds the key with the dot and, where there is none, the nested one; the key wins."""
    project = insert(
        [
            {"attributes": {"n": 0, "http.method": "GET"}},
            {"attributes": {"n": 1, "http": {"method": "GET"}}},
            {"attributes": {"n": 2, "http.method": "PUT", "http": {"method": "POST"}}},
            {"attributes": {"n": 3, "a": {"b.c": "GET"}}},
        ]
    )
    assert kept(ask, project, "http.method", "eq", "GET") == [0, 1]
    assert kept(ask, project, "attributes.a.b%2Ec", "eq", "GET") == [3]
    answer = ask(project, YEAR, series=[{"event_name": "seen"}], breakdown=["http.method"])
    assert {row[0]: row[1] for row in answer.rows} == {"GET": 2, "PUT": 1, None: 1}


@pytest.mark.parametrize(
    ("one", "at"),
    [
        ({"field": "value", "op": "matches", "value": "x"}, "op"),
        ({"field": "value", "op": "eq", "value": "5"}, "value"),
        ({"field": "value", "op": "lt", "value": None}, "value"),
        ({"field": "user_id", "op": "eq", "value": 5}, "value"),
        ({"field": "user_id", "op": "eq"}, "value"),
        ({"field": "user_id", "op": "eq", "value": ["a"]}, "value"),
        ({"field": "user_id", "op": "in", "value": "a"}, "value"),
        ({"field": "user_id", "op": "in", "value": []}, "value"),
        ({"field": "user_id", "op": "in", "value": ["a", 5]}, "value[1]"),
        ({"field": "x", "op": "in", "value": [{"a": 1}]}, "value[0]"),
        ({"field": "x", "op": "in", "value": ["a"] * 1001}, "value"),
        ({"field": "x", "op": "lt", "value": True}, "value"),
        ({"field": "x", "op": "eq", "value": "a" * (MAX_EVENT_BYTES + 1)}, "value"),
        ({"field": "x", "op": "eq", "value": "a\0"}, "value"),
        ({"field": "x", "op": "contains", "value": ""}, "value"),
        ({"field": "x", "op": "contains", "value": True}, "value"),
        ({"field": "x", "op": "matches", "value": 5}, "value"),
        ({"field": "x", "op": "matches", "value": ""}, "value"),
        ({"field": "x", "op": "digest", "value": "0" * 63}, "value"),
        ({"field": "value", "op": "digest", "value": "0" * 64}, "op"),
        ({"field": "x", "op": "exists", "value": "yes"}, "value"),
        ({"field": "x", "op": "exists", "value": 1}, "value"),
        ({"field": "x", "op": "eq", "value": 2**64}, "value"),
        ({"field": "x", "op": "eq", "value": 10**400}, "value"),
        ({"field": "event_time", "op": "gt", "value": "noon"}, "value"),
        ({"field": "is_dev", "op": "lt", "value": True}, "op"),
        ({"field": "performer_groups", "op": "eq", "value": "x"}, "op"),
        ({"field": "x", "op": "like", "value": "x"}, "op"),
        ({"field": "attributes.", "op": "exists"}, "field"),
        ({"field": "x" * 300, "op": "exists"}, "field"),
        ({"field": "a\0b", "op": "exists"}, "field"),
        ({"field": ":`Int64`", "op": "exists"}, "field"),
        ({"field": "a.^`b", "op": "exists"}, "field"),
        ({"field": "@`a", "op": "exists"}, "field"),
        ({"field": ".".join("a" * 20), "op": "exists"}, "field"),
    ],
)
def test_a_filter_that_cannot_be_is_refused_with_its_place(one, at):
    """Unknown operators, values of a type that the field never has, and impossible names name their path."""
    question = {
        **YEAR,
        "series": [{"event_name": "seen", "filters": [{"field": "user_id", "op": "exists"}, one]}],
    }
    with pytest.raises(RequestRefused) as caught:
        parse_question(question)
    assert caught.value.at == f"series[0].filters[1].{at}"
    assert caught.value.status == 400
    assert caught.value.code == ("unknown_field" if at == "field" else "invalid_question")


@pytest.mark.parametrize("pattern", ["(", "a**", "(?=a)", "x{1001}", "é(", "\\1"])
def test_a_pattern_that_does_not_compile_is_refused_before_it_is_asked(pattern):
    """What the store's RE2 would not take is refused where it is written, so that no definition holds it."""
    filters = [{"field": "user_id", "op": "matches", "value": pattern}]
    with pytest.raises(RequestRefused, match="is no RE2 regular expression: ") as caught:
        parse_question({**YEAR, "series": [{"event_name": "seen", "filters": filters}]})
    assert caught.value.at == "series[0].filters[0].value"


@pytest.mark.store
def test_a_broken_pattern_is_the_askers_mistake(ask, project):
    """A regular expression that does not compile is answered as a mistake in the question, not as a fault."""
    with pytest.raises(RequestRefused, match="RE2") as caught:
        kept(ask, project, "x", "matches", "(")
    assert caught.value.code == "invalid_question"


def hostile_texts(count):
    """Make different texts of what means something to SQL, to the engine's own syntax or to a terminal."""
    pieces = [
        *"ab .`'\"\\^[]%{}()$;,=<>*/-:?@|&~!\t\n\r",
        "é",
        "日本",
        "\u202e",
        "😀",
        "{p0:String}",
        "{p0:Identifier}",
        "--",
        "/*",
        "`",
        "\\`",
        ".:`String`",
        "OR 1=1",
        "NULL",
        "%2E",
        "$$",
        "\\x41",
        "\x01",
    ]
    chosen = random.Random(20)
    texts = {"".join(chosen.choices(pieces, k=chosen.randint(1, 6))): None for _ in range(count * 2)}
    return list(texts)[:count]


def addressable(text):
    """Tell whether an attribute can have the name in the store: the engine takes `.` in a key for `%2E`."""
    try:
        parse_field(f"attributes.{text}", "")
    except RequestRefused:
        return False
    return "%2E" not in text


@pytest.mark.store
@pytest.mark.parametrize("count", [1_000, pytest.param(10_000, marks=pytest.mark.long)])
def test_hostile_names_and_values_reach_what_they_name(insert, store, count):
    """Every attribute name and value, whatever is in it, matches its own event and no other: nothing escapes."""
    texts = [text for text in hostile_texts(13_000) if addressable(text)][:count]
    assert len(texts) == count
    batch = 250
    for first in range(0, len(texts), batch):
        some = texts[first : first + batch]
        project = insert([{"attributes": {text: text}} for text in some])
        parameters = Parameters()
        counts = [
            f"countIf({build_filter(Filter(f'attributes.{text}', 'eq', text), 'f', parameters)})"
            for text in some
        ]
        sql = f"SELECT {', '.join(counts)} {build_scope(parameters, project)}"
        got = json.loads(store.query_raw(sql, parameters.values, fmt="JSONCompact"))["data"][0]
        assert [text for text, count in zip(some, got, strict=True) if count != 1] == []


def test_user_text_enters_sql_only_quoted_or_as_a_parameter():
    """Taking the quoted identifiers out of a statement leaves nothing of the hostile name, and nothing of a value."""
    for text in hostile_texts(10_000):
        if not addressable(text):
            continue
        parameters = Parameters()
        sql = build_filter(Filter(f"attributes.{text}", "eq", text), "f", parameters)
        assert text in parameters.values.values()
        levels = "." * (text.count(".") + 1)
        whole, nested = "attributes..: = {p0:String}", f"attributes{levels}.: = {{p1:String}}"
        assert outside_quotes(sql) in (f"ifNull({whole}, false)", f"ifNull({whole} OR {nested}, false)")


def outside_quotes(sql):
    """Drop everything between backticks, as the engine's own lexer reads them."""
    kept = []
    inside = False
    characters = iter(sql)
    for character in characters:
        if inside and character == "\\":
            next(characters)
        elif character == "`":
            inside = not inside
        elif not inside:
            kept.append(character)
    assert not inside
    return "".join(kept)
