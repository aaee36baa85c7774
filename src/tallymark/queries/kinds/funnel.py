"""Funnel: how many went through steps in order and in time, and how long each step took.

Comes in: the question as it stands in JSON. Goes out: SQL, and one row per step: breakdown, `step`, `name`,
`reached`, `conversion_from_previous`, `conversion_from_first`, `median_seconds`. `run` calls it through `KINDS`.

Why the statement has this form, and what exactly is counted: docs/decisions/0005-funnel.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import msgspec

from tallymark.queries.fields import Field, Type, parse_breakdown, parse_field
from tallymark.queries.filters import build_filters
from tallymark.queries.grid import breakdown_columns, group_value, limit_notes
from tallymark.queries.period import Period, build_period
from tallymark.queries.question import Asked, Step, Text, refuse
from tallymark.queries.result import Cell, Column, Table
from tallymark.queries.sql import Parameters, Statement, build_scope

# An event's time in microseconds since the question's start (53 bits) and one bit per step share 63 bits.
MAX_STEPS: Final = 10
_COLUMNS: Final = (
    "step",
    "name",
    "reached",
    "conversion_from_previous",
    "conversion_from_first",
    "median_seconds",
)
_MICROSECONDS: Final = 1_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_WINDOW: Final = re.compile(r"(\d{1,6})([smhdw])", re.ASCII)
_MAX_WINDOW: Final = 3_660 * 86_400


class Funnel(Asked, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag="funnel", kw_only=True):
    """The steps in order, per distinct value of the field `by`, within `window` (such as 30m, 24h, 7d) of the first."""

    by: Text
    window: Text
    steps: Annotated[tuple[Step, ...], msgspec.Meta(min_length=1, max_length=MAX_STEPS)]

    def period(self) -> Period:
        """Return the time of the question. Raises `RequestRefused`."""
        return build_period(self.start, self.end, "", self.timezone)

    def selections(self) -> list[tuple[str, Step]]:
        """Return the steps with their paths."""
        return [(f"steps[{number}]", step) for number, step in enumerate(self.steps)]

    def has_exact_form(self) -> bool:
        """Whether a figure is exact or approximate depending on the number of rows: a funnel is always exact."""
        return False

    def build_sql(self, project: str, period: Period, *, exact: bool) -> Statement:
        """Build the statement; raises `RequestRefused` for what is not well formed."""
        del exact
        parameters = Parameters(local_seconds=period.local_sql)
        person = self._person()
        start = parameters.add((period.start - _EPOCH) // timedelta(microseconds=1), "Int64")
        packing = _Packing(len(self.steps), self._steps_overlap(), start)
        conditions = self._step_conditions(parameters)
        shared = build_filters(self.filters, "filters", parameters)
        if any(step.filters for step in self.steps):
            shared.append("(" + " OR ".join(f"({condition})" for condition in conditions) + ")")
        scope = build_scope(
            parameters,
            project,
            period,
            [step.event_name for step in self.steps],
            [*shared, person.exists()],
        )
        window = parameters.add(parse_window(self.window) * _MICROSECONDS, "Int64")
        values = self._values()
        people = _build_people(packing, conditions, values, person.text(), scope)
        chains = _build_chains(packing, people, window, values=bool(values))
        return parameters.statement(self._build_totals(chains, parameters))

    def shape_result(self, period: Period, rows: list[list[Any]], *, exact: bool) -> Table:
        """Make the table of the statement's rows."""
        del period, exact
        fields = self._values()
        count = len(self.steps)
        width = len(fields)
        table: list[list[Cell]] = []
        for row in rows:
            lead = [group_value(value, field) for value, field in zip(row[:width], fields, strict=True)]
            reached, medians = row[width : width + count], row[width + count : width + 2 * count - 1]
            table += [[*lead, *cells] for cells in self._step_rows(reached, [None, *medians])]
        columns = (
            *breakdown_columns(fields),
            Column("step", "integer"),
            Column("name", "text"),
            Column("reached", "integer", self.by),
            Column("conversion_from_previous", "number", "ratio"),
            Column("conversion_from_first", "number", "ratio"),
            Column("median_seconds", "number", "s"),
        )
        notes = self._limit_notes(rows, 2 * count - 1 + width)
        doubts = [
            at
            for number, (at, _) in enumerate(self.selections())
            if not any(row[width + number] for row in rows)
        ]
        doubts += [
            f"breakdown[{number}]"
            for number in range(width)
            if table and all(row[number] is None for row in table)
        ]
        return Table(columns, table, notes, doubts)

    def _step_rows(self, reached: list[int], medians: list[Any]) -> list[list[Cell]]:
        rows: list[list[Cell]] = []
        for number, (step, people) in enumerate(zip(self.steps, reached, strict=True)):
            before = reached[number - 1] if number else people
            rows.append(
                [
                    number + 1,
                    step.name or step.event_name,
                    people,
                    people / before if before else None,
                    people / reached[0] if reached[0] else None,
                    float(medians[number]) if number and people else None,
                ]
            )
        return rows

    def _limit_notes(self, rows: list[list[Any]], place: int) -> list[str]:
        if not self.breakdown:
            return [] if rows[0][0] else ["Nothing reached the first step: there are no conversions."]
        if not rows:
            return []
        shown = [row[len(self.breakdown)] for row in rows]
        return limit_notes(shown, rows[0][place], rows[0][place + 1], "that reached the first step")

    def _person(self) -> Field:
        field = parse_field(self.by, "by")
        if field.type not in {Type.TEXT, Type.ANY}:
            message = f"by needs a text that tells who it was; {field.name} is of type {field.type.value}."
            raise refuse(
                f"{message} Allowed: a text field such as session_id or user_id, or an attribute.", "by"
            )
        return field

    def _values(self) -> list[Field]:
        return parse_breakdown(self.breakdown, _COLUMNS)

    def _steps_overlap(self) -> bool:
        """Whether one event can be several steps."""
        return len({step.event_name for step in self.steps}) < len(self.steps)

    def _step_conditions(self, parameters: Parameters) -> list[str]:
        return [
            " AND ".join(
                [
                    f"event_name = {parameters.text(step.event_name)}",
                    *build_filters(step.filters, f"{at}.filters", parameters),
                ]
            )
            for at, step in self.selections()
        ]

    def _build_totals(self, chains: str, parameters: Parameters) -> str:
        count = len(self.steps)
        groups = [f"v{number}" for number in range(len(self.breakdown))]
        reached = [f"countIf(depth >= {step}) AS r{step}" for step in range(1, count + 1)]
        medians = [
            f"quantileExactInclusiveIf(0.5)((t{step} - t{step - 1}) / {_MICROSECONDS}, depth >= {step})"
            for step in range(2, count + 1)
        ]
        if not groups:
            return f"SELECT {', '.join([*reached, *medians])}\nFROM (\n{chains}\n)"
        named = [f"tupleElement(first_values, {number + 1}) AS {name}" for number, name in enumerate(groups)]
        totals = ["count() OVER () AS all_groups", "sum(r1) OVER () AS all_first"]
        return (
            f"SELECT {', '.join([*named, *reached, *medians, *totals])}\nFROM (\n{chains}\n)\nWHERE depth >= 1\n"
            f"GROUP BY {', '.join(groups)}\nORDER BY r1 DESC, {', '.join(groups)}\n"
            f"LIMIT {parameters.add(self.limit, 'UInt32')}"
        )


