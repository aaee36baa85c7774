"""Change: which values of which fields account for the difference of a figure between two times.

Comes in: the question as it stands in JSON. Goes out: SQL that reads the events once for all fields, and per field its
values by what they contribute. For counts and sums a value's contribution is its own difference; for a ratio it is
split into what its rate changed and what its weight changed. In every field contributions add up to the whole change.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final

import msgspec

from tallymark.queries.fields import SKETCH, Field, Type, parse_breakdown, parse_field
from tallymark.queries.filters import build_filters
from tallymark.queries.grid import group_value
from tallymark.queries.measures import (
    ADDITIVE,
    LARGE,
    build_measure,
    describe_rounded,
    settle_exactly,
    settle_sum,
)
from tallymark.queries.period import Period, build_period
from tallymark.queries.question import COUNT, Asked, Measure, Selection, Text, refuse
from tallymark.queries.result import Cell, Column, Table
from tallymark.queries.sql import Parameters, Statement, build_scope

MAX_DIMENSIONS: Final = 10
_MOST_VALUES: Final = 100_000
_COLUMNS: Final = (
    "dimension",
    "value",
    "values",
    "before",
    "after",
    "n_before",
    "n_after",
    "contribution",
    "share",
    "rate_effect",
    "mix_effect",
)
# What is counted or added up of one that is no ratio.
_SUMMED: Final = tuple(map(_COLUMNS.index, ("before", "after", "contribution")))
_SPLIT: Final = ("count", "sum", "average", "unique")


class Before(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The time that is compared with."""

    start: Text = msgspec.field(name="from")
    end: Text = msgspec.field(name="to")


