"""Pictures stand alone: what must be said about a panel is part of them, and all of it can be read."""

from __future__ import annotations

import itertools
import re

import msgspec
import pytest

from tallymark.metrics.figures import Figures
from tallymark.plan.kinds.dashboard import Panel
from tallymark.plan.kinds.metric import Count, Span
from tallymark.queries.kinds.funnel import Funnel
from tallymark.queries.question import Step
from tallymark.queries.result import Answer, Column, Cost
from tallymark.web.charts import Figure, build_chart
from tallymark.web.figure_charts import Line, build_figures_chart, build_spark
from tallymark.web.panels import NO_FIGURE, Number, View
from tallymark.web.picture_specs import build_picture, read_colours
from tallymark.web.pictures import render_picture
from tallymark.web.tables import Row, Table

SPAN = Span(start="2026-01-01", end="2026-01-04")
COLUMNS = tuple(Column(name, "number") for name in ("time", "figure", "n", "low", "high", "enough"))
CAVEAT = "Counts what was put in the cart, not what was paid for: who pays later is not seen."


def view(caveat="", notes=()):
    """Return a panel of two metrics whose second day is weak."""
    days = [f"2026-01-0{day}T00:00:00Z" for day in (1, 2, 3)]
    lines = [
        Line(name, Figures(name, "", COLUMNS, [[day, 5.0, 9, 4.0, 6.0, day != days[1]] for day in days], [], Cost(1.0)))
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


def draw(made, width=800, height=0):
    """Return a picture as SVG, its size in pixels and the lines under its title."""
    spec = build_picture(made, SPAN, "light", width, height)
    svg = render_picture(msgspec.json.encode(spec), "svg").decode()
    size = tuple(int(found) for found in re.search(r'width="(\d+)" height="(\d+)"', svg).groups())
    return svg, size, spec["title"]["subtitle"]


def text_rows(svg):
    """Return the heights at which a chart's own texts stand, from top to bottom."""
    marks = re.findall(r'<g class="mark-text role-mark[^>]*>(.*?)</g>', svg)
    places = re.findall(r'<text[^>]*transform="translate\([^,]+,([\d.-]+)\)', "".join(marks))
    return sorted({round(float(place), 1) for place in places})


def funnel(steps):
    """Return a panel of so many steps that lose a tenth each."""
    asked = Funnel(start="2026-01-01", end="2026-01-04", by="session_id", window="1h", steps=tuple(Step(event_name=f"step {n}") for n in range(steps)))  # fmt: skip
    rows = [[n + 1, f"step {n}", 1000 - 100 * n, 0.9, 0.9, 2.0 if n else None] for n in range(steps)]
    made = View(Panel(name="steps", kind="funnel", metrics=("put",)), "Step by step")
    made.chart = build_chart(asked, Answer((), rows, [], Cost(1.0)))
    return made


def bars(count):
    """Return a panel of bars by group."""
    columns = (Column("os", "text"), *COLUMNS[1:])
    rows = [[f"os {n}", 5.0, 9, 4.0, 6.0, True] for n in range(count)]
    made = View(Panel(name="bars", kind="bar", metrics=("put",), breakdown=("os",)), "By system")
    made.chart = build_figures_chart([Line("put", Figures("put", "", columns, rows, [], Cost(1.0)))], "")
    return made


@pytest.mark.parametrize(("made", "least"), [(funnel(8), 450), (bars(40), 1600), (bars(2), 100)])
def test_a_picture_is_as_high_as_its_rows(made, least):
    """Without a height nobody's texts lie on one another, however many rows there are, and few rows are no high picture."""
    svg, (width, height), said = draw(made)
    assert width == 800
    assert least < height < least + 150
    assert all(one - other >= 14 for other, one in itertools.pairwise(text_rows(svg)))
    assert len(said) == 1
    assert ("lost since the step before" in svg) is (made.panel.kind == "funnel")


@pytest.mark.parametrize(
    ("made", "size", "left"),
    [
        (funnel(8), (400, 200), "and 4 more: ask for a larger height"),
        (funnel(8), (800, 360), "without losses and times: ask for a larger height"),
        (funnel(8), (100, 100), "and 7 more: ask for a larger height"),
        (bars(40), (800, 360), "and 30 more: ask for a larger height"),
        (bars(40), (800, 1300), ""),
    ],
)
def test_a_low_picture_says_what_it_leaves_out(made, size, left):
    """In a given height texts below bars give way first, then rows; what is left out is counted, and nothing overlaps."""
    svg, found, said = draw(made, *size)
    assert found == size
    assert (said[-1] if len(said) > 1 else "") == left
    rows = text_rows(svg)
    assert all(one - other >= 12 for other, one in itertools.pairwise(rows))
    assert "lost since" not in svg


def test_one_series_of_a_breakdown_says_which():
    """A line of one group has its name in the picture; one of a metric has it in the title."""
    columns = (COLUMNS[0], Column("os", "text"), *COLUMNS[1:])
    rows = [[f"2026-01-0{day}T00:00:00Z", "iOS", 5.0, 9, 4.0, 6.0, True] for day in (1, 2)]
    made = View(Panel(name="course", kind="line", metrics=("put",), breakdown=("os",)), "In carts")
    made.chart = build_figures_chart([Line("put", Figures("put", "", columns, rows, [], Cost(1.0)))], "day")
    assert "role-legend-label" in draw(made)[0]
    assert ">iOS<" in draw(made)[0]
    made.panel = Panel(name="course", kind="line", metrics=("put",))
    assert ">iOS<" not in draw(made)[0]


def test_many_names_have_their_place():
    """A legend of long names is as wide as the picture, in as many lines as it takes."""
    columns = (COLUMNS[0], Column("os", "text"), *COLUMNS[1:])
    rows = [["2026-01-01T00:00:00Z", f"a system of the name {n}", 5.0, 9, 4.0, 6.0, True] for n in range(8)]
    made = View(Panel(name="course", kind="line", metrics=("put",), breakdown=("os",)), "In carts")
    made.chart = build_figures_chart([Line("put", Figures("put", "", columns, rows, [], Cost(1.0)))], "day")
    svg, size, _ = draw(made, 400)
    assert size == (400, 360)
    assert all(f"a system of the name {n}<" in svg for n in range(8))


def table(columns, rows, title="", all_rows=None):
    headings = [
        ("agent_os", "text"),
        *((f"A metric of the long name {n}, per visit", "number") for n in range(columns - 1)),
    ]
    cells = [[f"system {n}", *(["87 % · n = 2,776"] * (columns - 1))] for n in range(rows)]
    return Table(headings, [Row(one, weak=False, drill="") for one in cells], all_rows or rows, title)  # fmt: skip


def table_view(*tables):
    made = View(Panel(name="list", kind="table", metrics=("put",)), "List")
    made.tables = list(tables)
    return made


def texts(made, *size):
    """Return the texts of a picture with left and right end, as they are cut."""
    spec = build_picture(made, SPAN, "light", *size)
    found = []
    for one in spec["layer"][0]["data"]["values"]:
        wide = min(one["w"], 0.6 * one["s"] * len(one["t"]))
        left = one["x"] - wide if one["a"] == "right" else one["x"]
        found.append((one["y"], left, left + wide, one["t"]))
    return spec, found


@pytest.mark.parametrize(
    ("columns", "rows", "size", "left"),
    [
        (5, 3, (800, 0), ""),
        (5, 3, (400, 200), "and 2 more columns: ask for a larger width"),
        (2, 30, (800, 0), ""),
        (2, 90, (800, 0), "and 60 more rows: ask for a larger height"),
        (2, 90, (800, 200), "and 86 more rows: ask for a larger height"),
        (9, 2, (500, 0), "and 6 more columns: ask for a larger width"),
        (3, 2, (100, 100), "and 2 more columns, 1 more row: ask for a larger size"),
    ],
)
def test_a_tables_texts_have_their_places(columns, rows, size, left):
    """Heads wrap, columns and rows that have no room are counted, and no text reaches into another or out of the picture."""
    spec, found = texts(table_view(table(columns, rows)), *size)
    said = spec["title"]["subtitle"]
    assert (said[-1] if len(said) > 1 else "") == left
    found.sort()
    for (above, _, end, _), (below, begin, _, _) in itertools.pairwise(found):
        assert below - above >= 13 or (below == above and begin >= end)
    assert all(begin >= 0 and end <= size[0] - 24 for _, begin, end, _ in found)
    svg, real, _ = draw(table_view(table(columns, rows)), *size)
    assert real == (size[0], size[1] or real[1])
    assert "system 0" in svg


def test_every_table_is_in_the_picture():
    """Tables of several metrics stand below each other, each under its name; what has no room is counted with the rest."""
    made = table_view(table(2, 2, "Carts"), table(2, 3, "Orders"))
    assert {"Carts", "Orders"} <= {text for *_, text in texts(made, 800, 0)[1]}
    spec, found = texts(made, 800, 160)
    assert "Orders" not in {text for *_, text in found}
    assert spec["title"]["subtitle"][-1] == "and 4 more rows: ask for a larger height"


def numbers(count):
    lead = [[f"2026-01-0{day}T00:00:00Z", float(day), 9, None, None, True] for day in (1, 2, 3)]
    spark = build_spark(Figures("put", "", COLUMNS, lead, [], Cost(1.0)), "day")
    made = View(Panel(name="total", kind="number", metrics=("put",)), "Total")
    made.numbers = [Number(Figure(f"Carts {n}", "5,000", "n = 9,000"), "4,000 before", spark) for n in range(count)]  # fmt: skip
    return made


def test_a_number_has_its_course():
    """As on the page: the figure, what it stands on, how it was before, and its course; with little room the figure stays."""
    whole = draw(numbers(1))[0]
    for part in ("5,000", "n = 9,000", "4,000 before", "mark-line"):
        assert part in whole
    small = draw(numbers(1), 400, 110)[0]
    assert "5,000" in small
    assert "mark-line" not in small
    svg, _, said = draw(numbers(4), 400, 240)
    assert "Carts 1" in svg
    assert said[-1] == "and 2 more: ask for a larger height"
    assert "Carts 2" not in svg


def test_nothing_is_said_in_a_line():
    """Where there is no figure the picture says so, and is no higher than that takes."""
    made = View(Panel(name="total", kind="line", metrics=("put",)), "Total", problem=NO_FIGURE)
    svg, (_, height), _ = draw(made)
    assert NO_FIGURE in svg
    assert height < 100


def test_what_is_counted_in_part_is_told_in_a_picture():
    """The sentence that the page never folds away stands under the title, of a table too."""
    made = table_view(table(2, 2))
    made.told = ["The first week is counted in part: Tue.", "The last week is counted in part: Mon."]
    assert draw(made)[2][1] == " ".join(made.told)
