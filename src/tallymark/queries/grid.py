"""Figures over time and groups: what trends and ratios share.

Comes in: selections with their measures, a period, breakdown fields. Goes out: one statement that reads the events
once, and from its rows a `Grid` in which every interval of every shown group is filled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tallymark.queries.fields import Field, Type, parse_breakdown
from tallymark.queries.filters import build_filters
from tallymark.queries.measures import Aggregate, build_measure
from tallymark.queries.period import Period
from tallymark.queries.question import Asked, Selection, Series, refuse
from tallymark.queries.result import Cell, Column
from tallymark.queries.sql import Parameters, Statement, build_scope

MAX_ROWS: Final = 500_000

Chosen = Sequence[tuple[str, Selection | Series]]


@dataclass(frozen=True, slots=True)
class Group:
    """One breakdown group: its values, the number of its events, its figures by interval key (0 without one)."""

    values: tuple[Cell, ...]
    size: int
    cells: dict[int, Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Grid:
    """The shown groups by size, the aggregates behind their figures, and what to say about them."""

    groups: list[Group]
    aggregates: list[Aggregate]
    notes: list[str]


@dataclass(frozen=True, slots=True)
class GridQuery:
    """A question over time and groups; `chosen` are the selections with their paths, `columns` the kind's own names.

    `more` builds further aggregates of the kind's own from the selections' conditions; they stand last in each row.
    """

    asked: Asked
    period: Period
    chosen: Chosen
    columns: Sequence[str]
    exact: bool
    more: Callable[[Parameters, Sequence[str]], list[str]] | None = None

    def build_sql(self, project: str) -> Statement:
        """Build the one statement that reads the events."""
        parameters = Parameters()
        # The project stands first, so that a statement shows at once whose rows it reads.
        common = self._conditions(parameters)
        aggregates = self._aggregates(parameters, common.own)
        figures = [aggregate.sql for aggregate in aggregates]
        figures += [aggregate.others for aggregate in aggregates if aggregate.others]
        if self.more is not None:
            figures += self.more(parameters, common.own)
        scope = build_scope(
            parameters,
            project,
            self.period,
            [selection.event_name for _, selection in self.chosen],
            common.shared,
        )
        any_own = " OR ".join(f"({own})" for own in common.own)
        size = f"countIf({any_own})" if all(common.own) else "count()"
        key = self.period.key_sql() if self.period.interval else ""
        if not self.asked.breakdown:
            return self._plain(key, size, figures, scope, parameters)
        return self._grouped(key, size, figures, scope, parameters)

    def _plain(
        self, key: str, size: str, figures: list[str], scope: str, parameters: Parameters
    ) -> Statement:
        columns = ", ".join([key or "0", size, *figures])
        group = f"\nGROUP BY {key}" if key else ""
        return Statement(f"SELECT {columns}\n{scope}{group}", parameters.values)

    def _grouped(
        self, key: str, size: str, figures: list[str], scope: str, parameters: Parameters
    ) -> Statement:
        fields = self.breakdown_fields()
        groups = [f"g{number}" for number in range(len(fields))]
        named = [f"{field.text()} AS {name}" for field, name in zip(fields, groups, strict=True)]
        figure_names = [f"f{number}" for number in range(len(figures))]
        figures = [f"{figure} AS {name}" for figure, name in zip(figures, figure_names, strict=True)]
        inner = (
            f"SELECT {', '.join([*named, f'{key or 0} AS k', f'{size} AS n', *figures])}\n{scope}\n"
            f"GROUP BY {', '.join([*groups, *(['k'] if key else [])])}\nHAVING n > 0"
        )
        outer = (
            f"SELECT {', '.join(groups)}, groupArray(({', '.join(['k', 'n', *figure_names])})) AS cells,"
            " sum(n) AS size, count() OVER () AS groups, sum(size) OVER () AS total\n"
            f"FROM (\n{inner}\n)\nGROUP BY {', '.join(groups)}\nORDER BY size DESC, {', '.join(groups)}\n"
            f"LIMIT {parameters.add(self.asked.limit, 'UInt32')}"
        )
        return Statement(outer, parameters.values)

    def shape(self, rows: list[list[Any]]) -> Grid:
        """Make a grid of the statement's rows."""
        aggregates = self._aggregates(Parameters(), self._conditions(Parameters()).own)
        notes = [aggregate.note + "." for aggregate in aggregates if aggregate.note]
        width = len(self.asked.breakdown)
        fields = self.breakdown_fields()
        # The engine writes 12.0 as 12, which would be read as an integer; places are counted after the key.
        numbers = [place for place, one in enumerate(aggregates, 1) if one.type == "number"]
        groups = []
        if not width:
            groups = [Group((), sum(row[1] for row in rows), _cells(rows, numbers))]
        for row in rows if width else ():
            values = tuple(
                group_value(value, field) for value, field in zip(row[:width], fields, strict=True)
            )
            groups.append(Group(values, row[width + 1], _cells(row[width], numbers)))
        if width and rows:
            notes += limit_notes(
                [group.size for group in groups], rows[0][width + 2], rows[0][width + 3], "events"
            )
        notes += _mixed_notes(aggregates, groups, self.chosen)
        notes += self._edge_notes()
        self._check_rows(len(groups))
        return Grid(groups, aggregates, notes)

    def breakdown_fields(self) -> list[Field]:
        """Return the fields of the breakdown."""
        time = ("time",) if self.period.interval else ()
        return parse_breakdown(self.asked.breakdown, (*time, *self.columns))

    def lead_columns(self) -> list[Column]:
        """Return the columns before the figures: the time and the breakdown."""
        time = [Column("time", "time")] if self.period.interval else []
        return time + breakdown_columns(self.breakdown_fields())

    def lead_rows(self, grid: Grid) -> list[tuple[list[Cell], Sequence[Any] | None]]:
        """Return, by time and then by the size of the group, the lead cells and the figures (None = no events)."""
        if not self.period.interval:
            return [(list(group.values), group.cells.get(0)) for group in grid.groups]
        return [
            ([_time_text(bucket.start), *group.values], group.cells.get(bucket.key))
            for bucket in self.period.buckets
            for group in grid.groups
        ]

    def breakdown_doubts(self, grid: Grid) -> list[str]:
        """Return the paths of breakdown fields that no event has."""
        return [
            f"breakdown[{number}]"
            for number in range(len(self.asked.breakdown))
            if grid.groups and all(group.values[number] is None for group in grid.groups)
        ]

    def _conditions(self, parameters: Parameters) -> _Conditions:
        shared = build_filters(self.asked.filters, "filters", parameters)
        own = []
        names = {selection.event_name for _, selection in self.chosen}
        for at, selection in self.chosen:
            parts = build_filters(selection.filters, f"{at}.filters", parameters)
            if len(names) > 1:
                parts.insert(0, f"event_name = {parameters.text(selection.event_name)}")
            own.append(" AND ".join(parts))
        first = self.chosen[0][1]
        same = all(
            (selection.event_name, selection.filters) == (first.event_name, first.filters)
            for _, selection in self.chosen
        )
        if same and own[0]:
            shared.append(own[0])
        return _Conditions(shared, [""] * len(own) if same else own)

    def _aggregates(self, parameters: Parameters, own: list[str]) -> list[Aggregate]:
        return [
            build_measure(selection.measure, f"{at}.measure", condition, parameters, exact=self.exact)
            for (at, selection), condition in zip(self.chosen, own, strict=True)
        ]

    def _edge_notes(self) -> list[str]:
        notes = []
        if self.period.starts_inside:
            notes.append(f"The first {self.period.interval} begins before 'from' and is counted in part.")
        if self.period.ends_inside:
            notes.append(f"The last {self.period.interval} ends after 'to' and is counted in part.")
        return notes

    def _check_rows(self, groups: int) -> None:
        intervals = max(len(self.period.buckets), 1)
        if groups * intervals > MAX_ROWS:
            message = (
                f"{groups:,} groups in {intervals:,} intervals make {groups * intervals:,} rows; at most {MAX_ROWS:,}"
                f" are allowed. Ask for a limit of {MAX_ROWS // intervals}, a shorter time or a longer interval."
            )
            raise refuse(message, "limit")


