"""A metric: a named question with an owner and a unit, as it stands in a file.

The kinds of metric are the members of `Metric`; each turns into a question of the queries' room by `build`, given
the time and what somebody filters and breaks down by; `questions` are all that its figures are made of, with n and the
interval. A formula is made of other metrics and has none of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Literal

import msgspec

from tallymark.errors import RequestRefused
from tallymark.plan.expression import parse_expression
from tallymark.plan.words import MAX_TAGS, TIME_PATTERN, Name, Prose, ShortText, refuse
from tallymark.queries.fields import SKETCH
from tallymark.queries.kinds.funnel import Funnel
from tallymark.queries.kinds.histogram import Histogram, Sample
from tallymark.queries.kinds.ratio import Ratio
from tallymark.queries.kinds.trend import Trend
from tallymark.queries.measures import COUNTED
from tallymark.queries.question import (
    COUNT,
    Filter,
    Filters,
    Interval,
    Measure,
    MeasureOp,
    Selection,
    Series,
    Step,
    Text,
)
from tallymark.queries.result import Cell

# The name of the one figure in the answer to a metric of one series.
FIGURE: Final = "figure"
# And of the number that it stands on.
N: Final = "n"
_COUNT_VALUES: Final = Measure(op="count", field=SKETCH)


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of a metric: a time, how it is cut, and what somebody filters and breaks down by."""

    start: str
    end: str
    interval: Interval | None = None
    timezone: str = "UTC"
    filters: Filters = ()
    breakdown: tuple[str, ...] = ()
    limit: int = 50
    # Whether the groups beyond the limit stand together as one more, and which groups are shown instead of the largest.
    others: bool = False
    groups: tuple[tuple[Cell, ...], ...] = ()

    def grouping(self) -> dict[str, Any]:
        """Return the fields of a question whose figures stand in intervals and groups."""
        return {"interval": self.interval, "others": self.others, "groups": self.groups, **self.parts()}

    def parts(self) -> dict[str, Any]:
        """Return the fields that every question has."""
        return {
            "start": self.start,
            "end": self.end,
            "timezone": self.timezone,
            "breakdown": self.breakdown,
            "limit": self.limit,
        }


class _Common(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    kw_only=True,
    tag_field="kind",
):
    """What every metric says of itself.

    `unit` is what a figure counts or measures (s, min, EUR, ...). `role`: a leaf matters by itself and may page
    someone; an intermediate one explains, and is shown with its `caveat`. Below `minimum_sample` events a figure is
    shown as too uncertain to rely on.
    """

    name: Name
    title: ShortText = ""
    description: Prose = ""
    owner: ShortText = ""
    unit: Annotated[str, msgspec.Meta(max_length=32)] = ""
    better: Literal["up", "down", "neither"] = "up"
    role: Literal["leaf", "intermediate"] = "leaf"
    caveat: Prose = ""
    minimum_sample: Annotated[int, msgspec.Meta(ge=0, le=10**9)] = 0
    tags: Annotated[tuple[Name, ...], msgspec.Meta(max_length=MAX_TAGS)] = ()
    # The time that Prometheus is given the figure of, such as 5m or 1h; '' is not at all.
    scrape: Annotated[str, msgspec.Meta(pattern=TIME_PATTERN)] = ""

    @property
    def figure_unit(self) -> str:
        """The unit of its figures; `ratio` of a share that names none."""
        return self.unit

    @property
    def counted(self) -> str:
        """What n counts."""
        return "events"

    def explain_no_figure(self, *, has_events: bool) -> str:  # noqa: ARG002 - of this kind it does not matter
        """Return why there may be no figure, as a sentence; '' where only missing events leave none.

        `has_events` says that events came of what the figure is made of.
        """
        return ""

    def uses(self) -> tuple[str, ...]:
        """Return the names of the metrics that this one is made of."""
        return ()

    def event_names(self) -> tuple[str, ...]:
        """Return the names of the events that its figures are made of; a formula has none of its own."""
        return ()

    def check(self) -> None:
        """Raise RequestRefused where the fields make no sense together."""
        if self.role == "intermediate" and not self.caveat:
            raise refuse(
                "An intermediate metric needs a caveat: what must nobody conclude from it?", "caveat"
            )