class Change(Asked, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag="change", kw_only=True):
    """From `before` to the question's own time: what of the figure's change comes from which value of `dimensions`.

    With a `denominator` the figure is numerator divided by denominator. `limit` is the number of values per field;
    the others stand together in one row.
    """

    before: Before
    numerator: Selection
    denominator: Selection | None = None
    dimensions: Annotated[tuple[Text, ...], msgspec.Meta(min_length=1, max_length=MAX_DIMENSIONS)]

    def period(self) -> Period:
        """Return the later time, with what must be said of both. Raises `RequestRefused`."""
        period = build_period(self.start, self.end, "", self.timezone)
        earlier = build_period(self.before.start, self.before.end, "", self.timezone)
        return replace(period, notes=(*period.notes, *earlier.notes))

    def selections(self) -> list[tuple[str, Selection]]:
        """Return what is counted, with paths."""
        named = [("numerator", self.numerator)]
        return named if self.denominator is None else [*named, ("denominator", self.denominator)]

    def has_exact_form(self) -> bool:
        """Whether a figure is exact or approximate depending on the number of rows."""
        return any(selection.measure.op == "unique" for _, selection in self.selections())

    def build_sql(self, project: str, period: Period, *, exact: bool) -> Statement:
        """Build the statement; raises `RequestRefused` for what is not well formed."""
        self._check()
        earlier = build_period(self.before.start, self.before.end, "", self.timezone)
        both = Period(min(earlier.start, period.start), max(earlier.end, period.end), "", period.zone)
        parameters = Parameters(local_seconds=both.local_sql)
        times = _build_times(parameters, earlier, period)
        events = list(dict.fromkeys(selection.event_name for _, selection in self.selections()))
        aggregates = []
        for when in times:
            for at, event, measure, filters, numbers_of in self._figures():
                own = build_filters(filters, f"{at}.filters", parameters)
                if len(events) > 1:
                    own.insert(0, f"event_name = {parameters.text(event)}")
                condition = " AND ".join([when, *own])
                if numbers_of:
                    condition += f" AND isNotNull({parse_field(numbers_of, f'{at}.measure.field').number()})"
                aggregates.append(build_measure(measure, f"{at}.measure", condition, parameters, exact=exact))
        figures = [one.sql for one in aggregates]
        figures += [one.magnitude for one in aggregates if one.magnitude]
        fields = self._fields()
        shared = build_filters(self.filters, "filters", parameters)
        if earlier.end != period.start:
            shared.insert(0, f"({' OR '.join(times)})")
        scope = build_scope(parameters, project, both, events, shared)
        names = [f"v{number}" for number in range(len(fields))]
        texts = [f"{_read_text(field)} AS {name}" for field, name in zip(fields, names, strict=True)]
        # Conditions are computed once per event and not once per field: half of the time of joining an array of values.
        sets = ", ".join(f"({name})" for name in names)
        statement = parameters.statement(
            f"SELECT grouping({', '.join(names)}), {', '.join([*texts, *figures])}\n{scope}\n"
            f"GROUP BY GROUPING SETS ({sets})\nLIMIT {_MOST_VALUES + 1}"
        )
        return replace(statement, denormals=True)

    def shape_result(self, period: Period, rows: list[list[Any]], *, exact: bool) -> Table:
        """Make the table of the statement's rows."""
        del period
        if len(rows) > _MOST_VALUES:
            message = (
                f"The fields have more than {_MOST_VALUES:,} values together. Leave out those that are ids."
            )
            raise refuse(message, "dimensions")
        fields = self._fields()
        found: list[list[_Value]] = [[] for _ in fields]
        # In a row's mask the bits of all fields but its own are set, the first field's the highest.
        width = len(fields)
        places = {(1 << width) - 1 - (1 << (width - 1 - place)): place for place in range(width)}
        for mask, *cells in rows:
            number = places[mask]
            value = group_value(cells[number], fields[number])
            found[number].append(_Value(value, *self._pair(cells[width:])))
        is_ratio = self._is_ratio()
        total = _Sums.of(found[0]) if found[0] else _Sums(0.0, 0.0, 0.0, 0.0)
        if not _is_finite(total) or not all(_is_finite(one) for values in found for one in values):
            note = "A figure before or after is beyond the largest number that can be written: there is no change to explain."
            return Table(self._columns(), [], [note], [])
        split = [_gather(_explain(values, total, is_ratio=is_ratio), self.limit) for values in found]
        order = sorted(
            range(len(fields)), key=lambda number: -_concentration(split[number], total, is_ratio=is_ratio)
        )
        table: list[list[Cell]] = []
        for number in order:
            table += _rows(
                fields[number].name, split[number], total, is_ratio=is_ratio, counted=self._is_counted()
            )
        doubts = [at for place, (at, _) in enumerate(self.selections()) if not total.any(place)]
        doubts += [
            f"dimensions[{number}]"
            for number, values in enumerate(found)
            if values and all(one.value is None for one in values)
        ]
        if None in total.figures(is_ratio=self._is_ratio()):
            # Parts of a change that there is not would be made up.
            table = []
        notes = self._notes(total, exact=exact)
        size = self._find_magnitude(rows, places)
        certain = _is_certain(table, size)
        measure = self.numerator.measure
        if not certain and size >= LARGE and not is_ratio:
            notes.append(describe_rounded(measure.op, measure.field, self.numerator.event_name))
        return Table(self._columns(certain=certain), table, notes, doubts)

    def _find_magnitude(self, rows: list[list[Any]], places: Mapping[int, int]) -> float:
        """Return the sum of all values without their signs, in both times; 0 where no values are added up."""
        first = len(self._fields()) + len(self._figures()) * 2
        return math.fsum(float(cell) for mask, *cells in rows if places[mask] == 0 for cell in cells[first:])

    def _columns(self, *, certain: bool = True) -> tuple[Column, ...]:
        kinds = ["text", "text", "integer", "number", "number", "integer", "integer", *["number"] * 4]
        unit = "ratio" if self.denominator is not None else None
        units = [None, None, None, unit, unit, "events", "events", *[unit] * 4]
        exact = (
            {"before", "after", "contribution"}
            if self.denominator is None and self.numerator.measure.op in ADDITIVE
            else set()
        )
        if self.numerator.measure.field == SKETCH:
            exact = set()
        return tuple(
            Column(name, kind, own, certain if name in exact else msgspec.UNSET)
            for name, kind, own in zip(_COLUMNS, kinds, units, strict=True)
        )

    def _notes(self, total: _Sums, *, exact: bool) -> list[str]:
        before, after = total.figures(is_ratio=self._is_ratio())
        notes = []
        if before is None or after is None:
            notes.append("There is no figure before, or none after: there is no change to explain.")
        if any(selection.measure.op == "unique" for _, selection in self.selections()):
            notes.append(
                "One id can have several values of a field: the contributions then add up to more than the change of"
                " the ids."
            )
            if not exact:
                notes.append("unique is approximate.")
        return notes

    def _check(self) -> None:
        if self.breakdown:
            raise refuse("A change is split by each of its dimensions; it takes no breakdown.", "breakdown")
        # Told by the type too, of a question that was decoded.
        if not 1 <= len(self.dimensions) <= MAX_DIMENSIONS:
            message = f"A change is split by 1 to {MAX_DIMENSIONS} fields, not by {len(self.dimensions)}."
            raise refuse(message, "dimensions")
        for at, selection in self.selections():
            if selection.measure.op not in _SPLIT:
                message = f"{selection.measure.op} cannot be split into parts. Allowed: {', '.join(_SPLIT)}."
                raise refuse(message, f"{at}.measure.op")
            if selection.measure.op == "average" and self.denominator is not None:
                raise refuse("An average is a ratio already: leave out the denominator.", f"{at}.measure.op")
            if selection.measure.op == "average" and selection.measure.field == SKETCH:
                message = "An average of sketch cannot be split into parts: the sum of sketch, or the number of events can."
                raise refuse(message, f"{at}.measure.field")

    def _is_ratio(self) -> bool:
        return self.denominator is not None or self.numerator.measure.op == "average"

    def _is_counted(self) -> bool:
        """Whether the denominator says how many stand behind a figure."""
        if self.denominator is None:
            return self.numerator.measure.op == "average"
        return self.denominator.measure.op in ("count", "unique")

    def _figures(self) -> list[tuple[str, str, Measure, Any, str]]:
        """Return path, event, measure and filters of what is added up; an average is a sum per count.

        The last is the field whose numbers are counted, '' for all events.
        """
        named = []
        for at, selection in self.selections():
            measure = selection.measure
            if measure.op == "average":
                summed = Measure(op="sum", field=measure.field)
                named.append((at, selection.event_name, summed, selection.filters, ""))
                named.append((at, selection.event_name, COUNT, selection.filters, measure.field or ""))
                continue
            named.append((at, selection.event_name, measure, selection.filters, ""))
        return named

    def _fields(self) -> list[Field]:
        return parse_breakdown(self.dimensions, (), "dimensions")

    def _pair(self, cells: list[Any]) -> tuple[float, float, float, float]:
        """Return numerator and denominator before, then after; a figure without a denominator is over 1.

        `cells` are the figures of both times, and behind them the magnitudes of those that are sums.
        """
        sums = [one[2].op == "sum" and one[2].field != SKETCH for one in self._figures()] * 2
        magnitudes = iter(cells[len(sums) :])
        numbers = [
            settle_sum(float(figure or 0), float(next(magnitudes))) if is_sum else float(figure or 0)
            for figure, is_sum in zip(cells, sums, strict=False)
        ]
        if len(numbers) == 2:
            return numbers[0], 1.0, numbers[1], 1.0
        return numbers[0], numbers[1], numbers[2], numbers[3]


