"""From an answer or a ledger to a chart: a Vega-Lite specification, its rows, and the same in words.

What users sent never reaches the specification: its fields have fixed names and its scales fixed keys (`s0`, `s1`, ...),
so its text is the same whatever the data says. Labels travel beside it and are set as plain text. Pages call this.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from tallymark.metrics.digits import write_estimate, write_figure
from tallymark.queries.grid import OfTime
from tallymark.queries.kinds import Question
from tallymark.queries.kinds.funnel import Funnel
from tallymark.queries.kinds.ratio import Ratio, wilson_interval
from tallymark.queries.kinds.trend import Trend
from tallymark.queries.measures import COUNTED
from tallymark.queries.result import Answer, Cell, Column, read_number
from tallymark.web.chart import Chart, Figure, Label
from tallymark.web.chart_rows import find_flat, mark_alone, set_apart, widen_bars
from tallymark.web.chart_specs import (
    BALANCE_SPEC,
    MAX_SERIES,
    OTHERS_KEY,
    Flat,
    build_bar_spec,
    build_line_spec,
)
from tallymark.web.chart_ticks import choose_ticks
from tallymark.web.chart_times import DATES, Clock, read_clock
from tallymark.web.chart_words import (
    WHOLE,
    Parts,
    bar_notes,
    describe_bars,
    describe_lines,
    describe_step,
    find_parts,
    vague_notes,
)
from tallymark.web.palette import ChooseKeys, keys_in_order
from tallymark.web.shapes import (
    NOTHING,
    shape_cell,
    shape_count,
    shape_duration,
    shape_group,
    shape_things,
)
from tallymark.web.texts import show_line

MAX_BARS: Final = 40
MAX_POINTS: Final = 20_000
# What a chart is cut into that shows windows of an alert, each at its end.
WINDOW: Final = "window"
# A share whose 95 % interval is wider than this says next to nothing; it is left out of the picture.
WIDEST_INTERVAL: Final = 0.5


def build_chart(
    question: Question,
    answer: Answer,
    choose: ChooseKeys = keys_in_order,
    drills: Sequence[str] = (),
    now: datetime | None = None,
) -> Chart | None:
    """Return the picture of an answer, None when there is nothing to show.

    `choose` gives values their colours; `drills` are addresses of the events behind each row of the answer; `now` ends what
    can have been counted (see `find_parts`).
    """
    if not answer.rows:
        return None
    if isinstance(question, Trend):
        return _build_trend(question, answer, choose, drills, now)
    if isinstance(question, Ratio):
        return _build_ratio(question, answer, choose, drills, now)
    return _build_funnel(question, answer, choose, drills) if isinstance(question, Funnel) else None


def lead_on(row: dict[str, Any], drills: Sequence[str], place: int) -> dict[str, Any]:
    """Return a row of a chart with the address of its events, where there is one."""
    return {**row, "h": drills[place]} if place < len(drills) and drills[place] else row


# Over time


def group_label(values: Sequence[Cell]) -> str:
    """Return the name of a breakdown group."""
    return " · ".join(show_line(shape_group(value)) for value in values)


def row_label(values: Sequence[Cell], gathered: int) -> str:
    """Return the name of a group, or of all those beyond the limit together."""
    return f"{gathered:,} others" if gathered > 1 else group_label(values)


class Groups:
    """Gives groups their keys, the colours of their meaning, and says when there are too many.

    All are added first, in the order in which the legend names them; what is left when the colours are used up has none.
    """

    def __init__(self, choose: ChooseKeys = keys_in_order, field: str = "") -> None:
        self._choose = choose
        self._field = field
        self._names: dict[str, str] = {}
        self._gathered = ""
        self._keys: dict[str, str] = {}

    def add(self, identity: str, label: str, *, gathered: bool = False) -> None:
        """Add a group by what tells it apart; `gathered` is the one of all others."""
        self._names.setdefault(identity, label)
        if gathered:
            self._gathered = identity

    def key(self, identity: str) -> str | None:
        """Return the key of a group, None where there is no colour left for it."""
        if not self._keys:
            single = [one for one in self._names if one != self._gathered][:MAX_SERIES]
            # What is no value of a field has no colour of its own; one that is has it also where it is alone.
            choose = self._choose if self._field else keys_in_order
            self._keys = choose(self._field, single)
            if self._gathered:
                self._keys[self._gathered] = OTHERS_KEY
        return self._keys.get(identity)

    @property
    def labels(self) -> list[Label]:
        """The groups that have a key."""
        return [Label(key, label) for identity, label in self._names.items() if (key := self.key(identity))]

    def notes(self) -> list[str]:
        """Say what had no colour left."""
        shown = len(self.labels)
        if shown == len(self._names):
            return []
        return [f"The chart shows the first {shown} of {len(self._names):,} lines; the table has all."]


def _split_lead(question: OfTime, row: list[Cell]) -> tuple[list[Cell], int]:
    """Return a row's breakdown values, and how many groups stand in it."""
    first = 1 if question.interval else 0
    values = row[first : first + len(question.breakdown)]
    gathered = row[first + len(question.breakdown)] if question.gathers else 1
    return values, gathered if isinstance(gathered, int) else 1


