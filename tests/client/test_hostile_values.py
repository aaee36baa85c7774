"""record() with whatever a program can hold: it never raises, and what it makes the server takes."""

from __future__ import annotations

import dataclasses
import enum
import json
import math
import time
import uuid
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallymark import Client
from tallymark.client.plain import build_plain
from tallymark.event import CLIENT_EVENT_BYTES, MAX_DEPTH, MAX_NAME_BYTES, Event
from tallymark.testing import CaptureSink


class Rude:
    def __repr__(self):
        raise RuntimeError("no")

    __str__ = __repr__

    def __eq__(self, other):
        raise RuntimeError("no")

    __hash__ = object.__hash__


class RudeMapping(dict):
    def items(self):
        raise RuntimeError("no")

    def __iter__(self):
        raise RuntimeError("no")


class Colour(enum.Enum):
    RED = "red"


class Text(str):
    __slots__ = ()


class Amount(int):
    pass


@dataclasses.dataclass
class Point:
    x: int
    y: object


def selfish_list():
    value = [1]
    value.append(value)
    return value


def selfish_dict():
    value = {}
    value["me"] = value
    return value


def deep(levels):
    value = 1
    for _ in range(levels):
        value = [value]
    return value


def depth_of(value):
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(depth_of, children), default=0)


MEANT = [
    (float("nan"), "NaN"),
    (float("-inf"), "-Infinity"),
    ([1.0, float("inf")], [1.0, "Infinity"]),
    (2**64 - 1, 2**64 - 1),
    (2**64, str(2**64)),
    (-(2**63) - 1, str(-(2**63) - 1)),
    ([10**30], [str(10**30)]),
    ("a\0b", "ab"),
    (["a\0b"], ["ab"]),
    ("\ud800x", "\ufffdx"),
    (None, None),
    (b"abc", "YWJj"),
    ({2, 1}, [1, 2]),
    (date(2026, 1, 2), "2026-01-02"),
    (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00Z"),
    (timedelta(days=1), "P1D"),
    (Decimal("1.50"), "1.50"),
    (uuid.UUID(int=1), str(uuid.UUID(int=1))),
    (Colour.RED, "red"),
    (Text("t"), "t"),
    (Amount(3), 3),
    (Point(1, {2}), {"x": 1, "y": [2]}),
    ({1: "a", (1, 2): "b", None: "c"}, {"1": "a", "(1, 2)": "b", "None": "c"}),
    ({"": 1}, {"_": 1}),
    (complex(1, 2), "(1+2j)"),
    (Rude(), "<Rude>"),
    (selfish_list(), [1, "<self-containing>"]),
    (selfish_dict(), {"me": "<self-containing>"}),
    ("x" * 20 + "0" * 25, "x" * 20 + "0" * 25),
    ({"deep": [None, True]}, {"deep": [None, True]}),
]


@pytest.mark.parametrize(("value", "meant"), MEANT, ids=range(len(MEANT)))
def test_value_is_kept_as_documented(value, meant):
    """Every kind of value has one documented form on the wire, and none fails its event."""
    sink = CaptureSink()
    client = Client(sink=sink)
    client.behavior("x", value_of_interest=value)
    assert sink[0]["attributes"] == {"value_of_interest": meant}
    assert client.stats().dropped == {}


@pytest.mark.parametrize(
    "value",
    [
        deep(5000),
        [deep(27)] * 3,
        RudeMapping(a=1),
        Rude,
        range(10),
        open,
        msgspec.Raw(b'{"a":\n1}'),
        10**5000,
        "é" * 60_000,
    ],
    ids=range(9),
)
def test_monsters_become_one_valid_line(value):
    """Deep, rude, huge or foreign values make an event that decodes, within the limits of size and depth."""
    sink = CaptureSink()
    lines = []
    sink.take = lines.append
    client = Client(sink=sink)
    client.behavior("x", monster=value)
    client.record_raw({"event_type": "t", "event_name": "n", "attributes": {"monster": value}})
    assert len(lines) == 2
    for line in lines:
        assert b"\n" not in line
        assert len(line) <= CLIENT_EVENT_BYTES
        assert depth_of(json.loads(line)) <= MAX_DEPTH
        msgspec.json.decode(line, type=Event)


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        (None, "unnamed"),
        ("", "unnamed"),
        (7, "7"),
        (Rude(), "unnamed"),
        ("x" * 1000, "x" * MAX_NAME_BYTES),
        ("a\0", "a"),
        ([], "[]"),
    ],
    ids=range(7),
)
def test_odd_names_are_mended(name, sent):
    """An event whose name is no text, empty or too long is sent under a name that the server takes."""
    sink = CaptureSink()
    client = Client(sink=sink)
    for _ in range(2):
        client.record(name, name, a=1)
    client.increment(name)
    assert [(event["event_type"], event["event_name"]) for event in sink.events[:2]] == [(sent, sent)] * 2
    assert len(sink) == 3 or client.stats().dropped == {"unserialisable": 1}


