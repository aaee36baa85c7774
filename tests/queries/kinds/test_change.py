"""Change: contributions add up to the whole change, and name what caused it."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark.errors import RequestRefused
from tallymark.queries.kinds.change import MAX_DIMENSIONS, Change
from tallymark.queries.parse import parse_question

RATE = {
    "kind": "change",
    "from": "2013-02-08",
    "to": "2013-02-10",
    "before": {"from": "2013-02-01", "to": "2013-02-03"},
    "numerator": {"event_name": "flight_departed"},
    "denominator": {"event_name": "flight_scheduled"},
    "dimensions": ["carrier", "origin"],
}
COUNT = {name: value for name, value in RATE.items() if name != "denominator"}


def _by_dimension(answer):
    names = [column.name for column in answer.columns]
    found = {}
    for row in answer.rows:
        found.setdefault(row[0], []).append(dict(zip(names, row, strict=True)))
    return found


@pytest.mark.store
@pytest.mark.parametrize("limit", [2, 50])
def test_blizzard_counts(ask, flights_project, flights, limit):
    """A count's contributions are each value's own difference, as pandas counts it; together the whole, also cut short."""
    days = flights.day
    departed = flights.dep_time.notna()
    answer = _by_dimension(ask(flights_project, COUNT, limit=limit))
    whole = int((departed & days.isin([8, 9])).sum() - (departed & days.isin([1, 2])).sum())
    for field in ("carrier", "origin"):
        rows = answer[field]
        assert sum(row["contribution"] for row in rows) == whole
        assert sum(row["values"] for row in rows) == flights[field].nunique()
        assert sum(row["share"] for row in rows) == pytest.approx(1.0)
        for row in rows:
            if row["value"] is not None:
                of = departed & (flights[field] == row["value"])
                after, before = (of & days.isin([8, 9])).sum(), (of & days.isin([1, 2])).sum()
                assert (row["before"], row["after"], row["contribution"]) == (before, after, after - before)
    sizes = [abs(row["contribution"]) for row in answer["carrier"] if row["value"] is not None]
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.store
def test_blizzard_rate(ask, flights_project, flights):
    """A rate's change is split into what rates and what weights changed; both together are the whole change."""
    departed = flights.dep_time.notna()

    def rate(days):
        chosen = flights.day.isin(days)
        return (departed & chosen).sum() / chosen.sum()

    whole = rate([8, 9]) - rate([1, 2])
    assert whole < -0.3, "the blizzard should stand out"
    answer = _by_dimension(ask(flights_project, RATE, dimensions=["carrier", "origin", "hour_of_nothing"]))
    for rows in answer.values():
        assert sum(row["contribution"] for row in rows) == pytest.approx(whole, abs=1e-12)
        for row in rows:
            assert row["rate_effect"] + row["mix_effect"] == pytest.approx(row["contribution"], abs=1e-15)
    # The storm hit every airport and airline: nearly all of it is rates, hardly any is mix.
    for field in ("carrier", "origin"):
        assert abs(sum(row["mix_effect"] for row in answer[field])) < abs(whole) * 0.1
    (nothing,) = answer["hour_of_nothing"]
    assert (nothing["value"], nothing["share"]) == (None, pytest.approx(1.0))
    # What explains nothing comes last.
    assert list(answer)[-1] == "hour_of_nothing"


@pytest.mark.store
def test_a_field_that_no_event_has_is_told(ask, flights_project):
    """A misspelt field has one row that means nothing, and a note with the names that are near."""
    answer = ask(flights_project, RATE, dimensions=["carier", "origin"])
    assert _by_dimension(answer)["carier"][0]["share"] == pytest.approx(1.0)
    (note,) = answer.notes
    assert note.startswith("No event called flight_departed or flight_scheduled has the attribute 'carier'.")
    assert note.endswith("Near names: carrier.")
    assert ask(flights_project, RATE).notes == []


@pytest.mark.parametrize("number", [0, MAX_DIMENSIONS + 1, 120])
def test_there_are_one_to_ten_fields(number):
    """A question built without decoding is held to it as well: the engine never sees it."""
    question = msgspec.structs.replace(parse_question(RATE), dimensions=tuple(f"f{n}" for n in range(number)))
    with pytest.raises(RequestRefused, match="1 to 10 fields") as refused:
        question.build_sql("p", question.period(), exact=True)
    assert refused.value.at == "dimensions"


