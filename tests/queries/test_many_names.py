"""How many names and fields there are, senders decide: what comes here of them is never more than was asked for."""

from __future__ import annotations

import pytest

from tallymark.errors import RequestRefused
from tallymark.queries.ask import Limits
from tallymark.queries.names import find_event_names, find_fields, list_values
from tallymark.queries.parse import parse_question
from tallymark.queries.run import run_question

pytestmark = pytest.mark.store

NAMES, FIELDS = 5_000, 3_000


class Counting:
    """The store, and how many bytes of answers came from it."""

    def __init__(self, store):
        self._store = store
        self.bytes = 0

    def query_raw(self, sql, parameters=None, fmt="JSONEachRow", settings=None):
        body = self._store.query_raw(sql, parameters, fmt, settings)
        self.bytes += len(body)
        return body


@pytest.fixture(scope="module")
def project(insert):
    """Store one event of each of very many names, and events of one name with very many fields."""
    events = [{"event_name": f"screen_{n:05d}_opened"} for n in range(NAMES)]
    events += [
        {"event_name": "wide", "attributes": {f"field_{n * 30 + k:05d}": k for k in range(30)}}
        for n in range(FIELDS // 30)
    ]
    return insert(events)


@pytest.fixture
def counting(store):
    return Counting(store)


def _trend(event_name, **more):
    question = {
        "kind": "trend",
        "from": "2024-01-01",
        "to": "2024-01-02",
        "series": [{"event_name": event_name}],
    }
    return parse_question({**question, **more})


def test_near_names_are_found_without_all_names(counting, project):
    """A name that does not exist is answered with those that are near, and the store sends no others."""
    (note,) = run_question(_trend("scren_01234_opend"), counting, project).notes
    assert note.startswith("No event is called 'scren_01234_opend'. Near names: screen_01234_opened,")
    assert counting.bytes < 5_000


def test_near_fields_are_found_without_all_fields(counting, project):
    """The same for a field, also where the name's events have thousands."""
    (note,) = run_question(_trend("wide", breakdown=["feld_01234"]), counting, project).notes
    assert note.startswith("No event called wide has the attribute 'feld_01234'. Near names: field_01234")
    assert counting.bytes < 5_000


def test_lists_are_short_and_say_how_much_there_is(counting, project):
    """The most frequent names and the first fields, with the number of all; what is asked for by name is among them."""
    names = find_event_names(counting, project, limit=10)
    assert (names.names[0].name, names.names[0].count) == ("wide", FIELDS // 30)
    assert (len(names.names), names.total) == (10, NAMES + 1)
    chosen = find_event_names(counting, project, always=["screen_04999_opened", "never"], limit=10)
    assert (len(chosen.names), chosen.total) == (10, NAMES + 1)
    assert "screen_04999_opened" in [one.name for one in chosen.names]
    fields = find_fields(counting, project, "wide", limit=20)
    assert len(fields.fields) == 20
    assert fields.total > FIELDS
    assert counting.bytes < 10_000


def test_the_others_are_found_by_a_part_of_them(counting, project):
    """Typing a part of a name or a field finds those that contain it, in any case."""
    names = find_event_names(counting, project, containing="SCREEN_0123")
    assert (names.total, names.names[0].name) == (10, "screen_01230_opened")
    fields = find_fields(counting, project, "wide", containing="Field_0234")
    assert [one.name for one in fields.fields] == [f"attributes.field_0234{n}" for n in range(10)]
    assert fields.total == 10
    assert {one.name for one in find_fields(counting, project, "wide", containing="EVENT_n").fields} == {
        "event_name"
    }
    values = list_values(counting, project, "wide", "event_name", containing="WI")
    assert [one.value for one in values] == ["wide"]
    assert list_values(counting, project, "wide", "event_name", containing="x") == []


def test_the_search_has_the_limits_of_its_question(counting, project):
    """What takes too long or too much is broken off as any question is."""
    with pytest.raises(RequestRefused) as refused:
        find_event_names(counting, project, limits=Limits(rows_to_read=100))
    assert refused.value.code == "query_too_expensive"
