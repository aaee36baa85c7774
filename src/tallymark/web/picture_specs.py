"""A panel as one specification that holds everything: data, names, colours, size. What `pictures` draws.

Names and values stand in the data, never in an expression. The colours are read from the style sheet, so that a picture
looks like the page.
"""

from __future__ import annotations

import re
import textwrap
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from tallymark.errors import RequestRefused
from tallymark.plan.kinds.metric import Span
from tallymark.web.chart_specs import KEYS
from tallymark.web.charts import Chart
from tallymark.web.panels import Number, View
from tallymark.web.tables import Table
from tallymark.web.texts import show_line

Theme = Literal["light", "dark"]

STYLE_SHEET: Final = Path(__file__).parent / "static" / "style.css"
_COLOUR: Final = re.compile(r"--(\w+): (#[0-9a-f]{6});")
_FONT: Final = "DejaVu Sans, Liberation Sans, sans-serif"
_MAX_PIXELS: Final = 2000
_MAX_TABLE_ROWS: Final = 30
_PADDING: Final = 12
_SMALL: Final = 11
# How wide a character of the small type is, in pixels, by and large; what is wider nevertheless is cut by the drawer.
_CHARACTER: Final = 6.2
_MOST_REMARKS: Final = 3
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


def build_picture(view: View, span: Span, theme: Theme, width: int, height: int) -> dict[str, Any]:
    """Return a specification that holds everything: data, colours, title, unit, time, size in pixels."""
    colours = read_colours(theme)
    if view.chart is not None:
        body = _from_chart(view.chart)
    elif view.numbers:
        body = _from_numbers(view.numbers, colours)
    elif view.tables:
        body = _from_table(view.tables[0])
    else:
        body = _from_texts(
            [{"x": 0.0, "y": 0, "t": show_line(view.problem or "There is no figure in this time.")}]
        )
    plot_height = body.get("height", height)
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        **body,
        "width": width,
        "height": plot_height if isinstance(plot_height, int) and "layer" not in body else height,
        "title": {
            "text": show_line(view.title),
            "anchor": "start",
            "color": colours["ink"],
            "font": _FONT,
            "fontSize": 14,
            "subtitle": [show_line(view.caption(span)), *_remark(view, width)],
            "limit": width - 2 * _PADDING,
            "subtitleColor": colours["soft"],
            "subtitleFont": _FONT,
            "subtitleFontSize": _SMALL,
            "subtitleLineHeight": _SMALL + 3,
            "offset": 8,
        },
        "background": colours["ground"],
        "padding": _PADDING,
        "autosize": {"type": "fit", "contains": "padding"},
        "config": _build_config(theme),
    }


def _remark(view: View, width: int) -> list[str]:
    """Return caveats and notes as lines of the picture's width, the most important first: a picture is passed on alone."""
    caveats = list(dict.fromkeys(one.caveat for one in view.metrics if one.role == "intermediate"))
    drawn = view.chart.notes if view.chart else []
    notes = [*drawn, *(note for note in view.notes if note not in drawn)]
    # Among the notes of its figures a caveat stands a second time.
    said = [f"Intermediate. {one}" for one in caveats]
    said += [note for note in notes if not any(one and one in note for one in caveats)]
    characters = max(20, int((width - 2 * _PADDING) / _CHARACTER))
    lines = [line for text in said for line in textwrap.wrap(show_line(text), characters)]
    if len(lines) > _MOST_REMARKS:
        lines = lines[:_MOST_REMARKS]
        lines[-1] = textwrap.shorten(lines[-1], characters - 2, placeholder="") + " …"
    return lines


def _from_chart(chart: Chart) -> dict[str, Any]:
    """Return a chart with names for keys: in a picture the legend is part of it."""
    names = {label.key: show_line(label.label) for label in chart.series}
    taken: dict[str, int] = {}
    for key, name in names.items():
        # Two groups may look alike; a legend needs them apart.
        taken[name] = taken.get(name, 0) + 1
        names[key] = name if taken[name] == 1 else f"{name} ({taken[name]})"
    shown = len(chart.series) > 1
    rows = [{**row, "k": names.get(row["k"], row["k"])} if "k" in row else row for row in chart.rows]
    spec = msgspec.json.decode(msgspec.json.encode(chart.spec))
    for layer in spec["layer"]:
        colour = layer["encoding"].get("color")
        if colour and colour.get("field") == "k":
            colour["scale"]["domain"] = [names.get(key, key) for key in KEYS]
            colour["legend"] = (
                {"orient": "bottom", "title": None, "values": list(names.values()), **_SWATCH}
                if shown
                else None
            )
    return {**spec, "data": {"name": "rows", "values": rows}}


def _from_numbers(numbers: list[Number], colours: dict[str, str]) -> dict[str, Any]:
    rows = []
    for place, number in enumerate(numbers):
        top = place * 3
        rows += [
            {
                "x": 0.0,
                "y": top,
                "t": number.figure.label if len(numbers) > 1 else "",
                "s": 12,
                "c": colours["soft"],
            },
            {"x": 0.0, "y": top + 1, "t": number.figure.value, "s": 34, "c": colours["ink"]},
            {
                "x": 0.0,
                "y": top + 2,
                "t": number.figure.detail or number.delta,
                "s": 12,
                "c": colours["soft"],
            },
        ]
    return _from_texts(rows)


def _from_table(table: Table) -> dict[str, Any]:
    width = len(table.headings)
    rows = [
        {"x": place / width, "y": 0, "t": show_line(name)} for place, (name, _) in enumerate(table.headings)
    ]
    for number, row in enumerate(table.rows[:_MAX_TABLE_ROWS], 1):
        rows += [
            {"x": place / width, "y": number, "t": show_line(cell)} for place, cell in enumerate(row.cells)
        ]
    return _from_texts(rows)


def _from_texts(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return texts at places: `x` from 0 to 1, `y` in lines, `s` their size, `c` their colour."""
    lines = max((row["y"] for row in rows), default=0) + 1
    encoding: dict[str, Any] = {
        "x": {"field": "x", "type": "quantitative", "axis": None, "scale": {"domain": [0, 1]}},
        "y": {"field": "y", "type": "quantitative", "axis": None, "scale": {"domain": [lines, -0.5]}},
        "text": {"field": "t", "type": "nominal"},
    }
    if any("s" in row for row in rows):
        encoding["size"] = {"field": "s", "type": "quantitative", "scale": None, "legend": None}
        encoding["color"] = {"field": "c", "type": "nominal", "scale": None, "legend": None}
    mark = {"type": "text", "align": "left", "baseline": "middle"}
    return {"data": {"values": rows}, "mark": mark, "encoding": encoding}


def _build_config(theme: Theme) -> dict[str, Any]:
    colours = read_colours(theme)
    text = {"color": colours["ink"], "font": _FONT, "fontSize": 12}
    axis = {
        "labelColor": colours["soft"],
        "labelFont": _FONT,
        "labelFontSize": 11,
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


def check_size(text: str, name: str, default: int) -> int:
    """Return a width or height in pixels; raises RequestRefused."""
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and 100 <= int(text[:6]) <= _MAX_PIXELS):
        raise RequestRefused(
            "invalid_request", f"{text[:20]!r} is no size: 100 to {_MAX_PIXELS} pixels.", at=name
        )
    return int(text)
