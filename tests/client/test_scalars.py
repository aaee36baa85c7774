"""Numbers of other libraries arrive as numbers, wherever a value enters the client."""

from __future__ import annotations

import subprocess
import sys
from collections import UserDict
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from unittest.mock import MagicMock

import numpy as np
import pandas as pd
import pytest

from tallymark import Client
from tallymark.client import ambient
from tallymark.client.plain import build_plain
from tallymark.client.scalars import NO_SCALAR, read_number


class Indexed:
    def __index__(self):
        return 7


class Floating:
    def __float__(self):
        return 2.5


class Raising:
    def __float__(self):
        raise RuntimeError("no")

    __index__ = __float__

    def __repr__(self):
        return "<raising>"


class Lying:
    def __float__(self):
        return "2.5"

    def __repr__(self):
        return "<lying>"


class Endless:
    def __init__(self, number):
        self.number = number

    def __float__(self):
        return self.number

    def __repr__(self):
        return "<endless>"


NUMBERS = [
    (np.int64(5), 5),
    (np.uint8(255), 255),
    (np.int8(-128), -128),
    (np.uint64(2**63), 2**63),
    (np.float32(0.5), 0.5),
    (np.float16(0.25), 0.25),
    (np.float64(2.5), 2.5),
    (np.longdouble(1.5), 1.5),
    (np.array(5), 5),
    (np.array(1.5), 1.5),
    (Fraction(1, 4), 0.25),
    (Indexed(), 7),
    (Floating(), 2.5),
]
OTHERS = [
    (np.True_, True),
    (np.array(False), False),
    (np.datetime64("2026-01-31T12:00:00"), "2026-01-31T12:00:00"),
    (np.datetime64("2026-01-31T12:00:00.123456789"), "2026-01-31T12:00:00.123456"),
    (np.datetime64("NaT"), "NaT"),
    (np.timedelta64(5, "s"), "PT5S"),
    (np.timedelta64(5_000, "ns"), "PT0.000005S"),
    (np.float32("nan"), "NaN"),
    (np.float64("-inf"), "-Infinity"),
    (Decimal("1.50"), "1.50"),
    (np.str_("text"), "text"),
    (Raising(), "<raising>"),
    (Lying(), "<lying>"),
    (Endless(float("inf")), "Infinity"),
]
# What converts to a number and is none.
COLLECTIONS = [np.array([5]), np.array([1, 2]), np.array([[1.5]]), pd.Series([1]), np.complex64(1 + 2j), np.complex128(1), np.array(2j), MagicMock()]  # fmt: skip


@pytest.fixture
def client(sink):
    return Client(sink=sink)


def name_case(value):
    """Name a case the same in every process: without addresses of objects."""
    return type(value).__name__ if " object at " in repr(value) else repr(value)


@pytest.mark.parametrize(("given", "sent"), NUMBERS, ids=name_case)
def test_numbers_are_numbers_everywhere(client, sink, given, sent):
    """A number of any library is the value of a metric, an attribute, a part of one, and context, as a JSON number."""
    client.metric("x", given, part={"a": [given]}, also=given)
    with ambient(near=given):
        client.with_(far=given).behavior("y")
    client.record_raw({"event_type": "metric", "event_name": "z", "value": given, "attributes": {"a": given}})
    metric, behavior, raw = sink.events
    assert metric["value"] == sent
    assert metric["attributes"] == {"part": {"a": [sent]}, "also": sent}
    assert behavior["attributes"] == {"near": sent, "far": sent}
    assert (raw["value"], raw["attributes"]) == (sent, {"a": sent})
    for number in (metric["attributes"]["also"], raw["attributes"]["a"]):
        assert type(number) is type(sent)


@pytest.mark.parametrize(("given", "sent"), NUMBERS, ids=name_case)
def test_amounts_are_numbers_everywhere(client, sink, given, sent):
    """Counters, gauges, timings and histograms take a number of any library, and its negative is its negative."""
    client.increment("up", given)
    client.decrement("down", given)
    client.gauge("level", given)
    client.timing("time", given)
    client.histogram("size", given)
    (up,), (down,), (level,) = (sink.named(name) for name in ("up", "down", "level"))
    assert (up["value"], down["value"], level["value"]) == (sent, -sent, sent)
    for name in ("time", "size"):
        assert sink.named(name)[0]["attributes"]["sum"] == sent
    assert client.stats().dropped == {}


def test_counters_of_large_whole_numbers_stay_exact(client, sink):
    """A whole number of numpy does not pass through a float on its way into a sum."""
    client.increment("n", np.int64(2**53))
    client.increment("n", np.int64(1))
    assert sink[0]["value"] == 2**53 + 1


