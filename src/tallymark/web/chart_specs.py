"""Vega-Lite specifications without data: the same text for every answer of a shape.

`charts.py` puts them together with rows. All expressions stand here; none is made from anything that arrives.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

MAX_SERIES: Final = 8
# All groups beyond the limit together: grey, and no colour of a value.
OTHERS_KEY: Final = f"s{MAX_SERIES}"
KEYS: Final = tuple(f"s{number}" for number in range(MAX_SERIES + 1))
_COLOR: Final = {
    "field": "k",
    "type": "nominal",
    "sort": None,
    "legend": None,
    "scale": {"domain": list(KEYS)},
}
_CLOCK: Final = {
    "year": "%Y",
    "quarter": "%b",
    "month": "%b",
    "week": "%-d %b",
    "date": "%-d %b",
    "day": "%-d %b",
    "hours": "%H:%M",
    "minutes": "%H:%M",
    "seconds": "%H:%M:%S",
}
_TIME: Final = {
    "field": "x",
    "type": "temporal",
    "title": None,
    "scale": {"type": "utc"},
    "axis": {"format": _CLOCK, "tickCount": {"expr": "max(2, floor(width / 96))"}},
}


# Of ticks that bring their own texts: where clocks change, a place on the axis is not what the clock shows.
_LABELLED: Final = "labels[toNumber(datum.value)]"


# Whether a chart's figures are all the same, or all zero: a scale of no length would put them in mid-air.
Flat = Literal["", "same", "zero"]


# SI's letters for large figures only: half a second is 0.5, and no 500m. They end with yotta.
_WRITTEN: Final = (
    "abs(datum.value) < 10000 ? format(datum.value, ',~r')"
    " : abs(datum.value) < 1e24 ? format(datum.value, '~s') : format(datum.value, '.3~e')"
)
# And where all lies close together, as many digits as tell one tick from the next.
_WRITTEN_ON: Final = {
    axis: f"abs(datum.value) > 10000 * (domain('{axis}')[1] - domain('{axis}')[0])"
    f" ? format(datum.value, ',.15~r') : {_WRITTEN}"
    for axis in ("x", "y")
}


def _value_axis(unit: str, *, zero: bool, flat: Flat = "", on: str = "y") -> dict[str, Any]:
    # Expressions of ours, the same for every answer; a scale's own format would write 0 as 0k.
    axis: dict[str, Any] = {"tickCount": 5, "domain": False, "ticks": False}
    axis["labelExpr"] = "format(datum.value, '~%')" if unit == "ratio" else _WRITTEN_ON[on]
    if unit == "count":
        # Numbers of events: 1.5 of them would be no tick.
        axis["tickMinStep"] = 1
    # From zero to a single figure the ticks are round; from nothing to nothing there are none.
    scale: dict[str, Any] = {"zero": zero or bool(flat), "nice": True}
    if flat == "zero":
        scale["domain"] = [0, 1]
    return {"field": "y", "type": "quantitative", "title": None, "scale": scale, "axis": axis}


# Red in both themes, and light enough for lines to be seen through it.
_SHADE: Final = {"type": "rect", "color": "#d03b2f", "opacity": 0.14}


def shade_spec(spec: dict[str, Any], shades: list[dict[str, int]]) -> dict[str, Any]:
    """Return a chart over time with stretches from `x` to `x2` (places of its clock) shaded behind its lines."""
    shade = {
        "data": {"values": shades},
        "mark": _SHADE,
        "encoding": {
            "x": {"field": "x", "type": "temporal", "scale": {"type": "utc"}},
            "x2": {"field": "x2"},
        },
    }
    return {**spec, "layer": [shade, *spec.get("layer", [])]}


_LIMIT: Final = {"color": "#d03b2f", "strokeDash": [5, 4], "strokeWidth": 1.25}


def limit_spec(spec: dict[str, Any], limit: float) -> dict[str, Any]:
    """Return a chart over time with a dashed line at a value."""
    line = {
        "data": {"values": [{"y": limit}]},
        "mark": {"type": "rule", **_LIMIT},
        "encoding": {"y": {"field": "y", "type": "quantitative"}},
    }
    return {**spec, "layer": [*spec.get("layer", []), line]}


def limits_spec(spec: dict[str, Any], rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a chart over time with dashed lines through `y` at `x`, one for each `g`."""
    line = {
        "data": {"values": rows},
        "mark": {"type": "line", **_LIMIT, "aria": False},
        "encoding": {
            "x": {"field": "x", "type": "temporal", "scale": {"type": "utc"}},
            "y": {"field": "y", "type": "quantitative"},
            "detail": {"field": "g", "type": "nominal"},
        },
    }
    return {**spec, "layer": [*spec.get("layer", []), line]}


