"""From a metric and a time to figures: one row per interval and group, with n, a 95 % interval and what must be said.

Whatever the kind of metric, the table is the same: `time` (with an interval), the breakdown, `figure`, `n`, `low`,
`high`, `enough`. `n` is the number of events (of sketches their values, of a share whatever it is of) behind a figure;
`enough` is false below the metric's minimum sample. Formulas ask their parts and join them row by row.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from tallymark.metrics.digits import EXACT, Sample
from tallymark.metrics.intervals import mean_interval
from tallymark.plan.expression import Expression, parse_expression
from tallymark.plan.kinds.metric import (
    FIGURE,
    Average,
    Conversion,
    Count,
    Formula,
    Gauge,
    Metric,
    N,
    Quantile,
    Rate,
    Span,
    Sum,
    Unique,
)
from tallymark.queries.fields import SKETCH
from tallymark.queries.kinds import Question
from tallymark.queries.kinds.ratio import wilson_interval
from tallymark.queries.local_time import write_moment
from tallymark.queries.measures import SKETCH_ACCURACY
from tallymark.queries.period import build_period
from tallymark.queries.result import Answer, Cell, Column, Cost

# Asks one question and returns its answer; what stands behind it may remember answers.
Ask = Callable[[Question], Answer]

_TAIL: Final = (FIGURE, N, "low", "high", "enough")


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure: its value, the events behind it, its interval; None where there is none."""

    value: float | int | None
    n: int | None = None
    low: float | None = None
    high: float | None = None
    # Whether what it is made of stands on enough events, where it is made of other figures.
    enough: bool = True
    # Whether a double carries it exactly: not all that is reckoned or added up.
    carried: bool = True
    # Where there is no figure and n is 0: whether there were events all the same, such as those of a ratio's numerator.
    came: bool = False

    @property
    def has_events(self) -> bool:
        """Whether there were any events of what the figure is made of."""
        return bool(self.n) or bool(self.value) or self.came


NOTHING: Final = Figure(None)
Lead = tuple[Cell, ...]


class Figures(msgspec.Struct, frozen=True):
    """A metric's figures: `columns` are those of the rows, `unit` that of the figures.

    `start` and `end` are the time that they are for (ISO 8601 with offset; the end is exclusive). What was counted, added
    up or read is no `estimate`; it is `exact` where a double carries all of its digits.
    """

    metric: str
    unit: str
    columns: tuple[Column, ...]
    rows: list[list[Cell]]
    notes: list[str]
    statistics: Cost
    start: str = msgspec.field(name="from", default="")
    end: str = msgspec.field(name="to", default="")
    exact: bool = False
    estimate: bool = True

    def sample_of(self, row: Sequence[Cell]) -> Sample:
        """Return what limits the digits of a row's figure where it has no interval (see `digits`)."""
        if not self.estimate:
            return EXACT
        n = row[-4]
        return n if isinstance(n, int) else None


@dataclass(frozen=True, slots=True)
class _Found:
    """Figures by their time and breakdown, in the order of the answer."""

    lead: tuple[Column, ...]
    figures: dict[Lead, Figure]
    notes: list[str]
    cost: Cost
    # Whether the answer's figures are exact, and whether they are no estimates, of a metric that is none by its kind.
    exact: bool = True
    in_full: bool = True


def ask_metric(metric: Metric, span: Span, ask: Ask, others: Mapping[str, Metric]) -> Figures:
    """Ask a metric; `others` are the project's metrics by name, for formulas.

    Raises RequestRefused as `run_question` does, and `invalid_definition` where a formula's part is gone.
    """
    found = _find(metric, span, ask, others)
    unit = metric.figure_unit
    columns = (
        *found.lead,
        Column(FIGURE, "number", unit),
        Column(N, "integer", metric.counted),
        Column("low", "number", unit),
        Column("high", "number", unit),
        Column("enough", "boolean"),
    )
    rows: list[list[Cell]] = [
        [*lead, one.value, one.n, one.low, one.high, is_enough(metric, one)]
        for lead, one in found.figures.items()
    ]
    notes = [*_caveats(metric, others), *found.notes]
    weak = [one for one in found.figures.values() if one.n and not is_enough(metric, one)]
    if weak:
        # A part's minimum may be higher than the formula's own.
        is_own = all(one.n is not None and one.n < metric.minimum_sample for one in weak)
        notes.append(
            f"{len(weak):,} of {len(rows):,} figures stand on too few events to rely on"
            + (f": fewer than {metric.minimum_sample:,}." if is_own else ".")
        )
    period = build_period(span.start, span.end, "", span.timezone)
    start, end = (write_moment(moment, period.zone) for moment in (period.start, period.end))
    in_full = found.in_full and is_in_full(metric, others)
    exact = found.exact and in_full
    return Figures(
        metric.name, unit, columns, rows, notes, found.cost, start, end, exact=exact, estimate=not in_full
    )


