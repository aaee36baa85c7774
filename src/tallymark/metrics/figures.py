"""From a metric and a time to figures: one row per interval and group, with n, a 95 % interval and what must be said.

Whatever the kind of metric, the table is the same: `time` (with an interval), the breakdown, `figure`, `n`, `low`,
`high`, `enough`. `n` is the number of events (or of whatever a share is of) behind a figure; `enough` is false below
the metric's minimum sample. Formulas ask their parts and join them row by row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from tallymark.metrics.intervals import mean_interval
from tallymark.plan.expression import parse_expression
from tallymark.plan.kinds.metric import (
    FIGURE,
    Average,
    Conversion,
    Count,
    Formula,
    Gauge,
    Metric,
    Quantile,
    Rate,
    Span,
    Sum,
    Unique,
)
from tallymark.queries.kinds import Question
from tallymark.queries.kinds.ratio import wilson_interval
from tallymark.queries.kinds.trend import Trend
from tallymark.queries.question import COUNT, MAX_LIMIT, Filter, Filters, Measure, Series
from tallymark.queries.result import Answer, Cell, Column, Cost

# Asks one question and returns its answer; what stands behind it may remember answers.
Ask = Callable[[Question], Answer]

_N: Final = "n"
_COUNTED: Final = frozenset({"count", "unique"})


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure: its value, the events behind it, its interval; None where there is none."""

    value: float | int | None
    n: int | None = None
    low: float | None = None
    high: float | None = None


NOTHING: Final = Figure(None)
Lead = tuple[Cell, ...]


class Figures(msgspec.Struct, frozen=True):
    """A metric's figures: `columns` are those of the rows, `unit` that of the figures."""

    metric: str
    unit: str
    columns: tuple[Column, ...]
    rows: list[list[Cell]]
    notes: list[str]
    statistics: Cost


@dataclass(frozen=True, slots=True)
class _Found:
    """Figures by their time and breakdown, in the order of the answer."""

    lead: tuple[Column, ...]
    figures: dict[Lead, Figure]
    notes: list[str]
    cost: Cost


def unit_of(metric: Metric) -> str:
    """Return the unit of a metric's figures; `ratio` of a share that names none."""
    return metric.unit or ("ratio" if isinstance(metric, (Rate, Conversion)) else "")


def ask_metric(metric: Metric, span: Span, ask: Ask, others: Mapping[str, Metric]) -> Figures:
    """Ask a metric; `others` are the project's metrics by name, for formulas.

    Raises RequestRefused as `run_question` does, and `invalid_definition` where a formula's part is gone.
    """
    found = _find(metric, span, ask, others)
    unit = unit_of(metric)
    columns = (
        *found.lead,
        Column(FIGURE, "number", unit),
        Column(_N, "integer", "events"),
        Column("low", "number", unit),
        Column("high", "number", unit),
        Column("enough", "boolean"),
    )
    rows: list[list[Cell]] = [
        [*lead, one.value, one.n, one.low, one.high, one.n is None or one.n >= metric.minimum_sample]
        for lead, one in found.figures.items()
    ]
    notes = list(found.notes)
    if metric.role == "intermediate":
        notes.insert(0, f"An intermediate metric: {metric.caveat}")
    weak = sum(1 for row in rows if row[-1] is False and row[-4])
    if weak:
        notes.append(
            f"{weak:,} of {len(rows):,} figures stand on fewer than {metric.minimum_sample:,}: too few to rely on."
        )
    return Figures(metric.name, unit, columns, rows, notes, found.cost)


def _find(metric: Metric, span: Span, ask: Ask, others: Mapping[str, Metric]) -> _Found:
    return _FINDERS[type(metric)](metric, span, ask, others)


# One finder for each kind of metric


def _find_plain(
    metric: Count | Unique | Sum | Gauge, span: Span, ask: Ask, _: Mapping[str, Metric]
) -> _Found:
    """Find a figure that has no interval: it is what was counted, not an estimate."""
    if isinstance(metric, Count):
        answer = ask(metric.build(span))
        return _collect(answer, 1, lambda cells: Figure(cells[0], _whole(cells[0])))
    answer = ask(_beside(metric.build(span), _count_with(metric)))
    return _collect(answer, 2, lambda cells: Figure(cells[0], _whole(cells[1])))


def _find_average(metric: Average, span: Span, ask: Ask, _: Mapping[str, Metric]) -> _Found:
    """Find a mean with the interval of its standard error."""
    deviation = _series(metric, "deviation", Measure(op="deviation", field=metric.field))
    answer = ask(_beside(metric.build(span), _count_with(metric), deviation))
    return _collect(
        answer,
        3,
        lambda cells: Figure(cells[0], _whole(cells[1]), *mean_interval(cells[0], cells[2], cells[1])),
    )


def _find_quantile(metric: Quantile, span: Span, ask: Ask, _: Mapping[str, Metric]) -> _Found:
    """Find a quantile between two order statistics."""
    if metric.field == "sketch":
        answer = ask(_beside(metric.build(span), _count_with(metric)))
        return _collect(answer, 2, lambda cells: Figure(cells[0], _whole(cells[1])))
    ends = [
        _series(metric, bound, Measure(op="quantile", field=metric.field, q=metric.q, bound=bound))
        for bound in ("low", "high")
    ]
    answer = ask(_beside(metric.build(span), _count_with(metric), *ends))
    return _collect(answer, 4, lambda cells: Figure(cells[0], _whole(cells[1]), *_both(cells[2], cells[3])))


