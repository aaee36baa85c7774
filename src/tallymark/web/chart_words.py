"""Questions and charts in words: the heading of an answer, and what a picture shows for who cannot see it.

`charts.py` calls it; what it returns is plain text.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tallymark.queries.grid import OfTime
from tallymark.queries.kinds import Question
from tallymark.queries.kinds.change import Change
from tallymark.queries.kinds.histogram import Histogram
from tallymark.queries.kinds.ratio import Ratio
from tallymark.queries.kinds.trend import Trend
from tallymark.queries.question import Measure
from tallymark.web.shapes import shape_cell


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


def _date(milliseconds: int) -> str:
    time = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return f"{time:%Y-%m-%d}" if time.hour == time.minute == 0 else f"{time:%Y-%m-%d %H:%M}"
