"""PostHog's protocol: where the key may stand, how bodies are wrapped, and what becomes of each part of an event."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, urlencode

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallymark.errors import EVENT_CODES, RequestRefused
from tallymark.intake.accept import Outcome
from tallymark.intake.receiver import Head, ReceivedRequest, Router
from tallymark.intake.receivers.posthog import FIELDS, PostHogReceiver
from tallymark.journal.record import FailedEvent

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
TIME = "2026-01-31T11:59:58.250000Z"
RECEIVER = PostHogReceiver()
HEAD = Head("POST", "/batch/")
EVENT = {
    "event": "bought",
    "distinct_id": "u-1",
    "uuid": "01a",
    "timestamp": TIME,
    "properties": {"price": 5},
}


def _encode(value) -> bytes:
    return json.dumps(value).encode()


def _parse(body, path="/batch/", query=None, key="k"):
    text = body if isinstance(body, bytes) else _encode(body)
    return RECEIVER.parse(ReceivedRequest(Head("POST", path, query or {}), text, key, NOW, 1000))


def _read(body, **options):
    """Return the single event of a body as it goes on."""
    parsed = _parse(body, **options)
    assert not parsed.failed, parsed.failed
    (event,) = msgspec.json.decode(msgspec.json.encode(parsed.events))
    return event


# The key


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ({"token": "k"}, EVENT),
        ({"api_key": "k"}, EVENT),
        ({}, {"api_key": "k", "batch": [EVENT]}),
        ({}, {"batch": [EVENT], "sent_at": TIME, "api_key": "k"}),
        ({}, {"token": "k", **EVENT}),
        ({}, {"batch": [{**EVENT, "properties": {"token": "k"}}]}),
        ({}, [EVENT, {**EVENT, "properties": {"token": "k"}}]),
        ({}, [{**EVENT, "api_key": "k"}]),
        ({}, {**EVENT, "properties": {"token": "k"}}),
    ],
)
def test_where_the_key_may_stand(query, body):
    """In the query, in the body, and in an event; a body is not needed where the query has it."""
    head = Head("POST", "/batch/", query)
    found = RECEIVER.identify(head, None)
    assert (found or RECEIVER.identify(head, _encode(body)))[0] == "k"
    assert bool(found) is bool(query)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{}",
        b"[]",
        b"7",
        b'{"api_key": 7}',
        b"nothing",
        b"\xff\xfe",
        b"data=",
        b"data=%%%",
        b"[" * 100_000,
    ],
)
def test_where_there_is_no_key(text):
    """Whatever a body holds, no key is no key."""
    assert list(RECEIVER.identify(Head("POST", "/e/"), text)) == []


def test_key_of_a_body_that_is_not_json():
    """One value that is not JSON does not hide whose the body is."""
    assert RECEIVER.identify(Head("POST", "/batch/"), b'{"batch": [{"a": NaN}], "api_key": "k"}')[0] == "k"


@pytest.mark.parametrize(
    "text",
    [
        # The Python SDK writes the key last, and events hold what they like.
        b'{"batch":[{"properties":{"token":"reset-abc"}},{"properties":{"token":null}}],"api_key":"k"}',
        b'{"batch":[{"properties":{"user":{"token":"abc"},"v":NaN}},{"token":7}],"api_key":"k"}',
        b'{"api_key":"k","batch":[{"properties":{"token":"abc","v":NaN}}]}',
        b'{"batch":[{"properties":{"token":"abc","v":"\\ud83d"}}],"sentAt":"2026-01-31T11:00:00Z","api_key":"k"}',
        b'{"$token":"k","event":"e"}',
    ],
)
def test_the_key_of_the_envelope_is_not_that_of_an_event(text):
    """A token that an event holds is not taken for the project's key, whether or not the body is JSON everywhere."""
    assert RECEIVER.identify(Head("POST", "/batch/"), text)[0] == "k"


def test_the_time_of_sending_is_not_that_of_an_event():
    """Where a body is not JSON somewhere, a member of an event moves nobody's clock, and a property is no batch."""
    broken = b'{"uuid":"1","event":"e","properties":{"sent_at":"2025-11-01T00:00:00Z","v":NaN}}'
    text = (
        b'{"batch":[' + broken + b"," + _encode(EVENT) + b'],"sentAt":"2026-01-31T11:00:00Z","api_key":"k"}'
    )
    parsed = _parse(text)
    assert (parsed.indexes, parsed.sent_at) == ([1], NOW - timedelta(hours=1))
    alone = _parse(b'{"event":"x","properties":{"batch":[{"a":1}],"v":NaN},"api_key":"k"}')
    assert [(failed.code, failed.index) for failed in alone.failed] == [("number_not_finite", 0)]


