"""Trends: figures over time and groups equal what pandas computes from the same flights."""

from __future__ import annotations

import math
import random
import statistics

import pytest

from tallymark.errors import RequestRefused
from tallymark.queries import grid
from tallymark.queries.measures import Z
from tallymark.queries.parse import parse_question

pytestmark = pytest.mark.store

FEBRUARY = {"kind": "trend", "from": "2013-02-01", "to": "2013-03-01"}
YEAR = {"kind": "trend", "from": "2024-01-01", "to": "2025-01-01"}
SEEN = [{"event_name": "seen"}]


def series(name, event_name, op="count", field=None, **more):
    measure = {"op": op, **({"field": field} if field else {}), **more}
    return {"name": name, "event_name": event_name, "measure": measure}


def test_counts_per_day_and_origin_equal_pandas(ask, flights, flights_project):
    """Departures per day and origin are those of the flights, none missing and none too many."""
    answer = ask(
        flights_project,
        FEBRUARY,
        interval="day",
        breakdown=["origin"],
        series=[series("n", "flight_departed")],
    )
    departed = flights[flights.dep_time.notna()]
    wanted = departed.groupby([departed.time.str[:10], "origin"]).size().to_dict()
    assert {(row[0][:10], row[1]): row[2] for row in answer.rows} == wanted
    assert len(answer.rows) == 28 * 3
    assert [column.name for column in answer.columns] == ["time", "origin", "n"]


def test_delays_equal_pandas(ask, flights, flights_project):
    """Mean, extremes and quantiles of delays per carrier equal pandas, from a core field and from an attribute."""
    asked = [
        series("mean", "flight_departed", "average", "value"),
        series("least", "flight_departed", "minimum", "value"),
        series("most", "flight_departed", "maximum", "value"),
        series("sum", "flight_departed", "sum", "value"),
        series("late", "flight_arrived", "quantile", "value", q=0.95),
        series("middle", "flight_arrived", "quantile", "value", q=0.5),
        series("far", "flight_scheduled", "average", "distance"),
        series("flights", "flight_scheduled", "unique", "session_id"),
        series("origins", "flight_scheduled", "unique", "origin"),
    ]
    answer = ask(flights_project, FEBRUARY, series=asked, breakdown=["carrier"])
    assert len(answer.rows) == flights.carrier.nunique()
    for carrier, *figures in answer.rows:
        own = flights[flights.carrier == carrier]
        departed, arrived = own[own.dep_time.notna()].dep_delay, own.arr_delay.dropna()
        wanted = [
            departed.mean(),
            departed.min(),
            departed.max(),
            departed.sum(),
            arrived.quantile(0.95),
            arrived.quantile(0.5),
            own.distance.mean(),
            len(own),
            own.origin.nunique(),
        ]
        assert figures == pytest.approx(wanted)


def test_empty_intervals_are_filled_per_group(ask, insert):
    """Where a group has no events a count and a sum are 0, an average and a quantile are null."""
    events = [
        {"event_time": f"2024-01-0{day}T12:00:00Z", "value": 2, "attributes": {"os": os}}
        for day, os in ((1, "a"), (3, "b"), (1, "a"))
    ]
    asked = [
        series("n", "seen"),
        series("sum", "seen", "sum", "value"),
        series("mean", "seen", "average", "value"),
        series("middle", "seen", "quantile", "value", q=0.5),
        series("people", "seen", "unique", "os"),
    ]
    answer = ask(insert(events), YEAR, to="2024-01-04", interval="day", breakdown=["os"], series=asked)
    nothing = [0, 0, None, None, 0]
    assert [row[1:] for row in answer.rows] == [
        ["a", 2, 4, 2, 2, 1],
        ["b", *nothing],
        ["a", *nothing],
        ["b", *nothing],
        ["a", *nothing],
        ["b", 1, 2, 2, 2, 1],
    ]
    alone = ask(insert(events), YEAR, to="2024-01-04", interval="day", series=asked)
    assert alone.rows[1] == ["2024-01-02T00:00:00Z", *nothing]


