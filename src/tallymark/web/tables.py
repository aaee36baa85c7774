"""Answers and figures as tables of texts: each figure with the digits that it supports, groups beyond the limit named so.

Panels, their pages and a metric's page show what comes from here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tallymark.metrics.digits import Sample, write_figure
from tallymark.metrics.figures import Figures
from tallymark.queries.question import GROUPS
from tallymark.queries.result import Answer, Cell, Column, read_number
from tallymark.web.shapes import NOTHING, shape_cell, shape_count, shape_group

_NUMBERS = ("integer", "number")
# The columns of figures that share their digits, and the one that says whether they can be relied on.
_FIGURES = ("figure", "low", "high")
_ENDS = ("low", "high")
_ENOUGH = "enough"
# Figures with what belongs to them, behind the time and the breakdown; of answers the types that are no figures.
_TAIL = ("figure", "n", *_ENDS, _ENOUGH)
_NAMING = ("text", "boolean", "time")


@dataclass(frozen=True, slots=True)
class Row:
    """A row of texts. `weak` stands on too few events; `drill` is the address of the events behind it ('' = none)."""

    cells: list[str]
    weak: bool
    drill: str


@dataclass(frozen=True, slots=True)
class Table:
    """A table to be shown: headings with the style's class of their column, rows, and how many rows there are in all."""

    headings: list[tuple[str, str]]
    rows: list[Row]
    all_rows: int
    # Where several tables stand below each other: whose figures these are.
    title: str = ""

    @property
    def leads(self) -> bool:
        """Whether a row leads to its events."""
        return any(row.drill for row in self.rows)


def build_table(
    asked: Figures | Answer, most: int, drills: Sequence[str] = (), interval: str | None = None
) -> Table:
    """Return the first `most` rows as a table; `drills` are addresses in the order of the rows.

    Times are written as short as the `interval` between them allows.
    """
    names = [column.name for column in asked.columns]
    hidden = {GROUPS, _ENOUGH}
    if _ENOUGH in names:
        # Counts have no interval: two columns of nothing tell nobody anything.
        hidden |= {end for end in _ENDS if all(row[names.index(end)] is None for row in asked.rows)}
    shown = [place for place, name in enumerate(names) if name not in hidden]
    rows = []
    for number, row in enumerate(asked.rows[:most]):
        sample = asked.sample_of(row) if isinstance(asked, Figures) else None
        cells = _write_row(row, asked.columns, interval or "", sample)
        weak = _ENOUGH in names and row[names.index(_ENOUGH)] is False
        drill = drills[number] if number < len(drills) else ""
        rows.append(Row([cells[place] for place in shown], weak, drill))
    headings = [
        (_heading(asked.columns[place]) if _ENOUGH in names else names[place], _style(asked.columns[place]))
        for place in shown
    ]
    return Table(headings, rows, len(asked.rows))


def build_matrix(columns: Sequence[tuple[str, Figures]], width: int) -> Table:
    """Return figures of several metrics side by side, a row per group: each figure with n. `width` fields make a group."""
    first = columns[0][1]
    leads = [column for column in first.columns[:width] if column.name != "time"]
    headings = [(column.name, _style(column)) for column in leads]
    rows: dict[str, list[str]] = {}
    weak: set[str] = set()
    counted = next((figures for _, figures in columns if figures.rows), first)
    for title, figures in columns:
        unit = next((one.unit or "" for one in figures.columns if one.name == "figure"), "")
        headings.append((f"{title}, {unit}" if unit and unit != "ratio" else title, "number"))
        for row in figures.rows:
            texts = _write_row(row, figures.columns, "", figures.sample_of(row))
            gathered = row[width] if figures.columns[width].name == GROUPS else 1
            if figures is not counted and isinstance(gathered, int) and gathered > 1:
                # How many groups stand together is counted for the first metric only.
                texts[:width] = ["others", *[""] * (width - 1)]
            name = "others" if isinstance(gathered, int) and gathered > 1 else repr(row[:width])
            cells = rows.setdefault(name, [*texts[:width], *[NOTHING] * len(columns)])
            n, enough = row[-4], row[-1]
            place = width + len(headings) - len(leads) - 1
            cells[place] = f"{texts[-5]} · n = {n:,}" if isinstance(n, int) else texts[-5]
            if enough is False:
                cells[place] += ", too few"
                weak.add(name)
    return Table(headings, [Row(cells, name in weak, "") for name, cells in rows.items()], len(rows))


def _write_row(row: Sequence[Cell], columns: Sequence[Column], interval: str, sample: Sample) -> list[str]:
    """Write the cells of a row; `sample` is what limits the digits of a figure without an interval."""
    names = [column.name for column in columns]
    low, high = (row[names.index(end)] if _ENOUGH in names else None for end in ("low", "high"))
    first, last = (read_number(row[names.index(end)]) if end in names else None for end in _ENDS)
    texts = []
    for cell, column in zip(row, columns, strict=True):
        if _ENOUGH in names and column.name in _FIGURES:
            # The unit of many figures below each other stands in the heading; per cent are part of the figure.
            unit = "ratio" if column.unit == "ratio" else ""
            texts.append(write_figure(read_number(cell), read_number(low), read_number(high), unit, sample))
        elif column.name == "time" and isinstance(cell, str):
            texts.append(_write_time(cell, interval))
        else:
            texts.append(_write_cell(cell, column, (first, last), grouping=_names_group(column, names)))
    gathered = row[names.index(GROUPS)] if GROUPS in names else 1
    if isinstance(gathered, int) and gathered > 1:
        first = names.index(GROUPS) - 1
        while first > 0 and row[first - 1] is None and names[first - 1] != "time":
            first -= 1
        texts[first] = f"{shape_count(gathered)} others"
        texts[first + 1 : names.index(GROUPS)] = [""] * (names.index(GROUPS) - first - 1)
    return texts


def _write_cell(
    cell: Cell, column: Column, ends: tuple[float | None, float | None], *, grouping: bool
) -> str:
    """Write a cell of an answer; a share with the digits that the ends of its interval support, and so these."""
    if grouping:
        return shape_group(cell)
    if column.unit == "ratio" and (share := read_number(cell)) is not None:
        return write_figure(share, *ends, "ratio")
    return shape_cell(cell, column.unit, exact=column.in_full)


def _names_group(column: Column, names: Sequence[str]) -> bool:
    """Whether a column says which group a row is of: nothing in it is a group as well."""
    if _ENOUGH in names:
        return column.name not in ("time", GROUPS, *_TAIL)
    return column.type in _NAMING and column.name != "time"


def _write_time(text: str, interval: str) -> str:
    if not interval:
        return text
    date, _, clock = text.partition("T")
    if interval not in ("minute", "hour"):
        return date
    # Where clocks change, the offset tells the two equal hours apart.
    offset = clock[8:].lstrip("0.")
    return f"{date} {clock[:5]}" + ("" if offset == "Z" else f" {offset}")


def _heading(column: Column) -> str:
    if column.name in _ENDS:
        return column.name
    return (
        f"{column.name}, {column.unit}"
        if column.unit and column.unit not in ("ratio", "events")
        else column.name
    )


def _style(column: Column) -> str:
    return "number" if column.type in _NUMBERS else column.type