def test_only_figures_have_the_unit_of_a_ratio():
    """A field's name, its value and how many values there are have no unit."""
    columns = {
        column.name: column.unit for column in _shape([(0, "a", 1, 2, 3, 4)], dimensions=["os"]).columns
    }
    assert [name for name, unit in columns.items() if unit is None] == ["dimension", "value", "values"]
    assert {columns["n_before"], columns["n_after"]} == {"events"}


def _shape(rows, **more):
    """Shape rows of (field's number, value, figures), as the statement gives them: a mask, and a column per field."""
    question = parse_question({**RATE, **more})
    assert isinstance(question, Change)
    width = len(question.dimensions)
    given = []
    for number, value, *figures in rows:
        values = [value if place == number else None for place in range(width)]
        mask = sum(1 << (width - 1 - place) for place in range(width) if place != number)
        given.append([mask, *values, *figures])
    return question.shape_result(question.period(), given, exact=True)


def test_a_cause_is_told_from_a_bystander():
    """One value's rate falls, the other's stays; the other only grew: the first is rate, the second is mix."""
    table = _shape([(0, "bad", 90, 100, 45, 100), (0, "good", 90, 100, 180, 200)], dimensions=["os"])
    bad, good = table.rows
    names = [column.name for column in table.columns]
    assert bad[names.index("value")] == "bad"
    assert good[names.index("rate_effect")] == 0.0
    assert bad[names.index("rate_effect")] == pytest.approx(-0.45 * (0.5 + 1 / 3) / 2)


def test_fields_come_by_what_they_explain():
    """A field that tells the fallen apart from the rest comes before one that does not, whatever was asked first."""
    rows = [
        (0, "x", 50, 100, 25, 100), (0, "y", 50, 100, 25, 100),
        (1, "ios", 50, 100, 0, 100), (1, "android", 50, 100, 50, 100),
    ]  # fmt: skip
    table = _shape(rows, dimensions=["noise", "os"])
    assert [row[0] for row in table.rows] == ["os", "os", "noise", "noise"]


_numbers = st.tuples(*[st.integers(0, 1000)] * 4)


@given(values=st.lists(_numbers, min_size=1, max_size=12), limit=st.integers(1, 15))
def test_parts_add_up(values, limit):
    """Whatever the figures, a field's contributions add up to the whole change, cut short or not."""
    rows = [(0, f"v{place}", *one) for place, one in enumerate(values)]
    above_before, below_before, above_after, below_after = (
        sum(column) for column in zip(*values, strict=True)
    )
    table = _shape(rows, dimensions=["os"], limit=limit)
    names = [column.name for column in table.columns]
    whole = sum(row[names.index("contribution")] for row in table.rows)
    if not below_before or not below_after:
        assert table.rows == []
        return
    assert whole == pytest.approx(above_after / below_after - above_before / below_before, abs=1e-6)
    assert sum(row[names.index("values")] for row in table.rows) == len(values)
    assert len(table.rows) <= limit + 1


def test_new_and_vanished_values_are_mix():
    """A value that was not there before, or is not any more, has no rate that changed."""
    table = _shape([(0, "old", 50, 100, 0, 0), (0, "new", 0, 0, 90, 100)], dimensions=["os"])
    names = [column.name for column in table.columns]
    assert [row[names.index("rate_effect")] for row in table.rows] == [0.0, 0.0]
    assert sum(row[names.index("mix_effect")] for row in table.rows) == pytest.approx(0.4)


def test_no_events_in_one_of_the_times():
    """Where there is no figure before or after, that is said, and nothing is made up."""
    table = _shape([(0, "a", 0, 0, 5, 10)], dimensions=["os"])
    assert "no change to explain" in table.notes[0]
    assert table.rows == []


@pytest.mark.store
def test_averages_and_unique(ask, flights_project, flights):
    """An average is a sum per count; unique values can be in several rows, which a note says."""
    mean = {
        **COUNT,
        "numerator": {"event_name": "flight_departed", "measure": {"op": "average", "field": "value"}},
    }
    answer = _by_dimension(ask(flights_project, mean, limit=50))
    delays = flights.dep_delay
    whole = delays[flights.day.isin([8, 9])].mean() - delays[flights.day.isin([1, 2])].mean()
    assert sum(row["contribution"] for row in answer["origin"]) == pytest.approx(whole)
    unique = {
        **COUNT,
        "numerator": {"event_name": "flight_departed", "measure": {"op": "unique", "field": "carrier"}},
    }
    assert any("several values" in note for note in ask(flights_project, unique).notes)


