"""A chart in words, for who cannot see it: how many lines and points, from where to where, the lowest and highest.

`charts.py` calls it; what it returns is plain text.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tallymark.web.pages.shapes import shape_cell


def describe_lines(
    labels: list[tuple[str, str]], rows: list[dict[str, Any]], interval: str, unit: str
) -> str:
    """Return one sentence per line. `labels` are (key, name), rows have `k`, `x` (milliseconds) and `y`."""
    sentences = [f"Line chart, one point per {interval}."]
    for key, name in labels:
        points = [(row["y"], row["x"]) for row in rows if row["k"] == key and row["y"] is not None]
        if not points:
            sentences.append(f"{name}: no values.")
            continue
        low, high = min(points), max(points)
        shape = "ratio" if unit == "ratio" else None
        sentences.append(
            f"{name}: {len(points):,} points, lowest {shape_cell(low[0], shape)} at {_date(low[1])},"
            f" highest {shape_cell(high[0], shape)} at {_date(high[1])}, last {shape_cell(points[-1][0], shape)}."
        )
    return " ".join(sentences)


def describe_bars(rows: list[dict[str, Any]]) -> str:
    """Return the bars from top to bottom; rows have `label` and `figure`."""
    return (
        f"Bar chart, {len(rows)} bars. " + "; ".join(f"{row['label']}: {row['figure']}" for row in rows) + "."
    )


def _date(milliseconds: int) -> str:
    time = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return f"{time:%Y-%m-%d}" if time.hour == time.minute == 0 else f"{time:%Y-%m-%d %H:%M}"