def test_to_is_exclusive(ask, insert):
    """An event at `from` counts, one at `to` does not."""
    project = insert([{"event_time": "2024-01-01T00:00:00Z"}, {"event_time": "2025-01-01T00:00:00Z"}])
    assert ask(project, YEAR, series=SEEN).rows == [[1]]


def test_other_projects_events_are_never_counted(ask, insert):
    """Two projects with the same names do not see each other."""
    one, other = insert([{}]), insert([{}, {}])
    assert ask(one, YEAR, series=SEEN).rows == [[1]]
    assert ask(other, YEAR, series=SEEN).rows == [[2]]


def test_values_of_several_types_are_named(ask, insert):
    """A sum takes the numbers, whole or not, and says how many values it left out because they are none."""
    values = [1, 2.5, "3", True, [4], None, 2**63]
    project = insert([{"attributes": {"amount": value}} for value in values])
    answer = ask(project, YEAR, series=[series("sum", "seen", "sum", "amount")])
    assert answer.rows == [[3.5 + 2**63]]
    assert answer.notes == [
        "amount of seen has values of several types: 3 that are no numbers were left out of sum.",
        "sum of amount of seen has more digits than a 64-bit float carries: it is rounded to about 15 digits, and not exact.",
    ]


def test_what_is_not_finite_is_null(ask, insert):
    """A sum beyond the largest number is null, never a text that JSON does not have."""
    project = insert([{"value": 1.7e308}, {"value": 1.7e308}])
    assert ask(project, YEAR, series=[series("sum", "seen", "sum", "value")]).rows == [[None]]


def test_groups_beyond_the_limit_are_counted_in_a_note(ask, insert):
    """The largest groups are shown, and the note holds the rest, so that the total can be explained."""
    sizes = {"a": 5, "b": 4, "c": 2, "d": 1}
    project = insert([{"attributes": {"os": os}} for os, count in sizes.items() for _ in range(count)])
    for interval in (None, "month"):
        words = {"interval": interval} if interval else {}
        answer = ask(project, YEAR, series=SEEN, breakdown=["os"], limit=2, **words)
        assert {row[-2] for row in answer.rows} == {"a", "b"}
        assert answer.notes == ["The 2 largest of 4 groups are shown; the other 2 hold 3 of 12 events."]


def test_a_breakdown_shows_text_booleans_and_what_is_missing(ask, insert):
    """Attributes are shown as text (5 and 5.0 are one group), core fields as what they are, missing as null."""
    project = insert(
        [
            {"attributes": {"x": 5}, "is_dev": True},
            {"attributes": {"x": 5.0}},
            {"attributes": {"x": True}},
            {"user_id": "u"},
        ]
    )
    assert {tuple(row) for row in ask(project, YEAR, series=SEEN, breakdown=["x"]).rows} == {
        ("5", 2),
        ("true", 1),
        (None, 1),
    }
    by_core = ask(project, YEAR, series=SEEN, breakdown=["is_dev", "user_id"])
    assert {tuple(row) for row in by_core.rows} == {(True, None, 1), (False, None, 2), (False, "u", 1)}
    assert [column.type for column in by_core.columns] == ["boolean", "text", "integer"]


def test_each_series_has_its_own_events_and_filters(ask, insert):
    """Several series are read in one pass, each with its own conditions, all with the common ones."""
    project = insert(
        [
            {"event_name": "a", "value": 1, "user_id": "u"},
            {"event_name": "a", "value": 2, "user_id": "u"},
            {"event_name": "b", "value": 3, "user_id": "u"},
            {"event_name": "b", "value": 4, "user_id": "v"},
        ]
    )
    over_one = [{"field": "value", "op": "gt", "value": 1}]
    asked = [{**series("x", "a", "sum", "value"), "filters": over_one}, series("y", "b"), series("z", "a")]
    answer = ask(project, YEAR, series=asked, filters=[{"field": "user_id", "op": "eq", "value": "u"}])
    assert answer.rows == [[2, 1, 2]]
    # A part holds rows of several projects: the engine may read some of their neighbours as well.


