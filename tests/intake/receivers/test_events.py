"""Our own protocol: the fast way and the careful way read the same events, and every byte has its element."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallymark.errors import EVENT_CODES, RequestRefused
from tallymark.intake.receivers import events as receiver
from tallymark.intake.receivers.events import parse_events
from tallymark.pipeline.forms import AnyEvent

_GOOD = {"event_time": "2026-01-31T12:00:00Z", "event_type": "t", "event_name": "n"}
_VALUE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
_FIELD = st.sampled_from(
    ["value", "event_id", "event_time", "is_dev", "performer_groups", "user_id", "attributes", "x"]
)


def _parse(text: bytes):
    return parse_events(text, 1000)


@settings(max_examples=400, deadline=None)
@given(
    changes=st.lists(st.dictionaries(_FIELD, _VALUE, max_size=3), min_size=1, max_size=5), lines=st.booleans()
)
def test_every_element_is_an_event_or_a_failure(changes, lines):
    """Whatever the members hold, each element comes out once, at its place, as an event or with a known code."""
    objects = [{"event_id": f"e{n}", **_GOOD, **change} for n, change in enumerate(changes)]
    text = "\n".join(map(json.dumps, objects)) if lines else json.dumps(objects)
    parsed = _parse(text.encode())
    places = [*parsed.indexes, *(failed.index for failed in parsed.failed)]
    assert sorted(places) == list(range(len(objects)))
    assert all(failed.code in EVENT_CODES for failed in parsed.failed)
    assert all(isinstance(event, AnyEvent) for event in parsed.events)


@pytest.mark.parametrize(
    "text", [b"[" + b"1," * 500 + b"1]", b"{}\n" * 500, b'["', b"[{},", b'{"event_id":"e"}']
)
def test_what_has_to_be_taken_apart_is_left_to_the_careful_reading(text, monkeypatch):
    """Reading in one call gives up at once where elements are broken: they cost too much where others wait."""
    whole = _parse(text)
    assert whole.failed
    monkeypatch.delattr(receiver, "_parse_pieces")
    assert receiver.parse_well_formed(text, 1000) is None


@pytest.mark.parametrize("attributes", [{}, {"a": 1}, {"a": {"b": [1, "x@y.org"]}}])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf", b" \n"])
def test_well_formed_bodies_are_read_in_one_call(attributes, mark):
    """Both readings give the same events and the same look over the text, and refuse the same bodies."""
    text = (
        mark
        + json.dumps([{"event_id": f"e{n}", **_GOOD, "attributes": attributes} for n in range(3)]).encode()
    )
    quick, careful = receiver.parse_well_formed(text, 1000), _parse(text)
    assert (_render(quick), quick.indexes, quick.scan) == (_render(careful), careful.indexes, careful.scan)
    for most, body, code in ((2, text, "body_too_large"), (9, mark, "empty_body")):
        with pytest.raises(RequestRefused, match=code):
            receiver.parse_well_formed(body, most)


def _render(parsed) -> list[dict]:
    """Return the events as they go on, whether their attributes were decoded or not."""
    return [json.loads(msgspec.json.encode(event)) for event in parsed.events]


@settings(max_examples=200, deadline=None)
@given(attributes=st.dictionaries(st.text(min_size=1, max_size=4), _VALUE, max_size=4), lines=st.booleans())
def test_fast_and_careful_reading_agree(attributes, lines):
    """A well-formed event beside a broken one is the same event as alone."""
    good = json.dumps({"event_id": "e", **_GOOD, "attributes": attributes}).encode()
    alone = _parse(good)
    beside = _parse(good + b"\n{broken" if lines else b"[" + good + b", {broken]")
    assert _render(beside) == _render(alone)
    assert [failed.code for failed in alone.failed] == [failed.code for failed in beside.failed][
        : len(alone.failed)
    ]


@settings(max_examples=300, deadline=None)
@given(text=st.binary(max_size=60) | st.text(alphabet='[]{}",:\\ \n0ab', max_size=40).map(str.encode))
def test_any_bytes(text):
    """Any bytes at all give events, failures or a refusal; never another exception."""
    try:
        parsed = _parse(text)
    except RequestRefused as refusal:
        assert refusal.code == "empty_body"  # noqa: PT017 - the other outcome is looked at below
        return
    assert parsed.events or parsed.failed or text.strip().startswith((b"[", b"\xef\xbb\xbf"))


@pytest.mark.parametrize(
    "text", [b"[1,2,3]", b"1\n2\n3", b"[{},{},{}]", b"[" + b'{"a":{"b":{}}},' * 40 + b"1]"]
)
def test_too_many(text):
    """More elements than allowed are refused whole."""
    with pytest.raises(RequestRefused, match="body_too_large"):
        parse_events(text, 2)


def test_unparsed_elements_are_described_not_kept():
    """Of what is no JSON only hash, size and place remain."""
    (failed,) = _parse(b'{"event_id": "secret" oops}').failed
    assert not failed.kept
    assert len(failed.sha256) == 64
    assert failed.size == 27
    assert failed.place.startswith("byte ")


def test_whole_bodies_take_one_call(monkeypatch):
    """The careful way is not taken for well-formed bodies: it is ten times slower."""
    monkeypatch.setattr(receiver, "_parse_pieces", None)
    body = json.dumps([{"event_id": f"e{n}", **_GOOD, "attributes": {"a": n}} for n in range(900)]).encode()
    assert len(_parse(body).events) == 900


@pytest.mark.parametrize(("inside", "beside"), [(1, 2), (1, True), ("a", None)])
def test_an_attribute_that_is_given_twice(inside, beside):
    """No value is lost in silence: two values of one name quarantine the event, whole; the same value twice is one."""
    event = {**_GOOD, "event_id": "1", "attributes": {"x": inside}, "x": beside}
    (failed,) = _parse(json.dumps(event).encode()).failed
    assert (failed.code, failed.place, failed.event_id) == ("attribute_given_twice", "x", "1")
    assert json.loads(failed.body) == event
    (read,) = _parse(json.dumps({**event, "x": inside}).encode()).events
    assert read.attributes == {"x": inside}
