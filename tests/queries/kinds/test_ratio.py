"""Ratios: divided as by hand, with the interval of the score method, and null where there is nothing to divide."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark.queries.kinds.ratio import wilson_interval

FEBRUARY = {"kind": "ratio", "from": "2013-02-01", "to": "2013-03-01"}
YEAR = {"kind": "ratio", "from": "2024-01-01", "to": "2025-01-01"}
AB = {"numerator": {"event_name": "a"}, "denominator": {"event_name": "b"}}


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    # The roots of (p - share)^2 = z^2 p (1 - p) / trials, found by bisection apart from the code.
    [
        (0, 10, 0.0, 0.2775328),
        (10, 10, 0.7224672, 1.0),
        (5, 10, 0.2365931, 0.7634069),
        (1, 2, 0.0945312, 0.9054688),
    ],
)
def test_the_interval_is_wilsons(successes, trials, low, high):
    """Known cases, among them those at the ends where the simple interval has no width."""
    assert wilson_interval(successes, trials) == pytest.approx((low, high), abs=1e-6)


@given(trials=st.integers(1, 10**9), share=st.floats(0, 1))
def test_the_interval_solves_its_equation_and_holds_the_share(trials, share):
    """Both ends lie 1.96 standard errors from the share, measured at the ends; the share lies between them."""
    successes = round(trials * share)
    low, high = wilson_interval(successes, trials)
    assert 0 <= low <= successes / trials <= high <= 1
    for end in (low, high):
        if 0 < end < 1:
            error = 1.959963984540054 * math.sqrt(end * (1 - end) / trials)
            assert abs(successes / trials - end) == pytest.approx(error, rel=1e-4, abs=1e-9)


@pytest.mark.store
def test_departures_per_day_equal_pandas_and_the_blizzard_stands_out(ask, flights, flights_project):
    """Departed of scheduled per day is what pandas divides, and least on 8 and 9 February 2013."""
    answer = ask(
        flights_project,
        FEBRUARY,
        interval="day",
        numerator={"event_name": "flight_departed"},
        denominator={"event_name": "flight_scheduled"},
    )
    by_day = flights.groupby(flights.time.str[:10])
    wanted = {day: (group.dep_time.notna().sum(), len(group)) for day, group in by_day}
    assert {row[0][:10]: (row[1], row[2]) for row in answer.rows} == wanted
    assert all(row[3] == row[1] / row[2] and row[4] <= row[3] <= row[5] for row in answer.rows)
    lowest = sorted(answer.rows, key=lambda row: row[3])[:2]
    assert {row[0][:10] for row in lowest} == {"2013-02-08", "2013-02-09"}


@pytest.mark.store
def test_a_denominator_of_zero_is_null_and_noted(ask, insert):
    """Nothing divided by nothing, and something divided by nothing, are null, never 0 and never infinite."""
    project = insert([{"event_name": "a"}, {"event_name": "b", "event_time": "2024-02-01T00:00:00Z"}])
    answer = ask(project, YEAR, **AB, interval="month")
    assert [row[1:] for row in answer.rows[:3]] == [
        [1, 0, None, None, None],
        [0, 1, 0.0, 0.0, pytest.approx(0.7934507)],
        [0, 0, None, None, None],
    ]
    assert answer.notes == ["In 11 of 12 rows the denominator is 0 or missing: there is no ratio."]


@pytest.mark.store
def test_retries_of_one_session_do_not_push_a_rate_over_one(ask, insert):
    """By counts a retry counts again, and the answer says that this is no share; by sessions it does not."""
    project = insert([{"event_name": name, "session_id": "s"} for name in ("a", "a", "b")])
    by_count = ask(project, YEAR, **AB)
    assert by_count.rows == [[2, 1, 2.0, None, None]]
    assert by_count.notes == [
        "In 1 rows the numerator is larger than the denominator: it is no share, and low and high are null."
    ]
    unique = {"measure": {"op": "unique", "field": "session_id"}}
    by_session = ask(project, YEAR, **{side: {**words, **unique} for side, words in AB.items()})
    assert by_session.rows[0][:3] == [1, 1, 1.0]
    assert by_session.rows[0][4] == 1.0


@pytest.mark.store
def test_the_sign_up_rate_of_one_step_and_system(ask, insert):
    """Successes after verification divided by impressions of the step, both on one operating system."""

    def event(phase, os, **more):
        return {"event_name": "VERIFY_SMS_CODE", "attributes": {"phase": phase, "os": os, **more}}

    project = insert(
        [
            *[event("IMPRESSION", "iOS")] * 4,
            *[event("POST_VERIFICATION", "iOS", status="SUCCESS")] * 3,
            event("POST_VERIFICATION", "iOS", status="FAILURE"),
            *[event("IMPRESSION", "Android")] * 9,
        ]
    )

    def side(**wanted):
        filters = [{"field": name, "op": "eq", "value": value} for name, value in wanted.items()]
        return {"event_name": "VERIFY_SMS_CODE", "filters": filters}

    words = {
        "filters": [{"field": "os", "op": "eq", "value": "iOS"}],
        "numerator": side(phase="POST_VERIFICATION", status="SUCCESS"),
        "denominator": side(phase="IMPRESSION"),
    }
    assert ask(project, YEAR, **words).rows[0][:3] == [3, 4, 0.75]


@pytest.mark.store
def test_a_ratio_of_maxima_has_no_interval(ask, insert):
    """Any two measures can be divided; the interval is given for counts and sums only, and the answer says so."""
    project = insert([{"event_name": "a", "value": 3}, {"event_name": "b", "value": 2}])
    total = {"measure": {"op": "maximum", "field": "value"}}
    answer = ask(
        project, YEAR, **{side: {**words, **total} for side, words in AB.items()}, breakdown=["source"]
    )
    assert answer.rows == [["http", 3, 2, 1.5, None, None]]
    assert answer.notes == ["low and high are given for counts and sums, not for this measure."]
    assert [column.name for column in answer.columns] == [
        "source",
        "numerator",
        "denominator",
        "ratio",
        "low",
        "high",
    ]


@pytest.mark.store
@pytest.mark.parametrize("same", [True, False])
def test_a_ratio_of_sums_has_the_delta_methods_interval(ask, insert, same):
    """The interval is that of the residuals x - Ry, computed event by event apart from the code."""
    pairs = [(3.0 + n % 7, 1.0 + n % 4) for n in range(200)]
    events = []
    for x, y in pairs:
        if same:
            events.append({"event_name": "a", "attributes": {"x": x, "y": y}})
        else:
            events += [
                {"event_name": "a", "attributes": {"x": x}},
                {"event_name": "b", "attributes": {"y": y}},
            ]
    question = {
        **YEAR,
        "numerator": {"event_name": "a", "measure": {"op": "sum", "field": "x"}},
        "denominator": {"event_name": "a" if same else "b", "measure": {"op": "sum", "field": "y"}},
    }
    ((above, below, ratio, low, high),) = ask(insert(events), question).rows
    assert (above, below) == (sum(x for x, _ in pairs), sum(y for _, y in pairs))
    if same:
        spread = sum((x - ratio * y) ** 2 for x, y in pairs)
    else:
        spread = sum(x * x for x, _ in pairs) + ratio * ratio * sum(y * y for _, y in pairs)
    n = len(events)
    reach = 1.959963984540054 * math.sqrt(spread * n / (n - 1)) / below
    assert (low, high) == pytest.approx((ratio - reach, ratio + reach), rel=1e-9)


@pytest.mark.store
def test_a_sum_per_event_is_a_mean_with_its_interval(ask, insert):
    """A sum divided by the count of the same events is their mean, and the interval that of the mean."""
    values = [float(n % 13) for n in range(130)]
    project = insert([{"event_name": "a", "value": value} for value in values])
    question = {
        **YEAR,
        "numerator": {"event_name": "a", "measure": {"op": "sum", "field": "value"}},
        "denominator": {"event_name": "a"},
    }
    ((_, _, ratio, low, high),) = ask(project, question).rows
    mean = sum(values) / len(values)
    n = len(values)
    reach = 1.959963984540054 * math.sqrt(sum((value - mean) ** 2 for value in values) / (n * (n - 1)))
    assert (ratio, low, high) == pytest.approx((mean, mean - reach, mean + reach))


@pytest.mark.store
def test_values_of_sketches_are_no_share_of_events(ask, insert):
    """How many values there are per event has no interval: one event can hold any number of them."""
    project = insert(
        [{"event_name": "a", "sketch_values": [1.0, 2.0], "sketch_counts": [1, 1]}]
        + [{"event_name": "b"} for _ in range(4)]
    )
    values = {"event_name": "a", "measure": {"op": "count", "field": "sketch"}}
    answer = ask(project, YEAR, numerator=values, denominator={"event_name": "b"})
    assert answer.rows == [[2, 4, 0.5, None, None]]
    assert any("low and high are given for counts and sums" in note for note in answer.notes)
