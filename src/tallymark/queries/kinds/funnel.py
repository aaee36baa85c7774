"""Funnel: how many went through steps in order and in time, and how long each step took.

Comes in: the question as it stands in JSON. Goes out: SQL, and one row per step: breakdown, `step`, `name`,
`reached`, `conversion_from_previous`, `conversion_from_first`, `median_seconds`. `run` calls it through `KINDS`.

Why the statement has this form, and what exactly is counted: docs/decisions/0005-funnel.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Final

import msgspec

from tallymark.queries.fields import Field, Type, parse_breakdown, parse_field
from tallymark.queries.filters import build_filters
from tallymark.queries.grid import breakdown_columns, group_value, limit_notes
from tallymark.queries.period import Period, build_period
from tallymark.queries.question import Asked, Step, Text, refuse
from tallymark.queries.result import Cell, Column, Table
from tallymark.queries.sql import Parameters, Statement, build_scope

# An event's time in microseconds (51 bits) and one bit per step share 63 bits.
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
        masks = _Masks(len(self.steps), self._steps_overlap())
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
        chains = _build_chains(
            masks, conditions, self._values(), person=person.text(), scope=scope, window=window
        )
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
        # A step's time belongs to the next step's median: chain.2 is the first step's time, and so on.
        medians = [
            f"quantileExactInclusiveIf(0.5)((chain.{step + 1} - chain.{step}) / {_MICROSECONDS}, depth >= {step})"
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
class _Masks:
    """How an event's steps are told by the low bits of one integer: bit i - 1 for step i."""

    steps: int
    overlap: bool

    @property
    def size(self) -> int:
        """The number by which the time is multiplied."""
        return 1 << self.steps

    def order(self) -> list[int]:
        """Return all masks in the order in which events of one instant are taken: by first step, then last."""
        return sorted(range(self.size), key=lambda mask: (mask & -mask, mask.bit_length(), mask))

    def packed_sql(self, bits: str) -> str:
        """Return what stands in the low bits: the mask, or its rank where sorting by the mask would be wrong."""
        if not self.overlap:
            return bits
        order = self.order()
        return f"[{', '.join(str(order.index(mask)) for mask in range(self.size))}][{bits} + 1]"

    def unpacked_sql(self) -> str:
        """Return a person's events in order, with masks in the low bits."""
        if not self.overlap:
            return "arraySort(taken)"
        masks = f"[{', '.join(map(str, self.order()))}]"
        return f"arrayMap(x -> x - x % {self.size} + {masks}[x % {self.size} + 1], arraySort(taken))"


def _build_chains(
    masks: _Masks, conditions: list[str], values: list[Field], *, person: str, scope: str, window: str
) -> str:
    """Build the statement that gives each person's `depth`, `chain` (depth, then times) and `first_values`."""
    steps = range(1, masks.steps + 1)
    firsts = ", firsts" if values else ""
    people = _build_people(masks, conditions, values, person, scope)
    marks = ", ".join(f"ordered[{step}] % {masks.size} AS m{step}" for step in steps)
    ordered = f"SELECT {masks.unpacked_sql()} AS ordered, {marks}{firsts}\nFROM (\n{people}\n)"
    times = ", ".join(f"{_build_time(masks, step)} AS t{step}" for step in steps)
    timed = f"SELECT ordered, {_build_once(masks)} AS once, {times}{firsts}\nFROM (\n{ordered}\n)"
    # Of somebody whose steps come once each, these are the only times there are.
    branches = [
        f"t{step} < 0 OR t{step} < t{step - 1} OR t{step} - t1 > {window}, {step - 1}" for step in steps[1:]
    ]
    depth = f"multiIf({', '.join(['t1 < 0, 0', *branches])}, {masks.steps})"
    read_off = ", ".join(f"t{step}" for step in steps)
    folded = ", ".join(f"folded.{place}" for place in range(1, masks.steps + 2))
    first_values = ""
    if values:
        first_values = ", arrayFirst(one -> one.1 = chain.2, arraySort(firsts)).2 AS first_values"
    return (
        f"SELECT {_build_fold(masks, window)} AS folded,\n"
        f"    if(once, (toInt64({depth}), {read_off}), ({folded})) AS chain,\n"
        f"    chain.1 AS depth{first_values}\nFROM (\n{timed}\n)"
    )