def test_sketches_are_measured_by_what_they_hold(ask, insert):
    """Timings sent as values with counts are measured as if each value had been sent alone; the note has the error."""
    project = insert(
        [
            {"sketch_values": [10.0, 20.0], "sketch_counts": [1, 3]},
            {"sketch_values": [40.0], "sketch_counts": [6]},
            {"value": 1000},
        ]
    )
    asked = [
        series(op, "seen", op, "sketch", **({"q": 0.35} if op == "quantile" else {}))
        for op in ("sum", "average", "minimum", "maximum", "quantile")
    ]
    answer = ask(project, YEAR, series=asked)
    assert answer.rows == [[310, 31, 10, 40, 20]]
    assert (
        "average of sketch has a relative error of at most 1 %: timings and histograms are sent as sketches."
        in answer.notes
    )
    empty = ask(insert([{"value": 1}]), YEAR, series=asked)
    assert empty.rows == [[0, None, None, None, None]]


def test_a_sketch_says_how_sure_its_figures_are(ask, insert):
    """The values in sketches are counted, their deviation is that of the values, and a quantile lies between two ranks."""
    rng = random.Random(20260131)
    events, values = [], {"a": [], "b": []}
    for number in range(60):
        os = "ab"[number % 2]
        bins = sorted({round(rng.lognormvariate(3, 1), 1) for _ in range(rng.randint(1, 8))})
        counts = [rng.randint(1, 20) for _ in bins]
        events.append({"sketch_values": bins, "sketch_counts": counts, "attributes": {"os": os}})
        values[os] += [value for value, count in zip(bins, counts, strict=True) for _ in range(count)]
    events += [{"value": 5, "attributes": {"os": os}} for os in "ab"]
    events += [{"sketch_values": [7.0], "sketch_counts": [1], "attributes": {"os": "alone"}}]
    values["alone"] = [7.0]
    asked = [series("n", "seen", "count", "sketch"), series("s", "seen", "deviation", "sketch")]
    levels = (0.05, 0.5, 0.95)
    asked += [
        series(f"{q}{bound}", "seen", "quantile", "sketch", q=q, bound=bound)
        for q in levels
        for bound in ("low", "high")
    ]
    found = {os: figures for os, *figures in ask(insert(events), YEAR, series=asked, breakdown=["os"]).rows}
    assert set(found) == set(values)
    for os, of_os in values.items():
        n, own = len(of_os), sorted(of_os)
        ends = []
        for q in levels:
            reach = Z * math.sqrt(n * q * (1 - q))
            low, high = math.floor(n * q - reach), math.ceil(n * q + reach) + 1
            ends += [
                own[low - 1] * 0.99 if low >= 1 else None,
                own[high - 1] * 1.01 if high <= n else None,
            ]
        deviation = statistics.stdev(own) if n > 1 else None
        assert found[os] == pytest.approx([n, deviation, *ends])
    nothing = ask(insert([{"value": 1}]), YEAR, series=asked)
    assert nothing.rows == [[0, *[None] * 7]]


def test_only_sketches_are_counted_by_field(ask, insert):
    """A count of any other field is refused, and the message says what counts its values; a last one of sketches too."""
    for at, says, asked in (
        ("series[0].measure.field", "unique counts", series("n", "seen", "count", "value")),
        ("series[0].measure.op", "single values", series("n", "seen", "last", "sketch")),
    ):
        with pytest.raises(RequestRefused, match=says) as refused:
            parse_question({**YEAR, "series": [asked]})
        assert refused.value.at == at


def test_a_name_never_seen_is_an_empty_answer_with_near_names(ask, flights_project):
    """Somebody who mistypes an event or an attribute gets no figures, and the names that were meant."""
    event = ask(flights_project, FEBRUARY, interval="day", series=[series("n", "flight_departd")])
    assert event.rows == []
    assert event.notes[0].startswith("No event is called 'flight_departd'. Near names: flight_departed")
    departed = [series("n", "flight_departed")]
    for words in (
        {"breakdown": ["carier"], "series": departed},
        {"filters": [{"field": "carier", "op": "eq", "value": "UA"}], "series": departed},
        {"series": [series("n", "flight_departed", "average", "attributes.carier")]},
    ):
        answer = ask(flights_project, FEBRUARY, **words)
        assert answer.rows == []
        assert "carier" in answer.notes[0]
        assert answer.notes[0].endswith("Near names: carrier.")


