"""Metrics as pictures: their own colour everywhere, and no figure that cannot be seen."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from tallymark.metrics.figures import Figures
from tallymark.queries.result import Column, Cost
from tallymark.web.chart_specs import MAX_SERIES
from tallymark.web.chart_words import Parts
from tallymark.web.figure_charts import Line, build_figures_chart, build_spark, describe_difference
from tallymark.web.palette import METRICS

START = datetime(2026, 1, 1, tzinfo=UTC)


def figures(values, *, breakdown=(), unit=""):
    """Return figures by day; a value is a number, None, or a figure with what stands behind it."""
    names = ["time", *breakdown, "figure", "n", "low", "high", "enough"]
    columns = tuple(Column(name, "number") for name in names)
    rows = []
    for day, value in enumerate(values):
        tail = value if isinstance(value, tuple) else (value, 9, None, None, True)
        rows.append([(START + timedelta(days=day)).isoformat(), *("x" for _ in breakdown), *tail])
    return Figures("orders", unit, columns, rows, [], Cost(1.0))


def choose(field, values):
    return dict.fromkeys(values, "s6" if field == METRICS else "s3")


def test_a_metric_has_its_colour_also_alone():
    """A course, a small course and a chart of one group have the key of what they show."""
    chart = build_figures_chart([Line("Orders", figures([1, 2]))], "day", choose=choose)
    assert {row["k"] for row in chart.rows} == {"s6"}
    assert {row["k"] for row in build_spark(figures([1, 2]), "day", choose).rows} == {"s6"}
    grouped = build_figures_chart([Line("Orders", figures([1, 2], breakdown=["os"]))], "day", choose=choose)
    assert {row["k"] for row in grouped.rows} == {"s3"}
    assert {row["k"] for row in build_spark(figures([1, 2]), "day").rows} == {"s0"}


def test_bars_without_a_colour_each_have_that_of_their_metric():
    """More groups than colours: all bars look the same, and as the metric does elsewhere."""
    made = figures([1] * (MAX_SERIES + 1), breakdown=["os"])
    rows = [[f"os{place}", *row[2:]] for place, row in enumerate(made.rows)]
    whole = Figures("orders", "", made.columns[1:], rows, [], Cost(1.0))
    chart = build_figures_chart([Line("Orders", whole)], "", choose=choose)
    assert {row["k"] for row in chart.rows} == {"s6"}


@pytest.mark.parametrize("mark", ["line", "area", "stacked"])
def test_a_single_day_is_seen(mark):
    """A chart of one interval shows its figure, whatever it is drawn as."""
    chart = build_figures_chart([Line("Orders", figures([7]))], "day", mark, choose)
    assert [row["a"] for row in chart.rows] == [7]
    (point,) = [layer for layer in chart.spec["layer"] if layer["encoding"]["y"]["field"] == "a"]
    assert point["mark"]["type"] == "point"


def test_a_figure_between_weak_ones_is_seen_with_its_interval():
    """Weak neighbours are no neighbours: no line leads to them."""
    weak, sure = (5, 2, 1.0, 9.0, False), (5, 900, 4.5, 5.5, True)
    chart = build_figures_chart([Line("Orders", figures([weak, sure, weak]))], "day", choose=choose)
    assert [(row["a"], row["al"], row["ah"]) for row in chart.rows if "a" in row] == [(5, 4.5, 5.5)]
    (rule,) = [layer for layer in chart.spec["layer"] if layer["encoding"]["y"]["field"] == "al"]
    assert rule["mark"]["type"] == "rule"
    spark = build_spark(figures([1, None, 2, None, 3]), "day")
    assert [row.get("a") for row in spark.rows] == [1, None, 2, None, 3]


@pytest.mark.parametrize("mark", ["line", "area", "stacked", "bar"])
def test_zeros_lie_at_the_bottom(mark):
    """A chart of nothing has its axis from zero up."""
    chart = build_figures_chart([Line("Orders", figures([0, 0, 0]))], "day", mark, choose)
    domains = [layer["encoding"]["y"]["scale"].get("domain") for layer in chart.spec["layer"]]
    assert domains == [[0, 1]] * len(domains)
    assert build_spark(figures([0, 0]), "day").spec["layer"][0]["encoding"]["y"]["scale"] == {
        "domain": [0, 1]
    }


LAST = Parts((START + timedelta(days=2),), ("The last day is counted in part: 00:00 to 10:30.",))


@pytest.mark.parametrize(
    ("mark", "drawn"), [("line", "point"), ("area", "point"), ("stacked", "point"), ("bar", "rect")]
)
def test_what_is_counted_in_part_is_drawn_apart(mark, drawn):
    """The last figure, of a part of its day, is no end of a line or area: it stands alone, hollow or as a pale bar."""
    chart = build_figures_chart([Line("Orders", figures([7, 8, 1]))], "day", mark, choose, LAST)
    assert [(row["y"], row.get("p")) for row in chart.rows] == [(7, None), (8, None), (None, 1)]
    (layer,) = [one for one in chart.spec["layer"] if one["encoding"]["y"]["field"] == "p"]
    assert layer["mark"]["type"] == drawn
    assert layer["mark"].get("filled", layer["mark"]["opacity"] == 1) is False
    assert chart.notes == list(LAST.notes)
    whole = build_figures_chart([Line("Orders", figures([7, 8, 1]))], "day", mark, choose)
    assert not any("p" in row for row in whole.rows)


def test_a_small_course_ends_with_what_is_whole():
    """In a small line a part is a hollow point as well, and the words are about whole days."""
    spark = build_spark(figures([7, 8, 1]), "day", choose, LAST)
    assert [(row["y"], row.get("p")) for row in spark.rows] == [(7, None), (8, None), (None, 1)]
    assert spark.text == "Its course: from 7 to 8."
    assert spark.notes == list(LAST.notes)
    assert [layer["mark"]["type"] for layer in spark.spec["layer"]] == ["line", "point"]
    assert build_spark(figures([7, 1]), "day", choose, Parts((START,), ("x",))) is None


@pytest.mark.parametrize("breakdown", [(), ("os",)])
def test_no_figure_at_all_is_no_picture(breakdown):
    """A ratio of nothing has rows without figures: there is no box with axes around nothing."""
    made = figures([(None, 0, None, None, True)] * 3, breakdown=breakdown, unit="ratio")
    assert build_figures_chart([Line("Rate", made)], "day") is None
    zero = figures([(0, 0, None, None, True)] * 3, breakdown=breakdown)
    assert build_figures_chart([Line("Orders", zero)], "day") is not None


def test_a_number_without_a_figure_is_a_dash():
    """Beside others a metric of nothing keeps its place."""
    made = figures([(None, 0, None, None, True)])
    whole = Figures("rate", "ratio", made.columns[1:], [made.rows[0][1:]], [], Cost(1.0))
    assert build_figures_chart([Line("Rate", whole)], "").figures[0].value == "–"


@pytest.mark.parametrize(("estimate", "before"), [(True, "12,350,000"), (False, "12,345,678")])
def test_an_estimate_keeps_its_digits_in_comparisons_and_courses(estimate, before):
    """A figure is written alike wherever it stands: an estimate that is a whole number is rounded too."""
    tail = (12_345_678, 20_000_000, None, None, True)
    now, then = figures([5]), replace(figures([tail, tail]), estimate=estimate)
    assert describe_difference(now, then, "week").startswith(f"{before} ")
    assert build_spark(then, "day").text == f"Its course: from {before} to {before}."


def test_one_weak_figure_is_one():
    """What is said of one figure is said of one."""
    weak, sure = (5, 2, 1.0, 9.0, False), (5, 900, 4.5, 5.5, True)
    chart = build_figures_chart([Line("Orders", figures([weak, sure, sure]))], "day")
    assert chart.notes == ["1 figure stands on too few events: it is drawn as a hollow point."]
