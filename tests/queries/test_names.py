"""Names: what a project has can be chosen, as the questions name it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tallymark.queries.names import (
    FieldValue,
    count_values,
    find_event_names,
    find_newest,
    list_fields,
    list_values,
)

pytestmark = pytest.mark.store


@pytest.fixture(scope="module")
def project(insert):
    return insert(
        [
            {"event_name": "a", "user_id": "u", "attributes": {"os": "iOS", "n": 1, "a.b": True}},
            {
                "event_name": "a",
                "event_time": "2024-03-01T12:00:00Z",
                "attributes": {"os": "Web", "n": 1.5, "list": ["x"]},
            },
            {"event_name": "a", "attributes": {"os": "iOS", "n": "many", "deep": {"er": 1, "x.y": 2}}},
            {"event_name": "b", "sketch_values": [1.0], "sketch_counts": [1], "attributes": {"only_b": 1}},
        ]
    )


def test_event_names_come_with_their_numbers(store, project):
    """The most frequent name first, with its count and its latest time; other projects' names do not show."""
    names = find_event_names(store, project).names
    assert [(name.name, name.count, name.last_time) for name in names] == [
        ("a", 3, "2024-03-01T12:00:00Z"),
        ("b", 1, "2024-01-01T00:00:00Z"),
    ]


def test_fields_are_those_that_events_have(store, project):
    """Core fields in use and attributes, with the types that were met; every name can be asked for."""
    fields = {field.name: field.types for field in list_fields(store, project, "a")}
    assert fields["attributes.n"] == ["number", "text"]
    assert fields["attributes.os"] == ["text"]
    assert fields["attributes.list"] == ["list"]
    assert fields["attributes.a.b"] == ["boolean"]
    assert fields["attributes.deep.er"] == ["number"]
    assert fields["attributes.deep.x%2Ey"] == ["number"]
    assert fields["user_id"] == ["text"]
    assert "session_id" not in fields
    assert "sketch" not in fields
    assert "attributes.only_b" not in fields
    everything = {field.name for field in list_fields(store, project)}
    assert {"attributes.only_b", "sketch", "attributes.os"} <= everything


def test_every_listed_field_finds_its_events(store, project, ask):
    """A field's listed name, put into a filter, keeps the events that have it."""
    for field in list_fields(store, project):
        question = {"kind": "trend", "from": "2024-01-01", "to": "2025-01-01"}
        series = [{"event_name": name, "name": name} for name in ("a", "b")]
        answer = ask(project, question, series=series, filters=[{"field": field.name, "op": "exists"}])
        assert sum(answer.rows[0]) > 0, field


def test_values_are_listed_by_frequency(store, project):
    """The values of a field to choose from, and how many events lack it."""
    assert list_values(store, project, "a", "os") == [FieldValue("iOS", 2), FieldValue("Web", 1)]
    assert FieldValue(None, 3) in list_values(store, project, "a", "missing")
    everywhere = {one.value: one.count for one in list_values(store, project, None, "event_name")}
    assert everywhere["a"] == 3
    assert len(everywhere) > 1


def test_values_are_counted_and_missing_ones_told(store, insert):
    """How many different values a field has, up to a hundred, and which share of the name's events has it."""
    project = insert(
        [
            {"event_name": "a", "user_id": f"u{n}" if n % 2 else "", "attributes": {"id": f"i{n}", "os": f"o{n % 3}", "b.c": "x"}}
            for n in range(300)
        ]
    )  # fmt: skip
    fields = ["user_id", "attributes.id", "os", "attributes.b.c", "attributes.missing"]
    found = [(one.name, one.values, one.present) for one in count_values(store, project, "a", fields)]
    assert found == [
        ("user_id", 101, 0.5),
        ("attributes.id", 101, 1.0),
        ("os", 3, 1.0),
        ("attributes.b.c", 1, 1.0),
        ("attributes.missing", 0, 0.0),
    ]
    assert (
        count_values(store, project, "a", []) == count_values(store, project, "a", ["attributes.:`x"]) == []
    )
    assert [one.present for one in count_values(store, project, "never", ["os"])] == [0.0]


def test_the_newest_event_is_found(store, project):
    """Of several names the newest; of names that were never seen, none."""
    assert find_newest(store, project, ["a", "b"]) == datetime(2024, 3, 1, 12, tzinfo=UTC)
    assert find_newest(store, project, ["b"]) == datetime(2024, 1, 1, tzinfo=UTC)
    assert find_newest(store, project, ["never"]) is None
    assert find_newest(store, project, []) is None


def test_an_empty_project_has_no_names(store):
    """Nothing is listed where nothing was sent."""
    assert find_event_names(store, "nobody's").names == []
    assert list_fields(store, "nobody's") == []