def find_figures(
    metric: Metric, span: Span, ask: Ask, others: Mapping[str, Metric]
) -> tuple[dict[Lead, Figure], bool]:
    """Return a metric's figures by time and breakdown, and whether they are no estimates; raises as `ask_metric` does.

    Whether the metric's own minimum sample is reached is not looked at.
    """
    found = _find(metric, span, ask, others)
    return found.figures, found.in_full and is_in_full(metric, others)


def is_enough(metric: Metric, figure: Figure) -> bool:
    """Whether a figure stands on enough events for the metric, and for its parts."""
    return figure.enough and (figure.n is None or figure.n >= metric.minimum_sample)


def is_in_full(metric: Metric, others: Mapping[str, Metric]) -> bool:
    """Whether a metric is what is counted, added up or read; a quotient is an estimate, also of such figures.

    Such figures are written in full, unless their answer says that they were only estimated (`Figures.estimate`). A formula
    is no better than its parts, which are among `others`.
    """
    if isinstance(metric, Formula):
        return not parse_expression(metric.expression).divides and all(
            name in others and is_in_full(others[name], others) for name in metric.uses()
        )
    return isinstance(metric, Count | Unique | Gauge) or (isinstance(metric, Sum) and metric.field != SKETCH)


def _caveats(metric: Metric, others: Mapping[str, Metric]) -> list[str]:
    """Return what nobody must conclude from a metric, and from those that it is made of."""
    own = [f"An intermediate metric: {metric.caveat}"] if metric.role == "intermediate" else []
    for name in metric.uses():
        if name in others:
            own += [f"{name}: {caveat}" for caveat in _caveats(others[name], others)]
    return own


def _find(metric: Metric, span: Span, ask: Ask, others: Mapping[str, Metric]) -> _Found:
    return _FINDERS[type(metric)](metric, span, ask, others)


# One finder for each kind of metric


def _find_plain(
    metric: Count | Unique | Sum | Gauge, span: Span, ask: Ask, _: Mapping[str, Metric]
) -> _Found:
    """Find a figure that has no interval: it is what was counted, not an estimate."""
    (question,) = metric.questions(span)
    answer = ask(question)
    if isinstance(metric, Count):
        return _collect(answer, 1, lambda cells: Figure(cells[0], _whole(cells[0])))
    return _collect(answer, 2, lambda cells: Figure(cells[0], _whole(cells[1])))


def _find_average(metric: Average, span: Span, ask: Ask, _: Mapping[str, Metric]) -> _Found:
    """Find a mean with the interval of its standard error, and of a sketch's own error."""
    (question,) = metric.questions(span)
    error = SKETCH_ACCURACY if metric.field == SKETCH else 0.0
    return _collect(
        ask(question),
        3,
        lambda cells: Figure(
            cells[0], _whole(cells[1]), *mean_interval(cells[0], cells[2], cells[1], error=error)
        ),
    )


def _find_quantile(metric: Quantile, span: Span, ask: Ask, _: Mapping[str, Metric]) -> _Found:
    """Find a quantile between two order statistics."""
    (question,) = metric.questions(span)
    return _collect(
        ask(question), 4, lambda cells: Figure(cells[0], _whole(cells[1]), *_both(cells[2], cells[3]))
    )


def _find_ratio(metric: Rate, span: Span, ask: Ask, _: Mapping[str, Metric]) -> _Found:
    """Find a share with Wilson's interval, or a ratio of sums with the delta method's."""
    first, *more = metric.questions(span)
    found = _collect(
        ask(first),
        5,
        lambda cells: Figure(
            cells[2], _whole(cells[1]), cells[3], cells[4], came=not cells[1] and bool(cells[0])
        ),
    )
    for question in more:
        # What the denominator adds up is no sample size: what stands behind it was counted.
        counted = _collect(
            ask(question), 2, lambda cells: Figure(cells[1], came=not cells[1] and bool(cells[0]))
        )
        figures = {}
        for lead, one in found.figures.items():
            of = counted.figures.get(lead, NOTHING)
            figures[lead] = replace(one, n=_whole(of.value), came=of.came)
        found = _Found(found.lead, figures, found.notes, _add(found.cost, counted.cost))
    return found


