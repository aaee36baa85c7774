"""Histograms and heat maps: specifications of ours, rows of plain values, the same in words."""

from __future__ import annotations

import json
import math

from hypothesis import given
from hypothesis import strategies as st

from tallymark.metrics.figures import Figures
from tallymark.queries.result import Answer, Column, Cost
from tallymark.web.spread_charts import build_heat_chart, build_histogram_chart

COST = Cost(1.0)
EVIL = "</script><script>alert(1)</script>"
HEAT = ("event_weekday", "event_hour", "figure", "n", "low", "high", "enough")


def histogram(rows, unit="s", **more):
    columns = (Column("low", "number"), Column("high", "number"), Column("values", "integer"))
    return build_histogram_chart(Answer(columns, rows, [], COST), unit, more.pop("drills", []), **more)


def heat(rows, unit="orders", drills=()):
    columns = tuple(Column(name, "number", unit if name == "figure" else None) for name in HEAT)
    return build_heat_chart(Figures("m", unit, columns, rows, [], COST), drills)


def test_what_lies_outside_is_said_and_not_drawn():
    """The tails are no bars: a note counts them, with their share of all values."""
    chart = histogram(
        [[None, 0.0, 1], [0.0, 0.5, 60], [0.5, 1.0, 38], [1.0, None, 1]], figure=0.7, name="p90"
    )
    assert [(row["x"], row["x2"], row["y"]) for row in chart.rows if "y" in row] == [
        (0.0, 0.5, 60),
        (0.5, 1.0, 38),
    ]
    assert chart.rows[-1] == {"m": 0.7}
    assert chart.notes == [
        "1 of 100 values (1.00 %) lies below 0 s.",
        "1 of 100 values (1.00 %) lies at or above 1 s.",
    ]
    assert "100 values in 2 buckets" in chart.text
    assert "p90: 0.7 s" in chart.text


def test_the_largest_numbers_have_places():
    """An axis from the least to the largest double is one that can be drawn; the words keep the edges."""
    edge = 1.5e308
    chart = histogram([[-edge, 0.0, 1], [0.0, edge, 5]])
    assert math.isfinite(chart.rows[-1]["x2"] - chart.rows[0]["x"])
    assert chart.rows[-1]["label"] == "0 to 1.5e+308 s"


def test_nothing_is_no_picture():
    """No value, no chart."""
    assert histogram([]) is None
    assert heat([]) is None
    assert heat([["Mon", 3, None, 0, None, None, True]]) is None


def test_every_bucket_leads_to_its_events():
    """A bar has the address of its own events, also with a tail before it."""
    chart = histogram([[None, 0.0, 1], [0.0, 1.0, 5]], drills=["/events?below", "/events?inside"])
    assert [row["h"] for row in chart.rows] == ["/events?inside"]


def test_cells_say_what_they_stand_on():
    """Each cell has weekday, hour, figure and n; one with too few is hollow, and said to be."""
    rows = [["Mon", 9, 12.0, 300, 11.0, 13.0, True], ["Sun", 23, 99.0, 2, None, None, False]]
    chart = heat(rows, drills=["/events?1", "/events?2"])
    sure, weak = chart.rows
    assert (sure["label"], sure["figure"], sure["h"]) == ("Mon 09:00", "12.0 orders · n = 300", "/events?1")
    assert weak["v"] is None
    assert weak["figure"].endswith("too few")
    assert chart.notes[0].startswith("1 hour of the week stands on too few events: it is drawn")
    weak = ["Sun", 22, 99.0, 2, None, None, False]
    assert heat([*rows, weak]).notes[0].startswith("2 hours of the week stand on too few events: they are")
    assert "Lowest Mon 09:00: 12.0 orders" in chart.text


@given(st.text(max_size=40), st.floats(-1e9, 1e9), st.integers(0, 10**9))
def test_specifications_are_ours(text, number, count):
    """Whatever the unit and the figures say, the specification is the same text."""
    one = histogram([[number, number + 1, count + 1]], unit=text, figure=number, name=text)
    two = histogram([[0.0, 1.0, 1]], unit="s", figure=0.5, name="p90")
    assert json.dumps(one.spec) == json.dumps(two.spec)
    cell = [["Mon", 9, number, count, None, None, True]]
    assert json.dumps(heat(cell, unit=f"x{text}").spec) == json.dumps(heat(cell, unit="orders").spec)
    assert EVIL not in json.dumps(histogram([[0.0, 1.0, 1]], unit=EVIL).spec)


def _colour(chart):
    return chart.spec["layer"][0]["encoding"]["color"]


def test_a_week_of_the_same_looks_low():
    """Cells that are all the same have the lowest colour, not the middle of a scale of no length; a note says so."""
    chart = heat([["Mon", hour, 0, 0, None, None, True] for hour in range(3)])
    assert [row["f"] for row in chart.rows] == [0, 0, 0]
    assert _colour(chart)["field"] == "f"
    assert _colour(chart)["scale"]["domain"] == [0, 1]
    assert chart.notes == ["All 3 hours of the week that are drawn have the same figure: 0 orders."]
    other = heat([["Mon", hour, hour, 0, None, None, True] for hour in range(3)])
    assert _colour(other)["field"] == "v"
    assert not any("f" in row for row in other.rows)


def test_a_week_of_weak_cells_has_no_scale():
    """Where no cell can be relied on there is nothing to explain: no legend, and every cell is hollow."""
    chart = heat([["Mon", hour, float(hour), 1, None, None, False] for hour in range(3)])
    assert _colour(chart)["legend"] is None
    assert _colour(chart)["scale"]["domain"] == [0, 1]
    assert [row["v"] for row in chart.rows] == [None] * 3


def test_bars_have_the_colour_of_their_metric():
    """The rows carry the colour; the specification is the same for all."""
    one, two = histogram([[0.0, 1.0, 5]], key="s4"), histogram([[0.0, 1.0, 5]])
    assert ([row["k"] for row in one.rows], [row["k"] for row in two.rows]) == (["s4"], ["s0"])
    assert one.spec == two.spec
