"""Figures that leave the pages as a file: one table, and what must be said about them goes with them."""

from __future__ import annotations

import csv
import io

import pytest

from tallymark.metrics.figures import Figures
from tallymark.plan.kinds.dashboard import Panel
from tallymark.plan.kinds.metric import Average, Count, Formula
from tallymark.queries.kinds.trend import Trend
from tallymark.queries.question import Filter, Series
from tallymark.queries.result import Answer, Column, Cost
from tallymark.web.exports import _render_csv, show_guests
from tallymark.web.panels import NO_FIGURE, View

CAVEAT = "An intermediate metric: counts what was put in the cart, not what was paid for."
COST = Cost(1.0)
TAIL = (Column("figure", "number"), Column("n", "integer"))
PUT, PAID = Count(name="put", event_name="put", unit="carts"), Count(name="paid", title="Paid", event_name="paid", unit="EUR")  # fmt: skip


def figures(metric, rows, notes=(), lead=()):
    tail = (Column("figure", "number", metric.unit), TAIL[1])
    return Figures(metric.name, metric.unit, (*lead, *tail), rows, list(notes), COST)


def read(view):
    return list(csv.reader(io.StringIO(_render_csv(view).decode())))


def panel(**more):
    return Panel(name="course", kind="table", metrics=("put", "paid"), **more)


def test_a_file_of_figures_carries_its_notes():
    """All metrics stand in one table that says which and in what; notes stand in the first row of theirs."""
    asked = [figures(PUT, [[1.0, 5], [2.0, 6]], [CAVEAT, "=1+1"]), figures(PAID, [[3.0, 7]])]
    assert read(View(panel(), "In carts", [PUT, PAID], asked=asked)) == [
        ["metric", "figure", "n", "unit", "notes"],
        ["put", "1.0", "5", "carts", f"{CAVEAT} =1+1"],
        ["put", "2.0", "6", "carts", ""],
        ["Paid", "3.0", "7", "EUR", ""],
    ]
    alone = View(panel(), "In carts", [PAID], asked=asked[1:])
    assert read(alone) == [["metric", "figure", "n", "unit"], ["Paid", "3.0", "7", "EUR"]]


def test_notes_of_a_metric_without_rows_are_not_lost():
    """They stand in the first row that there is, beside its own."""
    asked = [figures(PUT, [], ["Nothing."]), figures(PAID, [[3.0, 7]], ["Few."])]
    assert [row[-1] for row in read(View(panel(), "", [PUT, PAID], asked=asked))] == [
        "notes",
        "Few. Nothing.",
    ]


def test_columns_are_those_of_all_metrics():
    """Where one has a time and another none, every row has a cell for each column, and fields of our names their long ones."""
    lead = (Column("time", "time"), Column("unit", "text"))
    asked = [figures(PUT, [[1.0, 5]]), figures(PAID, [["2026-01-01T00:00:00Z", "kg", 3.0, 7]], lead=lead)]
    assert read(View(panel(breakdown=("unit",)), "", [PUT, PAID], asked=asked)) == [
        ["metric", "figure", "n", "time", "attributes.unit", "unit"],
        ["put", "1.0", "5", "", "", "carts"],
        ["Paid", "3.0", "7", "2026-01-01T00:00:00Z", "kg", "EUR"],
    ]


def test_all_others_are_no_group_of_the_empty_text():
    """The empty text is empty, what lacks the field says so, all others say how many; what was not counted has no number."""
    lead = (Column("os", "text"), Column("groups", "integer"))
    rows = [["", 1, 1, 1], [None, 1, 2, 2], [None, 8, 3, 3]]
    later = [["", 1, 4, 4], [None, 2, 5, 5]]
    by_os = panel(breakdown=("os",))
    asked = [figures(PUT, rows, lead=lead), figures(PAID, later, lead=lead)]
    assert [row[1:4] for row in read(View(by_os, "", [PUT, PAID], asked=asked))] == [
        ["os", "groups", "figure"],
        ["", "1", "1"],
        ["(none)", "1", "2"],
        ["(8 others)", "8", "3"],
        ["", "1", "4"],
        ["(8 others)", "8", "5"],
    ]
    asked = [figures(PUT, rows[:1], lead=lead), figures(PAID, later, lead=lead)]
    assert read(View(by_os, "", [PUT, PAID], asked=asked))[-1][1:4] == ["(others)", "", "5"]


def test_a_histogram_says_the_unit_of_its_edges():
    """The table of a histogram has the metric's name and unit beside each bucket."""
    wait = Average(name="wait", event_name="done", field="value", unit="s")
    columns = (Column("low", "number"), Column("high", "number"), Column("values", "integer"))
    view = View(Panel(name="spread", kind="histogram", metrics=("wait",)), "", [wait], asked=[Answer(columns, [[None, 1.0, 3]], [], COST)])  # fmt: skip
    assert read(view) == [["metric", "low", "high", "values", "unit"], ["wait", "", "1.0", "3", "s"]]


WEAK = "3 of 40 figures stand on too few events to rely on: fewer than 30."
EDGE = "The last week ends after 'to' and is counted in part."
BEYOND = (
    "deviation is null in 1 of 40 rows: it, or what it is computed of, is beyond the largest number that can be written,"
    " 1.8e+308."
)
SECRET = "2 values of value that are no numbers were left out."


def guests(metric, notes, **more):
    question = Trend(
        start="2026-01-01",
        end="2026-02-01",
        series=(Series(event_name="waited"),),
        filters=(Filter(field="attributes.value", op="eq", value="time"),),
    )
    shown = figures(PUT, [[1.0, 5]], notes)
    return show_guests(View(panel(), "", [metric], questions=[question], notes=list(notes), asked=[shown], **more))  # fmt: skip


def test_guests_read_what_the_author_says_to_all():
    """A caveat stays whatever words it has, as do sentences of numbers alone; one that names a field does not."""
    caveat = "An intermediate metric: The value is the time that people waited."
    metric = Average(name="wait", event_name="waited", field="value", role="intermediate", caveat=caveat[24:])
    view = guests(metric, [caveat, WEAK, EDGE, BEYOND, SECRET], caveats=[caveat])
    assert view.notes == view.asked[0].notes == [caveat, WEAK, EDGE, BEYOND]


def test_guests_of_a_formula_read_its_caveat():
    """Of what a formula is made of nothing is told but the caveats, without its name."""
    caveat = "An intermediate metric: No flight's own."
    made = Formula(name="both", expression="a - b", role="intermediate", caveat=caveat[24:])
    said = [caveat, f"part: {caveat}", WEAK, f"part: {EDGE}", "part: anything else"]
    assert guests(made, said, caveats=[caveat]).notes == [caveat, WEAK]
    of_part = guests(made, said[1:], caveats=[caveat])
    assert of_part.notes == [caveat, WEAK]


@pytest.mark.parametrize("metric", [PUT, Formula(name="both", expression="a - b")])
def test_guests_are_told_that_there_is_nothing(metric):
    """An empty time is no secret, also where its words are those of a condition; what else is wrong is."""
    assert guests(metric, [], problem=NO_FIGURE).problem == NO_FIGURE
    assert (
        guests(metric, [], problem="There is no metric 'waited'.").problem
        == "This panel cannot be shown now."
    )