def _find_conversion(metric: Conversion, span: Span, ask: Ask, _: Mapping[str, Metric]) -> _Found:
    """Find the conversion of one step of a funnel, over the whole time."""
    (question,) = metric.questions(span)
    answer = ask(question)
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
    """Do arithmetic over other metrics' figures of the same time and group; n is the smallest of theirs.

    Groups are the largest of the first part that has any; the others are asked for the same ones.
    """
    expression = parse_expression(metric.expression)
    metrics = {name: _part(metric, name, others) for name in expression.names}
    parts: dict[str, _Found] = {}
    for name, part in metrics.items():
        parts[name] = found = _find(part, span, ask, others)
        if span.breakdown and not span.groups:
            span = msgspec.structs.replace(span, groups=_groups_of(found.figures, span))
    leads = {_whole_lead(lead, span): lead for part in reversed(parts.values()) for lead in part.figures}
    order = dict.fromkeys(_whole_lead(lead, span) for part in parts.values() for lead in part.figures)
    columns = {
        name: {_whole_lead(lead, span): one for lead, one in part.figures.items()}
        for name, part in parts.items()
    }
    figures = {}
    no_figure = 0
    for lead in order:
        row = {name: columns[name].get(lead) or find_absent(part, others) for name, part in metrics.items()}
        figures[leads[lead]] = figure = _combine(expression, metrics, row)
        no_figure += figure.value is None and all(one.value is not None for one in row.values())
    notes = [f"{name}: {note}" for name, part in parts.items() for note in part.notes]
    if no_figure:
        notes.append(
            f"In {no_figure:,} of {len(figures):,} rows there is a division by zero, or a number beyond the largest"
            " that can be written: there is no figure."
        )
    cost = functools.reduce(_add, (part.cost for part in parts.values()))
    longest = max(parts.values(), key=lambda part: len(part.lead))
    exact = all(part.exact for part in parts.values()) and all(one.carried for one in figures.values())
    in_full = all(part.in_full for part in parts.values())
    return _Found(longest.lead, figures, notes, cost, exact, in_full)


def _combine(expression: Expression, metrics: Mapping[str, Metric], row: Mapping[str, Figure]) -> Figure:
    """Return a formula's figure, given those of its parts."""
    samples = [one.n for one in row.values() if one.n is not None]
    value, carried = expression.evaluate({name: one.value for name, one in row.items()})
    enough = all(is_enough(metrics[name], one) for name, one in row.items())
    n = min(samples) if samples else None
    came = not n and not value and any(one.has_events for one in row.values())
    return Figure(value, n, enough=enough, carried=carried, came=came)


def list_groups(figures: Figures, span: Span) -> tuple[Lead, ...]:
    """Return the groups of some figures, in their order, without that of all others."""
    width = len([column for column in figures.columns if column.name not in _TAIL])
    return _groups_of([tuple(row[:width]) for row in figures.rows], span)


def _groups_of(leads: Iterable[Lead], span: Span) -> tuple[Lead, ...]:
    width = len(span.breakdown)
    single = [lead[:-1] if span.others else lead for lead in leads if not _gathers(lead, span)]
    return tuple(dict.fromkeys(lead[len(lead) - width :] for lead in single))


def _whole_lead(lead: Lead, span: Span) -> Lead:
    """Return a lead by which rows of several answers meet: how many groups stand together differs between them."""
    return (*lead[:-1], _gathers(lead, span)) if span.others and span.breakdown else lead


def _gathers(lead: Lead, span: Span) -> bool:
    last = lead[-1] if lead and span.others and span.breakdown else 1
    return isinstance(last, int) and last > 1


def find_absent(metric: Metric, others: Mapping[str, Metric]) -> Figure:
    """Return the figure of a metric of which an answer says nothing: no events are a count and a sum of 0.

    A formula, whose parts are among `others`, is made of what its parts are then.
    """
    if isinstance(metric, Formula):
        expression = parse_expression(metric.expression)
        metrics = {name: _part(metric, name, others) for name in expression.names}
        return _combine(
            expression, metrics, {name: find_absent(part, others) for name, part in metrics.items()}
        )
    return Figure(0, 0) if isinstance(metric, Count | Sum | Unique) else NOTHING


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


# Parts of answers


def _collect(answer: Answer, width: int, build: Callable[[list[Any]], Figure]) -> _Found:
    """Return an answer's rows as figures; its last `width` columns are what `build` gets."""
    split = len(answer.columns) - width
    figures = {tuple(row[:split]): build(row[split:]) for row in answer.rows}
    column = answer.columns[split]
    return _Found(
        answer.columns[:split],
        figures,
        list(answer.notes),
        answer.statistics,
        exact=column.exact is True,
        in_full=column.in_full,
    )


def _both(low: float | None, high: float | None) -> tuple[float | None, float | None]:
    """Return an interval, or none where one of its ends lies beyond what there is."""
    return (None, None) if low is None or high is None else (low, high)


def _whole(value: Any) -> int | None:
    return None if value is None else round(value)


def _add(one: Cost, other: Cost) -> Cost:
    return Cost(round(one.elapsed_ms + other.elapsed_ms, 3))
