"""From an answer or a ledger to a chart: a Vega-Lite specification, its rows, and the same in words.

What users sent never reaches the specification: its fields have fixed names and its scales fixed keys (`s0`, `s1`, ...),
so its text is the same whatever the data says. Labels travel beside it and are set as plain text. Pages call this.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from tallymark.queries.kinds import Question
from tallymark.queries.kinds.funnel import Funnel
from tallymark.queries.kinds.ratio import Ratio
from tallymark.queries.kinds.trend import Trend
from tallymark.queries.result import Answer, Cell
from tallymark.web.chart_specs import BALANCE_SPEC, MAX_SERIES, build_bar_spec, build_line_spec
from tallymark.web.chart_ticks import choose_ticks
from tallymark.web.chart_words import describe_bars, describe_lines
from tallymark.web.shapes import shape_cell, shape_count, shape_share
from tallymark.web.texts import show_line

MAX_BARS: Final = 40
MAX_POINTS: Final = 20_000
# A share whose 95 % interval is wider than this says next to nothing; it is left out of the picture.
WIDEST_INTERVAL: Final = 0.5


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

    def content(self) -> dict[str, Any]:
        """Return what the browser needs to draw it."""
        return {
            "spec": self.spec,
            "rows": self.rows,
            "series": self.series,
            "interval": self.interval,
            "unit": self.unit,
        }


def build_chart(question: Question, answer: Answer) -> Chart | None:
    """Return the picture of an answer, None when there is nothing to show."""
    if not answer.rows:
        return None
    if isinstance(question, Trend):
        return _build_trend(question, answer)
    if isinstance(question, Ratio):
        return _build_ratio(question, answer)
    return _build_funnel(question, answer) if isinstance(question, Funnel) else None


# Over time


def wall_time(text: Cell) -> int:
    """Return a row's time as milliseconds of its wall clock: the axis then shows the question's own zone."""
    time = datetime.fromisoformat(str(text))
    return round(time.replace(tzinfo=UTC).timestamp() * 1000)


def group_label(values: Sequence[Cell]) -> str:
    """Return the name of a breakdown group."""
    return " · ".join("(none)" if value in (None, "") else show_line(shape_cell(value)) for value in values)


class Groups:
    """Gives groups their keys in the order in which they come, and says when there are too many."""

    def __init__(self) -> None:
        self.labels: dict[str, Label] = {}
        self.left_out: set[str] = set()

    def key(self, identity: str, label: str) -> str | None:
        """Return the key of a group, None where there is no colour left for it."""
        found = self.labels.get(identity)
        if found is None:
            if len(self.labels) >= MAX_SERIES:
                self.left_out.add(identity)
                return None
            found = self.labels[identity] = Label(f"s{len(self.labels)}", label)
        return found.key

    def notes(self) -> list[str]:
        """Say what had no colour left."""
        if not self.left_out:
            return []
        total = len(self.labels) + len(self.left_out)
        return [f"The chart shows the first {len(self.labels)} of {total:,} lines; the table has all."]


def _build_trend(question: Trend, answer: Answer) -> Chart:
    width = len(question.breakdown)
    first = width + (1 if question.interval else 0)
    columns = answer.columns[first:]
    counts = all(series.measure.op in ("count", "unique") for series in question.series)
    unit = "count" if counts else "number"
    if not question.interval:
        named = [
            (row[:width], column.name, row[first + n])
            for row in answer.rows
            for n, column in enumerate(columns)
        ]
        return _build_bars(named, unit, single=len(columns) == 1)
    groups = Groups()
    rows: list[dict[str, Any]] = []
    for row in answer.rows:
        lead = row[1:first]
        for number, column in enumerate(columns):
            names = [group_label(lead)] if width else []
            if len(columns) > 1 or not width:
                names.append(show_line(column.name))
            key = groups.key(repr((lead, number)), " · ".join(names))
            if key is not None:
                rows.append({"x": wall_time(row[0]), "k": key, "y": row[first + number]})
    zero = all(series.measure.op in ("count", "unique", "sum") for series in question.series)
    return build_lines(rows, groups, interval=question.interval, unit=unit, zero=zero, band=False, notes=[])


def _build_ratio(question: Ratio, answer: Answer) -> Chart:
    width = len(question.breakdown)
    if not question.interval:
        return _build_ratio_bars(width, answer)
    groups, vague = Groups(), 0
    rows: list[dict[str, Any]] = []
    for row in answer.rows:
        ratio, low, high = row[-3:]
        label = group_label(row[1 : 1 + width]) if width else "ratio"
        key = groups.key(repr(row[1 : 1 + width]), label)
        if key is None:
            continue
        if is_vague(low, high):
            vague += 1
            ratio = low = high = None
        rows.append({"x": wall_time(row[0]), "k": key, "y": ratio, "low": low, "high": high})
    notes = vague_notes(vague)
    return build_lines(
        rows, groups, interval=question.interval, unit="ratio", zero=False, band=True, notes=notes
    )


def is_vague(low: Cell, high: Cell) -> bool:
    """Tell whether an interval is so wide that its figure says next to nothing."""
    return isinstance(low, int | float) and isinstance(high, int | float) and high - low > WIDEST_INTERVAL


def vague_notes(vague: int) -> list[str]:
    """Say how many rates are not in the picture."""
    if not vague:
        return []
    note = (
        f"{vague:,} rates rest on so few events that their 95 % interval is wider than"
        f" {shape_share(WIDEST_INTERVAL)}: they are in the table, not in the chart."
    )
    return [note]


def build_lines(
    rows: list[dict[str, Any]],
    groups: Groups,
    *,
    interval: str,
    unit: str,
    zero: bool,
    band: bool,
    notes: list[str],
) -> Chart:
    """Return lines over time of rows with `x` (milliseconds), `k`, `y` and, for a band, `low` and `high`."""
    notes = [*groups.notes(), *notes]
    if len(rows) > MAX_POINTS:
        notes.append(
            f"The chart shows the first {MAX_POINTS:,} of {len(rows):,} points. Choose a longer interval."
        )
        rows = rows[:MAX_POINTS]
    times = sorted({row["x"] for row in rows})
    spec = build_line_spec(unit, len(times), choose_ticks(times, interval), zero=zero, band=band)
    labels = list(groups.labels.values())
    text = describe_lines([(label.key, label.label) for label in labels], rows, interval, unit)
    return Chart(spec, rows, labels, interval, unit, text, notes)


# Without time


def _build_bars(named: list[tuple[list[Cell], str, Cell]], unit: str, *, single: bool) -> Chart:
    if all(not values for values, _, _ in named):
        return Chart(figures=[Figure(name, shape_cell(value)) for _, name, value in named])
    groups = Groups()
    rows: list[dict[str, Any]] = []
    for values, name, value in named[:MAX_BARS]:
        shown = show_line(name)
        key = groups.key(name, shown) or f"s{MAX_SERIES - 1}"
        label = group_label(values) + ("" if single else f" · {shown}")
        rows.append({"r": f"r{len(rows)}", "k": key, "y": value, "label": label, "figure": shape_cell(value)})
    notes = bar_notes(len(named))
    text = describe_bars(rows)
    labels = [] if single else list(groups.labels.values())
    return Chart(build_bar_spec(len(rows), unit), rows, labels, "", unit, text, notes)


def bar_notes(count: int) -> list[str]:
    """Say how many groups are not in the picture."""
    return (
        [f"The chart shows the first {MAX_BARS} of {count:,} groups; the table has all."]
        if count > MAX_BARS
        else []
    )


def _build_ratio_bars(width: int, answer: Answer) -> Chart:
    vague = 0
    rows: list[dict[str, Any]] = []
    if not width:
        _, below, ratio, low, high = answer.rows[0]
        between = (
            f"95 % between {shape_share(low)} and {shape_share(high)}, "
            if isinstance(low, float) and isinstance(high, float)
            else ""
        )
        return Chart(
            figures=[Figure("ratio", shape_cell(ratio, "ratio"), f"{between}n = {shape_cell(below)}")]
        )
    for row in answer.rows[:MAX_BARS]:
        below, ratio, low, high = row[-4:]
        figure = f"{shape_cell(ratio, 'ratio')} · n = {shape_cell(below)}"
        if is_vague(low, high):
            vague += 1
            ratio = low = high = None
            figure += " · too few to draw"
        label = group_label(row[:width])
        rows.append(
            {
                "r": f"r{len(rows)}",
                "k": "s0",
                "y": ratio,
                "low": low,
                "high": high,
                "label": label,
                "figure": figure,
            }
        )
    notes = [*bar_notes(len(answer.rows)), *vague_notes(vague)]
    text = describe_bars(rows)
    return Chart(build_bar_spec(len(rows), "ratio", spread=True), rows, [], "", "ratio", text, notes)


def _build_funnel(question: Funnel, answer: Answer) -> Chart:
    width = len(question.breakdown)
    groups = Groups()
    rows: list[dict[str, Any]] = []
    steps = len(question.steps)
    # Step by step, so that groups stand beside each other where they are compared.
    ordered = [row for step in range(steps) for row in answer.rows[step::steps]]
    before: dict[str, Cell] = {}
    for row in ordered:
        identity = repr(row[:width])
        key = groups.key(identity, group_label(row[:width]) if width else "reached")
        if key is None:
            continue
        number, name, reached, _, from_first, _ = row[width:]
        if not isinstance(reached, int):
            continue
        label = f"{number}. {show_line(name)}" + (f" · {group_label(row[:width])}" if width else "")
        figure = shape_count(reached) + (f" · {shape_cell(from_first, 'ratio')}" if number != 1 else "")
        place = {"r": f"r{len(rows)}", "k": key, "y": reached, "of": before.get(identity, reached)}
        rows.append({**place, "label": label, "figure": figure})
        before[identity] = reached
    labels = list(groups.labels.values()) if width else []
    text = describe_bars(rows)
    notes = [note.replace("lines", "groups") for note in groups.notes()]
    return Chart(build_bar_spec(len(rows), "count", ghost=True), rows, labels, "", "count", text, notes)


# The ledger

BALANCE_LINES: Final = ("received", "stored", "duplicate", "dropped", "refused", "quarantined", "in_flight")


def build_balance_chart(buckets: list[tuple[datetime, datetime, dict[str, int]]]) -> Chart:
    """Return the equation as a picture: received upwards, and below it where each of those events went.

    `buckets` are (begin, end, events by line), without gaps.
    """
    keys = {line: f"s{number}" for number, line in enumerate(BALANCE_LINES)}
    rows: list[dict[str, Any]] = []
    for begin, end, lines in buckets:
        left, right = round(begin.timestamp() * 1000), round(end.timestamp() * 1000)
        place = {"x": left, "x2": right - (right - left) // 8}
        rows.append(
            {
                **place,
                "k": keys["received"],
                "y": lines.get("received", 0),
                "y2": 0,
                "n": lines.get("received", 0),
            }
        )
        depth = 0
        for line in BALANCE_LINES[1:]:
            events = lines.get(line, 0)
            if events:
                rows.append({**place, "k": keys[line], "y": -depth, "y2": -depth - events, "n": events})
                depth += events
    labels = [Label(keys[line], line.replace("_", " ")) for line in BALANCE_LINES]
    busiest = max((lines.get("received", 0) for _, _, lines in buckets), default=0)
    text = f"Received events upwards and what became of them downwards, in {len(buckets)} intervals; at most {busiest:,} in one."
    return Chart(BALANCE_SPEC, rows, labels, "balance", "count", text)