@dataclass(frozen=True, slots=True)
class _Value:
    """One value of a field: numerator and denominator in both times."""

    value: Cell
    above_before: float
    below_before: float
    above_after: float
    below_after: float


@dataclass(frozen=True, slots=True)
class _Sums:
    """The same over all values of a field."""

    above_before: float
    below_before: float
    above_after: float
    below_after: float

    @classmethod
    def of(cls, values: Sequence[_Value | _Sums]) -> _Sums:
        """Add up."""
        return cls(
            _add_up([one.above_before for one in values]),
            _add_up([one.below_before for one in values]),
            _add_up([one.above_after for one in values]),
            _add_up([one.below_after for one in values]),
        )

    def any(self, place: int) -> bool:
        """Whether the numerator (0) or denominator (1) was ever more than nothing."""
        both = (self.above_before, self.above_after) if place == 0 else (self.below_before, self.below_after)
        return any(both)

    def figures(self, *, is_ratio: bool) -> tuple[float | None, float | None]:
        """Return the figure before and after."""
        if not is_ratio:
            return self.above_before, self.above_after
        return _divide(self.above_before, self.below_before), _divide(self.above_after, self.below_after)

    def change(self, *, is_ratio: bool) -> float:
        """Return by how much the figure changed; no figure counts as 0."""
        before, after = self.figures(is_ratio=is_ratio)
        return _add_up([after or 0.0, -(before or 0.0)])


@dataclass(frozen=True, slots=True)
class _Part:
    """What one value, or several together, contribute. `weight` is its share of all before and after, on average."""

    value: Cell
    values: int
    sums: _Sums
    weight: float
    rate_effect: float
    mix_effect: float

    @property
    def contribution(self) -> float:
        """Both effects; of a count its difference."""
        return self.rate_effect + self.mix_effect


def _explain(values: list[_Value], total: _Sums, *, is_ratio: bool) -> list[_Part]:
    """Return the parts, those that contribute most first."""
    parts = []
    for one in values:
        sums = _Sums.of([one])
        if not is_ratio:
            weight = (
                _divide(one.above_before + one.above_after, total.above_before + total.above_after) or 0.0
            )
            parts.append(_Part(one.value, 1, sums, weight, sums.change(is_ratio=False), 0.0))
        else:
            parts.append(_Part(one.value, 1, sums, *_split_ratio(sums, total)))
    return sorted(parts, key=lambda part: (-abs(part.contribution), str(part.value)))


