"""From metrics' figures to a picture, as `charts` does it for answers: fixed field names, labels beside the data.

A figure that stands on too few events is drawn grey and hollow, never as if it were sure. Pages and panels call this.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from tallymark.metrics.digits import write_estimate, write_figure
from tallymark.metrics.figures import Figures
from tallymark.metrics.periods import Comparison
from tallymark.queries.question import GROUPS
from tallymark.queries.result import Cell, read_number
from tallymark.web.chart import Chart, Figure
from tallymark.web.chart_rows import find_flat, mark_alone, set_apart
from tallymark.web.chart_specs import OTHERS_KEY, build_bar_spec, build_spark_spec
from tallymark.web.chart_times import read_clock
from tallymark.web.chart_words import WHOLE, Parts, bar_notes, describe_bars
from tallymark.web.charts import (
    MAX_BARS,
    MAX_POINTS,
    Groups,
    build_lines,
    lead_on,
    row_label,
)
from tallymark.web.palette import METRICS, ChooseKeys, keys_in_order
from tallymark.web.shapes import shape_things
from tallymark.web.texts import show_line

# The columns behind the time and the breakdown: figure, n, low, high, enough.
_TAIL: Final = 5
COMPARISON_WORDS: Final = {"previous": "the time before", "week": "a week earlier", "year": "a year earlier"}


@dataclass(frozen=True, slots=True)
class Line:
    """A metric's figures under the name that people read."""

    label: str
    figures: Figures
    # Addresses of the events behind each row; empty where there are none.
    drills: Sequence[str] = ()

    @property
    def fields(self) -> list[str]:
        """The fields of the breakdown."""
        names = [column.name for column in self.figures.columns[:-_TAIL]]
        return [name for name in names if name not in ("time", GROUPS)]

    def lead(self, row: list[Cell]) -> tuple[list[Cell], int]:
        """Return a row's breakdown values, and how many groups stand in it."""
        names = [column.name for column in self.figures.columns[:-_TAIL]]
        first = 1 if names[:1] == ["time"] else 0
        gathered = row[len(names) - 1] if GROUPS in names else 1
        return row[first : first + len(self.fields)], gathered if isinstance(gathered, int) else 1

    def name_of(self, row: list[Cell]) -> tuple[str, str, bool]:
        """Return what tells a row's group apart, how people call it, and whether it is all others together."""
        values, gathered = self.lead(row)
        if not values:
            return self.figures.metric, show_line(self.label), False
        identity = repr(values) + (" others" if gathered > 1 else "")
        return identity, row_label(values, gathered), gathered > 1


def build_figures_chart(
    lines: Sequence[Line],
    interval: str,
    mark: str = "line",
    choose: ChooseKeys = keys_in_order,
    parts: Parts = WHOLE,
) -> Chart | None:
    """Return the picture of one or several metrics over the same time; None where there is nothing to show.

    `mark` is line, area, stacked or bar; without an interval bars are drawn in any case. `choose` gives values, or
    metrics, their colours; what stands in `parts` is drawn apart.
    """
    figures = [row[-_TAIL] for line in lines for row in line.figures.rows]
    drawn = interval or any(len(line.figures.columns) > _TAIL for line in lines)
    if not figures or (drawn and all(figure is None for figure in figures)):
        return None
    unit = unit_of(lines)
    groups = _name_groups(lines, choose)
    if not interval:
        return _build_bars(lines, unit, groups, choose)
    rows: list[dict[str, Any]] = []
    weak = 0
    clock = read_clock((row[0] for line in lines for row in line.figures.rows), interval)
    for line in lines:
        for place, row in enumerate(line.figures.rows):
            figure, _, low, high, enough = row[-_TAIL:]
            key = groups.key(line.name_of(row)[0])
            if key is None:
                continue
            at = clock.place(row[0])
            point: dict[str, Any] = {"x": at, "k": key, "y": figure, "low": low, "high": high}
            if not enough and figure is not None:
                weak += 1
                point |= {"y": None, "low": None, "high": None, "w": figure}
            rows.append(lead_on(point, line.drills, place))
    band = mark == "line" and any(row["low"] is not None for row in rows[:MAX_POINTS])
    return build_lines(
        rows,
        groups,
        interval=interval,
        unit=unit,
        zero=unit == "count",
        band=band,
        notes=weak_notes(weak),
        weak=weak > 0,
        mark=mark,
        parts=parts,
        exact=not any(line.figures.estimate for line in lines),
        clock=clock,
    )


def weak_notes(weak: int) -> list[str]:
    """Say how many figures are drawn as what nobody should rely on."""
    if not weak:
        return []
    said = "stands on too few events: it is drawn as a hollow point."
    if weak > 1:
        said = "stand on too few events: they are drawn as hollow points."
    return [f"{shape_things(weak, 'figure')} {said}"]


def _name_groups(lines: Sequence[Line], choose: ChooseKeys) -> Groups:
    """Return the groups of all lines: values of the breakdown, or the metrics themselves."""
    groups = Groups(choose, ",".join(lines[0].fields) or METRICS)
    for line in lines:
        for row in line.figures.rows:
            identity, label, gathered = line.name_of(row)
            groups.add(identity, label, gathered=gathered)
    return groups


