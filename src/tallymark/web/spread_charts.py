"""Pictures of how figures are spread: over values (histogram) and over the hours of the week (heat map).

As in `charts`, specifications hold nothing that users sent. Panels call this.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, Final

from tallymark.metrics.digits import EXACT, write_figure
from tallymark.metrics.figures import Figures
from tallymark.metrics.rhythm import HOURS
from tallymark.queries.fields import WEEKDAYS
from tallymark.queries.result import Answer, Cell, read_number
from tallymark.web.chart import Chart
from tallymark.web.chart_rows import find_flat
from tallymark.web.chart_specs import build_heat_spec, build_histogram_spec
from tallymark.web.charts import lead_on
from tallymark.web.shapes import shape_cell, shape_count, shape_share, shape_things

# An axis from the least to the largest double would be longer than the largest: its places would be no numbers.
_FARTHEST: Final = sys.float_info.max / 2


def build_histogram_chart(
    answer: Answer,
    unit: str,
    drills: Sequence[str],
    figure: float | None = None,
    name: str = "",
    key: str = "s0",
) -> Chart | None:
    """Return a histogram as bars in the colour `key`, with a line at the metric's `figure`; None where there is no value."""
    total = sum(_whole(row[2]) for row in answer.rows)
    if not total:
        return None
    rows: list[dict[str, Any]] = []
    notes = []
    for place, (low, high, count) in enumerate(answer.rows):
        share = shape_share(_whole(count) / total)
        if not isinstance(low, float) or not isinstance(high, float):
            side = f"below {_number(high, unit)}" if low is None else f"at or above {_number(low, unit)}"
            lie = "lies" if count == 1 else "lie"
            notes.append(
                f"{shape_count(_whole(count))} of {shape_things(total, 'value')} ({share}) {lie} {side}."
            )
            continue
        row = {
            "x": max(low, -_FARTHEST),
            "x2": min(high, _FARTHEST),
            "k": key,
            "y": count,
            "y0": 0,
            "label": f"{_number(low, '')} to {_number(high, unit)}",
            "figure": f"{shape_count(_whole(count))} · {share}",
        }
        rows.append(lead_on(row, drills, place))
    if figure is not None:
        rows.append({"m": figure})
    most = max((row for row in rows if "y" in row), key=lambda row: row["y"])
    text = (
        f"Histogram of {shape_things(total, 'value')} in {shape_things(len(rows) - (figure is not None), 'bucket')};"
        f" most, {most['figure']}, from {most['label']}."
    )
    if figure is not None:
        text += f" {name}: {_number(figure, unit)}."
    return Chart(build_histogram_spec(), rows, [], "", "number", text, notes)


def build_heat_chart(figures: Figures, drills: Sequence[str]) -> Chart | None:
    """Return figures by weekday and hour as coloured cells; None where there are none."""
    unit = next(column.unit or "" for column in figures.columns if column.name == "figure")
    rows: list[dict[str, Any]] = []
    weak = 0
    for place, whole in enumerate(figures.rows):
        day, hour, figure, n, low, high, enough = whole
        if not isinstance(figure, int | float) or not isinstance(hour, int):
            continue
        text = write_figure(figure, read_number(low), read_number(high), unit, figures.sample_of(whole))
        row: dict[str, Any] = {
            "d": day,
            "o": f"{hour:02}",
            "v": figure,
            "label": f"{day} {hour:02}:00",
            "figure": f"{text} · n = {n:,}" if n is not None else text,
        }
        if not enough:
            weak += 1
            row |= {"v": None, "w": 1, "figure": f"{row['figure']}, too few"}
        rows.append(lead_on(row, drills, place))
    sure = [row for row in rows if row["v"] is not None]
    if not rows:
        return None
    text = f"Heat map by weekday and hour, {len(rows)} of {len(WEEKDAYS) * HOURS} hours of the week."
    if sure:
        least, most = min(sure, key=lambda row: row["v"]), max(sure, key=lambda row: row["v"])
        text += f" Lowest {least['label']}: {least['figure']}. Highest {most['label']}: {most['figure']}."
    notes = _weak_notes(weak)
    # Of no figure, as of one, there is no scale to explain.
    flat = not sure or find_flat(sure, ("v",)) != ""
    if flat:
        for row in sure:
            row["f"] = 0
        if len(sure) > 1:
            same = write_figure(sure[0]["v"], None, None, unit, None if figures.estimate else EXACT)
            notes.append(f"All {len(sure)} hours of the week that are drawn have the same figure: {same}.")
    kind = "ratio" if unit == "ratio" else "number"
    return Chart(build_heat_spec(kind, list(WEEKDAYS), flat=flat), rows, [], "", kind, text, notes)


def _weak_notes(weak: int) -> list[str]:
    """Say how many cells are drawn as what nobody should rely on."""
    if not weak:
        return []
    said = "stand on too few events: they are drawn as hollow cells."
    if weak == 1:
        said = "stands on too few events: it is drawn as a hollow cell."
    return [f"{shape_things(weak, 'hour')} of the week {said}"]


def _number(value: Cell, unit: str) -> str:
    text = shape_cell(value, exact=True) if isinstance(value, int | float) else "–"
    return f"{text} {unit}".rstrip()


def _whole(cell: Cell) -> int:
    return cell if isinstance(cell, int) else 0