def parse_window(text: str) -> int:
    """Return a window in seconds: a whole number and s, m, h, d or w. Raises `RequestRefused`."""
    found = _WINDOW.fullmatch(text)
    seconds = int(found[1]) * _UNITS[found[2]] if found else 0
    if not 1 <= seconds <= _MAX_WINDOW:
        message = f"{text!r} is not a window. Allowed is a whole number and s, m, h, d or w, up to ten years: 30m, 24h, 7d."
        raise refuse(message, "window")
    return seconds


@dataclass(frozen=True, slots=True)
class _Packing:
    """How one 64-bit integer holds an event: its time in microseconds since `start`, and below that its steps.

    Of steps that share no event the low bits hold the step's number. Of steps that do they hold a rank while the
    events are sorted, and then the mask of the steps: bit i - 1 for step i.
    """

    steps: int
    overlap: bool
    start: str

    @property
    def size(self) -> int:
        """The number by which the time is multiplied."""
        return 1 << (self.steps if self.overlap else MAX_STEPS.bit_length())

    def order(self) -> list[int]:
        """Return all masks in the order in which events of one instant are taken: by first step, then last."""
        return sorted(range(1 << self.steps), key=lambda mask: (mask & -mask, mask.bit_length(), mask))

    def time_sql(self) -> str:
        """Return an event's time. It is never negative, as the events lie in the question's time."""
        return f"(toUnixTimestamp64Micro(event_time) - {self.start})"

    def packed_sql(self, conditions: list[str]) -> str:
        """Return the integer of an event that is at least one of the steps."""
        numbers = [1 << place if self.overlap else place + 1 for place in range(self.steps)]
        steps = " + ".join(f"({one}) * {number}" for one, number in zip(conditions, numbers, strict=True))
        if self.overlap:
            order = self.order()
            steps = f"[{', '.join(str(order.index(mask)) for mask in range(self.size))}][{steps} + 1]"
        return f"{self.time_sql()} * {self.size} + {steps}"

    def ordered_sql(self) -> str:
        """Return a person's events in order."""
        if not self.overlap:
            return "arraySort(taken)"
        masks = f"[{', '.join(map(str, self.order()))}]"
        return f"arrayMap(x -> x - x % {self.size} + {masks}[x % {self.size} + 1], arraySort(taken))"

    def is_step(self, step: int) -> str:
        """Return whether the event `x` is the step."""
        return f"bitTest(x, {step - 1})" if self.overlap else f"bitAnd(x, {self.size - 1}) = {step}"

    def unpacked_sql(self, event: str) -> str:
        """Return an event's time."""
        return f"bitShiftRight({event}, {self.size.bit_length() - 1})"


