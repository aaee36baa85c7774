"""Figures over time and groups: what trends and ratios share.

Comes in: selections with their measures, a period, breakdown fields. Goes out: one statement that reads the events
once, and from its rows a `Grid` in which every interval of every shown group is filled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final

import msgspec

from tallymark.queries.fields import Field, Type, parse_breakdown
from tallymark.queries.filters import build_filters
from tallymark.queries.measures import ADDITIVE, Aggregate, build_measure
from tallymark.queries.period import Period, build_period
from tallymark.queries.question import GROUPS, MAX_LIMIT, Asked, Interval, Selection, Series, refuse
from tallymark.queries.reading import Reading
from tallymark.queries.result import Cell, Column
from tallymark.queries.sql import Parameters, Statement, build_scope

MAX_ROWS: Final = 500_000
# Of groups that were not counted.
_SEVERAL: Final = 2

Chosen = Sequence[tuple[str, Selection | Series]]


class OfTime(Asked, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """A question whose figures stand in intervals and groups.

    `groups` are exactly those that are shown, in their order, each with a value per field of the breakdown (null is
    missing), also where they have no events; without them they are the largest. With `others` all other groups stand as
    one more.
    """

    interval: Interval | None = None
    others: bool = False
    groups: Annotated[tuple[tuple[Cell, ...], ...], msgspec.Meta(max_length=MAX_LIMIT)] = ()

    @property
    def gathers(self) -> bool:
        """Whether groups beyond the limit stand in the answer as one."""
        return self.others and bool(self.breakdown)

    def period(self) -> Period:
        """Return the time of the question, cut into its intervals. Raises `RequestRefused`."""
        return build_period(self.start, self.end, self.interval or "", self.timezone)

    def build_sql(self, project: str, period: Period, *, exact: bool) -> Statement:
        """Build the statement; raises `RequestRefused` for what is not well formed."""
        return self.query(period, exact=exact).build_sql(project)

    def query(self, period: Period, *, exact: bool) -> GridQuery:
        """Return what builds statements and reads their rows."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Group:
    """One breakdown group: its values, the number of its events, its figures by interval key (0 without one).

    `gathered` is the number of groups in it: more than 1 where it is all those beyond the limit together.
    """

    values: tuple[Cell, ...]
    size: int
    cells: dict[int, Sequence[Any]]
    gathered: int = 1


@dataclass(frozen=True, slots=True)
class Grid:
    """The shown groups by size, the aggregates behind their figures, and what to say about them."""

    groups: list[Group]
    aggregates: list[Aggregate]
    notes: list[str]


