"""Rows of the table of figures: a figure with its spread and its bounds, how it is judged, and how it is printed.

Every part of the bench makes rows with `row` or `median_row`; `run` judges and prints them.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

Row = dict[str, Any]
Rows = list[Row]


def row(
    what: str,
    value: float,
    unit: str,
    must: float | None = None,
    aim: float | None = None,
    side: str = "below",
    note: str = "",
    *,
    failed: int = 0,
) -> Row:
    """Return a row; `side` says whether a figure should be `below` or `above` its bounds.

    `failed` counts requests that the measurement needed and did not get: with one of them the row meets nothing.
    """
    return {
        "what": what, "value": value, "unit": unit, "must": must, "aim": aim, "side": side, "note": note, "failed": failed,
    }  # fmt: skip


def percentile(values: Sequence[float], q: float) -> float:
    """Return the value below which the share `q` of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


def median_row(what: str, values: Sequence[float], unit: str, *bounds: Any, **more: Any) -> Row:
    """Return a row of the median of several runs, with the lowest and the highest beside it."""
    spread = f"{min(values):.3g} to {max(values):.3g} in {len(values)} runs"
    note = "; ".join(filter(None, (more.pop("note", ""), spread)))
    return row(what, statistics.median(values), unit, *bounds, note=note, **more)


def judge(row: Row) -> str:
    """Return which bound a figure meets: aim, must, no, or '' where there is none."""
    if row["failed"]:
        return "no"
    above = row["side"] == "above"
    for name in ("aim", "must"):
        bound = row[name]
        if bound is not None and (row["value"] >= bound if above else row["value"] <= bound):
            return name
    return "no" if row["must"] is not None else ("not the aim" if row["aim"] is not None else "")


def describe_miss(row: Row) -> str:
    """Say in one line how a row misses what it must meet."""
    if row["failed"]:
        return f"{row['what']}: {row['failed']} requests failed"
    sign = "at least" if row["side"] == "above" else "at most"
    return f"{row['what']}: {row['value']:.3g} {row['unit']}, must be {sign} {row['must']:g}"


def render_table(rows: Sequence[Row]) -> str:
    """Render the rows as a Markdown table."""
    lines = ["| what | measured | must | aim | meets | |", "|---|---|---|---|---|---|"]
    for row in rows:
        sign = "≥" if row["side"] == "above" else "≤"
        bounds = [f"{sign} {row[name]:g}" if row[name] is not None else "–" for name in ("must", "aim")]
        failed = f"{row['failed']} failed; " if row["failed"] else ""
        cells = [row["what"], f"{row['value']:.3g} {row['unit']}", *bounds, judge(row), failed + row["note"]]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
