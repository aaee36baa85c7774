"""Answers as tables of texts: digits that figures support, groups by name, times as short as they can be."""

from __future__ import annotations

from tallymark.metrics.figures import Figures
from tallymark.queries.result import Answer, Column, Cost
from tallymark.web.tables import build_matrix, build_table

COST = Cost(1.0)
TAIL = (
    Column("figure", "number", "min"),
    Column("n", "integer", "events"),
    Column("low", "number", "min"),
    Column("high", "number", "min"),
    Column("enough", "boolean"),
)


def figures(lead, rows, unit="min"):
    tail = tuple(Column(one.name, one.type, unit if one.unit == "min" else one.unit) for one in TAIL)
    return Figures("late", unit, (*lead, *tail), rows, [], COST)


def test_figures_have_the_digits_of_their_interval():
    """12.3456 between 11 and 14 is 12.3; without an interval n says how many there are; the unit stands above."""
    table = build_table(figures((), [[12.3456, 1200, 11.0, 14.0, True], [12.3456, 1, None, None, False]]), 10)
    assert table.headings == [
        ("figure, min", "number"),
        ("n", "number"),
        ("low", "number"),
        ("high", "number"),
    ]
    assert table.rows[0].cells == ["12.3", "1,200", "11.0", "14.0"]
    assert table.rows[1].cells == ["12", "1", "–", "–"]
    assert [row.weak for row in table.rows] == [False, True]
    share = build_table(figures((), [[0.4312, 9, 0.41, 0.45, True]], "ratio"), 10)
    assert share.rows[0].cells == ["43.1 %", "9", "41.0 %", "45.0 %"]
    assert share.headings[0] == ("figure", "number")


def test_others_are_named_and_missing_is_not_others():
    """The row of all other groups says how many; a group without a value says so, and so does one of the empty text."""
    lead = (Column("time", "time"), Column("os", "text"), Column("plan", "text"), Column("groups", "integer"))
    rows = [
        ["2026-01-01T00:00:00Z", "iOS", None, 1, 5, 5, None, None, True],
        ["2026-01-01T00:00:00Z", None, None, 12, 7, 7, None, None, True],
        ["2026-01-01T00:00:00Z", "", None, 1, None, 0, None, None, True],
    ]
    table = build_table(figures(lead, rows), 10, interval="day")
    assert [heading for heading, _ in table.headings] == [
        "time",
        "os",
        "plan",
        "figure, min",
        "n",
    ]
    assert table.rows[0].cells[:4] == ["2026-01-01", "iOS", "(none)", "5"]
    assert table.rows[1].cells[:4] == ["2026-01-01", "12 others", "", "7"]
    # What is no group keeps its dash.
    assert table.rows[2].cells == ["2026-01-01", "(empty)", "(none)", "–", "0"]


def test_times_keep_their_offset_where_it_tells_them_apart():
    """The hour that autumn repeats stands there twice, each with its offset."""
    answer = Answer(
        (Column("time", "time"), Column("n", "integer")),
        [["2026-10-25T02:00:00+02:00", 1], ["2026-10-25T02:00:00+01:00", 2], ["2026-10-25T03:00:00Z", 3]],
        [],
        COST,
    )
    assert [row.cells[0] for row in build_table(answer, 10, interval="hour").rows] == [
        "2026-10-25 02:00 +02:00", "2026-10-25 02:00 +01:00", "2026-10-25 03:00",
    ]  # fmt: skip
    assert [row.cells[0] for row in build_table(answer, 1).rows] == ["2026-10-25T02:00:00+02:00"]


def test_rows_are_cut_and_lead():
    """Only the first rows are shown, it is known how many there are, and each leads to its own events."""
    answer = Answer(
        (Column("os", "text"), Column("s", "number", "s")), [["a", 5400.0], ["", 0.5], ["c", 1]], [], COST
    )
    table = build_table(answer, 2, ["/events?a", ""])
    assert (len(table.rows), table.all_rows, table.leads) == (2, 3, True)
    assert [row.cells for row in table.rows] == [["a", "1 h 30 min"], ["(empty)", "500 ms"]]
    assert [row.drill for row in table.rows] == ["/events?a", ""]
    assert not build_table(answer, 2).leads


def test_what_was_not_counted_has_no_number():
    """Beside each other, all others are counted for the first metric; where only a later one has any, none is said."""
    lead = (Column("os", "text"), Column("groups", "integer"))
    tail = [7, 7, None, None, True]
    whole, rest = ["iOS", 1, *tail], [None, 2, *tail]
    both = build_matrix(
        [("A", figures(lead, [whole, [None, 5, *tail]])), ("B", figures(lead, [whole, rest]))], 1
    )
    assert [row.cells[0] for row in both.rows] == ["iOS", "5 others"]
    later = build_matrix([("A", figures(lead, [whole])), ("B", figures(lead, [whole, rest]))], 1)
    assert [row.cells[0] for row in later.rows] == ["iOS", "others"]
