"""What a picture is made of: a specification, its rows, the same in words, and figures that need no picture.

`charts`, `figure_charts` and `spread_charts` make them; pages, panels and pictures show them.
"""

from __future__ import annotations

from typing import Any

import msgspec

from tallymark.web.chart_times import DATES, Clock


class Label(msgspec.Struct, frozen=True):
    """A series of the chart: its key in the rows, and how people call it."""

    key: str
    label: str


class Figure(msgspec.Struct, frozen=True):
    """One number that needs no picture; `weak` when it stands on too few events to rely on."""

    label: str
    value: str
    detail: str = ""
    weak: bool = False


class Chart(msgspec.Struct, frozen=True):
    """A picture of an answer. `unit` says how figures are written: count, ratio, s or number.

    `spec` and `rows` are for Vega-Lite (the rows become its data `rows`); `text` says the same in words; `notes` say
    what is not in the picture. With `figures` there is no picture.
    """

    spec: dict[str, Any] = {}
    rows: list[dict[str, Any]] = []
    series: list[Label] = []
    interval: str = ""
    unit: str = "number"
    text: str = ""
    notes: list[str] = []
    figures: list[Figure] = []
    # Whether its figures were counted, added up or read, and are written in full.
    exact: bool = False
    # How bars below each other are drawn (see `build_bar_spec`), so that a picture can do it with less room.
    bars: dict[str, Any] = {}
    # Of charts over time: where its times stand.
    clock: Clock = DATES

    def content(self) -> dict[str, Any]:
        """Return what the browser needs to draw it."""
        return {
            "spec": self.spec,
            "rows": self.rows,
            "series": self.series,
            "interval": self.interval,
            "unit": self.unit,
            "exact": self.exact,
            "clock": self.clock.stretches,
        }
