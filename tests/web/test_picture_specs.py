"""Pictures stand alone: what must be said about a panel is part of them."""

from __future__ import annotations

import msgspec
import pytest

from tallymark.metrics.figures import Figures
from tallymark.plan.kinds.dashboard import Panel
from tallymark.plan.kinds.metric import Count, Span
from tallymark.queries.result import Column, Cost
from tallymark.web.figure_charts import Line, build_figures_chart
from tallymark.web.panels import View
from tallymark.web.picture_specs import build_picture, read_colours
from tallymark.web.pictures import render_picture

SPAN = Span(start="2026-01-01", end="2026-01-04")
COLUMNS = tuple(Column(name, "number") for name in ("time", "figure", "n", "low", "high", "enough"))
CAVEAT = "Counts what was put in the cart, not what was paid for: who pays later is not seen."


def view(caveat="", notes=()):
    """Return a panel of two metrics whose second day is weak."""
    days = [f"2026-01-0{day}T00:00:00Z" for day in (1, 2, 3)]
    lines = [
        Line(name, Figures(name, "", COLUMNS, [[day, 5.0, 9, 4.0, 6.0, day != days[1]] for day in days], [], Cost(1.0, 1)))
        for name in ("put", "paid")
    ]  # fmt: skip
    role = {"role": "intermediate", "caveat": caveat} if caveat else {}
    metric = Count(name="put", event_name="put", unit="carts", **role)
    made = View(Panel(name="course", kind="line", metrics=("put", "paid")), "In carts", [metric])
    made.chart = build_figures_chart(lines, "day")
    made.notes = [*notes, *made.chart.notes]
    return made


def test_a_caveat_and_notes_stand_under_the_title():
    """Unit and time come first, then the caveat, then what the chart leaves out."""
    title = build_picture(view(CAVEAT, [f"An intermediate metric: {CAVEAT}"]), SPAN, "light", 800, 360)[
        "title"
    ]
    assert title["subtitle"][0].startswith("carts")
    assert title["subtitle"][1:] == [
        f"Intermediate. {CAVEAT}",
        "2 figures stand on too few events: they are drawn as hollow points.",
    ]
    assert len(build_picture(view(), SPAN, "light", 800, 360)["title"]["subtitle"]) == 2


@pytest.mark.parametrize("width", [100, 320, 2000])
def test_what_must_be_said_fits_the_width(width):
    """However long the words are, there are three lines of the picture's width, and the last says that there is more."""
    title = build_picture(view(f"{CAVEAT} " * 40, ["x" * 3000]), SPAN, "light", width, 360)["title"]
    assert len(title["subtitle"]) == 4
    assert title["subtitle"][-1].endswith("…")
    assert all(len(line) <= max(20, width / 6) for line in title["subtitle"][1:])
    assert title["limit"] == width - 24


def test_swatches_are_as_strong_as_their_lines():
    """In a chart with pale bands the legend's squares have the full colour of the lines."""
    picture = render_picture(
        msgspec.json.encode(build_picture(view(), SPAN, "light", 600, 300)), "svg"
    ).decode()
    symbols = picture[picture.index("role-legend-symbol") :]
    for key in ("s0", "s1"):
        colour = read_colours("light")[key]
        assert f'fill="{colour}" stroke="{colour}" stroke-width="0" opacity="1"' in symbols