def _build_trend(
    question: Trend, answer: Answer, choose: ChooseKeys, drills: Sequence[str], now: datetime | None
) -> Chart:
    first = len(answer.columns) - len(question.series)
    columns = answer.columns[first:]
    counts = all(series.measure.op in COUNTED for series in question.series)
    unit = "count" if counts else "number"
    if not question.interval:
        named = []
        for place, row in enumerate(answer.rows):
            lead = row_label(*_split_lead(question, row)) if question.breakdown else ""
            named += [_Bar(lead, column, row[first + n], place) for n, column in enumerate(columns)]
        return _build_bars(named, unit, drills, single=len(columns) == 1)
    one_field = bool(question.breakdown) and len(columns) == 1
    groups = Groups(choose if one_field else keys_in_order, ",".join(question.breakdown))
    drawn = []
    for place, row in enumerate(answer.rows):
        values, gathered = _split_lead(question, row)
        for number, column in enumerate(columns):
            names = [row_label(values, gathered)] if question.breakdown else []
            if len(columns) > 1 or not question.breakdown:
                names.append(show_line(column.name))
            identity = repr(values) if one_field else repr((values, gathered > 1, number))
            identity += " others" if gathered > 1 else ""
            groups.add(identity, " · ".join(names), gathered=gathered > 1 and one_field)
            drawn.append((identity, row[0], row[first + number], place))
    clock = read_clock((row[0] for row in answer.rows), question.interval)
    rows = [
        lead_on({"x": clock.place(time), "k": key, "y": value}, drills, place)
        for identity, time, value, place in drawn
        if (key := groups.key(identity))
    ]
    zero = all(series.measure.op in ("count", "unique", "sum") for series in question.series)
    parts = find_parts(question.period(), now)
    return build_lines(
        rows,
        groups,
        interval=question.interval,
        unit=unit,
        zero=zero,
        band=False,
        notes=[],
        parts=parts,
        exact=all(column.in_full for column in columns),
        clock=clock,
    )


def _build_ratio(
    question: Ratio, answer: Answer, choose: ChooseKeys, drills: Sequence[str], now: datetime | None
) -> Chart | None:
    if not question.interval:
        return _build_ratio_bars(question, answer, drills)
    groups, vague = Groups(choose, ",".join(question.breakdown)), 0
    drawn = []
    for row in answer.rows:
        values, gathered = _split_lead(question, row)
        label = row_label(values, gathered) if question.breakdown else "ratio"
        identity = repr(values) + (" others" if gathered > 1 else "")
        groups.add(identity, label, gathered=gathered > 1)
        drawn.append((identity, row))
    rows: list[dict[str, Any]] = []
    clock = read_clock((row[0] for row in answer.rows), question.interval)
    for place, (identity, row) in enumerate(drawn):
        ratio, low, high = row[-3:]
        key = groups.key(identity)
        if key is None:
            continue
        if is_vague(low, high):
            vague += 1
            ratio = low = high = None
        point = {"x": clock.place(row[0]), "k": key, "y": ratio, "low": low, "high": high}
        rows.append(lead_on(point, drills, place))
    if not vague and all(row["y"] is None for row in rows):
        return None
    return build_lines(
        rows,
        groups,
        interval=question.interval,
        unit="ratio",
        zero=False,
        band=True,
        notes=vague_notes(vague, WIDEST_INTERVAL),
        parts=find_parts(question.period(), now),
        clock=clock,
    )


def is_vague(low: Cell, high: Cell) -> bool:
    """Tell whether an interval is so wide that its figure says next to nothing."""
    return isinstance(low, int | float) and isinstance(high, int | float) and high - low > WIDEST_INTERVAL