class _OfEvents(_Common, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """A metric that is one figure of some events."""

    OP: ClassVar[MeasureOp]
    event_name: Text
    filters: Filters = ()

    def event_names(self) -> tuple[str, ...]:
        """Return the name of its events."""
        return (self.event_name,)

    def measure(self) -> Measure:
        """Return what is computed of the events."""
        raise NotImplementedError

    def build(self, span: Span) -> Trend:
        """Return the question for a time; its figure stands in the column `FIGURE`."""
        return Trend(
            series=(self._series(FIGURE, self.measure()),),
            filters=span.filters,
            **span.grouping(),
        )

    def questions(self, span: Span) -> tuple[Trend, ...]:
        """Return all that its figures are made of: one question, with the figure first, then n, then the interval."""
        question = self.build(span)
        return (msgspec.structs.replace(question, series=(*question.series, *self.beside())),)

    def beside(self) -> tuple[Series, ...]:
        """Return what is asked beside the figure."""
        return ()

    def _series(self, name: str, measure: Measure, more: Filters = ()) -> Series:
        filters = (*self.filters, *more)
        return Series(event_name=self.event_name, name=name, measure=measure, filters=filters)


class Count(
    _OfEvents, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True, tag="count"
):
    """How many events."""

    def measure(self) -> Measure:
        """Return the measure."""
        return Measure(op="count")


class _OfField(_OfEvents, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """A metric of one field of some events."""

    field: Text = "value"

    def measure(self) -> Measure:
        """Return the measure."""
        return Measure(op=self.OP, field=self.field)

    @property
    def counted(self) -> str:
        """What n counts: the events that have the field; of sketches the values in them."""
        return "values" if self.field == SKETCH else "events"

    def beside(self) -> tuple[Series, ...]:
        """Return n."""
        if self.field == SKETCH:
            return (self._series(N, _COUNT_VALUES),)
        return (self._series(N, COUNT, (Filter(field=self.field, op="exists"),)),)


class Unique(
    _OfField, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True, tag="unique"
):
    """How many different values a field has, such as sessions."""

    OP: ClassVar[MeasureOp] = "unique"
    field: Text = "session_id"


class _OfNumbers(_OfField, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """A metric of a field's numbers, which have a distribution."""

    def distribution(self, span: Span) -> Histogram:
        """Return the question how the numbers are spread."""
        parts = {name: value for name, value in span.parts().items() if name not in ("breakdown", "limit")}
        sample = Sample(self.event_name, self.field, self.filters)
        return Histogram(of=sample, filters=span.filters, **parts)


class Sum(_OfNumbers, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True, tag="sum"):
    """The sum of a field."""

    OP: ClassVar[MeasureOp] = "sum"


class Average(
    _OfNumbers, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True, tag="average"
):
    """The mean of a field."""

    OP: ClassVar[MeasureOp] = "average"

    def beside(self) -> tuple[Series, ...]:
        """Return n and the standard deviation."""
        deviation = Measure(op="deviation", field=self.field)
        return (*_OfNumbers.beside(self), self._series("deviation", deviation))


class Gauge(
    _OfNumbers, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True, tag="gauge"
):
    """The last value of a field in each interval."""

    OP: ClassVar[MeasureOp] = "last"


class Quantile(
    _OfNumbers, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True, tag="quantile"
):
    """A quantile of a field: 0.5 is the median. What timers are asked for."""

    OP: ClassVar[MeasureOp] = "quantile"
    q: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.5

    def measure(self) -> Measure:
        """Return the measure."""
        return Measure(op="quantile", field=self.field, q=self.q)

    def beside(self) -> tuple[Series, ...]:
        """Return n and the ends of the interval."""
        low, high = (msgspec.structs.replace(self.measure(), bound=end) for end in ("low", "high"))
        return (*_OfNumbers.beside(self), self._series("low", low), self._series("high", high))


class Rate(_Common, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True, tag="ratio"):
    """One selection of events divided by another."""

    numerator: Selection
    denominator: Selection
    filters: Filters = ()

    @property
    def figure_unit(self) -> str:
        """The unit of its figures."""
        return self.unit or "ratio"

    def event_names(self) -> tuple[str, ...]:
        """Return the names of both sides' events."""
        return tuple(dict.fromkeys((self.numerator.event_name, self.denominator.event_name)))

    def explain_no_figure(self, *, has_events: bool) -> str:
        """Return why there is no figure, as a sentence; '' where neither side had events."""
        return "The denominator is 0." if has_events else ""

    @property
    def is_share(self) -> bool:
        """Whether both sides are numbers of something, so that the figure is a part of a whole."""
        sides = (self.numerator.measure, self.denominator.measure)
        return all(one.op in COUNTED and one.field != SKETCH for one in sides)

    def build(self, span: Span) -> Ratio:
        """Return the question for a time."""
        return Ratio(
            numerator=self.numerator,
            denominator=self.denominator,
            filters=(*self.filters, *span.filters),
            **span.grouping(),
        )

    def questions(self, span: Span) -> tuple[Ratio | Trend, ...]:
        """Return all that its figures are made of: the ratio, and where its denominator is no number of anything, n.

        n is in the last column of the second answer. With the numerator's events beside them groups have the same order
        in both.
        """
        ratio = self.build(span)
        if self.denominator.measure.op in COUNTED:
            return (ratio,)
        sides = tuple(
            Series(
                event_name=one.event_name,
                name=name,
                measure=_COUNT_VALUES if one.measure.field == SKETCH else COUNT,
                filters=one.filters,
            )
            for name, one in (("numerator", self.numerator), (N, self.denominator))
        )
        return ratio, Trend(series=sides, filters=ratio.filters, **span.grouping())


class Conversion(
    _Common, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True, tag="funnel"
):
    """The share that reaches a step of a funnel, of those at the first step or at the step before."""

    by: Text
    window: Text
    steps: Annotated[tuple[Step, ...], msgspec.Meta(min_length=2, max_length=10)]
    # Counted from 1; 0 is the last.
    step: Annotated[int, msgspec.Meta(ge=0, le=10)] = 0
    of: Literal["first", "previous"] = "first"
    filters: Filters = ()

    @property
    def figure_unit(self) -> str:
        """The unit of its figures."""
        return self.unit or "ratio"

    def event_names(self) -> tuple[str, ...]:
        """Return the names of the steps' events."""
        return tuple(dict.fromkeys(step.event_name for step in self.steps))

    @property
    def measured_step(self) -> int:
        """The step whose conversion is the figure, from 1."""
        return self.step or len(self.steps)

    def check(self) -> None:
        """Raise RequestRefused where the fields make no sense together."""
        _Common.check(self)
        if not 2 <= self.measured_step <= len(self.steps):
            raise refuse(f"step is 2 to {len(self.steps)}, or absent for the last; not {self.step}.", "step")

    def build(self, span: Span) -> Funnel:
        """Return the question for a time, which is not cut into intervals."""
        return Funnel(
            by=self.by,
            window=self.window,
            steps=self.steps,
            filters=(*self.filters, *span.filters),
            **span.parts(),
        )

    def questions(self, span: Span) -> tuple[Funnel, ...]:
        """Return all that its figures are made of."""
        return (self.build(span),)


class Formula(
    _Common, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True, tag="formula"
):
    """Arithmetic over other metrics: `revenue / sign_ups`, with + - * / and parentheses."""

    expression: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]

    def explain_no_figure(self, *, has_events: bool) -> str:  # noqa: ARG002 - its parts may have none for reasons of theirs
        """Return why there may be no figure although events came, as a sentence."""
        if parse_expression(self.expression).divides:
            return "A part has no figure, or there is a division by zero."
        return "A part has no figure."

    def uses(self) -> tuple[str, ...]:
        """Return the names of the metrics that the expression needs."""
        return parse_expression(self.expression).names

    def missing(self, name: str) -> RequestRefused:
        """Build the error for a part that there is not, or not any more."""
        return refuse(
            f"The formula {self.name!r} needs the metric {name!r}, which there is not.", "expression"
        )

    def check(self) -> None:
        """Raise RequestRefused where the expression cannot be read or names no metric."""
        _Common.check(self)
        if not self.uses():
            raise refuse("The expression names no metric.", "expression")


Metric = Count | Unique | Sum | Average | Gauge | Quantile | Rate | Conversion | Formula

KIND: Final = "metric"
PLURAL: Final = "metrics"
# The kinds whose numbers have a distribution.
OfNumbers = Sum | Average | Gauge | Quantile
# A time to try a definition with; any will do.
_TRIAL: Final = Span(start="2026-01-01", end="2026-01-02", interval="day")


def check(metric: Metric, others: Mapping[str, Metric]) -> None:
    """Raise RequestRefused for a metric that could not be asked; `others` are the project's, by name.

    Paths in errors are the metric's own.
    """
    metric.check()
    if isinstance(metric, Formula):
        _check_uses(metric, others)
        return
    # What is asked when somebody looks: also what n and the interval need.
    for question in metric.questions(_TRIAL):
        question.build_sql("", question.period(), exact=True)


def _check_uses(metric: Formula, others: Mapping[str, Metric]) -> None:
    """Raise RequestRefused for names that are no metrics, and for formulas that go in a circle."""
    for name in metric.uses():
        if name not in others:
            raise refuse(f"There is no metric {name!r}.", "expression")
        if isinstance(others[name], Conversion):
            raise refuse(
                f"{name!r} is a funnel, which has no figure per interval: formulas cannot use it.",
                "expression",
            )
    path = _find_circle(metric, others, (metric.name,))
    if path:
        raise refuse(f"The formulas go in a circle: {' → '.join(path)}.", "expression")


def _find_circle(metric: Metric, others: Mapping[str, Metric], path: tuple[str, ...]) -> tuple[str, ...]:
    for name in metric.uses():
        if name in path:
            return (*path[path.index(name) :], name)
        inner = others.get(name)
        found = _find_circle(inner, others, (*path, name)) if inner is not None else ()
        if found:
            return found
    return ()
