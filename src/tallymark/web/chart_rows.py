"""What rows of a chart get besides their figures: the width of bars, and the fields that draw single points and parts apart.

Comes in: rows as `charts` makes them, with `x`, `k` and `y`. They are changed in place.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from statistics import median_low
from typing import Any

from tallymark.web.chart_specs import Flat
from tallymark.web.chart_times import Clock
from tallymark.web.chart_words import Parts


def widen_bars(rows: list[dict[str, Any]], times: list[int]) -> None:
    """Give bars their width: up to the next interval, less a gap; at most as wide as most are."""
    steps = [later - earlier for earlier, later in pairwise(times)]
    usual = int(median_low(steps)) if steps else 3_600_000
    widths = dict(zip(times, [*(min(step, usual) for step in steps), usual], strict=True))
    for row in rows:
        row["x2"] = row["x"] + widths[row["x"]] - widths[row["x"]] // 6
        row["y0"] = 0


def set_apart(rows: list[dict[str, Any]], parts: Parts, clock: Clock) -> bool:
    """Give figures of intervals that are counted in part the field `p` for `y`; tell whether there are any."""
    begins = {clock.place(begin) for begin in parts.begins}
    found = [row for row in rows if row["x"] in begins and row["y"] is not None]
    for row in found:
        row["p"] = row["y"]
        row.update(dict.fromkeys(name for name in ("y", "low", "high") if name in row))
    return bool(found)


def mark_alone(rows: list[dict[str, Any]]) -> bool:
    """Give figures that no line joins, as there is none beside them, the fields that draw them; tell whether there are any."""
    lines: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        lines.setdefault(row["k"], []).append(row)
    found = False
    for line in lines.values():
        line.sort(key=lambda row: row["x"])
        there = [False, *(row["y"] is not None for row in line), False]
        for place, row in enumerate(line, 1):
            if there[place] and not there[place - 1] and not there[place + 1]:
                found = True
                row["a"] = row["y"]
                if row.get("low") is not None:
                    row |= {"al": row["low"], "ah": row["high"]}
    return found


def find_flat(rows: list[dict[str, Any]], fields: Sequence[str] = ("y", "low", "high", "w", "p")) -> Flat:
    """Tell whether all that is drawn lies at zero, or in one other place; where nothing is drawn, as if at zero."""
    places = {row[name] for row in rows for name in fields if isinstance(row.get(name), int | float)}
    if not places:
        return "zero"
    if len(places) != 1:
        return ""
    return "same" if places.pop() else "zero"
