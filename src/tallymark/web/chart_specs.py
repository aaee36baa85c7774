"""Vega-Lite specifications without data: the same text for every answer of a shape.

`charts.py` puts them together with rows. All expressions stand here; none is made from anything that arrives.
"""

from __future__ import annotations

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


# Whether a chart's figures are all the same, or all zero: a scale of no length would put them in mid-air.
Flat = Literal["", "same", "zero"]


# SI's letters for large figures only: half a second is 0.5, and no 500m.
_WRITTEN: Final = "abs(datum.value) < 10000 ? format(datum.value, ',~r') : format(datum.value, '~s')"


def _value_axis(unit: str, *, zero: bool, flat: Flat = "") -> dict[str, Any]:
    # Expressions of ours, the same for every answer; a scale's own format would write 0 as 0k.
    axis: dict[str, Any] = {"tickCount": 5, "domain": False, "ticks": False}
    axis["labelExpr"] = "format(datum.value, '~%')" if unit == "ratio" else _WRITTEN
    if unit == "count":
        # Numbers of events: 1.5 of them would be no tick.
        axis["tickMinStep"] = 1
    # From zero to a single figure the ticks are round; from nothing to nothing there are none.
    scale: dict[str, Any] = {"zero": zero or bool(flat), "nice": True}
    if flat == "zero":
        scale["domain"] = [0, 1]
    return {"field": "y", "type": "quantitative", "title": None, "scale": scale, "axis": axis}


# Up to so many, every point of a line is marked.
_MARKED_POINTS: Final = 62
_LONE_POINT: Final = {"filled": True, "size": 22, "opacity": 1}
_LONE_RULE: Final = {"strokeWidth": 5, "opacity": 0.3}
_STACKS: Final = {"stacked": "zero"}


def build_line_spec(
    unit: str,
    points: int,
    ticks: list[int],
    *,
    zero: bool,
    band: bool,
    weak: bool = False,
    alone: bool = False,
    flat: Flat = "",
    mark: str = "line",
) -> dict[str, Any]:
    """Return a course over time; `band` draws each point's interval, few `points` are marked one by one.

    `ticks` are the times that the axis names, in milliseconds. `weak` draws figures in the field `w`, which nobody
    should rely on, as hollow grey points that no line joins. `alone` draws figures in the field `a`, which no line
    joins either because there is none beside them, as points with their interval from `al` to `ah`. `mark` is line,
    area, stacked (areas that add up) or bar (from `x` to `x2`, over `y0`).
    """
    x = {**_TIME, "axis": {"format": _CLOCK, "values": ticks}}
    y = _value_axis(unit, zero=zero or mark != "line", flat=flat)
    shared = {"x": x, "y": y, "color": _COLOR}
    layers: list[dict[str, Any]] = []

    def add(kind: str, encoding: dict[str, Any], **look: Any) -> None:
        layers.append({"mark": {"type": kind, **look, "aria": False}, "encoding": encoding})

    if mark == "bar":
        add("rect", {**shared, "x2": {"field": "x2"}, "y2": {"field": "y0"}})
    elif mark == "stacked":
        add("area", {**shared, "y": {**y, "stack": "zero"}}, opacity=0.75)
    else:
        if band:
            add("area", {**shared, "y": {**y, "field": "low"}, "y2": {"field": "high"}}, opacity=0.16)
        if mark == "area":
            add("area", {**shared, "y": {**y, "stack": None}}, opacity=0.2)
        add("line", shared, strokeWidth=1.75)
        if points <= _MARKED_POINTS and mark == "line":
            add("point", shared, filled=True, size=22, opacity=1)
    if alone and mark != "bar":
        if band:
            add("rule", {**shared, "y": {**y, "field": "al"}, "y2": {"field": "ah"}}, **_LONE_RULE)
        # Of stacked areas all figures of one time are alone, or none.
        add("point", {**shared, "y": {**y, "field": "a", "stack": _STACKS.get(mark)}}, **_LONE_POINT)
    if weak:
        hollow = {"x": x, "y": {**y, "field": "w"}}
        add("point", hollow, filled=False, size=18, stroke="#8a8f98", strokeWidth=1)
    return {"width": "container", "height": 300, "layer": layers}