@pytest.mark.parametrize(("given", "sent"), OTHERS, ids=name_case)
def test_what_is_no_finite_number_is_kept_as_documented(client, sink, given, sent):
    """Truth values, times, decimals and numbers that JSON has not keep the form that the page tells."""
    client.behavior("x", a=given, b=[given])
    assert sink[0]["attributes"] == {"a": sent, "b": [sent]}


def test_decimals_are_numbers_as_values(client, sink):
    """A decimal is exact text among the attributes, and a number in the field `value` and in sums."""
    client.metric("price", Decimal("1.50"), list_price=Decimal("2.00"))
    client.increment("sum", Decimal("0.5"))
    assert (sink[0]["value"], sink[0]["attributes"]) == (1.5, {"list_price": "2.00"})
    assert sink[1]["value"] == 0.5


@pytest.mark.parametrize("given", COLLECTIONS, ids=lambda value: type(value).__name__)
def test_collections_and_complex_numbers_are_no_numbers(client, sink, given, recwarn):
    """An array of one number is an array, and a complex number is not cut to its real part; nothing warns."""
    assert read_number(given) is NO_SCALAR
    client.metric("x", given)
    assert "value" not in sink[0]
    assert isinstance(sink[0]["attributes"]["value"], str)
    assert not recwarn.list


@pytest.mark.parametrize(
    "given", [Raising(), Lying(), Endless(float("nan")), Endless(float("inf"))], ids=name_case
)
def test_hostile_numbers_harm_nobody(client, sink, given):
    """A conversion that raises, lies or gives no finite number costs the amount, never the host, and is counted."""
    client.metric("x", given)
    client.increment("n", given)
    client.decrement("n", given)
    client.gauge("g", given)
    client.timing("t", given)
    client.with_user(given).behavior("y", is_dev=given)
    client.record_raw({"event_type": "t", "event_name": "n", "value": given, "event_time": given})
    assert len(sink) == 3
    assert client.stats().dropped == {"unserialisable": 4}


def test_core_fields_take_them_too(client, sink):
    """Ids of numpy become text as Python's own do, its truth values mark development, its times are times."""
    client.behavior(
        "x",
        user_id=np.int64(17),
        is_dev=np.True_,
        performer_groups=[np.int64(1), "b"],
        event_time=np.datetime64("2026-01-31T12:00:00"),
        event_id=np.int64(9),
    )
    event = sink[0]
    assert (event["user_id"], event["is_dev"], event["performer_groups"]) == ("17", True, ["1", "b"])
    assert (event["event_time"], event["event_id"]) == ("2026-01-31T12:00:00.000000Z", "9")
    assert event["attributes"] == {}


def test_names_of_attributes_are_equal_for_equal_numbers(client, sink):
    """A dictionary's keys 5 and numpy's 5 have one name on the wire."""
    client.behavior("x", a={np.int64(5): 1}, b={5: 1})
    assert sink[0]["attributes"] == {"a": {"5": 1}, "b": {"5": 1}}


def test_raw_events_take_times_of_other_libraries(client, sink):
    """A time of numpy or pandas given to `record_raw` is a time with a zone; one that is none is now."""
    for given in (np.datetime64("2026-01-31T12:00:00"), pd.Timestamp("2026-01-31T12:00:00")):
        client.record_raw({"event_type": "t", "event_name": "n", "event_time": given})
    client.behavior("not a time", event_time=pd.NaT)
    times = [event["event_time"] for event in sink.events]
    assert [datetime.fromisoformat(text) for text in times[:2]] == [datetime(2026, 1, 31, 12, tzinfo=UTC)] * 2
    assert times[2] > "2026"


def test_send_all_takes_them_too(client, sink):
    """An import of events whose values are numpy's sends numbers."""
    events = [{"event_type": "metric", "event_name": "n", "value": np.float32(0.5)}, UserDict(event_type="metric", event_name="n", value=np.int64(2))]  # fmt: skip
    assert client.send_all(events).sent == 2
    assert [event["value"] for event in sink.events] == [0.5, 2]


def test_nothing_is_imported_for_it():
    """The client recognises numbers of other libraries without importing any of them."""
    code = (
        "import sys; from fractions import Fraction; from tallymark.client.plain import build_plain;"
        "assert build_plain(Fraction(1, 2)) == 0.5; assert 'numpy' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_a_value_that_is_plain_stays_plain():
    """What a scalar becomes is plain: it comes out of a second pass unchanged."""
    for given, _ in NUMBERS + OTHERS:
        once = build_plain(given)
        assert build_plain(once) == once