def test_nothing_in_the_period_is_not_a_name_never_seen(ask, flights_project):
    """A quiet month of a known event is answered with zeros and without a note."""
    answer = ask(
        flights_project,
        FEBRUARY,
        **{"from": "2014-01-01", "to": "2014-01-03"},
        interval="day",
        series=[series("n", "flight_departed")],
    )
    assert [row[1] for row in answer.rows] == [0, 0]
    assert answer.notes == []


def test_one_unknown_series_leaves_the_others(ask, flights_project):
    """A series whose event was never seen is zero and noted; the others keep their figures."""
    answer = ask(flights_project, FEBRUARY, series=[series("n", "flight_departed"), series("m", "nothing")])
    assert answer.rows[0][0] > 0
    assert answer.rows[0][1] == 0
    assert answer.notes[0].startswith("No event is called 'nothing'.")


def test_beyond_the_stated_size_figures_are_approximate_and_say_so(
    ask, flights, flights_project, monkeypatch
):
    """Past the stated number of rows unique and quantile are within their stated error of the exact figure."""
    asked = [
        series("flights", "flight_arrived", "unique", "session_id"),
        series("late", "flight_arrived", "quantile", "value", q=0.95),
    ]
    exact = ask(flights_project, FEBRUARY, series=asked)
    assert exact.notes == []
    monkeypatch.setattr("tallymark.queries.run.EXACT_ROWS", 1_000)
    about = ask(flights_project, FEBRUARY, series=asked)
    assert about.notes == [
        "unique session_id is approximate (standard error 0.3 %).",
        "the quantile of value is approximate (relative error of at most 1 %).",
    ]
    assert about.rows[0][0] == pytest.approx(exact.rows[0][0], rel=0.01)
    # The approximate quantile is one of the values; the exact one lies between two neighbours.
    near = sorted(flights.arr_delay.dropna())
    place = int(0.95 * (len(near) - 1))
    assert near[place] * 0.99 <= about.rows[0][1] <= near[place + 1] * 1.01


def test_too_many_rows_are_refused_with_what_would_fit(ask, insert, monkeypatch):
    """Groups times intervals are limited, and the error says which limit would do."""
    project = insert([{"attributes": {"n": number}} for number in range(20)])
    monkeypatch.setattr(grid, "MAX_ROWS", 366 * 10)
    with pytest.raises(RequestRefused, match="limit of 10") as caught:
        ask(project, YEAR, interval="day", series=SEEN, breakdown=["n"])
    assert caught.value.at == "limit"


@pytest.mark.parametrize(
    ("asked", "at"),
    [
        ({"series": [{"event_name": "a"}, {"event_name": "a"}]}, "series[1].event_name"),
        ({"series": [{"event_name": "a", "name": "time"}], "interval": "day"}, "series[0].name"),
        ({"series": [{"event_name": "a", "name": "x"}], "breakdown": ["x"]}, "series[0].name"),
        ({"series": [series("n", "a", "average")]}, "series[0].measure.field"),
        ({"series": [series("n", "a", "count", "value")]}, "series[0].measure.field"),
        ({"series": [series("n", "a", "quantile", "value")]}, "series[0].measure.q"),
        ({"series": [series("n", "a", "sum", "value", q=0.5)]}, "series[0].measure.q"),
        ({"series": [series("n", "a", "average", "user_id")]}, "series[0].measure.field"),
        ({"series": [series("n", "a", "unique", "performer_groups")]}, "series[0].measure.field"),
        ({"series": SEEN, "breakdown": ["user_id", "user_id"]}, "breakdown[1]"),
        ({"series": SEEN, "breakdown": ["sketch"]}, "breakdown[0]"),
    ],
)
def test_a_series_that_cannot_be_is_refused_with_its_place(asked, at):
    """Columns that would stand twice and measures without what they need name their path."""
    with pytest.raises(RequestRefused) as caught:
        parse_question({**YEAR, **asked})
    assert caught.value.at == at