@dataclass(frozen=True, slots=True)
class _Conditions:
    """What all rows must meet, and what each selection's rows must meet besides ('' = nothing)."""

    shared: list[str]
    own: list[str]


def _cells(rows: list[list[Any]], numbers: list[int]) -> dict[int, Sequence[Any]]:
    """Return the rows by their key; figures of type number become floats."""
    for row in rows if numbers else ():
        for place in numbers:
            if row[place + 1] is not None:
                row[place + 1] = float(row[place + 1])
    return {row[0]: row[1:] for row in rows}


def breakdown_columns(fields: Sequence[Field]) -> list[Column]:
    """Return the columns of a breakdown; attributes are shown as text."""
    types = {Type.NUMBER: "number", Type.BOOLEAN: "boolean", Type.TIME: "time"}
    return [Column(field.name, types.get(field.type, "text")) for field in fields]


def group_value(value: Any, field: Field) -> Cell:
    """Return a breakdown value as it is shown: a core text that was not given is null."""
    if value == "" and not field.is_attribute:
        return None
    if field.type is Type.TIME and isinstance(value, str):
        return value.replace(" ", "T") + "Z"
    return value  # type: ignore[no-any-return]


def limit_notes(shown: Sequence[int], all_groups: int, total: int, what: str) -> list[str]:
    """Say what the groups beyond the limit hold, so that the total can be explained; `shown` are the shown sizes."""
    more = all_groups - len(shown)
    if more <= 0:
        return []
    note = (
        f"The {len(shown):,} largest of {all_groups:,} groups are shown; the other {more:,}"
        f" hold {total - sum(shown):,} of {total:,} {what}."
    )
    return [note]


def _mixed_notes(aggregates: list[Aggregate], groups: list[Group], chosen: Chosen) -> list[str]:
    notes = []
    column = 1 + len(aggregates)
    for aggregate, (_, selection) in zip(aggregates, chosen, strict=True):
        if not aggregate.others:
            continue
        count = sum(cells[column] for group in groups for cells in group.cells.values())
        column += 1
        if count:
            notes.append(
                f"{selection.measure.field} of {selection.event_name} has values of several types:"
                f" {count:,} that are no numbers were left out of {selection.measure.op}."
            )
    return notes


def _time_text(time: Any) -> str:
    text: str = time.isoformat()
    return text.removesuffix("+00:00") + "Z" if text.endswith("+00:00") else text
