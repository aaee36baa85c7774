"""Questions and charts in words: the heading of an answer, and what a picture shows for who cannot see it.

It also says which intervals of a picture are counted in part. `charts.py` and panels call it; what it returns is plain text.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from tallymark.metrics.digits import EXACT, write_figure
from tallymark.queries.grid import OfTime
from tallymark.queries.kinds import Question
from tallymark.queries.kinds.change import Change
from tallymark.queries.kinds.histogram import Histogram
from tallymark.queries.kinds.ratio import Ratio
from tallymark.queries.kinds.trend import Trend
from tallymark.queries.period import Bucket, Period
from tallymark.queries.question import Measure
from tallymark.web.chart_times import Clock
from tallymark.web.shapes import shape_things


def describe_question(question: Question) -> str:
    """Return a question in one line, as the heading of its answer."""
    if isinstance(question, Trend):
        text = ", ".join(
            series.name or _measure(series.measure, series.event_name) for series in question.series
        )
    elif isinstance(question, Change):
        text = f"change of {question.numerator.event_name}, split by {', '.join(question.dimensions)}"
    elif isinstance(question, Histogram):
        text = f"histogram of {question.of.field} of {question.of.event_name}"
    elif isinstance(question, Ratio):
        above, below = question.numerator, question.denominator
        text = f"{_measure(above.measure, above.event_name)} per {_measure(below.measure, below.event_name)}"
    else:
        steps = ", then ".join(step.name or step.event_name for step in question.steps)
        text = f"{steps}: per {question.by}, within {question.window}"
    if question.breakdown:
        text += f" by {', '.join(question.breakdown)}"
    interval = question.interval if isinstance(question, OfTime) else None
    return f"{text}, each {interval}" if interval else text


def _measure(measure: Measure, event: str) -> str:
    if measure.op == "count":
        return event
    op = f"{measure.q:g} quantile" if measure.q is not None else measure.op
    return f"{op} of {measure.field} of {event}"


def describe_lines(
    labels: list[tuple[str, str]],
    rows: list[dict[str, Any]],
    interval: str,
    unit: str,
    clock: Clock,
    *,
    exact: bool = False,
) -> str:
    """Return one sentence per line. `labels` are (key, name), rows have `k`, `x` (a place of the clock) and `y`.

    `exact` says that figures are written in full.
    """
    sentences = [f"Line chart, one point per {interval}."]
    for key, name in labels:
        points = [row for row in rows if row["k"] == key and row["y"] is not None]
        if not points:
            parts = any(row["k"] == key and row.get("p") is not None for row in rows)
            sentences.append(f"{name}: counted in part only." if parts else f"{name}: no values.")
            continue
        ends = [pick(points, key=lambda row: (row["y"], row["x"])) for pick in (min, max)]
        low, high, last = (_write_point(row, unit, exact=exact) for row in (*ends, points[-1]))
        sentences.append(
            f"{name}: {shape_things(len(points), 'point')}, lowest {low} at {clock.write(ends[0]['x'])},"
            f" highest {high} at {clock.write(ends[1]['x'])}, last {last}."
        )
    return " ".join(sentences)


def _write_point(row: dict[str, Any], unit: str, *, exact: bool) -> str:
    shown = "ratio" if unit == "ratio" else ""
    return write_figure(row["y"], row.get("low"), row.get("high"), shown, EXACT if exact else None)


def describe_bars(rows: list[dict[str, Any]]) -> str:
    """Return the bars from top to bottom; rows have `label` and `figure`."""
    bars = "; ".join(f"{row['label']}: {row['figure']}" for row in rows)
    return f"Bar chart, {shape_things(len(rows), 'bar')}. {bars}."


def describe_step(label: str, figure: str, more: str) -> str:
    """Return a step of a funnel: how many reached it, what share of the first, what was lost, how long it took."""
    reached, _, share = figure.partition(" · ")
    words = [f"{label}: {reached} reached it"]
    if share:
        words.append(f"{share} of the first step")
    if more:
        lost, _, median = more.partition(" · ")
        words.append(lost)
        words += [f"{median} from it to here"] if median else []
    return ", ".join(words)


def vague_notes(vague: int, widest: float) -> list[str]:
    """Say how many rates are not in the picture; `widest` is the length of an interval up to which they would be."""
    if not vague:
        return []
    rest, their, are = ("rests", "its", "it is") if vague == 1 else ("rest", "their", "they are")
    note = (
        f"{shape_things(vague, 'rate')} {rest} on so few events that {their} 95 % interval is wider than"
        f" {widest * 100:.0f} percentage points: {are} in the table, not in the chart."
    )
    return [note]


def bar_notes(count: int, most: int) -> list[str]:
    """Say how many groups are not in the picture, which has at most so many."""
    if count <= most:
        return []
    return [f"The chart shows the first {most} of {count:,} groups; the table has all."]


# Times


@dataclass(frozen=True, slots=True)
class Parts:
    """Intervals of which a time holds only a part: their begins (local times of the zone), and a sentence for each."""

    begins: tuple[datetime, ...] = ()
    notes: tuple[str, ...] = ()


WHOLE: Final = Parts()
_MOMENT: Final = timedelta(microseconds=1)
# Reaches into the interval after one, and not over hundreds.
_LONGER_THAN_ONE: Final = {
    "minute": timedelta(minutes=3),
    "hour": timedelta(hours=3),
    "day": timedelta(days=3),
    "week": timedelta(days=15),
}


def find_parts(period: Period, now: datetime | None = None) -> Parts:
    """Return the intervals at the begin and the end of a time that are counted in part.

    `now`, where it is given, ends what can have been counted.
    """
    if not period.interval or period.is_empty or (now is not None and now <= period.start):
        return WHOLE
    end = period.end if now is None else min(period.end, now)
    first, last = _interval_of(period, period.start), _interval_of(period, end - _MOMENT)
    starts_inside = first.start < period.start
    ends_inside = _interval_of(period, end).key == last.key
    found = []
    if first.key == last.key:
        found = [("only", first, period.start)] if starts_inside or ends_inside else []
    else:
        found += [("first", first, period.start)] if starts_inside else []
        whose = "last" if _interval_of(period, period.end - _MOMENT).key == last.key else "present"
        found += [(whose, last, last.start)] if ends_inside else []
    notes = []
    for whose, bucket, begin in found:
        until = _interval_end(period, bucket, end)
        covered = _days(begin.astimezone(period.zone), until.astimezone(period.zone), period.interval)
        notes.append(f"The {whose} {period.interval} is counted in part: {covered}.")
    return Parts(tuple(bucket.start for _, bucket, _ in found), tuple(notes))


def _interval_of(period: Period, time: datetime) -> Bucket:
    """Return the interval that holds a time."""
    return Period(time, time + _MOMENT, period.interval, period.zone).buckets[0]


def _interval_end(period: Period, bucket: Bucket, end: datetime) -> datetime:
    """Return where an interval ends, at most `end`."""
    near = min(end, bucket.start + _LONGER_THAN_ONE.get(period.interval, timedelta(days=800)))
    following = Period(bucket.start, near, period.interval, period.zone).buckets[1:2]
    return following[0].start if following else end


def _days(begin: datetime, end: datetime, interval: str) -> str:
    """Return what an interval holds: Tue to Sun, 1 Nov to 23 Nov 14:05, 09:00 to 09:45; `end` is exclusive."""
    midnight = (end.hour, end.minute, end.second) == (0, 0, 0)
    if interval in ("minute", "hour", "day"):
        clock = "%H:%M:%S" if interval == "minute" else "%H:%M"
        return f"{begin:{clock}} to {'24:00' if midnight else f'{end:{clock}}'}"
    day = "%a" if interval == "week" else "%-d %b"
    first = f"{begin:{day}}" + (f" {begin:%H:%M}" if (begin.hour, begin.minute) != (0, 0) else "")
    last = f"{end - _MOMENT:{day}}" + ("" if midnight else f" {end:%H:%M}")
    return first if first == last else f"{first} to {last}"