def unit_of(lines: Sequence[Line]) -> str:
    """Return how the chart writes its figures: ratio, count (whole numbers) or number."""
    units = {line.figures.unit for line in lines}
    if units == {"ratio"}:
        return "ratio"
    figures = (row[-_TAIL] for line in lines for row in line.figures.rows)
    whole = all(figure is None or isinstance(figure, int) for figure in figures)
    return "count" if whole else "number"


def build_spark(
    figures: Figures, interval: str, choose: ChooseKeys = keys_in_order, parts: Parts = WHOLE
) -> Chart | None:
    """Return the course of a metric as a small line; None with fewer than two figures that can be relied on.

    `choose` gives the metric its colour; what stands in `parts` is drawn apart.
    """
    key = choose(METRICS, [figures.metric])[figures.metric]
    timed = figures.rows if figures.columns[0].name == "time" else []
    clock = read_clock((row[0] for row in timed), interval)
    rows: list[dict[str, Any]] = [
        {"x": clock.place(row[0]), "k": key, "y": row[-_TAIL] if row[-1] else None} for row in timed
    ]
    part = set_apart(rows, parts, clock)
    known = [row for row, point in zip(timed, rows, strict=True) if read_number(point["y"]) is not None]
    if len(known) < 2 or len(rows) > MAX_POINTS:
        return None
    first, last = (
        write_figure(read_number(row[-_TAIL]), None, None, figures.unit, figures.sample_of(row))
        for row in (known[0], known[-1])
    )
    text = f"Its course: from {first} to {last}."
    spec = build_spark_spec(alone=mark_alone(rows), part=part, flat=find_flat(rows))
    return Chart(spec, rows, [], "", figures.unit, text, list(parts.notes) if part else [])


def describe_difference(figures: Figures, compared: Figures | None, comparison: Comparison | None) -> str:
    """Say how one figure differs from the compared one, and whether their intervals lie apart; '' where there is none."""
    if comparison is None or compared is None or not figures.rows or not compared.rows:
        return ""
    (new, _, low, high, _), (old, _, old_low, old_high, _) = (
        [read_number(cell) for cell in one.rows[0][-_TAIL:]] for one in (figures, compared)
    )
    if new is None or old is None:
        return ""
    unit = figures.unit
    written = write_figure(old, old_low, old_high, unit, compared.sample_of(compared.rows[0]))
    text = f"{written} {COMPARISON_WORDS[comparison]}"
    if unit == "ratio":
        # Shares differ by percentage points: per cent of a percentage would be read as those.
        text += f" ({(new - old) * 100:+.1f} pp)"
    elif old:
        text += f" ({(new - old) / abs(old):+.1%})".replace("%", " %")
    if low is None or high is None or old_low is None or old_high is None:
        return text
    apart = low > old_high or high < old_low
    return text + (": the 95 % intervals lie apart" if apart else ": the 95 % intervals overlap")


def _build_bars(lines: Sequence[Line], unit: str, groups: Groups, choose: ChooseKeys) -> Chart:
    if all(len(line.figures.columns) == _TAIL for line in lines):
        return Chart(figures=[_single(line, row) for line in lines for row in line.figures.rows])
    # Bars have their names beside them; where there is no colour for each, they all have the metric's.
    coloured = not groups.notes()
    metric = lines[0].figures.metric
    plain = "s0" if coloured else choose(METRICS, [metric])[metric]
    rows: list[dict[str, Any]] = []
    everything = [(line, place) for line in lines for place in range(len(line.figures.rows))]
    for line, place in everything[:MAX_BARS]:
        row = line.figures.rows[place]
        identity, label, gathered = line.name_of(row)
        figure, n, low, high, enough = row[-_TAIL:]
        key = OTHERS_KEY if gathered else groups.key(identity) if coloured else plain
        sample = line.figures.sample_of(row)
        text = write_figure(
            read_number(figure), read_number(low), read_number(high), line.figures.unit, sample
        )
        if not enough:
            text += f" · n = {n}, too few"
            figure = low = high = None
        spread = {"y": figure, "low": low, "high": high, "label": label, "figure": text}
        rows.append(lead_on({"r": f"r{len(rows)}", "k": key, **spread}, line.drills, place))
    spreads = any(row["low"] is not None for row in rows)
    look: dict[str, Any] = {"unit": unit, "spread": spreads, "flat": find_flat(rows)}
    spec = build_bar_spec(len(rows), **look)
    notes = bar_notes(len(everything), MAX_BARS)
    return Chart(spec, rows, [], "", unit, describe_bars(rows), notes, bars=look)


def _single(line: Line, row: list[Cell]) -> Figure:
    """Return one number as text: with the digits that its interval supports, and what it stands on."""
    figure, n, low, high, enough = row[-_TAIL:]
    unit = line.figures.unit
    sample = line.figures.sample_of(row)
    value, interval = write_estimate(read_number(figure), read_number(low), read_number(high), unit, sample)
    details = [f"95 %: {interval}"] if interval else []
    if n is not None:
        details.append(f"n = {n:,}")
    if not enough:
        details.append("too few to rely on")
    return Figure(show_line(line.label), value, ", ".join(details), weak=not enough)
