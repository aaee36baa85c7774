"""Groups beyond the limit as one: whatever is counted, shown groups and the last row are the whole."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tallymark.errors import RequestRefused
from tallymark.queries.parse import parse_question

pytestmark = pytest.mark.store

FEBRUARY = {"kind": "trend", "from": "2013-02-01", "to": "2013-03-01", "others": True}
DELAY = {"op": "quantile", "field": "value", "q": 0.9}


def _series(name, event, **measure):
    return {"name": name, "event_name": event, "measure": measure or {"op": "count"}}


def test_other_carriers_equal_pandas(ask, flights, flights_project):
    """Counts, sums, unique values and quantiles of all carriers beyond the fifth are those that pandas finds for them."""
    departed = flights[flights.dep_time.notna()]
    largest = departed.groupby("carrier").size().sort_values(ascending=False)
    answer = ask(
        flights_project,
        FEBRUARY,
        breakdown=["carrier"],
        limit=5,
        series=[
            _series("n", "flight_departed"),
            _series("late", "flight_departed", op="sum", field="value"),
            _series("planes", "flight_departed", op="unique", field="origin"),
            _series("p90", "flight_departed", **DELAY),
        ],
    )
    assert [column.name for column in answer.columns] == ["carrier", "groups", "n", "late", "planes", "p90"]
    assert [row[0] for row in answer.rows[:5]] == list(largest.index[:5])
    rest = departed[~departed.carrier.isin(largest.index[:5])]
    last = answer.rows[-1]
    assert last[:4] == [None, len(largest) - 5, len(rest), rest.dep_delay.sum()]
    assert last[4] == rest.origin.nunique()
    assert last[5] == pytest.approx(rest.dep_delay.quantile(0.9))
    assert len(answer.rows) == 6
    assert f"the other {len(largest) - 5} together as one" in " ".join(answer.notes)


@pytest.mark.parametrize("measure", [{}, {"op": "unique", "field": "origin"}])
def test_other_carriers_by_week(ask, flights_project, measure):
    """Week by week the shown carriers and the others are the same as each asked alone."""
    series = [_series("n", "flight_departed", **measure)]
    whole = ask(flights_project, FEBRUARY, breakdown=["carrier"], interval="week", series=series, limit=1000)
    cut = ask(flights_project, FEBRUARY, breakdown=["carrier"], interval="week", series=series, limit=3)
    shown = {row[1] for row in cut.rows if row[2] == 1}
    assert len(shown) == 3
    assert [row for row in whole.rows if row[1] in shown] == [row for row in cut.rows if row[2] == 1]
    if not measure:
        for row in (row for row in cut.rows if row[2] > 1):
            assert row[3] == sum(one[3] for one in whole.rows if one[0] == row[0] and one[1] not in shown)
    else:
        filters = [{"field": "carrier", "op": "not_in", "value": sorted(shown)}]
        alone = ask(flights_project, FEBRUARY, interval="week", series=series, filters=filters)
        assert [row[3] for row in cut.rows if row[2] > 1] == [row[1] for row in alone.rows]


def test_a_rate_of_others(ask, flights, flights_project):
    """Numerator, denominator and interval of a rate are those of all other groups together."""
    february = flights[flights.month == 2]
    answer = ask(
        flights_project,
        {key: value for key, value in FEBRUARY.items() if key != "kind"} | {"kind": "ratio"},
        numerator={"event_name": "flight_departed"},
        denominator={"event_name": "flight_scheduled"},
        breakdown=["carrier"],
        limit=2,
    )
    shown = [row[0] for row in answer.rows[:2]]
    rest = february[~february.carrier.isin(shown)]
    assert answer.rows[-1][1:5] == [
        february.carrier.nunique() - 2,
        int(rest.dep_time.notna().sum()),
        len(rest),
        rest.dep_time.notna().mean(),
    ]


@pytest.mark.parametrize("measure", [{"op": "count"}, {"op": "average", "field": "value"}])
def test_ten_thousand_values(insert, ask, measure):
    """Of ten thousand values ten are shown and the rest stands in one row; the totals are right."""
    events = [
        {"event_name": "seen", "value": float(number % 7), "attributes": {"id": f"v{min(number, 9_999)}"}}
        for number in range(10_400)
    ]
    project = insert(events)
    answer = ask(
        project,
        {"kind": "trend", "from": "2024-01-01", "to": "2024-01-02", "others": True},
        breakdown=["id"],
        limit=10,
        series=[_series("n", "seen", **measure), _series("all", "seen")],
    )
    assert len(answer.rows) == 11
    assert answer.rows[0][:2] == ["v9999", 1]
    assert answer.rows[-1][1] == 9_990
    assert sum(row[3] for row in answer.rows) == 10_400


@pytest.mark.parametrize("measure", [{"op": "count"}, {"op": "unique", "field": "value"}])
def test_one_group_beyond_the_limit_is_shown_as_itself(insert, ask, measure):
    """A single group is not hidden behind the word other, nor is a missing value taken for it."""
    events = [
        {"attributes": {"os": name} if name else {}, "value": 1.0} for name in ("a", "a", "a", "b", "b", "")
    ]
    answer = ask(
        insert(events),
        {"kind": "trend", "from": "2024-01-01", "to": "2024-01-02", "others": True},
        breakdown=["os"],
        limit=2,
        series=[_series("n", "seen", **measure)],
    )
    assert [row[:2] for row in answer.rows] == [["a", 1], ["b", 1], [None, 1]]


def test_missing_texts_and_numbers_are_told_apart(insert, ask):
    """Missing, the empty text, the text 5 and other values are shown or gathered, each once."""
    values = [None, "", "5", 6, "a", "b", "c", "d"]
    events = [
        {"attributes": {} if value is None else {"x": value}, "value": 1.0}
        for place, value in enumerate(values)
        for _ in range(20 - place)
    ]
    answer = ask(
        insert(events),
        {"kind": "trend", "from": "2024-01-01", "to": "2024-01-02", "others": True},
        breakdown=["x"],
        limit=4,
        series=[_series("n", "seen"), _series("mean", "seen", op="average", field="value")],
    )
    assert [row[:3] for row in answer.rows] == [
        [None, 1, 20], ["", 1, 19], ["5", 1, 18], ["6", 1, 17], [None, 4, 16 + 15 + 14 + 13],
    ]  # fmt: skip


def test_without_groups_nothing_changes(ask, flights_project):
    """Without a breakdown, others means nothing."""
    answer = ask(flights_project, FEBRUARY, series=[_series("n", "flight_departed")])
    assert [column.name for column in answer.columns] == ["n"]


def test_the_column_groups_stands_once():
    """A field that is called groups is refused where the column stands beside it."""
    question = {**FEBRUARY, "breakdown": ["groups"], "series": [_series("n", "flight_departed")]}
    with pytest.raises(RequestRefused, match=r"attributes\.NAME"):
        parse_question(question)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("abcdefgh"), st.integers(1, 3), st.integers(0, 40)), min_size=1, max_size=60
    ),
    st.integers(1, 6),
)
def test_nothing_is_lost(insert, ask, made, limit):
    """Whatever the groups, days and limit: per day the rows add up to the whole."""
    events = [
        {"event_time": f"2024-01-0{day}T00:00:00Z", "value": float(value), "attributes": {"g": name}}
        for name, day, value in made
    ]
    project = insert(events)
    base = {"kind": "trend", "from": "2024-01-01", "to": "2024-01-04", "interval": "day"}
    series = [_series("n", "seen"), _series("sum", "seen", op="sum", field="value")]
    answer = ask(project, base, others=True, breakdown=["g"], limit=limit, series=series)
    whole = ask(project, base, series=series)
    for time, n, total in whole.rows:
        rows = [row for row in answer.rows if row[0] == time]
        assert (sum(row[3] for row in rows), sum(row[4] for row in rows)) == (n, total)
        assert sum(row[2] for row in rows) == len({name for name, _, _ in made})
