"""A panel as one specification that holds everything: data, names, colours, size. What `pictures` draws.

Names and values stand in the data, never in an expression. The colours are read from the style sheet, so that a picture
looks like the page.
"""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from tallymark.plan.kinds.metric import Span
from tallymark.web.chart import Chart
from tallymark.web.chart_specs import KEYS, build_bar_spec, row_height
from tallymark.web.panels import NO_FIGURE, Number, View
from tallymark.web.shapes import find_share, shape_things
from tallymark.web.tables import Row, Table
from tallymark.web.texts import show_line

Theme = Literal["light", "dark"]

STYLE_SHEET: Final = Path(__file__).parent / "static" / "style.css"
_COLOUR: Final = re.compile(r"--(\w+): (#[0-9a-f]{6});")
_FONT: Final = "DejaVu Sans, Liberation Sans, sans-serif"
# The least and the most of a width or a height.
PIXELS: Final = (100, 2000)
_HEIGHT: Final = 360
_PADDING: Final = 12
_SMALL: Final = 11
_LINE: Final = _SMALL + 3
_AXIS: Final = 20
# How wide a character is, in pixels for each of its type's size, by and large; what is wider nevertheless is cut.
_WIDE: Final = 0.57
_CHARACTER: Final = _WIDE * _SMALL
_MOST_REMARKS: Final = 3
# Of tables, in pixels: a row, what lies between two columns, the widest text; and how many rows there are at most.
_ROW: Final = 22
_GAP: Final = 16
_WIDEST: Final = 240.0
_WIDEST_CHARACTER: Final = 8.0
_MOST_ROWS: Final = 30
# Of the same colour and as opaque as lines and bars, whatever else is drawn in that colour.
_SWATCH: Final = {
    "symbolType": "square",
    "symbolOpacity": 1,
    "symbolSize": 90,
    "symbolStrokeWidth": 0,
}


@cache
def read_colours(theme: Theme) -> dict[str, str]:
    """Return the colours of the style sheet by name: ground, ink, soft, line, s0 to s7."""
    sheet = STYLE_SHEET.read_text(encoding="utf-8")
    start = sheet.index(':root[data-theme="dark"]' if theme == "dark" else ":root {")
    return dict(_COLOUR.findall(sheet[start : sheet.index("\n}", start)]))


def build_picture(view: View, span: Span, theme: Theme, width: int, height: int = 0) -> dict[str, Any]:
    """Return a specification that holds everything: data, colours, title, unit, time, size in pixels.

    Without a `height` it is as high as what it shows needs. In one that is too low for that, secondary texts are left out,
    then rows; the last line under the title says how many.
    """
    colours = read_colours(theme)
    lines = [show_line(view.caption(span)), *_remark(view, width, height)]
    room = height - 2 * _PADDING - _title_height(lines) if height else None
    body = _draw(view, width - 2 * _PADDING, room, colours)
    if body.left and room is not None:
        # The line that says so takes its room as well.
        body = _draw(view, width - 2 * _PADDING, room - _LINE, colours)
    fits = height or not body.height
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        **body.spec,
        "width": width,
        "height": height or body.height or _HEIGHT,
        "title": {
            "text": show_line(view.title),
            "anchor": "start",
            "color": colours["ink"],
            "font": _FONT,
            "fontSize": 14,
            "subtitle": [*lines, *([body.left] if body.left else [])],
            "limit": width - 2 * _PADDING,
            "subtitleColor": colours["soft"],
            "subtitleFont": _FONT,
            "subtitleFontSize": _SMALL,
            "subtitleLineHeight": _LINE,
            "offset": 8,
        },
        "background": colours["ground"],
        "padding": _PADDING,
        "autosize": {"type": "fit" if fits else "fit-x", "contains": "padding"},
        "config": _build_config(theme),
    }