def _split_ratio(one: _Sums, total: _Sums) -> tuple[float, float, float]:
    """Return weight, rate effect and mix effect of a value of a ratio.

    The symmetric form of E. M. Kitagawa (1955), "Components of a difference between two rates", Journal of the American
    Statistical Association 50, 1168-1194. The mean of both totals is taken off the rate in the mix effect, which
    changes no sum: a value that grew counts as a gain only where its rate is better than the whole's.
    """
    weight_before = _divide(one.below_before, total.below_before) or 0.0
    weight_after = _divide(one.below_after, total.below_after) or 0.0
    share_before = _divide(one.above_before, total.below_before) or 0.0
    share_after = _divide(one.above_after, total.below_after) or 0.0
    whole_before, whole_after = total.figures(is_ratio=True)
    middle = ((whole_before or 0.0) + (whole_after or 0.0)) / 2
    contribution = share_after - share_before - (weight_after - weight_before) * middle
    rate_before = _divide(one.above_before, one.below_before)
    rate_after = _divide(one.above_after, one.below_after)
    weight = (weight_before + weight_after) / 2
    # A value that was not there in one of the times has no rate that changed: all of it is mix.
    rate = 0.0 if rate_before is None or rate_after is None else weight * (rate_after - rate_before)
    return weight, rate, contribution - rate


def _concentration(parts: list[_Part], total: _Sums, *, is_ratio: bool) -> float:
    """Return how far a field's contributions are from what each value's weight would give: 0 explains nothing.

    Values that are not shown count as one, or a field of thousands would explain everything by chance alone.
    """
    whole = total.change(is_ratio=is_ratio)
    return sum(abs(part.contribution - part.weight * whole) for part in parts)


def _gather(parts: list[_Part], limit: int) -> list[_Part]:
    """Return the first parts, and all others together as one."""
    shown, others = parts[:limit], parts[limit:]
    if not others:
        return shown
    sums = _Sums.of([part.sums for part in others])
    rate = _add_up([part.rate_effect for part in others])
    mix = _add_up([part.mix_effect for part in others])
    weight = sum(part.weight for part in others)
    return [*shown, _Part(None, len(others), sums, weight, rate, mix)]


def _rows(name: str, parts: list[_Part], total: _Sums, *, is_ratio: bool, counted: bool) -> list[list[Cell]]:
    whole = total.change(is_ratio=is_ratio)
    return [
        [
            name,
            part.value,
            part.values,
            *part.sums.figures(is_ratio=is_ratio),
            round(part.sums.below_before) if counted else None,
            round(part.sums.below_after) if counted else None,
            part.contribution,
            _divide(part.contribution, whole),
            part.rate_effect if is_ratio else None,
            part.mix_effect if is_ratio else None,
        ]
        for part in parts
    ]


def _is_certain(table: list[list[Cell]], size: float) -> bool:
    """Return whether all that was added up is exact; `size` is the sum of all values without their signs."""
    cells = [row[place] for row in table for place in _SUMMED]
    return all(settle_exactly(float(cell), size)[1] for cell in cells if isinstance(cell, int | float))


def _read_text(field: Field) -> str:
    """Return the value as text; what is text already, or nearly so, is read as it is, which takes a tenth less of the time."""
    if field.type in {Type.TEXT, Type.TEXTS, Type.ANY}:
        return field.text()
    return f"CAST({field.text()} AS Nullable(String))"


def _build_times(parameters: Parameters, earlier: Period, later: Period) -> list[str]:
    """Return the conditions of both times, for events that lie between the begin of the first and the end of the last."""
    if earlier.end == later.start:
        border = parameters.time(later.start)
        return [f"event_time < {border}", f"event_time >= {border}"]
    return [
        f"(event_time >= {parameters.time(one.start)} AND event_time < {parameters.time(one.end)})"
        for one in (earlier, later)
    ]


def _add_up(values: Sequence[float]) -> float:
    """Return the sum of decimals as the decimal that it is."""
    try:
        return settle_sum(math.fsum(values), math.fsum(map(abs, values)))
    except OverflowError:
        return math.inf


def _is_finite(one: _Value | _Sums) -> bool:
    numbers = (one.above_before, one.below_before, one.above_after, one.below_after)
    return all(map(math.isfinite, numbers))


def _divide(above: float, below: float) -> float | None:
    return above / below if below else None