@dataclass(frozen=True, slots=True)
class GridQuery:
    """A question over time and groups; `chosen` are the selections with their paths, `columns` the kind's own names.

    `more` builds further aggregates of the kind's own from the selections' conditions; they stand last in each row, and
    those of parts do not make those of the whole.
    """

    asked: OfTime
    period: Period
    chosen: Chosen
    columns: Sequence[str]
    exact: bool
    more: Callable[[Parameters, Sequence[str]], list[str]] | None = None

    def build_sql(self, project: str) -> Statement:
        """Build the one statement that reads the events."""
        return self._build(project, Parameters(local_seconds=self.period.local_sql))

    def _build(self, project: str, parameters: Parameters, beyond: Sequence[str] = ()) -> Statement:
        """Build the statement; with `beyond`, which events must meet besides, without groups."""
        # The project stands first, so that a statement shows at once whose rows it reads.
        common = self._conditions(parameters)
        aggregates = self._aggregates(parameters, common.own)
        figures = [aggregate.sql for aggregate in aggregates]
        figures += [aggregate.others for aggregate in aggregates if aggregate.others]
        figures += [aggregate.magnitude for aggregate in aggregates if aggregate.magnitude]
        if self.more is not None:
            figures += self.more(parameters, common.own)
        scope = build_scope(
            parameters,
            project,
            self.period,
            [selection.event_name for _, selection in self.chosen],
            [*common.shared, *beyond],
        )
        any_own = " OR ".join(f"({own})" for own in common.own)
        size = f"countIf({any_own})" if all(common.own) else "count()"
        key = self.period.key_sql() if self.period.interval else ""
        if beyond or not self.asked.breakdown:
            build = self._plain
        elif self.asked.groups:
            build = self._fixed
        else:
            build = self._grouped
        return replace(build(key, size, figures, scope, parameters), denormals=True)

    def _plain(
        self, key: str, size: str, figures: list[str], scope: str, parameters: Parameters
    ) -> Statement:
        columns = ", ".join([key or "0", size, *figures])
        group = f"\nGROUP BY {key}" if key else ""
        return parameters.statement(f"SELECT {columns}\n{scope}{group}")

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
        whole = ", ".join(groups)
        # One more than asked: a single group beyond the limit is shown as what it is.
        limit = parameters.add(self.asked.limit + self.asked.gathers, "UInt32")
        ranked = "sum(n) AS size, count() OVER () AS groups, sum(size) OVER () AS total"
        if not self._gathers_at_once():
            if self.asked.gathers:
                ranked += f", 1 AS gathered, {_identify(groups)} AS id"
            return parameters.statement(
                f"SELECT {whole}, groupArray(({', '.join(['k', 'n', *figure_names])})) AS cells, {ranked}\n"
                f"FROM (\n{inner}\n)\nGROUP BY {whole}\nORDER BY size DESC, {whole}\nLIMIT {limit}"
            )
        # What adds up is added up here: all groups beyond the limit come as one, of the last place.
        columns = ["k", "n", *figure_names]
        arrays = ", ".join(f"groupArray({column}) AS {column}s" for column in columns)
        places = (
            f"SELECT {whole}, {arrays}, {ranked}, row_number() OVER (ORDER BY sum(n) DESC, {whole}) AS place\n"
            f"FROM (\n{inner}\n)\nGROUP BY {whole}"
        )
        firsts = ", ".join(f"any(tuple({group})).1 AS {group}" for group in groups)
        together = ", ".join(f"{column}s" for column in columns)
        return parameters.statement(
            f"SELECT {firsts}, sumMap({together}) AS cells, sum(size), any(groups), any(total), count()\n"
            f"FROM (\n{places}\n)\nGROUP BY least(place, {limit}) AS last\nORDER BY last"
        )

    def _fixed(
        self, key: str, size: str, figures: list[str], scope: str, parameters: Parameters
    ) -> Statement:
        """Build the statement for the groups that are asked: each event has the place of its group, or 0."""
        fields = self.breakdown_fields()
        for number, group in enumerate(self.asked.groups):
            if len(group) != len(fields):
                message = f"A group has a value for each of the {len(fields)} fields of the breakdown."
                raise refuse(message, f"groups[{number}]")
        asked = ["".join(map(_write_key, group, fields)) for group in self.asked.groups]
        parts = ", ".join(_key_sql(field) for field in fields)
        place = f"indexOf({parameters.texts(asked)}, concat('', {parts}))"
        names = [f"f{number}" for number in range(len(figures))]
        named = [f"{figure} AS {name}" for figure, name in zip(figures, names, strict=True)]
        inner = (
            f"SELECT {place} AS place, {', '.join([f'{key or 0} AS k', f'{size} AS n', *named])}\n{scope}"
            f"{'' if self.asked.others else ' AND place > 0'}\n"
            f"GROUP BY {', '.join(['place', *(['k'] if key else [])])}\nHAVING n > 0"
        )
        cells = f"groupArray(({', '.join(['k', 'n', *names])}))"
        return parameters.statement(f"SELECT place, {cells}, sum(n)\nFROM (\n{inner}\n)\nGROUP BY place")

    def _fixed_groups(self, rows: list[list[Any]], read: Reading) -> list[Group]:
        """Return the asked groups in their order, and all others last where there are any."""
        found = {place: (cells, size) for place, cells, size in rows}
        groups = []
        for place, values in enumerate(self.asked.groups, 1):
            cells, size = found.get(place, ([], 0))
            groups.append(Group(values, size, read.cells(cells)))
        if self.asked.others and 0 in found:
            cells, size = found[0]
            groups.append(Group((None,) * len(self.asked.breakdown), size, read.cells(cells), _SEVERAL))
        return groups

    def _gathers_at_once(self) -> bool:
        """Whether the groups beyond the limit can be added up group by group."""
        return (
            self.asked.gathers
            and not self.asked.groups
            and self.more is None
            and all(selection.measure.op in ADDITIVE for _, selection in self.chosen)
        )

    def build_rest(self, project: str, rows: list[list[Any]]) -> Statement | None:
        """Build the statement that asks all groups beyond the limit as one; None where `rows` have them all.

        What does not add up, such as unique values and quantiles, is asked anew of their events.
        """
        width = len(self.asked.breakdown)
        if not self.asked.gathers or self.asked.groups or self._gathers_at_once():
            return None
        if not rows or rows[0][width + 2] <= len(rows):
            return None
        parameters = Parameters(local_seconds=self.period.local_sql)
        shown = parameters.add([row[width + 5] for row in rows[: self.asked.limit]], "Array(UInt64)")
        identity = _identify([field.text() for field in self.breakdown_fields()])
        return self._build(project, parameters, [f"NOT has({shown}, {identity})"])

    def add_rest(self, rows: list[list[Any]], rest: list[list[Any]]) -> list[list[Any]]:
        """Return the rows of `build_sql` with those of `build_rest` as the last group."""
        width = len(self.asked.breakdown)
        groups, total = rows[0][width + 2], rows[0][width + 3]
        kept = rows[: self.asked.limit]
        size = sum(row[1] for row in rest)
        return [*kept, [*[None] * width, rest, size, groups, total, groups - len(kept)]]

    def shape(self, rows: list[list[Any]]) -> Grid:
        """Make a grid of the statement's rows."""
        aggregates = self._aggregates(Parameters(), self._conditions(Parameters()).own)
        notes = [aggregate.note + "." for aggregate in aggregates if aggregate.note]
        width = len(self.asked.breakdown)
        fields = self.breakdown_fields()
        read = Reading.of(aggregates)
        groups = []
        if not width:
            groups = [Group((), sum(row[1] for row in rows), read.cells(rows))]
        elif self.asked.groups:
            groups = self._fixed_groups(rows, read)
        for row in rows if width and not self.asked.groups else ():
            values = tuple(
                group_value(value, field) for value, field in zip(row[:width], fields, strict=True)
            )
            cells = _unmapped(row[width]) if self._gathers_at_once() else row[width]
            gathered = row[width + 4] if self.asked.gathers else 1
            if gathered > 1:
                values = (None,) * width
            groups.append(Group(values, row[width + 1], read.cells(cells, gathered), gathered))
        if width and rows and not self.asked.groups:
            notes += self._limit_notes(groups, rows[0][width + 2], rows[0][width + 3])
        notes += _mixed_notes(aggregates, groups, self.chosen)
        aggregates, rounded = read.mark(aggregates, [selection for _, selection in self.chosen])
        notes += rounded
        notes += self._edge_notes()
        self._check_rows(len(groups))
        return Grid(groups, aggregates, notes)

    def breakdown_fields(self) -> list[Field]:
        """Return the fields of the breakdown."""
        own = [column.name for column in (*self._time_columns(), *self._groups_columns())]
        return parse_breakdown(self.asked.breakdown, (*own, *self.columns))

    def lead_columns(self) -> list[Column]:
        """Return the columns before the figures: the time, the breakdown, how many groups stand in the row."""
        return [
            *self._time_columns(),
            *breakdown_columns(self.breakdown_fields()),
            *self._groups_columns(),
        ]

    def _time_columns(self) -> list[Column]:
        return [Column("time", "time")] if self.period.interval else []

    def _groups_columns(self) -> list[Column]:
        return [Column(GROUPS, "integer")] if self.asked.gathers else []

    def _lead(self, group: Group) -> list[Cell]:
        return [*group.values, group.gathered] if self.asked.gathers else [*group.values]

    def lead_rows(self, grid: Grid) -> list[tuple[list[Cell], Sequence[Any] | None]]:
        """Return, by time and then by the size of the group, the lead cells and the figures (None = no events)."""
        if not self.period.interval:
            return [(self._lead(group), group.cells.get(0)) for group in grid.groups]
        return [
            ([_time_text(bucket.start), *self._lead(group)], group.cells.get(bucket.key))
            for bucket in self.period.buckets
            for group in grid.groups
        ]

    def breakdown_doubts(self, grid: Grid) -> list[str]:
        """Return the paths of breakdown fields that no event has."""
        single = [group for group in grid.groups if group.gathered == 1]
        return [
            f"breakdown[{number}]"
            for number in range(len(self.asked.breakdown))
            if single and all(group.values[number] is None for group in single)
        ]

    def _limit_notes(self, groups: list[Group], all_groups: int, total: int) -> list[str]:
        single = [group.size for group in groups if group.gathered == 1]
        if len(single) == len(groups):
            return limit_notes(single, all_groups, total, "events")
        more = all_groups - len(single)
        return [
            f"The {len(single):,} largest of {all_groups:,} groups are shown, the other {more:,} together as one."
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


def _unmapped(sums: list[list[Any]]) -> list[list[Any]]:
    """Return what sumMap gives, keys and then the sums of each column, as rows."""
    return [list(row) for row in zip(*sums, strict=True)]


def _key_sql(field: Field) -> str:
    """Return SQL that writes a value of a breakdown as `_write_key` does."""
    text = field.text() if field.is_attribute else f"nullIf(toString({field.text()}), '')"
    return f"if(isNull({text}), '-', concat(toString(length(ifNull({text}, ''))), ':', ifNull({text}, '')))"


def _write_key(value: Cell, field: Field) -> str:
    """Write a value so that the keys of several, one after the other, are those of no other values."""
    if value is None:
        return "-"
    text = ("true" if value else "false") if isinstance(value, bool) else str(value)
    if field.type is Type.TIME:
        text = text.replace("T", " ").removesuffix("Z")
    return f"{len(text.encode())}:{text}"


def _identify(expressions: Sequence[str]) -> str:
    """Return SQL that tells groups apart: two of 10,000 are the same number once in 10¹¹ times."""
    parts = [f"isNull({one}), ifNull(toString({one}), '')" for one in expressions]
    return f"sipHash64({', '.join(parts)})"


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
