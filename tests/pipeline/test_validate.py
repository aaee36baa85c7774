"""What is cleared at once, as text, is what looking at every value would have let pass."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallymark.event import MAX_ATTRIBUTES, MAX_NAME_BYTES
from tallymark.intake.receivers import events as receiver
from tallymark.pipeline.batch import Arrival
from tallymark.pipeline.run import run_steps
from tallymark.pipeline.scan import FULL_SCAN

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
_NAMES = st.sampled_from(
    ["a", "", "b c", "é", "ü" * 100, "n" * MAX_NAME_BYTES, "n" * (MAX_NAME_BYTES + 1), "\0", "attributes"]
)
_VALUES = st.recursive(
    st.sampled_from(["x", "{", "[", "}{", "", 1, 2.5, None, True, 2**64, -(2**63) - 1, "1" * 20, "\0"]),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(_NAMES, inner, max_size=2)),
    max_leaves=4,
)  # fmt: skip
_EVENT = st.fixed_dictionaries(
    {
        "event_id": st.sampled_from(["id", "é" * 64, "é" * 65]),
        "event_time": st.sampled_from(["2026-01-31T12:00:00Z", "1969-12-31T00:00:00Z", "2027-01-01T00:00:00Z"]),
        "event_type": st.just("t"),
        "event_name": st.sampled_from(["n", "{"]),
    },
    optional={"attributes": st.dictionaries(_NAMES, _VALUES, max_size=2), "extra": _VALUES},
)  # fmt: skip


def _judge(text: bytes, *, quick: bool) -> tuple[list[tuple[int, str, str]], list[bytes]]:
    """Return what the steps refuse of a body, and the lines that go to the journal: a repetition is known by them."""
    with pytest.MonkeyPatch.context() as patch:
        if not quick:
            patch.setattr(receiver, "_parse_quick", lambda *_: None)
        parsed = receiver.parse_events(text, 100)
    if not quick:
        parsed.scan = FULL_SCAN
    batch = parsed.build_batch(Arrival("default", "http", NOW))
    run_steps(batch)
    lines = msgspec.json.Encoder().encode_lines(batch.cores).splitlines()
    assert len(lines) == len(batch.cores)
    return [(item.index, item.code, item.place) for item in batch.failed], [
        json.loads(line) for line in lines
    ]


@settings(max_examples=800, deadline=None)
@given(
    events=st.lists(_EVENT, min_size=1, max_size=3),
    form=st.sampled_from(["lines", "array", "spaced", "escaped"]),
)
def test_the_quick_way_is_the_long_way(events, form):
    """Whatever a body holds, the quick way refuses what looking at every value refuses, and keeps the same of the rest."""
    text = {
        "lines": lambda: b"\n".join(map(msgspec.json.encode, events)),
        "array": lambda: msgspec.json.encode(events),
        "spaced": lambda: json.dumps(events, indent=1, ensure_ascii=False).encode(),
        "escaped": lambda: json.dumps(events).encode(),
    }[form]()
    assert _judge(text, quick=True) == _judge(text, quick=False)


@pytest.mark.parametrize(
    "attributes",
    [
        b'{"a":1e999}', b'{"a":-1E400}', b'{"a": [1e400]}', b'{"a":01}', b'{"a":"\xff"}', b'{"a":"\xc3"}', b'{"":1}', b'{"" :1}', b"5", b"null",
        b'"x"', b"[]", b'{"a":18446744073709551616}', b'{"a":-9223372036854775809}', b'{"a":123456789012345678}', b'{"a":1e5}', b"{ }", b"{}",
        b'{"a":"b"\n}', b'{\n"a":1}', b'{"\xc3\xa9":"\xe2\x82\xac"}', b'{"' + b"n" * 257 + b'":1}', b'{"' + b"n" * 256 + b'":1}', b'{"a":{}}', b'{"a":"{"}',
        b'{"a":1.50}', b'{"a":2.0}', b'{"a":0.30000000000000001}', b'{"a":1234567.123456789}', b'{"a":-0}', b'{"a":-0.0}', b'{"a" :1}', b'{"a": 1}', b'{"a":1, "b":2}',
        b'{"a":100000000000000000}', b'{"a":12.25,"b":0.1}', b'{"a":nan}', b'{"a":tru}', b'{"a":1,}', b'{"a":"\\u0000"}', b'{"a":"ada@example.org"}', b'{"a":4111111111111111}',
    ],
)  # fmt: skip
def test_the_quick_way_on_raw_text(attributes):
    """The same for JSON that no encoder writes, alone and beside a good event."""
    good = b'{"event_id":"g","event_time":"2026-01-31T12:00:00Z","event_type":"t","event_name":"n","attributes":{"b":2}}'
    text = good.replace(b'{"b":2}', attributes).replace(b'"g"', b'"x"')
    for body in (text, good + b"\n" + text, b"[" + text + b"," + good + b"]"):
        assert _judge(body, quick=True) == _judge(body, quick=False)


def test_common_bodies_go_the_quick_way():
    """The quick way is worth its place only when it takes what clients commonly send."""
    event = {"event_id": "018f2a5c-7b1e-7c3d-9e4f-0123456789ab", "event_time": "2026-01-31T12:00:00Z", "event_type": "behavior",
             "event_name": "clicked", "value": 2.5, "attributes": {"carrier": "UA", "distance": 2475, "note": "später €"}}  # fmt: skip
    assert receiver.parse_events(msgspec.json.encode(event), 10).checked
    assert receiver.parse_events(msgspec.json.encode([event, event]), 10).checked


@pytest.mark.parametrize(
    "attributes",
    [
        {"n" * (MAX_NAME_BYTES + 1): 1},
        {"": 1},
        {f"a{number}": 1 for number in range(MAX_ATTRIBUTES + 1)},
        {"extra": {"n" * (MAX_NAME_BYTES + 1): 1}},
    ],
    ids=["long name", "empty name", "too many", "long name inside"],
)
@pytest.mark.parametrize("outside", [False, True], ids=["attributes", "other members"])
def test_refused_wherever_it_stands(attributes, outside):
    """A bad attribute is found in `attributes` and among the other members of an event alike."""
    event = {"event_id": "i", "event_time": "2026-01-31T12:00:00Z", "event_type": "t", "event_name": "n"}
    event |= attributes if outside else {"attributes": attributes}
    refused, kept = _judge(msgspec.json.encode(event), quick=True)
    assert (len(refused), kept) == (1, [])


@pytest.mark.parametrize("quick", [True, False])
@pytest.mark.parametrize(
    ("sketch", "refused"),
    [({"sketch_values": [1.5, 2.5], "sketch_counts": [3, 4]}, 0), ({"sketch_values": [1.5]}, 1), ({"sketch_values": [1.5], "sketch_counts": [1, 2]}, 1),
     ({"sketch_values": [1.5, 2.5], "sketch_counts": [10**12 - 1, 1]}, 0), ({"sketch_values": [1.5, 2.5], "sketch_counts": [10**12, 1]}, 1)],
)  # fmt: skip
def test_a_sketch_has_a_count_for_each_value(sketch, refused, quick):
    """Values and counts of different lengths are refused at the door: stored, one would break every question about its sketch."""
    event = {
        "event_id": "i",
        "event_time": "2026-01-31T12:00:00Z",
        "event_type": "t",
        "event_name": "n",
        **sketch,
    }
    found, kept = _judge(msgspec.json.encode([event]), quick=quick)
    assert [(code, place) for _, code, place in found] == [("field_invalid", "sketch_counts")] * refused
    assert len(kept) == 1 - refused