def build_histogram_spec() -> dict[str, Any]:
    """Return bars from `x` to `x2` over `y0`, as high as `y`, in the colour `k`, and a line at the field `m`."""
    y = _value_axis("count", zero=True)
    x = {
        "field": "x",
        "type": "quantitative",
        "title": None,
        "scale": {"zero": False, "nice": False},
        "axis": {"labelExpr": _WRITTEN, "tickCount": {"expr": "max(2, floor(width / 80))"}},
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


def build_spark_spec(*, alone: bool = False, flat: Flat = "") -> dict[str, Any]:
    """Return a small line without axes: the course of a figure beside it. `alone` and `flat` as in lines."""
    x = {**_TIME, "axis": None}
    scale: dict[str, Any] = {"domain": [0, 1]} if flat == "zero" else {"zero": False}
    y: dict[str, Any] = {"field": "y", "type": "quantitative", "axis": None, "scale": scale}
    line = {"type": "line", "strokeWidth": 1.5, "aria": False}
    layer = [{"mark": line, "encoding": {"x": x, "y": y, "color": _COLOR}}]
    if alone:
        point = {"type": "point", **_LONE_POINT, "aria": False}
        layer.append({"mark": point, "encoding": {"x": x, "y": {**y, "field": "a"}, "color": _COLOR}})
    return {"width": "container", "height": 44, "layer": layer}


_ROW_HEIGHT: Final = 40
# With a line of text below each bar.
_TALL_ROW: Final = 56


def build_bar_spec(
    bars: int, unit: str, *, ghost: bool = False, spread: bool = False, flat: Flat = ""
) -> dict[str, Any]:
    """Return bars from the left with their label above each; `spread` draws a point with its interval instead.

    `ghost` is for funnels: a pale bar as long as the field `of` behind each, and the text of `more` below it.
    """
    y = {
        "field": "r",
        "type": "nominal",
        "sort": None,
        "axis": None,
        "scale": {"paddingInner": 0, "paddingOuter": 0},
    }
    height = _TALL_ROW if ghost else _ROW_HEIGHT
    raised = (height - _ROW_HEIGHT) // 2
    x = _value_axis(unit, zero=not spread, flat=flat)
    bar = {"type": "bar", "height": 12, "yOffset": 9 - raised, "aria": False}
    layers: list[dict[str, Any]] = []
    if ghost:
        layers.append(
            {
                "mark": {**bar, "opacity": 0.25},
                "encoding": {"y": y, "x": {**x, "field": "of"}, "color": _COLOR},
            }
        )
    if spread:
        rule = {"type": "rule", "strokeWidth": 2, "yOffset": 9, "aria": False}
        layers.append(
            {
                "mark": rule,
                "encoding": {"y": y, "x": {**x, "field": "low"}, "x2": {"field": "high"}, "color": _COLOR},
            }
        )
        point = {"type": "point", "filled": True, "size": 60, "opacity": 1, "yOffset": 9, "aria": False}
        layers.append({"mark": point, "encoding": {"y": y, "x": x, "color": _COLOR}})
    else:
        layers.append({"mark": bar, "encoding": {"y": y, "x": x, "color": _COLOR}})
    # The label from the left, its figure from the right: both are plain text of the rows.
    text = {"type": "text", "baseline": "middle", "dy": -7 - raised, "aria": False}
    texts: list[tuple[str, Any, dict[str, Any]]] = [
        ("label", 0, {"align": "left", "limit": {"expr": "width * 0.56"}}),
        ("figure", "width", {"align": "right", "limit": {"expr": "width * 0.42"}, "style": "figure"}),
    ]
    if ghost:
        texts.append(("more", 0, {"align": "left", "dy": 25 - raised, "fontSize": 11, "opacity": 0.75}))
    for field, place, more in texts:
        encoding = {"y": y, "x": {"value": place}, "text": {"field": field, "type": "nominal"}}
        layers.append({"mark": {**text, **more}, "encoding": encoding})
    return {"width": "container", "height": max(1, bars) * height, "layer": layers}


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