def test_events_with_the_key_of_another_project():
    """An event that names another project's key is not accepted for this one, and no key is kept."""
    body = [{**EVENT, "properties": {"token": "k"}}, {**EVENT, "uuid": "2", "api_key": "other"}]
    parsed = _parse(body)
    assert parsed.indexes == [0]
    (failed,) = parsed.failed
    assert (failed.code, failed.event_id) == ("field_invalid", "2")
    assert b"other" not in failed.body
    large = {"event": "e", "properties": {"token": "k", "v": "a" * 300_000}}
    parsed = _parse(b'{"batch":[' + _encode(large) + b',{"bad":NaN}],"api_key":"k"}')
    assert [item.code for item in parsed.failed] == ["event_too_large", "number_not_finite"]
    assert not any(item.body for item in parsed.failed)


def test_events_without_id_and_time_are_not_one():
    """Without a time nothing tells a second event from a retry: each counts. With one, a retry has the same id."""
    first, second = (_read({"event": "ping", "distinct_id": "u"})["event_id"] for _ in range(2))
    assert first != second
    ids = {_read({"event": "ping", "distinct_id": "u", "timestamp": TIME})["event_id"] for _ in range(2)}
    assert len(ids) == 1


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b"data=x" + b"&a=1" * 70, "invalid_encoding"),
        (b"data=" + b"%7B" * 200_000, "body_too_large"),
    ],
)
def test_forms_that_are_too_much(text, code):
    """A form of very many fields or bytes is refused by code."""
    with pytest.raises(RequestRefused) as refused:
        RECEIVER.identify(Head("POST", "/e/"), text)
    assert refused.value.code == code


def test_a_body_of_very_many_objects_is_taken_one_by_one():
    """Objects beyond what events have are never held all at once: what is too large for an event is not decoded."""
    text = b'{"api_key":"k","batch":[' + _encode(EVENT) + b',{"a":[' + b"[]," * 200_000 + b"[]]}]}"
    parsed = _parse(text)
    assert parsed.indexes == [0]
    assert [(item.code, item.body) for item in parsed.failed] == [("event_too_large", b"")]
    many = b'{"api_key":"k","batch":[' + b"{}," * 500_000 + b"{}]}"
    with pytest.raises(RequestRefused, match="More than 1000 events"):
        _parse(many)


def test_the_key_is_not_kept():
    """The project's key is in no event; a text of another value under its name stays."""
    body = {"api_key": "k", "batch": [{**EVENT, "api_key": "k", "properties": {"token": "k"}}]}
    assert _read(body).keys() == {"event_time", "event_id", "event_type", "event_name", "user_id"}
    body = {"api_key": "k", "batch": [{**EVENT, "properties": {"token": "of a card"}}]}
    assert _read(body)["attributes"] == {"token": "of a card"}


# The body


@pytest.mark.parametrize(
    "body",
    [
        {"api_key": "k", "batch": [EVENT]},
        {"api_key": "k", **EVENT},
        [EVENT],
        EVENT,
        b"\xef\xbb\xbf " + _encode(EVENT),
        base64.b64encode(_encode(EVENT)),
        b"data=" + quote(base64.b64encode(_encode(EVENT))).encode(),
        b"data=" + base64.b64encode(_encode(EVENT)),
        b"data=" + base64.urlsafe_b64encode(_encode({**EVENT, "properties": {"price": 5}})).rstrip(b"="),
        urlencode({"compression": "base64", "data": base64.b64encode(_encode([EVENT]))}).encode(),
        urlencode({"data": json.dumps(EVENT), "api_key": "k"}).encode(),
    ],
)
def test_forms_of_a_body(body):
    """A batch, one event or a list, as JSON, as base64 and in a form, is the same event."""
    assert _read(body) == {
        "event_time": TIME, "event_id": "01a", "event_type": "track", "event_name": "bought", "user_id": "u-1",
        "attributes": {"price": 5},
    }  # fmt: skip


def test_what_is_not_supported_says_so():
    """lz64 is named; a body of too many events is refused whole."""
    with pytest.raises(RequestRefused, match=r"lz64.*gzip"):
        _parse(b"NoXwx", query={"compression": "lz64"})
    with pytest.raises(RequestRefused, match="More than 1000 events"):
        _parse({"batch": [EVENT] * 1001})