# Up to so many, every point of a line is marked.
_MARKED_POINTS: Final = 62
_LONE_POINT: Final = {"filled": True, "size": 22, "opacity": 1}
_PART: Final = {"filled": False, "size": 30, "strokeWidth": 1.5, "opacity": 1}
_LONE_RULE: Final = {"strokeWidth": 5, "opacity": 0.3}
_STACKS: Final = {"stacked": "zero"}


def build_line_spec(
    unit: str,
    points: int,
    ticks: list[int] | None,
    *,
    labels: dict[str, str] | None = None,
    zero: bool,
    band: bool,
    weak: bool = False,
    alone: bool = False,
    part: bool = False,
    flat: Flat = "",
    mark: str = "line",
) -> dict[str, Any]:
    """Return a course over time; `band` draws each point's interval, few `points` are marked one by one.

    `ticks` are the places that the axis names, in milliseconds, with `labels` by their texts; without, by their times. None leaves
    the choice to the axis. `weak` draws figures in the field `w`, which nobody
    should rely on, as hollow grey points that no line joins. `alone` draws figures in the field `a`, which no line
    joins either because there is none beside them, as points with their interval from `al` to `ah`. `part` draws those of
    the field `p`, of intervals that are counted in part, hollow and not joined either. `mark` is line, area, stacked (areas
    that add up) or bar (from `x` to `x2`, over `y0`).
    """
    x = _time_axis(ticks, named=labels is not None)
    y = _value_axis(unit, zero=zero or mark != "line", flat=flat)
    shared = {"x": x, "y": y, "color": _COLOR}
    if mark == "bar":
        layers = _time_bars(shared, part=part)
    else:
        marked = points <= _MARKED_POINTS
        stacked = mark == "stacked"
        layers = _areas(shared, part=part) if stacked else _courses(shared, mark, band=band, marked=marked)
        # Of stacked areas all figures of one time are alone, or none.
        stack = _STACKS.get(mark)
        if alone and band:
            layers.append(
                _layer("rule", {**shared, "y": {**y, "field": "al"}, "y2": {"field": "ah"}}, **_LONE_RULE)
            )
        if alone:
            layers.append(
                _layer("point", {**shared, "y": {**y, "field": "a", "stack": stack}}, **_LONE_POINT)
            )
        if part:
            layers.append(_layer("point", {**shared, "y": {**y, "field": "p", "stack": stack}}, **_PART))
    if weak:
        hollow = {"x": x, "y": {**y, "field": "w"}}
        layers.append(_layer("point", hollow, filled=False, size=18, stroke="#8a8f98", strokeWidth=1))
    # What the ticks say is a value, and no part of an expression.
    params = {} if labels is None else {"params": [{"name": "labels", "value": labels}]}
    return {"width": "container", "height": 300, **params, "layer": layers}


def _time_axis(ticks: list[int] | None, *, named: bool) -> dict[str, Any]:
    """Return the axis of times with its ticks; those that are `named` have texts of their own."""
    if ticks is None:
        return _TIME
    written = {"labelExpr": _LABELLED} if named else {"format": _CLOCK}
    return {**_TIME, "axis": {**written, "values": ticks}}


def _layer(kind: str, encoding: dict[str, Any], **look: Any) -> dict[str, Any]:
    return {"mark": {"type": kind, **look, "aria": False}, "encoding": encoding}


def _time_bars(shared: dict[str, Any], *, part: bool) -> list[dict[str, Any]]:
    """Return bars over time; those of intervals that are counted in part are pale."""
    ends = {"x2": {"field": "x2"}, "y2": {"field": "y0"}}
    layers = [_layer("rect", {**shared, **ends})]
    if part:
        layers.append(_layer("rect", {**shared, **ends, "y": {**shared["y"], "field": "p"}}, opacity=0.35))
    return layers


def _areas(shared: dict[str, Any], *, part: bool) -> list[dict[str, Any]]:
    """Return areas on one another; with `part` they end where there is nothing, instead of falling to the bottom."""
    layer = _layer("area", {**shared, "y": {**shared["y"], "stack": "zero"}}, opacity=0.75)
    return [{"transform": [{"filter": "datum.y !== null"}], **layer}] if part else [layer]