def test_amounts_that_are_no_numbers_are_counted():
    """A counter, gauge or timing with no finite number counts as unserialisable and spoils no total."""
    sink = CaptureSink()
    client = Client(sink=sink)
    client.increment("n", 2)
    for amount in ("x", None, float("nan"), float("inf"), Rude()):
        client.increment("n", amount)
        client.decrement("n", amount)
        client.gauge("g", amount)
        client.timing("t", amount)
    assert [event["value"] for event in sink.events] == [2]
    assert client.stats().dropped == {"unserialisable": 20}


def test_an_event_over_32_kb_keeps_its_identity_and_context():
    """An oversize event is cut to identity and context, says so, and how large it was."""
    sink = CaptureSink()
    Client(sink=sink, service_name="shop").with_user("u").metric("big", 3, blob="x" * 40_000)
    Client(sink=sink).record_raw(
        {
            "event_id": "e1",
            "event_time": "2026-01-01T00:00:00Z",
            "event_type": "t",
            "event_name": "n",
            "user_id": "u",
        }
        | {"attributes": {"blob": "y" * 40_000}}
    )
    cut, raw = sink.events
    assert cut["truncated"] is True
    assert (cut["service_name"], cut["user_id"], cut["value"], cut["event_name"]) == ("shop", "u", 3.0, "big")
    assert cut["attributes"]["bytes"] > 40_000
    assert "32768" in cut["attributes"]["reason"]
    assert (raw["event_id"], raw["event_time"], raw["user_id"], raw["truncated"]) == (
        "e1",
        "2026-01-01T00:00:00Z",
        "u",
        True,
    )


def test_too_many_attributes_are_cut_before_the_server_refuses_them():
    """An event of more attributes than the server takes is sent as truncated."""
    sink = CaptureSink()
    Client(sink=sink).behavior("many", **{f"a{number}": 1 for number in range(1001)})
    assert sink[0]["truncated"] is True
    assert "1001 attributes" in sink[0]["attributes"]["reason"]


def test_long_attribute_names_are_cut_to_what_the_server_takes():
    """A name over 256 bytes is cut between characters."""
    sink = CaptureSink()
    Client(sink=sink).behavior("x", **{"é" * 200: 1})
    assert sink[0]["attributes"] == {"é" * 128: 1}


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=30)
    | st.binary(max_size=9)
    | st.dates()
    | st.timedeltas()
    | st.decimals()
    | st.uuids()
    | st.complex_numbers(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(), max_size=9) | st.integers() | st.none(), inner, max_size=4)
        | st.tuples(inner, inner)
    ),
    max_leaves=20,
)


def check_plain(value):
    if isinstance(value, dict):
        for key, item in value.items():
            assert key
            assert "\0" not in key
            check_plain(item)
    elif isinstance(value, list):
        for item in value:
            check_plain(item)
    elif isinstance(value, str):
        assert "\0" not in value
        value.encode()
    elif isinstance(value, int):
        assert -(2**63) <= value < 2**64
    elif isinstance(value, float):
        assert math.isfinite(value)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.text(st.characters(), max_size=20), VALUES, max_size=6))
def test_any_attributes_make_an_event_that_the_server_takes(attributes):
    """Whatever the attributes are, the event decodes as an Event and holds nothing that the intake refuses."""
    lines = []
    sink = CaptureSink()
    sink.take = lines.append
    client = Client(sink=sink)
    client.record("behavioral", "x", **attributes)
    client.record_raw({"event_type": "t", "event_name": "n", "attributes": attributes})
    assert len(lines) == 2
    for line in lines:
        event = msgspec.json.decode(line, type=Event)
        check_plain(event.attributes)
        assert len(event.attributes) <= len(attributes)


@settings(max_examples=200, deadline=None)
@given(VALUES)
def test_plain_values_stay_what_they_are(value):
    """What is plain already comes out unchanged: making it plain twice is making it plain once."""
    once = build_plain(value)
    check_plain(once)
    assert build_plain(once) == once


def test_a_huge_value_does_not_take_forever():
    """A million-element list with a NaN in it is cut, not walked to its end in Python."""
    sink = CaptureSink()
    start = time.monotonic()
    Client(sink=sink).behavior("x", many=[float("nan")] * 1_000_000)
    assert sink[0]["truncated"] is True
    assert time.monotonic() - start < 30