def build_lines(
    rows: list[dict[str, Any]],
    groups: Groups,
    *,
    interval: str,
    unit: str,
    zero: bool,
    band: bool,
    notes: list[str],
    weak: bool = False,
    mark: str = "line",
    parts: Parts = WHOLE,
    exact: bool = False,
    clock: Clock = DATES,
    limits: Sequence[float] = (),
) -> Chart:
    """Return lines over time of rows with `x` (a place of the clock), `k`, `y` and, for a band, `low` and `high`.

    `exact` figures are written in full. `weak` and `mark` are those of `build_line_spec`; what stands in `parts` is drawn apart.
    `limits` are figures that others draw into the chart: the axis has to reach them.
    """
    part = set_apart(rows, parts, clock)
    notes = [*_note_parts(rows, parts, clock, part=part), *groups.notes(), *notes]
    notes += _note_points(len(rows))
    rows = rows[:MAX_POINTS]
    times = sorted({row["x"] for row in rows})
    if mark == "bar":
        widen_bars(rows, times)
    # Stacked areas lie on one another: none has a place of its own, unless there is one time only.
    alone = mark != "bar" and (mark != "stacked" or len(times) == 1) and mark_alone(rows)
    # Windows of alerts end at any time: there the axis finds round times itself, unless clocks change on it.
    ticks = choose_ticks(times, interval, clock) if interval != WINDOW or clock.stretches else None
    spec = build_line_spec(
        unit,
        len(times),
        ticks,
        labels=clock.label(ticks, times) if ticks and clock.stretches else None,
        zero=zero,
        band=band,
        weak=weak,
        alone=alone,
        part=part,
        flat=_find_flat(rows, limits, band=band),
        mark=mark,
    )
    text = describe_lines(
        [(label.key, label.label) for label in groups.labels], rows, interval, unit, clock, exact=exact
    )
    return Chart(spec, rows, groups.labels, interval, unit, text, notes, exact=exact, clock=clock)


def _find_flat(rows: list[dict[str, Any]], limits: Sequence[float], *, band: bool) -> Flat:
    fields = ("y", "low", "high", "w", "p") if band else ("y", "w", "p")
    return find_flat([*rows, *({"y": limit} for limit in limits)], fields)


def _note_points(count: int) -> list[str]:
    """Say how many points are drawn, where there are more."""
    if count <= MAX_POINTS:
        return []
    return [f"The chart shows the first {MAX_POINTS:,} of {count:,} points. Choose a longer interval."]


def _note_parts(rows: list[dict[str, Any]], parts: Parts, clock: Clock, *, part: bool) -> tuple[str, ...]:
    """Return the notes on intervals that are counted in part, where one of them is drawn."""
    begins = {clock.place(begin) for begin in parts.begins}
    shown = any(row["x"] in begins and (part or row.get("w") is not None) for row in rows)
    return tuple(parts.notes) if shown else ()


# Without time


@dataclass(frozen=True, slots=True)
class _Bar:
    """One figure of a group, and the row that it stands in."""

    lead: str
    column: Column
    value: Cell
    place: int

    @property
    def name(self) -> str:
        """The series' name."""
        return self.column.name

    @property
    def text(self) -> str:
        """The figure as text."""
        return shape_cell(self.value, self.column.unit, exact=self.column.in_full)


def _build_bars(named: list[_Bar], unit: str, drills: Sequence[str], *, single: bool) -> Chart:
    if all(not one.lead for one in named):
        return Chart(figures=[Figure(one.name, one.text) for one in named])
    groups = Groups()
    for one in named:
        groups.add(one.name, show_line(one.name))
    rows: list[dict[str, Any]] = []
    for one in named[:MAX_BARS]:
        key = groups.key(one.name) or f"s{MAX_SERIES - 1}"
        label = one.lead + ("" if single else f" · {show_line(one.name)}")
        bar = {"r": f"r{len(rows)}", "k": key, "y": one.value, "label": label, "figure": one.text}
        rows.append(lead_on(bar, drills, one.place))
    notes = bar_notes(len(named), MAX_BARS)
    text = describe_bars(rows)
    labels = [] if single else groups.labels
    look: dict[str, Any] = {"unit": unit, "flat": find_flat(rows)}
    return Chart(build_bar_spec(len(rows), **look), rows, labels, "", unit, text, notes, bars=look)