# Stands where no chain has begun; too far from every time to lie within a window of it.
_NEVER: Final = -(2**59)


def _build_chains(packing: _Packing, people: str, window: str, *, values: bool) -> str:
    """Build the statement that gives each person's `depth`, the times `t1`, `t2`, ... of the chain and `first_values`."""
    steps = range(1, packing.steps + 1)
    firsts = ", firsts" if values else ""
    ordered = f"SELECT {packing.ordered_sql()} AS ordered{firsts}\nFROM (\n{people}\n)"
    ends = ", ".join(f"countEqual(b{step}, {_NEVER}) + 1 AS e{step}" for step in steps)
    # Sums, not multiIf: the engine puts off what stands in a branch, and does it again for every use.
    depth = " + ".join(f"(e{step} <= length(ordered))" for step in steps)
    beginning = " + ".join(f"(depth = {step}) * b{step}[e{step}]" for step in steps)
    found = (
        f"SELECT ordered, {_build_begins(packing, window)}, {ends},\n    {depth} AS depth,\n"
        f"    {beginning} AS beginning{firsts}\nFROM (\n{ordered}\n)"
    )
    # Each step of the chain is the first event by which a chain from its beginning was so long: had a later one been as
    # long by then, it would be the one that ends here.
    times = [f"{packing.unpacked_sql('beginning')} AS t1"]
    for step in steps[1:]:
        event = f"ordered[indexOf(b{step}, beginning)]"
        times.append(f"{packing.unpacked_sql(event)} AS t{step}")
    first_values = (
        ", arraySort(arrayFilter(one -> one.1 = t1, firsts))[1].2 AS first_values" if values else ""
    )
    return f"SELECT depth, {', '.join(times)}{first_values}\nFROM (\n{found}\n)"


def _build_begins(packing: _Packing, window: str) -> str:
    """Build the arrays `b1`, `b2`, ...: for each event, when the chain of so many steps began that began last.

    Only chains that are complete by then count: whatever a later event can complete, it can complete from that one.
    Each array is made of the one before by one pass over all people's events together.
    """
    # The low bits of a beginning are all set: its distance is within the window exactly if that of the times is.
    first = f"if({packing.is_step(1)}, bitOr(x, {packing.size - 1}), {_NEVER})"
    begins = [f"arrayFill(b -> b != {_NEVER}, arrayMap(x -> {first}, ordered)) AS b1"]
    for step in range(2, packing.steps + 1):
        # One event is one step, so it continues what was complete before it: the array is shifted by one. Where
        # steps share no event that makes no difference, but the first place, which arrayFill keeps, must be empty.
        shifted = packing.overlap or step == 2
        before = f"arrayShiftRight(b{step - 1}, 1, {_NEVER})" if shifted else f"b{step - 1}"
        continues = f"{packing.is_step(step)} AND x - b <= {window} * {packing.size}"
        begins.append(f"arrayFill((b, x) -> {continues}, {before}, ordered) AS b{step}")
    return ", ".join(begins)


def _build_people(
    packing: _Packing, conditions: list[str], values: list[Field], person: str, scope: str
) -> str:
    """Build the statement that collects each person's events, one integer each, and the first steps' values."""
    first = ""
    if values:
        listed = ", ".join(field.text() for field in values)
        first = f", groupArrayIf(({packing.time_sql()}, tuple({listed})), {conditions[0]}) AS firsts"
    return f"SELECT groupArray({packing.packed_sql(conditions)}) AS taken{first}\n{scope}\nGROUP BY {person}"