def test_a_broken_event_costs_no_neighbour():
    """What is not JSON, or does not close, is lost alone; the time of sending is found all the same."""
    good = _encode(EVENT)
    text = (
        b'{"api_key":"k","sentAt":"2026-01-31T11:00:00Z","batch":[' + good + b', {"a": NaN}, ' + good + b"]}"
    )
    parsed = _parse(text)
    assert parsed.indexes == [0, 2]
    assert [(item.code, item.index) for item in parsed.failed] == [("number_not_finite", 1)]
    assert parsed.sent_at == NOW - timedelta(hours=1)
    parsed = _parse(b'{"batch":[' + good + b', {"a": "')
    assert parsed.indexes == [0]
    assert [item.code for item in parsed.failed] == ["malformed_json"]
    (failed,) = _parse(b"nothing at all").failed
    assert (failed.code, failed.index) == ("malformed_json", 0)


_VALUE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
_MEMBER = st.sampled_from(
    ["event", "distinct_id", "uuid", "timestamp", "offset", "properties", "$set", "token", "x", "attributes"]
)


@settings(max_examples=400, deadline=None)
@given(elements=st.lists(st.dictionaries(_MEMBER, _VALUE, max_size=4) | _VALUE, min_size=1, max_size=4))
def test_every_element_is_an_event_or_a_failure(elements):
    """Whatever an element holds, it comes out once, at its place, as an event or with a known code."""
    objects = [{**EVENT, **element} if isinstance(element, dict) else element for element in elements]
    parsed = _parse({"api_key": "k", "batch": objects})
    places = [*parsed.indexes, *(failed.index for failed in parsed.failed)]
    assert sorted(places) == list(range(len(objects)))
    assert all(failed.code in EVENT_CODES for failed in parsed.failed)


@settings(max_examples=300, deadline=None)
@given(text=st.binary(max_size=60) | st.text(alphabet='[]{}",:\\ \n0abdatch=', max_size=40).map(str.encode))
def test_any_bytes(text):
    """Any bytes at all give events, failures or a refusal; never another exception."""
    try:
        RECEIVER.identify(Head("POST", "/e/"), text)
        _parse(text)
    except RequestRefused as refusal:
        assert refusal.code == "empty_body"  # noqa: PT017 - the other outcome needs no look


# Time


def test_time_of_sending():
    """`sent_at`, `sentAt`, in the body, a form or as `_` in milliseconds, is the sender's clock."""
    sent = NOW - timedelta(days=1)
    for body, query in (
        ({"batch": [EVENT], "sent_at": sent.isoformat()}, {}),
        ({"batch": [EVENT], "sentAt": sent.isoformat()}, {}),
        ({**EVENT, "sent_at": "2026-01-30 12:00:00"}, {}),
        ([EVENT], {"_": str(int(sent.timestamp() * 1000))}),
    ):
        parsed = _parse(body, query=query)
        assert parsed.sent_at == sent
        assert "sent" not in str(parsed.events)
    for nonsense in ("noon", "²", "9" * 15):
        assert _parse({"batch": [EVENT], "sent_at": nonsense}, query={"_": nonsense}).sent_at is None


@pytest.mark.parametrize(
    ("members", "time"),
    [
        ({"timestamp": TIME}, TIME),
        ({"timestamp": "2026-01-31T12:59:58.25+01:00"}, TIME),
        ({"timestamp": "2026-01-31 11:59:58.25"}, TIME),
        ({"timestamp": TIME, "offset": 5000}, TIME),
        ({"offset": 1750}, TIME),
        ({"timestamp": "0001-01-01T00:00:00+23:59"}, "0001-01-01T00:00:00+23:59"),
        ({"timestamp": "9999-12-31T23:59:59-23:59"}, "9999-12-31T23:59:59-23:59"),
        ({"timestamp": None}, "2026-01-31T12:00:00Z"),
        ({}, "2026-01-31T12:00:00Z"),
    ],
)
def test_time_of_an_event(members, time):
    """The timestamp; without one the receive time, less the offset in milliseconds."""
    event = {name: value for name, value in EVENT.items() if name != "timestamp"} | members
    read = _read(event)
    assert datetime.fromisoformat(read["event_time"]) == datetime.fromisoformat(time)
    assert read["attributes"].get("offset") == (members.get("offset") if "timestamp" in members else None)