def _build_once(masks: _Masks) -> str:
    """Build whether a person's steps come at most once each, from the marks m1, m2, ... (0 = no event).

    The sum of powers of two has as many bits as summands only if they are all different.
    """
    marks = [f"m{step}" for step in range(1, masks.steps + 1)]
    conditions = [f"length(ordered) <= {masks.steps}", f"bitCount({' + '.join(marks)}) = length(ordered)"]
    if masks.overlap:
        conditions += [f"bitCount({mark}) <= 1" for mark in marks]
    return " AND ".join(conditions)


def _build_time(masks: _Masks, step: int) -> str:
    """Build the time of the one event that is the step, -1 where there is none."""
    places = range(1, masks.steps + 1)
    branches = [f"m{place} = {1 << (step - 1)}, intDiv(ordered[{place}], {masks.size})" for place in places]
    return f"multiIf({', '.join(branches)}, toInt64(-1))"


def _build_people(masks: _Masks, conditions: list[str], values: list[Field], person: str, scope: str) -> str:
    """Build the statement that collects each person's events, one integer each, and the first steps' values."""
    bits = " + ".join(f"({condition}) * {1 << number}" for number, condition in enumerate(conditions))
    first = ""
    if values:
        listed = ", ".join(field.text() for field in values)
        event = f"(toUnixTimestamp64Micro(event_time), tuple({listed}))"
        first = f", groupArrayIf({event}, {conditions[0]}) AS firsts"
    return (
        f"SELECT groupArray(toUnixTimestamp64Micro(event_time) * {masks.size} + {masks.packed_sql(bits)}) AS taken"
        f"{first}\n{scope}\nGROUP BY {person}"
    )


def _build_fold(masks: _Masks, window: str) -> str:
    """Build the walk through one person's events, for those who did a step more than once.

    The accumulator holds the deepest chain so far (its depth, the times of its steps) and, for each step but the
    last, the times of the chain that reached it and started latest: whatever a later event can complete, it can
    complete from that one. -1 stands for "not reached".
    """
    steps, size = masks.steps, masks.size
    # Places in the accumulator, from 1: depth, the record's times, then the chains of length 1, 2, ...
    chain = {
        (length, step): 1 + steps + length * (length - 1) // 2 + step
        for length in range(1, steps)
        for step in range(1, length + 1)
    }
    time = f"intDiv(x, {size})"

    def old(length: int, step: int) -> str:
        return f"acc.{chain[length, step]}"

    def advances(step: int) -> str:
        mark = f"bitTest(x, {step - 1})"
        if step == 1:
            return mark
        start = old(step - 1, 1)
        return f"{mark} AND {start} >= 0 AND {time} - {start} <= {window}"

    new = [
        f"multiIf({', '.join(f'{advances(s)} AND acc.1 = {s - 1}, {s}' for s in range(1, steps + 1))}, acc.1)"
    ]
    for step in range(1, steps + 1):
        branches = [
            f"{advances(length)} AND acc.1 = {length - 1}, {time if length == step else old(length - 1, step)}"
            for length in range(step, steps + 1)
        ]
        new.append(f"multiIf({', '.join(branches)}, acc.{1 + step})")
    for length, step in chain:
        taken = (
            advances(length)
            if length == 1
            else f"{advances(length)} AND {old(length - 1, 1)} > {old(length, 1)}"
        )
        new.append(f"if({taken}, {time if length == step else old(length - 1, step)}, {old(length, step)})")
    start = ", ".join(["toInt64(0)", *["toInt64(-1)"] * (steps + len(chain))])
    values = ", ".join(f"toInt64({value})" for value in new)
    return f"arrayFold((acc, x) -> ({values}), if(once, [], ordered), ({start}))"
