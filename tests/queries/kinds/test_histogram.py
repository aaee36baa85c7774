"""Histograms: every value lies in exactly one bucket, and buckets have round edges."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tallymark.errors import RequestRefused
from tallymark.queries.parse import parse_question

DAY = {"kind": "histogram", "from": "2024-01-01", "to": "2024-01-02", "of": {"event_name": "seen"}}
FLIGHTS = {
    "kind": "histogram",
    "from": "2013-02-01",
    "to": "2013-03-01",
    "of": {"event_name": "flight_departed"},
}


def count(values, low, high):
    inside = np.array(values)
    return int(
        ((inside >= (-np.inf if low is None else low)) & (inside < (np.inf if high is None else high))).sum()
    )


@pytest.mark.store
def test_delays_equal_numpy(ask, flights_project, flights):
    """The delays of the flights lie where numpy finds them; a few on each side stand outside."""
    answer = ask(flights_project, FLIGHTS)
    delays = flights.dep_delay[flights.dep_time.notna()].to_numpy()
    assert [row[2] for row in answer.rows] == [count(delays, low, high) for low, high, _ in answer.rows]
    assert sum(row[2] for row in answer.rows) == len(delays)
    widths = {high - low for low, high, _ in answer.rows if low is not None and high is not None}
    assert widths == {10.0}
    assert answer.rows[0][0] is None
    assert answer.rows[-1][1] is None
    assert [column.name for column in answer.columns] == ["low", "high", "values"]


@pytest.mark.store
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(
        st.one_of(
            st.floats(-1e12, 1e12),
            st.integers(-50, 50).map(lambda number: number / 100),
            st.integers(0, 1000).map(lambda number: number * 5e-7),
        ),
        min_size=1,
        max_size=60,
    ),
    st.integers(2, 60),
)
def test_no_value_is_lost(insert, ask, values, buckets):
    """Whatever the values: each is in the bucket whose edges hold it, and the edges join."""
    project = insert([{"value": value} for value in values])
    answer = ask(project, DAY, buckets=buckets)
    assert sum(row[2] for row in answer.rows) == len(values)
    assert [row[2] for row in answer.rows] == [count(values, low, high) for low, high, _ in answer.rows]
    for (_, high, _), (low, _, _) in zip(answer.rows, answer.rows[1:], strict=False):
        assert high == low
    assert len(answer.rows) <= buckets + 5


EXTREMES = [1e308, -1e308, 1.7976931348623157e308, -1.7976931348623157e308, 5e-324, -5e-324, 2.2e-308, 0.0, 2.0**53 - 1,
            2.0**53, 2.0**53 + 2, 0.3, 0.30000000000000004, 1e-9, 1e22]  # fmt: skip


@pytest.mark.store
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(
        st.one_of(st.sampled_from(EXTREMES), st.floats(allow_nan=False, allow_infinity=False)),
        min_size=1,
        max_size=40,
    ),
    st.integers(2, 60),
)
def test_any_finite_doubles_have_buckets(insert, ask, values, buckets):
    """Each value lies in exactly one bucket, low <= x < high, and no bucket is empty of room, whatever doubles there are."""
    answer = ask(insert([{"value": value} for value in values]), DAY, buckets=buckets)
    assert [row[2] for row in answer.rows] == [count(values, low, high) for low, high, _ in answer.rows]
    assert sum(row[2] for row in answer.rows) == len(values)
    assert all(low < high for low, high, _ in answer.rows if low is not None and high is not None)
    for (_, high, _), (low, _, _) in zip(answer.rows, answer.rows[1:], strict=False):
        assert high == low
    assert len(answer.rows) <= buckets + 5


@pytest.mark.store
def test_neighbouring_doubles_share_a_bucket(insert, ask):
    """0.3 and 0.30000000000000004 lie in buckets that have a width, with edges that read as round numbers."""
    answer = ask(insert([{"value": 0.3}, {"value": 0.30000000000000004}]), DAY)
    assert sum(row[2] for row in answer.rows) == 2
    assert all(float(f"{low:.15g}") == low < high for low, high, _ in answer.rows)


@pytest.mark.store
def test_one_value_and_none(insert, ask):
    """A single value has a bucket, no value has none, and zeros are no fault."""
    assert ask(insert([{"value": 5.0}]), DAY).rows == [[5.0, 6.0, 1]]
    assert ask(insert([{"value": 0.0}] * 3), DAY).rows == [[0.0, 1.0, 3]]
    empty = ask(insert([{"event_name": "other"}]), DAY)
    assert empty.rows == []
    assert "No event is called 'seen'" in empty.notes[0]


@pytest.mark.store
def test_sketches_count_each_value(insert, ask):
    """A timing that was sent as values with counts weighs as much as it stands for."""
    project = insert(
        [
            {"sketch_values": [0.1, 0.2], "sketch_counts": [3, 2]},
            {"sketch_values": [0.2, 4.0], "sketch_counts": [1, 4]},
        ]
    )
    answer = ask(project, DAY, of={"event_name": "seen", "field": "sketch"}, buckets=10)
    assert sum(row[2] for row in answer.rows) == 10
    assert {row[0]: row[2] for row in answer.rows if row[2]} == {0.0: 6, 4.0: 4}
    assert "relative error" in answer.notes[0]


@pytest.mark.store
def test_what_is_no_number_is_said(insert, ask):
    """Texts among an attribute's numbers are left out, and counted in a note."""
    project = insert([{"attributes": {"size": size}} for size in (1, 2.5, "large", True, 3)])
    answer = ask(project, DAY, of={"event_name": "seen", "field": "attributes.size"})
    assert sum(row[2] for row in answer.rows) == 3
    assert answer.notes == ["2 values of attributes.size that are no numbers were left out."]


@pytest.mark.store
def test_filters_hold(insert, ask):
    """Filters of the question and of the event leave only what meets both."""
    events = [
        {"value": float(n), "attributes": {"os": "iOS" if n % 2 else "Android", "n": n}} for n in range(10)
    ]
    answer = ask(
        insert(events),
        DAY,
        filters=[{"field": "os", "op": "eq", "value": "iOS"}],
        of={"event_name": "seen", "filters": [{"field": "n", "op": "gte", "value": 5}]},
    )
    assert sum(row[2] for row in answer.rows) == 3


@pytest.mark.parametrize(
    ("words", "at"),
    [
        ({"of": {"event_name": "seen", "field": "user_id"}}, "of.field"),
        ({"breakdown": ["os"]}, "breakdown"),
        ({"buckets": 1}, "buckets"),
        (
            {"of": {"event_name": "seen", "filters": [{"field": "value", "op": "contains", "value": "x"}]}},
            "of.filters[0].op",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(words, at):
    """A histogram of texts, one by groups, one of a single bucket: refused with the place."""
    with pytest.raises(RequestRefused) as caught:
        parse_question({**DAY, **words})
    assert caught.value.at == at