def test_offsets_without_sense_stay_attributes():
    """An offset that no event can have had is kept, and says nothing about the time."""
    event = {name: value for name, value in EVENT.items() if name != "timestamp"}
    for offset in (-1, 1e15, True, "5"):
        read = _read({**event, "offset": offset})
        assert (read["event_time"], read["attributes"]["offset"]) == ("2026-01-31T12:00:00Z", offset)


def test_time_without_a_timestamp_is_by_the_senders_clock():
    """The clock step adds its correction to all events of a request, so it must not be in the time already."""
    event = {name: value for name, value in EVENT.items() if name != "timestamp"}
    sent = NOW - timedelta(days=1)
    (read,) = _parse({"batch": [{**event, "offset": 1000}], "sent_at": sent.isoformat()}).events
    assert read.event_time == sent - timedelta(seconds=1)


# Ids, people, fields


def test_ids():
    """`uuid`, else `$insert_id`, else a hash of the content, which a repetition has again and no other event."""
    assert _read({**EVENT, "properties": {"$insert_id": "i-1"}})["attributes"] == {"$insert_id": "i-1"}
    bare = {name: value for name, value in EVENT.items() if name != "uuid"}
    inserted = _read({**bare, "properties": {"$insert_id": "i-1"}})
    assert (inserted["event_id"], inserted.get("attributes")) == ("i-1", None)
    first, again = _read(bare)["event_id"], _read({"batch": [bare], "sent_at": TIME})["event_id"]
    other = _read({**bare, "properties": {"price": 6}})["event_id"]
    assert first == again != other
    assert first.startswith("posthog-")


@pytest.mark.parametrize(
    ("properties", "member"),
    [
        ({}, "user_id"),
        ({"$is_identified": True, "$device_id": "d-1"}, "user_id"),
        ({"$process_person_profile": False}, "install_id"),
        ({"$is_identified": False}, "install_id"),
        ({"$device_id": "u-1"}, "install_id"),
    ],
)
def test_distinct_id(properties, member):
    """It is a person's, or an installation's where the SDK says that nobody was identified."""
    read = _read({**EVENT, "properties": properties})
    assert read[member] == "u-1"
    assert ("user_id" in read) is (member == "user_id")


@pytest.mark.parametrize(
    ("event", "member"),
    [
        ({"$distinct_id": "u-2"}, {"user_id": "u-2"}),
        ({"properties": {"distinct_id": "u-2"}}, {"user_id": "u-2"}),
        ({"distinct_id": "u-2", "properties": {"distinct_id": "u-2"}}, {"user_id": "u-2"}),
        ({"distinct_id": 5}, {"user_id": "5"}),
        ({"distinct_id": "u" * 300}, {"attributes": {"distinct_id": "u" * 300}}),
        ({"distinct_id": {"a": 1}}, {"attributes": {"distinct_id": {"a": 1}}}),
        ({"distinct_id": "u-1", "properties": {"distinct_id": "u-2"}}, {"user_id": "u-1", "attributes": {"distinct_id": "u-2"}}),
    ],
)  # fmt: skip
def test_places_of_the_distinct_id(event, member):
    """Wherever it stands it becomes the user's id; what is no id, or a second one, stays an attribute."""
    bare = {"event": "n", "uuid": "01a", "timestamp": TIME}
    read = _read({**bare, **event})
    assert {name: value for name, value in read.items() if name in ("user_id", "attributes")} == member


def test_fields():
    """Properties with a field of their own go there; those that do not fit stay attributes."""
    properties = {name: f"value of {name}" for name in FIELDS}
    read = _read(
        {**EVENT, "properties": {**properties, "$groups": {"company": "acme", "plan": "b"}, "own": 1}}
    )
    for name, (member, _) in FIELDS.items():
        assert read[member] == properties[name]
    assert read["performer_groups"] == ["company:acme", "plan:b"]
    assert read["attributes"] == {"own": 1}
    odd = {
        "$os": 7,
        "$browser": "",
        "$session_id": "s" * 300,
        "$groups": {"company": 5},
        "$current_url": None,
    }
    read = _read({**EVENT, "properties": odd})
    assert read["attributes"] == odd
    assert {"agent_os", "agent_browser", "session_id", "page_url", "performer_groups"}.isdisjoint(read)