def _courses(shared: dict[str, Any], mark: str, *, band: bool, marked: bool) -> list[dict[str, Any]]:
    """Return lines, with the area below each or with its points' intervals."""
    y = shared["y"]
    layers = []
    if band:
        layers.append(
            _layer("area", {**shared, "y": {**y, "field": "low"}, "y2": {"field": "high"}}, opacity=0.16)
        )
    if mark == "area":
        layers.append(_layer("area", {**shared, "y": {**y, "stack": None}}, opacity=0.2))
    layers.append(_layer("line", shared, strokeWidth=1.75))
    if marked and mark == "line":
        layers.append(_layer("point", shared, filled=True, size=22, opacity=1))
    return layers


def build_histogram_spec() -> dict[str, Any]:
    """Return bars from `x` to `x2` over `y0`, as high as `y`, in the colour `k`, and a line at the field `m`."""
    y = _value_axis("count", zero=True)
    x = {
        "field": "x",
        "type": "quantitative",
        "title": None,
        "scale": {"zero": False, "nice": False},
        "axis": {"labelExpr": _WRITTEN_ON["x"], "tickCount": {"expr": "max(2, floor(width / 80))"}},
    }
    bar = {"type": "rect", "aria": False, "xOffset": 0.5, "x2Offset": -0.5}
    bars = {"x": x, "x2": {"field": "x2"}, "y": y, "y2": {"field": "y0"}}
    line = {"type": "rule", "strokeWidth": 1.5, "strokeDash": [4, 3], "aria": False}
    return {
        "width": "container",
        "height": 300,
        "layer": [
            {"mark": bar, "encoding": {**bars, "color": _COLOR}},
            {"mark": line, "encoding": {"x": {**x, "field": "m"}}},
        ],
    }


def build_heat_spec(unit: str, days: list[str], *, flat: bool = False) -> dict[str, Any]:
    """Return cells by weekday (`d`) and hour (`o`), coloured by `v`; those with `w` are hollow.

    Where all are the same (`flat`), they have the scale's lowest colour, and there is no scale to explain.
    """
    hours = [f"{hour:02}" for hour in range(24)]
    x = {
        "field": "o",
        "type": "ordinal",
        "title": None,
        "scale": {"domain": hours, "paddingInner": 0.06},
        "axis": {"domain": False, "ticks": False, "labelAngle": 0, "values": hours[::3], "grid": False},
    }
    y = {
        "field": "d",
        "type": "ordinal",
        "title": None,
        "scale": {"domain": days, "paddingInner": 0.08},
        "axis": {"domain": False, "ticks": False, "grid": False},
    }
    colour: dict[str, Any] = {
        "field": "v",
        "type": "quantitative",
        "scale": {"range": "heatmap", "zero": unit != "ratio", "nice": True},
        "legend": {
            "title": None,
            "orient": "bottom",
            "gradientLength": 160,
            "gradientThickness": 8,
            "tickCount": 3,
            "labelExpr": "format(datum.value, '~%')" if unit == "ratio" else _WRITTEN,
        },
    }
    if flat:
        # The cells say the lowest step; their figures would be a scale of no length.
        colour |= {"field": "f", "scale": {"range": "heatmap", "domain": [0, 1]}, "legend": None}
    sure, hollow = {"filter": "datum.v !== null"}, {"filter": "datum.v === null"}
    cell = {"type": "rect", "aria": False}
    return {
        "width": "container",
        "height": 240,
        "layer": [
            {"transform": [sure], "mark": cell, "encoding": {"x": x, "y": y, "color": colour}},
            {
                "transform": [hollow],
                "mark": {**cell, "fill": None, "stroke": "#8a8f98", "strokeWidth": 0.5},
                "encoding": {"x": x, "y": y},
            },
        ],
    }


def build_spark_spec(*, alone: bool = False, part: bool = False, flat: Flat = "") -> dict[str, Any]:
    """Return a small line without axes: the course of a figure beside it. `alone`, `part` and `flat` as in lines."""
    x = {**_TIME, "axis": None}
    scale: dict[str, Any] = {"domain": [0, 1]} if flat == "zero" else {"zero": False}
    y: dict[str, Any] = {"field": "y", "type": "quantitative", "axis": None, "scale": scale}
    line = {"type": "line", "strokeWidth": 1.5, "aria": False}
    layer = [{"mark": line, "encoding": {"x": x, "y": y, "color": _COLOR}}]
    for field, look in (("a", _LONE_POINT if alone else None), ("p", _PART if part else None)):
        if look is not None:
            point = {"type": "point", **look, "aria": False}
            layer.append({"mark": point, "encoding": {"x": x, "y": {**y, "field": field}, "color": _COLOR}})
    return {"width": "container", "height": 44, "layer": layer}