@dataclass(frozen=True, slots=True)
class _Body:
    """What stands under the title: its specification, and the height that it needs (0 = any).

    `left` says what has no room.
    """

    spec: dict[str, Any]
    height: int = 0
    left: str = ""


def _title_height(lines: Sequence[str]) -> int:
    return 23 + _LINE * len(lines)


def _draw(view: View, width: int, room: int | None, colours: dict[str, str]) -> _Body:
    """Draw a panel without its title, `width` pixels wide and at most `room` high."""
    if view.chart is not None:
        named = len(view.chart.series) > 1 or bool(
            view.panel.breakdown and view.chart.series and view.chart.interval
        )
        return _draw_chart(view.chart, width, room, named=named)
    if view.numbers:
        return _draw_numbers(view.numbers, width, room, colours)
    if view.tables:
        return _draw_tables(view.tables, width, room, colours)
    return _draw_sentence(view.problem or NO_FIGURE, width, colours)


def _remark(view: View, width: int, height: int) -> list[str]:
    """Return caveats and notes as lines of the picture's width, the most important first: a picture is passed on alone.

    In a low one there are fewer lines, yet always one.
    """
    caveats = list(dict.fromkeys(one.caveat for one in view.metrics if one.role == "intermediate"))
    drawn = [note for note in (view.chart.notes if view.chart else []) if note not in view.told]
    notes = [" ".join(view.told), *drawn, *(note for note in view.notes if note not in drawn)]
    # Among the notes of its figures a caveat stands a second time.
    said = [f"Intermediate. {one}" for one in caveats]
    said += [note for note in notes if not any(one and one in note for one in caveats)]
    lines = [line for text in said for line in _wrap(text, width - 2 * _PADDING, _SMALL)]
    most = min(_MOST_REMARKS, max(1, (height - 120) // 50)) if height else _MOST_REMARKS
    if len(lines) > most:
        lines = lines[:most]
        characters = max(20, int((width - 2 * _PADDING) / _CHARACTER))
        lines[-1] = textwrap.shorten(lines[-1], characters - 2, placeholder="") + " …"
    return lines


def _draw_chart(chart: Chart, width: int, room: int | None, *, named: bool) -> _Body:
    """Return a chart with names for keys: in a picture the legend is part of it."""
    names = _name_keys(chart)
    longest = max((len(name) for name in names.values()), default=0)
    columns = max(1, int(width / (longest * _CHARACTER + 40)))
    spec, rows, height, left = chart.spec, chart.rows, 0, ""
    if chart.bars:
        used = _AXIS + (math.ceil(len(names) / columns) * 18 + 12 if named else 0)
        spec, count, height = _fit_bars(chart, None if room is None else room - used)
        left = _say_left(len(rows) - count, "")
        if chart.bars.get("ghost") and spec is not chart.spec and not left:
            left = "without losses and times: ask for a larger height"
        rows = rows[:count]
    rows = [{**row, "k": names.get(row["k"], row["k"])} if "k" in row else row for row in rows]
    spec = msgspec.json.decode(msgspec.json.encode(spec))
    for layer in spec["layer"]:
        colour = layer["encoding"].get("color")
        if colour and colour.get("field") == "k":
            colour["scale"]["domain"] = [names.get(key, key) for key in KEYS]
            shown = {"orient": "bottom", "title": None, "values": list(names.values()), "columns": columns}
            colour["legend"] = {**shown, "labelLimit": width - 40, **_SWATCH} if named else None
    return _Body({**spec, "data": {"name": "rows", "values": rows}}, height, left)


def _name_keys(chart: Chart) -> dict[str, str]:
    """Return the names of the chart's series by their keys, no two the same."""
    names = {label.key: show_line(label.label) for label in chart.series}
    taken: dict[str, int] = {}
    for key, name in names.items():
        # Two groups may look alike; a legend needs them apart.
        taken[name] = taken.get(name, 0) + 1
        names[key] = name if taken[name] == 1 else f"{name} ({taken[name]})"
    return names


def _fit_bars(chart: Chart, room: int | None) -> tuple[dict[str, Any], int, int]:
    """Return the specification of as many bars as fit, their number and their height; texts below bars give way first."""
    count, ghost = len(chart.rows), bool(chart.bars.get("ghost"))
    full, tight = row_height(ghost=ghost), row_height(tight=True)
    most = PIXELS[1] - 200 if room is None else room
    if count * full <= most:
        return chart.spec, count, count * full
    # Without an axis there is its room as well.
    count = min(count, max(1, (most + _AXIS) // tight))
    return build_bar_spec(count, tight=True, **chart.bars), count, count * tight


# Numbers, tables and sentences: texts and lines at their pixels


@dataclass(slots=True)
class _Sheet:
    """Texts and lines under each other; `y` is where the next one goes, in pixels from the top."""

    width: int
    colours: dict[str, str]
    y: float = 0
    texts: list[dict[str, Any]] = field(default_factory=list)
    lines: list[dict[str, Any]] = field(default_factory=list)
    points: list[dict[str, Any]] = field(default_factory=list)

    def write(self, text: str, size: int = 12, colour: str = "ink", x: float = 0, **more: Any) -> None:
        """Write a text in the middle of the line that is next; `more` may hold its width, alignment and weight."""
        look = {"s": size, "c": self.colours[colour], "w": self.width - x, "a": "left", "b": "normal", **more}
        self.texts.append({"x": x, "y": self.y, "t": text, **look})

    def rule(self, wide: float) -> None:
        """Draw a thin line across."""
        at = len(self.lines)
        self.lines += [{"x": x, "y": self.y, "g": f"rule{at}", "c": self.colours["line"]} for x in (0, wide)]

    def body(self, room: int | None, left: str = "") -> _Body:
        """Return it as a specification; where there is more room than it needs, the rest stays empty."""
        scales = {
            "x": {"domain": [0, self.width], "nice": False, "zero": False},
            "y": {"domain": [max(self.y, room or 0), 0], "nice": False, "zero": False},
        }
        places = {
            name: {"field": name, "type": "quantitative", "axis": None, "scale": scale}
            for name, scale in scales.items()
        }
        ink = {"field": "c", "type": "nominal", "scale": None, "legend": None}
        size = {"field": "s", "type": "quantitative", "scale": None, "legend": None}
        text = {
            "type": "text",
            "baseline": "middle",
            "limit": {"expr": "datum.w"},
            "align": {"expr": "datum.a"},
            "fontWeight": {"expr": "datum.b"},
        }
        layers: list[dict[str, Any]] = [
            {
                "data": {"values": self.texts},
                "mark": text,
                "encoding": {**places, "text": {"field": "t", "type": "nominal"}, "size": size, "color": ink},
            }
        ]
        if self.lines:
            line = {"type": "line", "strokeWidth": 1.5}
            encoding = {**places, "detail": {"field": "g", "type": "nominal"}, "color": ink}
            layers.append({"data": {"values": self.lines}, "mark": line, "encoding": encoding})
        if self.points:
            point = {"type": "point", "filled": False, "size": 30, "strokeWidth": 1.5, "opacity": 1}
            encoding = {**places, "color": ink}
            layers.append({"data": {"values": self.points}, "mark": point, "encoding": encoding})
        return _Body({"layer": layers}, math.ceil(self.y), left)


def _say_left(number: int, what: str) -> str:
    return f"and {number:,} more{what}: ask for a larger height" if number > 0 else ""


def _wrap(text: str, width: float, size: int) -> list[str]:
    """Return a text as lines of so many pixels, at least of twenty characters."""
    return textwrap.wrap(show_line(text), max(20, int(width / (_WIDE * size))))


def _draw_sentence(text: str, width: int, colours: dict[str, str]) -> _Body:
    sheet = _Sheet(width, colours, y=10)
    for line in _wrap(text, width, 12):
        sheet.write(line)
        sheet.y += 18
    return sheet.body(None)


def _draw_numbers(numbers: Sequence[Number], width: int, room: int | None, colours: dict[str, str]) -> _Body:
    """Draw large figures with what stands beside them on the page; with little room courses give way, then details."""
    for courses, details in ((True, True), (False, True), (False, False)):
        sheet = _Sheet(width, colours)
        for shown, number in enumerate(numbers):
            before = len(sheet.texts), sheet.y
            _draw_number(sheet, number, len(numbers) > 1, courses=courses, details=details)
            if room is not None and sheet.y > room and shown and not details:
                # One at least is there, whatever the room is.
                del sheet.texts[before[0] :]
                sheet.y = before[1]
                return sheet.body(room, _say_left(len(numbers) - shown, ""))
        if room is None or sheet.y <= room:
            break
    return sheet.body(room)


def _draw_number(sheet: _Sheet, number: Number, named: bool, *, courses: bool, details: bool) -> None:
    figure = number.figure
    sheet.y += 10
    if named:
        sheet.write(figure.label, colour="soft")
        sheet.y += 26
    else:
        sheet.y += 12
    sheet.write(figure.value, 32, "soft" if figure.weak else "ink", b="600")
    sheet.y += 28
    said = [line for text in (figure.detail, number.delta) if text for line in _wrap(text, sheet.width, 12)]
    for line in said if details else ():
        sheet.write(line, colour="soft")
        sheet.y += 17
    if courses and number.spark:
        _draw_course(sheet, number.spark)
    sheet.y += 4


def _draw_course(sheet: _Sheet, spark: Chart) -> None:
    """Draw a figure's course as on the page, 44 pixels high; parts of intervals are hollow points that nothing joins."""
    top, high, wide = sheet.y, 44.0, float(min(sheet.width - 8, 360))
    times = [row["x"] for row in spark.rows]
    values = [one for row in spark.rows for name in ("y", "p") if (one := row.get(name)) is not None]
    first, last, low, most = min(times), max(times), min(values), max(values)
    for row in spark.rows:
        x = 4 + wide * (row["x"] - first) / max(last - first, 1)
        place = {"x": x, "c": sheet.colours[row["k"]], "g": f"course{top}"}
        for name, found in (("y", sheet.lines), ("p", sheet.points)):
            value = row.get(name)
            share = 0.5 if value is None else find_share(value, low, most)
            at = top + high * (1 - share)
            if name == "y" or value is not None:
                found.append({**place, "y": None if value is None else at})
    sheet.y += high + 10


def _draw_tables(tables: Sequence[Table], width: int, room: int | None, colours: dict[str, str]) -> _Body:
    """Draw tables below each other, each with as many columns as fit side by side; rows give way to the room."""
    sheet, left, dropped = _Sheet(width, colours), 0, 0
    for table in tables:
        widths = _fit_columns(table, width)
        dropped = max(dropped, len(table.headings) - len(widths))
        heads = [_wrap_head(name, wide) for (name, _), wide in zip(table.headings, widths, strict=False)]
        high = max(len(head) for head in heads) * 15 + 12 + (24 if table.title else 0)
        most = _MOST_ROWS if room is None else int((room - sheet.y - high) // _ROW)
        if most < 1 and sheet.y:
            left += table.all_rows
            continue
        shown = table.rows[: max(1, most)]
        left += table.all_rows - len(shown)
        if table.title:
            sheet.y += 12
            sheet.write(table.title)
            sheet.y += 12
        _draw_table(sheet, table, shown, widths, heads)
    return sheet.body(room, _say_table_left(left, dropped))


def _say_table_left(rows: int, columns: int) -> str:
    if not columns:
        return _say_left(rows, " rows" if rows > 1 else " row")
    more = f"and {shape_things(columns, 'more column')}"
    if not rows:
        return f"{more}: ask for a larger width"
    return f"{more}, {shape_things(rows, 'more row')}: ask for a larger size"


def _draw_table(
    sheet: _Sheet, table: Table, rows: Sequence[Row], widths: list[float], heads: list[list[str]]
) -> None:
    styles = [style for _, style in table.headings]
    lines = max(len(head) for head in heads)
    for number in range(lines):
        sheet.y += 8 if number == 0 else 15
        # Heads stand on the line below them.
        texts = [head[number - lines + len(head)] if number >= lines - len(head) else "" for head in heads]
        _write_cells(sheet, texts, styles, widths, _SMALL, "soft")
    sheet.y += 12
    sheet.rule(min(sum(widths) - _GAP, sheet.width))
    for row in rows:
        sheet.y += _ROW / 2
        _write_cells(sheet, row.cells, styles, widths, 12, "soft" if row.weak else "ink")
        sheet.y += _ROW / 2


def _write_cells(
    sheet: _Sheet,
    cells: Sequence[str],
    styles: Sequence[str],
    widths: Sequence[float],
    size: int,
    colour: str,
) -> None:
    x = 0.0
    for cell, style, wide in zip(cells, styles, widths, strict=False):
        side = {"x": x + wide - _GAP, "a": "right"} if style == "number" else {"x": x}
        if cell:
            sheet.write(show_line(cell), size, colour, **side, w=wide - _GAP)
        x += wide


def _wrap_head(name: str, wide: float) -> list[str]:
    """Return a heading in at most three lines of a column's width."""
    characters = max(4, int((wide - _GAP) / _CHARACTER))
    lines = textwrap.wrap(show_line(name), characters) or [""]
    return [*lines[:2], lines[2][: characters - 1] + "…"] if len(lines) > 3 else lines


def _fit_columns(table: Table, width: int) -> list[float]:
    """Return the widths of as many columns as fit, with the gap behind each: heads wrap before a column has no place."""
    least, wanted = [], []
    for place, (name, _) in enumerate(table.headings):
        # Names in capitals are wider than most texts.
        cells = max((len(row.cells[place]) for row in table.rows), default=0) * _WIDEST_CHARACTER
        words = max((len(word) for word in name.split()), default=0) * _CHARACTER
        least.append(min(max(cells, words), _WIDEST) + _GAP)
        wanted.append(min(max(cells, len(name) * _CHARACTER), _WIDEST) + _GAP)
    while len(least) > 1 and sum(least) > width:
        del least[-1], wanted[-1]
    # What is left over is shared by what each still wants, then evenly.
    spare = width - sum(least)
    lacking = sum(wanted) - sum(least)
    share = max(0.0, min(1.0, spare / lacking)) if lacking else 0.0
    widths = [one + share * (other - one) for one, other in zip(least, wanted, strict=True)]
    more = max(0.0, min(40.0, (width - sum(widths)) / len(widths)))
    return [min(one + more, width) for one in widths]


def _build_config(theme: Theme) -> dict[str, Any]:
    colours = read_colours(theme)
    text = {"color": colours["ink"], "font": _FONT, "fontSize": 12}
    axis = {
        "labelColor": colours["soft"],
        "labelFont": _FONT,
        "labelFontSize": 11,
        "labelPadding": 6,
        "gridColor": colours["line"],
        "domainColor": colours["line"],
        "tickColor": colours["line"],
    }
    return {
        "view": {"stroke": None},
        "range": {
            "category": [colours[key] for key in KEYS],
            "heatmap": [colours["heat0"], colours["heat1"]],
        },
        "axis": axis,
        "axisX": {"grid": False, "labelOverlap": "parity", "labelSeparation": 10, "labelFlush": True},
        "legend": {"labelColor": colours["soft"], "labelFont": _FONT},
        "style": {"figure": {"fill": colours["ink"], "fontWeight": 600}},
        "rule": {"color": colours["soft"]},
        "text": text,
    }
