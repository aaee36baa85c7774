"""The redact step: values by their place, ids as pseudonyms, names kept or refused, whichever way a body is read."""

from __future__ import annotations

import json

import msgspec
import pytest

from tallymark.errors import EVENT_CODES
from tallymark.rules.privacy import PrivacyRules
from tests.rules.corpus.measure import accept, build_event, kept, read

RULES = PrivacyRules(secret=b"of this installation")


def _send(**members):
    event = {
        "event_id": "e",
        "event_time": "2026-01-31T12:00:00Z",
        "event_type": "t",
        "event_name": "n",
        **members,
    }
    return accept([event], RULES)


def _rows(record) -> list[dict]:
    return [json.loads(row) for row in record.rows.decode().splitlines()]


@pytest.mark.parametrize(
    "member",
    [
        {"event_name": "Basic subscription bought"},
        {"event_name": "Abc::Def"},
        {"event_name": "Abc::Fed"},
        {"attributes": {"Abc::Def": 1, "Abc::Fed": 2}},
        {"attributes": {"picture": "logo@2x.png"}},
        {"attributes": {"logo@2x.png": 1}},
        {"attributes": {"build": "1.2.3.4"}},
        {"service_version": "1.2.3.5"},
        {"user_id": "4242424242424242"},
        {"user_id": "5555555555554444"},
        {"attributes": {"order_id": 4242424242424242, "orders": [5555555555554444]}},
        {"attributes": {"by_user": {"4242424242424242": 3}}},
    ],
)
def test_ordinary_values_are_kept(member):
    """Names, versions, files and numbers that only look like personal data reach the disk as they were sent."""
    record = _send(**member)
    assert not record.failed
    assert record.heading.scrubbed == {}
    assert _rows(record)[0].items() >= member.items()


@pytest.mark.parametrize(
    ("member", "told", "place"),
    [
        ({"event_name": "ada@example.org signed up"}, "ada@", "event_name"),
        ({"event_type": "Bearer abcdef0123456789"}, "abcdef0123456789", "event_type"),
        ({"attributes": {"ada@example.org": 1}}, "ada@", "attributes"),
        ({"attributes": {"a": {"b": [{"192.0.2.17": 1}]}}}, "192.0.2.17", "attributes"),
        ({"ada@example.org": 1}, "ada@", "attributes"),
    ],
)
def test_a_name_is_refused_and_not_told(member, told, place):
    """An event with personal data in a name is quarantined under its own code; what is kept of it does not tell the name."""
    record = _send(user_id="grace@example.org", **member)
    (failed,) = record.failed
    assert (failed.code, failed.place) == ("personal_data_in_name", place)
    assert record.heading.failed == {"personal_data_in_name": 1}
    assert failed.code in EVENT_CODES
    assert failed.kept
    assert told not in kept(record)
    assert json.loads(failed.body)["user_id"].startswith("email-")
    assert sum(record.heading.scrubbed.values()) == 2


@pytest.mark.parametrize("name", ["ada@example.org", "192.0.2.17"])
def test_a_failure_elsewhere_does_not_tell_a_name(name):
    """Where another check fails below such a name, neither place nor message has it."""
    record = _send(attributes={name: {"x": [1] * 2, "n": 2**70}})
    (failed,) = record.failed
    assert failed.code == "integer_out_of_range"
    assert name not in kept(record)
    assert failed.place == "attributes"


def test_only_the_event_with_the_name_is_refused():
    """Its neighbours in the request are accepted."""
    events = [
        build_event("event_name", name) | {"event_id": name[:3]} for name in ("one", "ada@example.org", "two")
    ]
    record = accept(events, RULES)
    assert [row["event_name"] for row in _rows(record)] == ["one", "two"]
    assert [failed.index for failed in record.failed] == [1]


def test_a_name_is_kept_where_its_rule_is_off():
    """Whether a name is refused is the rule's decision: without the rule it is kept as it is."""
    event = build_event("event_name", "ada@example.org signed up")
    record = accept([event], PrivacyRules(frozenset(("card", "url_token"))))
    assert _rows(record) == [event]


def test_the_id_of_an_event_is_never_changed():
    """Neither on its way to the store nor to the quarantine: repetition and trace go by it."""
    events = [
        build_event("event_id", "ada@example.org"),
        build_event("event_id", "192.0.2.17") | {"event_time": "noon"},
    ]
    record = accept(events, RULES)
    assert [row["event_id"] for row in _rows(record)] == ["ada@example.org"]
    (failed,) = record.failed
    assert failed.event_id == json.loads(failed.body)["event_id"] == "192.0.2.17"


@pytest.mark.parametrize(
    "where", ["user_id", "performer_name", "performer_groups", "attributes.customer_id", "attributes.note"]
)
@pytest.mark.parametrize("value", ["ada@example.org", "4242 4242 4242 4242", "/a?token=x1", "192.0.2.17"])
def test_a_replay_changes_nothing_more(where, value):
    """What comes out of the quarantine is what would have been accepted, and going through again counts nothing."""
    event = build_event(where, value)
    (failed,) = accept([{**event, "event_time": "noon"}], RULES).failed
    again = accept([{**json.loads(failed.body), "event_time": event["event_time"]}], RULES)
    assert _rows(again) == _rows(accept([event], RULES))
    assert value not in again.rows.decode()
    assert again.heading.scrubbed == {}


def test_company_does_not_change_an_event():
    """Alone and among others, in lines and in an array, accepted events are the same."""
    lines = read("must_go.tsv")
    events = [
        {**build_event(where, value), "event_id": f"e{n}"} for n, (_, where, value, _) in enumerate(lines)
    ]
    alone = [row for event in events for row in _rows(accept([event], RULES))]
    assert _rows(accept(events, RULES)) == alone
    assert len(alone) > 1500


def test_texts_that_come_twice_give_one_pseudonym():
    """A person's id is the same pseudonym in a field, in an attribute and in a list."""
    record = _send(
        user_id="ada@example.org",
        attributes={"owner_id": "ada@example.org", "member_ids": ["ada@example.org"]},
    )
    (row,) = _rows(record)
    assert row["user_id"] == row["attributes"]["owner_id"] == row["attributes"]["member_ids"][0]
    assert msgspec.json.encode(row).count(b"email-") == 3