@pytest.mark.store
def test_rows_say_how_many_stand_behind_them(ask, insert):
    """A ratio's n are its denominators, an average's the numbers: what has no number counts in neither; sums have none."""
    events = [
        {"event_name": name, "event_time": f"2024-01-0{day}T00:00:00Z", "attributes": {"os": "a" if n % 3 else "b"}, **value}
        for day, number in ((1, 6), (2, 9))
        for n in range(number)
        for name, value in (("shown", {}), ("done", {"value": float(n)} if n < 4 else {}))
    ]  # fmt: skip
    project = insert(events)
    times = {"from": "2024-01-02", "to": "2024-01-03", "before": {"from": "2024-01-01", "to": "2024-01-02"}}
    asked = {"kind": "change", **times, "dimensions": ["os"]}
    done, shown = {"event_name": "done"}, {"event_name": "shown"}
    mean = {**done, "measure": {"op": "average", "field": "value"}}
    summed = {**done, "measure": {"op": "sum", "field": "value"}}

    def found(**more):
        rows = _by_dimension(ask(project, asked, **more))["os"]
        return {row["value"]: (row["n_before"], row["n_after"]) for row in rows}

    assert found(numerator=done, denominator=shown) == {"a": (4, 6), "b": (2, 3)}
    assert found(numerator=mean) == {"a": (2, 2), "b": (2, 2)}
    assert found(numerator=summed) == found(numerator=done) == {"a": (None, None), "b": (None, None)}
    assert found(numerator=done, denominator=summed) == {"a": (None, None), "b": (None, None)}
    for row in _by_dimension(ask(project, asked, numerator=mean))["os"]:
        assert row["before"] == row["after"] == 1.5


@pytest.mark.store
def test_fields_of_every_kind_stand_side_by_side(ask, insert):
    """Texts, numbers, truth values, lists, attributes of several types, and what is computed of the time: one statement."""
    events = [
        {
            "event_name": "done", "event_time": f"2024-01-0{1 + n % 2}T0{n % 5}:00:00Z", "service_version": f"{n % 3}",
            "performer_is_bot": bool(n % 2), "performer_groups": ["a", "b"][: n % 3], "value": float(n % 4),
            "attributes": {"mixed": [1, 1.5, "1", True, None][n % 5]},
        }
        for n in range(30)
    ]  # fmt: skip
    project = insert(events)
    fields = [
        "service_version",
        "performer_is_bot",
        "performer_groups",
        "value",
        "mixed",
        "event_hour",
        "event_weekday",
    ]
    times = {"from": "2024-01-02", "to": "2024-01-03", "before": {"from": "2024-01-01", "to": "2024-01-02"}}
    asked = {"kind": "change", **times, "numerator": {"event_name": "done"}, "dimensions": fields}
    found = _by_dimension(ask(project, asked))
    values = {field: {row["value"] for row in rows} for field, rows in found.items()}
    assert all(sum(row["before"] + row["after"] for row in rows) == 30 for rows in found.values())
    assert values["service_version"] == {"0", "1", "2"}
    assert values["performer_groups"] == {None, "a", "a, b"}
    assert values["mixed"] == {"1", "1.5", "true", None}
    assert values["event_weekday"] == {"Mon", "Tue"}
    assert values["event_hour"] == {"0", "1", "2", "3", "4"}
    assert values["value"] == {"0", "1", "2", "3"}
    assert values["performer_is_bot"] == {"true", "false"}


@pytest.mark.parametrize(
    ("more", "at"),
    [
        ({"numerator": {"event_name": "a", "measure": {"op": "quantile", "field": "value", "q": 0.5}}}, "numerator.measure.op"),
        ({"numerator": {"event_name": "a", "measure": {"op": "average", "field": "value"}}}, "numerator.measure.op"),
        ({"numerator": {"event_name": "a", "measure": {"op": "average", "field": "sketch"}}, "denominator": None}, "numerator.measure.field"),
        ({"breakdown": ["os"]}, "breakdown"),
        ({"dimensions": []}, "dimensions"),
        ({"before": {"from": "2013-02-02", "to": "2013-02-01"}}, "to"),
        ({"before": {"from": "2013-02-02"}}, "before"),
    ],
)  # fmt: skip
def test_what_cannot_be_split_is_refused(more, at):
    """Figures without parts, and questions that make no sense, are refused at their place."""
    with pytest.raises(RequestRefused) as refusal:
        parse_question({**RATE, **more})
    assert refusal.value.at == at