def _build_ratio_bars(question: Ratio, answer: Answer, drills: Sequence[str]) -> Chart | None:
    vague = 0
    rows: list[dict[str, Any]] = []
    if not question.breakdown:
        _, below, ratio, low, high = answer.rows[0]
        figure, interval = _write_ratio(ratio, low, high)
        between = f"95 %: {interval}, " if interval else ""
        return Chart(figures=[Figure("ratio", figure, f"{between}n = {_shape_n(question, below)}")])
    for place, row in enumerate(answer.rows[:MAX_BARS]):
        below, ratio, low, high = row[-4:]
        figure = f"{_write_ratio(ratio, low, high)[0]} · n = {_shape_n(question, below)}"
        if is_vague(low, high):
            vague += 1
            ratio = low = high = None
            figure += " · too few to draw"
        label = row_label(*_split_lead(question, row))
        spread = {"y": ratio, "low": low, "high": high, "label": label, "figure": figure}
        rows.append(lead_on({"r": f"r{len(rows)}", "k": "s0", **spread}, drills, place))
    if not vague and all(row["y"] is None for row in rows):
        return None
    notes = [*bar_notes(len(answer.rows), MAX_BARS), *vague_notes(vague, WIDEST_INTERVAL)]
    text = describe_bars(rows)
    look: dict[str, Any] = {"unit": "ratio", "spread": True, "flat": find_flat(rows)}
    return Chart(build_bar_spec(len(rows), **look), rows, [], "", "ratio", text, notes, bars=look)


def _write_ratio(ratio: Cell, low: Cell, high: Cell) -> tuple[str, str]:
    """Write a ratio and its interval."""
    return write_estimate(read_number(ratio), read_number(low), read_number(high), "ratio")


def _shape_n(question: Ratio, below: Cell) -> str:
    """Write what a ratio was divided by."""
    return shape_cell(below, exact=question.denominator.measure.op in ("sum", *COUNTED))


def _build_funnel(question: Funnel, answer: Answer, choose: ChooseKeys, drills: Sequence[str]) -> Chart:
    width = len(question.breakdown)
    groups = Groups(choose, ",".join(question.breakdown))
    for row in answer.rows:
        groups.add(repr(row[:width]), group_label(row[:width]) if width else "reached")
    rows: list[dict[str, Any]] = []
    steps = len(question.steps)
    # Step by step, so that groups stand beside each other where they are compared.
    ordered = [place for step in range(steps) for place in range(step, len(answer.rows), steps)]
    before: dict[str, int] = {}
    first: dict[str, int] = {}
    said = []
    for at in ordered:
        row = answer.rows[at]
        identity = repr(row[:width])
        key = groups.key(identity)
        number, name, reached, _, _, seconds = row[width:]
        if key is None or not isinstance(reached, int):
            continue
        label = f"{number}. {show_line(name)}" + (f" · {group_label(row[:width])}" if width else "")
        figure, more = shape_count(reached), ""
        if identity in first:
            figure += f" · {write_conversion(reached, first[identity])}"
            lost = write_conversion(before[identity] - reached, before[identity])
            more = f"{lost} lost since the step before"
            more += f" · median {shape_duration(seconds)}" if isinstance(seconds, int | float) else ""
        said.append(describe_step(label, figure, more))
        place = {"r": f"r{len(rows)}", "k": key, "y": reached, "of": before.get(identity, reached)}
        rows.append(lead_on({**place, "label": label, "figure": figure, "more": more}, drills, at))
        before[identity] = reached
        first.setdefault(identity, reached)
    notes = [note.replace("lines", "groups") for note in groups.notes()]
    look: dict[str, Any] = {"unit": "count", "ghost": True, "flat": find_flat(rows, ("y", "of"))}
    spec = build_bar_spec(len(rows), **look)
    text = f"Funnel, {shape_things(len(rows), 'bar')}. " + "; ".join(said) + "."
    return Chart(spec, rows, groups.labels if width else [], "", "count", text, notes, bars=look)


def write_conversion(reached: int, of: int) -> str:
    """Write a share of `of` with the digits that its 95 % interval supports."""
    return write_figure(reached / of, *wilson_interval(reached, of), "ratio") if of else NOTHING


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
    text = f"Received events upwards and what became of them downwards, in {shape_things(len(buckets), 'interval')}; at most {busiest:,} in one."
    return Chart(BALANCE_SPEC, rows, labels, "balance", "count", text)