@dataclass(frozen=True, slots=True)
class _BarRow:
    """Where things stand in a row of bars: pixels from its middle, downwards."""

    height: int
    label: int
    bar: int
    thick: int
    size: int
    # The line of text below the bar.
    more: int | None = None


_ROW: Final = _BarRow(40, -7, 9, 12, 12)
_TALL_ROW: Final = _BarRow(56, -15, 1, 12, 12, more=17)
# Where there is little room: a picture of a given height.
_TIGHT_ROW: Final = _BarRow(28, -6, 7, 6, 11)


def row_height(*, ghost: bool = False, tight: bool = False) -> int:
    """Return how many pixels a bar needs with its texts."""
    return _choose_row(ghost=ghost, tight=tight).height


def _choose_row(*, ghost: bool, tight: bool) -> _BarRow:
    return _TIGHT_ROW if tight else _TALL_ROW if ghost else _ROW


def build_bar_spec(
    bars: int, unit: str, *, ghost: bool = False, spread: bool = False, flat: Flat = "", tight: bool = False
) -> dict[str, Any]:
    """Return bars from the left with their label above each; `spread` draws a point with its interval instead.

    `ghost` is for funnels: a pale bar as long as the field `of` behind each, and the text of `more` below it. `tight` is for
    where there is little room: without that text and without an axis, as the figures stand beside the bars.
    """
    y = {
        "field": "r",
        "type": "nominal",
        "sort": None,
        "axis": None,
        "scale": {"paddingInner": 0, "paddingOuter": 0},
    }
    place = _choose_row(ghost=ghost, tight=tight)
    x = _value_axis(unit, zero=not spread, flat=flat, on="x") | ({"axis": None} if tight else {})
    bar = {"height": place.thick, "yOffset": place.bar}
    along = {"y": y, "x": x, "color": _COLOR}
    layers = [_layer("bar", {**along, "x": {**x, "field": "of"}}, **bar, opacity=0.25)] if ghost else []
    if spread:
        ends = {"x": {**x, "field": "low"}, "x2": {"field": "high"}}
        layers.append(_layer("rule", {**along, **ends}, strokeWidth=2, yOffset=place.bar))
        dot = {"filled": True, "size": 60, "opacity": 1, "yOffset": place.bar}
        layers.append(_layer("point", along, **dot))
    else:
        layers.append(_layer("bar", along, **bar))
    # The label from the left, its figure from the right: both are plain text of the rows.
    text = {"baseline": "middle", "dy": place.label, "fontSize": place.size}
    texts: list[tuple[str, Any, dict[str, Any]]] = [
        ("label", 0, {"align": "left", "limit": {"expr": "width * 0.56"}}),
        ("figure", "width", {"align": "right", "limit": {"expr": "width * 0.42"}, "style": "figure"}),
    ]
    if ghost and place.more is not None:
        texts.append(("more", 0, {"align": "left", "dy": place.more, "fontSize": 11, "opacity": 0.75}))
    for field, at, look in texts:
        encoding = {"y": y, "x": {"value": at}, "text": {"field": field, "type": "nominal"}}
        layers.append(_layer("text", encoding, **{**text, **look}))
    return {"width": "container", "height": max(1, bars) * place.height, "layer": layers}


BALANCE_SPEC: Final = {
    "width": "container",
    "height": 220,
    "layer": [
        {
            "mark": {"type": "rect", "aria": False},
            "encoding": {
                "x": _TIME,
                "x2": {"field": "x2"},
                "y": {
                    "field": "y",
                    "type": "quantitative",
                    "title": None,
                    "axis": {
                        "tickCount": 6,
                        "tickMinStep": 1,
                        "domain": False,
                        "ticks": False,
                        # The same scale upwards and downwards: what is accounted for mirrors what was received.
                        "labelExpr": "format(abs(datum.value), '~s')",
                    },
                },
                "y2": {"field": "y2"},
                "color": _COLOR,
            },
        },
        {
            "mark": {"type": "rule", "strokeWidth": 1, "aria": False},
            "encoding": {"y": {"datum": 0}},
        },
    ],
}