def _find_ratio(metric: Rate, span: Span, ask: Ask, _: Mapping[str, Metric]) -> _Found:
    """Find a share with Wilson's interval, or a ratio of sums with the delta method's."""
    answer = ask(metric.build(span))
    found = _collect(answer, 5, lambda cells: Figure(cells[2], _whole(cells[1]), cells[3], cells[4]))
    if metric.denominator.measure.op in _COUNTED:
        return found
    # What the denominator adds up is no sample size: count the events behind it. With those of the numerator beside
    # them groups have the same order as above.
    sides = [
        Series(event_name=one.event_name, name=name, measure=COUNT, filters=one.filters)
        for name, one in (("numerator", metric.numerator), (_N, metric.denominator))
    ]
    question = msgspec.structs.replace(
        Trend(series=tuple(sides), interval=span.interval, others=span.others, **span.parts()),
        filters=(*metric.filters, *span.filters),
    )
    counted = _collect(ask(question), 2, lambda cells: Figure(cells[1]))
    figures = {
        lead: Figure(one.value, _whole(counted.figures.get(lead, NOTHING).value), one.low, one.high)
        for lead, one in found.figures.items()
    }
    return _Found(found.lead, figures, found.notes, _add(found.cost, counted.cost))


def _find_conversion(metric: Conversion, span: Span, ask: Ask, _: Mapping[str, Metric]) -> _Found:
    """Find the conversion of one step of a funnel, over the whole time."""
    answer = ask(metric.build(span))
    width = len(span.breakdown)
    reached: dict[Lead, list[int]] = {}
    for row in answer.rows:
        reached.setdefault(tuple(row[:width]), []).append(int(row[width + 2] or 0))
    figures = {}
    for lead, steps in reached.items():
        base = steps[0] if metric.of == "first" else steps[metric.measured_step - 2]
        through = steps[metric.measured_step - 1]
        ends = wilson_interval(through, base) if base else (None, None)
        figures[lead] = Figure(through / base if base else None, base, *ends)
    notes = list(answer.notes)
    if span.interval:
        notes.append("A funnel is counted over the whole time: it is not cut into intervals.")
    return _Found(answer.columns[:width], figures, notes, answer.statistics)


def _find_formula(metric: Formula, span: Span, ask: Ask, others: Mapping[str, Metric]) -> _Found:
    """Do arithmetic over other metrics' figures of the same time and group; n is the smallest of theirs."""
    expression = parse_expression(metric.expression)
    # The largest groups of one part need not be those of another: ask for as many as there may be.
    wide = msgspec.structs.replace(span, limit=MAX_LIMIT, others=False) if span.breakdown else span
    parts = {name: _find(_part(metric, name, others), wide, ask, others) for name in expression.names}
    first = next(iter(parts.values()))
    figures = {}
    for lead in _first_groups(parts.values(), span):
        row = {name: part.figures.get(lead, NOTHING) for name, part in parts.items()}
        samples = [one.n for one in row.values() if one.n is not None]
        value = expression.value({name: one.value for name, one in row.items()})
        figures[lead] = Figure(value, min(samples) if samples else None)
    notes = [f"{name}: {note}" for name, part in parts.items() for note in part.notes]
    cost = first.cost
    for part in list(parts.values())[1:]:
        cost = _add(cost, part.cost)
    return _Found(first.lead, figures, notes, cost)


def _first_groups(parts: Iterable[_Found], span: Span) -> list[Lead]:
    """Return the leads of the first groups, as many as are asked for, in the order of the parts."""
    leads = list(dict.fromkeys(lead for part in parts for lead in part.figures))
    width = len(span.breakdown)
    if not width:
        return leads
    shown = set(list(dict.fromkeys(lead[-width:] for lead in leads))[: span.limit])
    return [lead for lead in leads if lead[-width:] in shown]


def _part(metric: Formula, name: str, others: Mapping[str, Metric]) -> Metric:
    part = others.get(name)
    if part is None:
        raise metric.missing(name)
    return part


_FINDERS: Final[dict[type, Callable[[Any, Span, Ask, Mapping[str, Metric]], _Found]]] = {
    Count: _find_plain,
    Unique: _find_plain,
    Sum: _find_plain,
    Gauge: _find_plain,
    Average: _find_average,
    Quantile: _find_quantile,
    Rate: _find_ratio,
    Conversion: _find_conversion,
    Formula: _find_formula,
}


# Parts of questions and answers


def _beside(question: Trend, *series: Series) -> Trend:
    return msgspec.structs.replace(question, series=(*question.series, *series))


def _count_with(metric: Unique | Sum | Average | Gauge | Quantile) -> Series:
    """Return the series that counts the events which have the metric's field."""
    return _series(metric, _N, COUNT, (Filter(field=metric.field, op="exists"),))


def _series(
    metric: Unique | Sum | Average | Gauge | Quantile, name: str, measure: Measure, more: Filters = ()
) -> Series:
    return Series(event_name=metric.event_name, name=name, measure=measure, filters=(*metric.filters, *more))


def _collect(answer: Answer, width: int, build: Callable[[list[Any]], Figure]) -> _Found:
    """Return an answer's rows as figures; its last `width` columns are what `build` gets."""
    split = len(answer.columns) - width
    figures = {tuple(row[:split]): build(row[split:]) for row in answer.rows}
    return _Found(answer.columns[:split], figures, list(answer.notes), answer.statistics)


def _both(low: float | None, high: float | None) -> tuple[float | None, float | None]:
    """Return an interval, or none where one of its ends lies beyond what there is."""
    return (None, None) if low is None or high is None else (low, high)


def _whole(value: Any) -> int | None:
    return None if value is None else round(value)


def _add(one: Cost, other: Cost) -> Cost:
    return Cost(round(one.elapsed_ms + other.elapsed_ms, 3), one.rows_read + other.rows_read)
