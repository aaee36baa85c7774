"""Trend: one or more figures over time, also by breakdown.

Comes in: the question as it stands in JSON. Goes out: SQL, and the table `time`, breakdown, one column per series.
`run` calls it through `kinds.KINDS`.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec

from tallymark.queries.grid import GridQuery, OfTime
from tallymark.queries.measures import needs_exact
from tallymark.queries.period import Period
from tallymark.queries.question import Series, refuse
from tallymark.queries.result import Cell, Column, Table
from tallymark.queries.sql import Statement

MAX_SERIES: Final = 20


class Trend(OfTime, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag="trend", kw_only=True):
    """One figure per series and interval; without `interval` one figure per series."""

    series: Annotated[tuple[Series, ...], msgspec.Meta(min_length=1, max_length=MAX_SERIES)]

    def selections(self) -> list[tuple[str, Series]]:
        """Return the series with their paths."""
        return [(f"series[{number}]", series) for number, series in enumerate(self.series)]

    def has_exact_form(self) -> bool:
        """Whether a figure is exact or approximate depending on the number of rows."""
        return any(needs_exact(series.measure) for series in self.series)

    def build_sql(self, project: str, period: Period, *, exact: bool) -> Statement:
        """Build the statement; raises `RequestRefused` for what is not well formed."""
        self._check_names()
        return super().build_sql(project, period, exact=exact)

    def shape_result(self, period: Period, rows: list[list[Any]], *, exact: bool) -> Table:
        """Make the table of the statement's rows."""
        query = self.query(period, exact=exact)
        grid = query.shape(rows)
        columns = [*query.lead_columns()]
        for aggregate, name in zip(grid.aggregates, self._names(), strict=True):
            columns.append(Column(name, aggregate.type, aggregate.unit, aggregate.exact))
        empty: list[Cell] = [aggregate.empty for aggregate in grid.aggregates]
        table: list[list[Cell]] = []
        found = [False] * len(empty)
        for lead, figures in query.lead_rows(grid):
            cells = empty if figures is None else [*figures[1 : len(empty) + 1]]
            found = [old or bool(cell) for old, cell in zip(found, cells, strict=True)]
            table.append([*lead, *cells])
        doubts = [at for (at, _), some in zip(self.selections(), found, strict=True) if not some]
        return Table(tuple(columns), table, grid.notes, [*doubts, *query.breakdown_doubts(grid)])

    def query(self, period: Period, *, exact: bool) -> GridQuery:
        """Return what builds statements and reads their rows."""
        return GridQuery(self, period, self.selections(), (), exact)

    def _names(self) -> list[str]:
        return [series.name or series.event_name for series in self.series]

    def _check_names(self) -> None:
        taken = {column.name for column in self.query(self.period(), exact=True).lead_columns()}
        for (at, series), name in zip(self.selections(), self._names(), strict=True):
            if name in taken:
                message = (
                    f"The column {name!r} would stand twice in the answer. Give the series another name."
                )
                raise refuse(message, f"{at}.name" if series.name else f"{at}.event_name")
            taken.add(name)