def test_members_beside_the_properties_are_kept():
    """`$set`, `$set_once` and whatever else stands in an event or around a batch is in the attributes, also beside a namesake."""
    event = {
        **EVENT, "event": "$set", "$set": {"plan": "b"}, "$set_once": {"first": 1}, "context": {"a": 1},
        "properties": {"$set": {"plan": "a"}},
    }  # fmt: skip
    read = _read({"api_key": "k", "batch": [event], "historical_migration": True})
    assert read["event_type"] == "identify"
    assert read["attributes"] == {
        "$set": {"plan": "a"}, "event.$set": {"plan": "b"}, "$set_once": {"first": 1}, "context": {"a": 1},
        "historical_migration": True,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "event_type"),
    [("$identify", "identify"), ("$create_alias", "alias"), ("$groupidentify", "group"), ("$exception", "exception"),
     ("$pageview", "pageview"), ("$feature_flag_called", "exposure"), ("$autocapture", "track"), ("bought", "track")],
)  # fmt: skip
def test_event_types(name, event_type):
    """Names of PostHog's own say what kind of event it is."""
    read = _read({**EVENT, "event": name})
    assert (read["event_name"], read["event_type"]) == (name, event_type)


def test_engage():
    """/engage sets a person's properties and has no name of its own."""
    body = {"token": "k", "$distinct_id": "u-1", "$set": {"plan": "b"}, "timestamp": TIME, "uuid": "01a"}
    read = _read(body, path="/engage/")
    assert (read["event_name"], read["event_type"], read["user_id"]) == ("$identify", "identify", "u-1")
    assert read["attributes"] == {"$set": {"plan": "b"}}


@pytest.mark.parametrize(
    ("members", "code", "place"),
    [
        ({"event": None}, "missing_field", "event_name"),
        ({"event": ""}, "field_invalid", "event_name"),
        ({"event": 7}, "wrong_type", "event_name"),
        ({"timestamp": "noon"}, "time_invalid", "event_time"),
        ({"uuid": "u" * 200}, "field_invalid", "event_id"),
        ({"properties": [1]}, "wrong_type", "attributes"),
        ({"properties": {"a": "x" * 300_000}}, "event_too_large", "batch[0]"),
    ],
)
def test_events_that_fail_are_kept(members, code, place):
    """Each has its code and is kept whole, with its key taken out; read again it fails in the same way."""
    parsed = _parse({"api_key": "k", "batch": [{**EVENT, "api_key": "k", **members}]})
    (failed,) = parsed.failed
    assert (failed.code, failed.place, failed.event_id) == (
        code,
        place,
        str(members.get("uuid", "01a"))[:128],
    )
    assert failed.kept
    assert "api_key" not in json.loads(failed.body)
    (again,) = RECEIVER.parse_kept([failed.body]).failed or [failed]
    assert again.code == code


def test_kept_event_has_the_time_at_which_it_came():
    """An event without a timestamp, replayed later, has the time of its first receipt; its id stays the same."""
    event = {"distinct_id": "u-1", "properties": {"price": 5}}
    (failed,) = _parse([event]).failed
    body = json.loads(failed.body)
    (mended,) = RECEIVER.parse_kept([_encode({**body, "event": "bought"})]).events
    assert mended.event_time == NOW
    assert mended.event_id == body["uuid"] == failed.event_id


# Answers


def test_answers():
    """200 and `status` where anything was taken; 400 where nothing was, in a shape that the SDKs read."""
    failed = FailedEvent("time_invalid", "no time", 1, "event_time")
    assert json.loads(RECEIVER.render(HEAD, Outcome(2, []))[2]) == {"status": 1}
    status, _, body = RECEIVER.render(HEAD, Outcome(1, [failed]))
    assert (status, json.loads(body)["status"], json.loads(body)["rejected"][0]["index"]) == (200, 1, 1)
    status, _, body = RECEIVER.render(HEAD, Outcome(0, [failed]))
    assert (status, json.loads(body)["detail"]) == (400, "time_invalid: no time")
    assert json.loads(body)["attr"] == "event_time"
    status, headers, body = RECEIVER.refuse(HEAD, RequestRefused("rate_limited", retry_after=3))
    assert (status, headers["retry-after"], json.loads(body)["type"]) == (429, "3", "throttled_error")


@pytest.mark.parametrize(
    ("path", "query", "flags"),
    [("/flags", {"v": "2"}, {}), ("/flags/", {}, {}), ("/decide/", {"v": "3"}, {}), ("/decide", {}, [])],
)
def test_no_flags(path, query, flags):
    """Every version is told that there are none, in both shapes; the first of /decide had a list."""
    match = Router([RECEIVER]).find(path)
    status, _, body = match.route.answer(Head("POST", path, query))
    answer = json.loads(body)
    assert (status, answer["flags"], answer["featureFlags"]) == (200, {}, flags)
    assert answer["errorsWhileComputingFlags"] is False
