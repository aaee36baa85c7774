"""Counters, gauges, timings and histograms: one event per series and interval, totals right."""

from __future__ import annotations

import random

import pytest

from tallymark import Client
from tallymark.client import ambient
from tallymark.client.sketch import RELATIVE_ACCURACY


@pytest.fixture
def client(sink):
    return Client(sink=sink, service_name="shop", max_series=50)


def values(sink, name):
    return [(event["value"], event["attributes"]) for event in sink.named(name)]


def test_increments_are_summed_per_attribute_set(sink, client):
    """Each attribute set has one event per interval with the sum, whatever the order of the attributes."""
    client.increment("hits", route="/", status=200)
    client.increment("hits", 4, status=200, route="/")
    client.increment("hits", 0.5, route="/about")
    client.decrement("hits", 2, route="/about")
    assert sorted(values(sink, "hits")) == [
        (-1.5, {"route": "/about", "kind": "counter"}),
        (5, {"route": "/", "status": 200, "kind": "counter"}),
    ]
    client.increment("hits", route="/", status=200)
    assert values(sink, "hits")[2:] == [(1, {"route": "/", "status": 200, "kind": "counter"})], (
        "a new interval"
    )


def test_equal_looking_values_of_different_types_are_different_series(sink, client):
    """1, True, 1.0 and the text 1 are four attribute values."""
    for value in (1, True, 1.0, "1"):
        client.increment("n", value=1, x=value)
    assert len(sink.named("n")) == 4


def test_gauges_keep_the_last_value(sink, client):
    """A gauge is sent once per interval and attribute set, with its last value."""
    for level in (3, 9, 4):
        client.gauge("queue", level, name="mail")
    client.gauge("queue", 1, name="sms")
    assert values(sink, "queue") == [
        (4, {"name": "mail", "kind": "gauge"}),
        (1, {"name": "sms", "kind": "gauge"}),
    ]


def test_timings_and_histograms_are_one_sketch_per_interval(sink, client):
    """A distribution is one event with its sketch, count, sum, minimum, maximum and unit."""
    source = random.Random(3)
    durations = [source.lognormvariate(-3, 1) for _ in range(5000)]
    for duration in durations:
        client.timing("request", duration, route="/")
    for size in (10, 20, -5, 0):
        client.histogram("size", size, unit="By")
    (event,) = sink.named("request")
    attributes = event["attributes"]
    assert {"route": "/", "kind": "timing", "unit": "s", "count": 5000}.items() <= attributes.items()
    assert attributes["sum"] == pytest.approx(sum(durations))
    assert (attributes["minimum"], attributes["maximum"]) == (min(durations), max(durations))
    assert sum(event["sketch_counts"]) == 5000
    assert event["sketch_values"] == sorted(event["sketch_values"])
    middle, seen = sorted(durations)[2499], 0
    for value, count in zip(event["sketch_values"], event["sketch_counts"], strict=True):
        seen += count
        if seen > 2499:
            assert abs(value - middle) <= 1.001 * RELATIVE_ACCURACY * middle
            break
    (event,) = sink.named("size")
    assert event["attributes"]["unit"] == "By"
    assert event["sketch_counts"] == [1, 1, 1, 1]


def test_the_widest_sketch_fits_into_an_event(sink, client):
    """Even a sketch with all its bins in use is sent whole, not truncated."""
    for power in range(-1000, 1000):
        client.histogram("wide", 1.0203**power)
    (event,) = sink.named("wide")
    assert "truncated" not in event
    assert sum(event["sketch_counts"]) == 2000


def test_context_keeps_series_apart(sink, client):
    """The same counter of another copy or inside an ambient block is a series of its own, with that context."""
    client.increment("n")
    client.with_user("u1").increment("n")
    client.with_user("u1").increment("n", 2)
    with ambient(region="eu"):
        client.increment("n", 10)
    events = sink.named("n")
    assert [(event.get("user_id"), event["value"]) for event in events] == [(None, 1), ("u1", 3), (None, 10)]
    assert events[2]["attributes"] == {"region": "eu", "kind": "counter"}
    assert all(event["service_name"] == "shop" for event in events)


def test_too_many_series_become_one_and_totals_stay_right(sink, client):
    """Past max_series of a name in an interval the rest is one series, marked; nothing is lost from the sum."""
    for number in range(500):
        client.increment("n", 2, user=number)
        client.timing("t", 0.1, user=number)
    events = sink.named("n")
    assert len(events) == 51
    assert sum(event["value"] for event in events) == 1000
    (overflow,) = [event for event in events if "__overflow__" in event["attributes"]]
    assert overflow["attributes"] == {"__overflow__": True, "kind": "counter"}
    assert overflow["value"] == 900
    assert sum(event["attributes"]["count"] for event in sink.named("t")) == 500


def test_too_many_names_are_bounded_too(sink, client):
    """Names beyond the bound are counted together under __overflow__."""
    for number in range(200):
        client.increment(f"name {number}")
    events = [event for event in sink.events if event["event_type"] == "metric"]
    assert len(events) <= 60
    assert sum(event["value"] for event in events) == 200


def test_attributes_with_names_that_are_taken_get_an_underscore(sink, client):
    """A caller's attribute named like one of ours is kept beside it."""
    client.increment("n", kind="mine", count=7)
    assert sink[0]["attributes"] == {"kind_": "mine", "count_": 7, "kind": "counter"}


def test_odd_attributes_still_count(sink, client):
    """Attributes that the encoder refuses or that contain themselves make a series all the same."""
    selfish = []
    selfish.append(selfish)
    for _ in range(3):
        client.increment("n", odd=object, selfish=selfish, big=10**30)
        client.gauge("g", 1, odd=object)
    assert values(sink, "n") == [
        (
            3,
            {
                "odd": "<class 'object'>",
                "selfish": ["<self-containing>"],
                "big": str(10**30),
                "kind": "counter",
            },
        )
    ]
    assert len(sink.named("g")) == 1


def test_intervals_end_by_themselves(intake, connect):
    """Without a flush the counters are sent when their interval is over."""
    client = connect(metrics_interval=0.05)
    client.increment("n", 2)
    assert intake.wait_for(lambda: intake.events)
    client.increment("n", 3)
    assert intake.wait_for(lambda: sum(event["value"] for event in intake.events) == 5)
