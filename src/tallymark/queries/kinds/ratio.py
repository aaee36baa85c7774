"""Ratio: one figure divided by another over time, also by breakdown, with the interval in which the rate lies.

Comes in: the question as it stands in JSON. Goes out: SQL, and the table `time`, breakdown, `numerator`,
`denominator`, `ratio`, `low`, `high`. `run` calls it through `kinds.KINDS`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

from tallymark.queries.fields import SKETCH, parse_field
from tallymark.queries.grid import GridQuery, OfTime
from tallymark.queries.measures import COUNTED, Z, needs_exact, spread_interval
from tallymark.queries.period import Period
from tallymark.queries.question import Selection
from tallymark.queries.result import Cell, Column, Table
from tallymark.queries.sql import Parameters

# Of the difference of two sums of squares, as a share of both.
_ROUNDING: Final = 2.0**-50
_COLUMNS: Final = ("numerator", "denominator", "ratio", "low", "high")


class Ratio(OfTime, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag="ratio", kw_only=True):
    """`numerator` divided by `denominator`; both meet the common filters and share time and breakdown."""

    numerator: Selection
    denominator: Selection

    def selections(self) -> list[tuple[str, Selection]]:
        """Return the two selections with their paths."""
        return [("numerator", self.numerator), ("denominator", self.denominator)]

    def has_exact_form(self) -> bool:
        """Whether a figure is exact or approximate depending on the number of rows."""
        return any(needs_exact(selection.measure) for _, selection in self.selections())

    def shape_result(self, period: Period, rows: list[list[Any]], *, exact: bool) -> Table:
        """Make the table of the statement's rows."""
        query = self.query(period, exact=exact)
        grid = query.shape(rows)
        first, second = grid.aggregates
        columns = (
            *query.lead_columns(),
            Column("numerator", first.type, first.unit, first.exact),
            Column("denominator", second.type, second.unit, second.exact),
            Column("ratio", "number", "ratio"),
            Column("low", "number", "ratio"),
            Column("high", "number", "ratio"),
        )
        # Values of a sketch can be more than the events that have it: theirs is no share of something counted one by one.
        are_counts = all(
            selection.measure.op in COUNTED and selection.measure.field != SKETCH
            for _, selection in self.selections()
        )
        table: list[list[Cell]] = []
        tally = _Tally()
        for lead, figures in query.lead_rows(grid):
            above, below = (first.empty, second.empty) if figures is None else figures[1:3]
            squares = figures[-3:] if figures is not None and self._adds_up() else None
            table.append(
                [*lead, above, below, *tally.divide(above, below, are_counts=are_counts, squares=squares)]
            )
        doubts = [
            at
            for place, (at, _) in enumerate(self.selections(), len(query.lead_columns()))
            if not any(row[place] for row in table)
        ]
        notes = [*grid.notes, *tally.notes(len(table), has_interval=are_counts or self._adds_up())]
        return Table(columns, table, notes, [*doubts, *query.breakdown_doubts(grid)])

    def query(self, period: Period, *, exact: bool) -> GridQuery:
        """Return what builds statements and reads their rows."""
        more = self._build_squares if self._adds_up() else None
        return GridQuery(self, period, self.selections(), _COLUMNS, exact, more)

    def _adds_up(self) -> bool:
        """Whether both sides are sums over events, at least one of them of more than the events themselves."""
        ops = [selection.measure.op for _, selection in self.selections()]
        if "sum" not in ops or not set(ops) <= {"sum", "count"}:
            return False
        return all(selection.measure.field != SKETCH for _, selection in self.selections())

    def _build_squares(self, parameters: Parameters, own: Sequence[str]) -> list[str]:
        """Build the sums of squares and of products of what each event adds to both sides, around their means.

        The engine's stable forms: sums of squares as such would leave nothing but rounding of values far from 0.
        """
        del parameters
        sides = []
        for (at, selection), condition in zip(self.selections(), own, strict=True):
            field = selection.measure.field
            number = (
                "1" if field is None else f"ifNull({parse_field(field, f'{at}.measure.field').number()}, 0)"
            )
            sides.append(f"if({condition}, {number}, 0)" if condition else number)
        above, below = sides
        squares = (f"varPopStable({above})", f"covarPopStable({above}, {below})", f"varPopStable({below})")
        # What each event adds as 1 does not vary.
        fixed = (above == "1", "1" in (above, below), below == "1")
        # One event says nothing of how much they differ; of more the sample's variance is meant, as in an average.
        scaled = "if(count() > 1, count() * {} * count() / (count() - 1), NULL)"
        return ["0." if one else scaled.format(square) for one, square in zip(fixed, squares, strict=True)]


class _Tally:
    """Divides row by row and remembers what has to be said at the end."""

    def __init__(self) -> None:
        self.zeros = 0
        self.above_one = 0

    def divide(
        self, above: Any, below: Any, *, are_counts: bool, squares: Sequence[Any] | None = None
    ) -> tuple[Cell, Cell, Cell]:
        """Return ratio, low and high; null where they mean nothing. `squares` are those of a ratio of sums."""
        if above is None or not below:
            self.zeros += not below
            return (None, None, None)
        if not math.isfinite(above) or not math.isfinite(below):
            return (math.nan, None, None)
        if squares is not None:
            return (above / below, *delta_interval(above, below, squares))
        if not are_counts:
            return (above / below, None, None)
        if above > below:
            self.above_one += 1
            return (above / below, None, None)
        return (above / below, *wilson_interval(above, below))

    def notes(self, rows: int, *, has_interval: bool) -> list[str]:
        """Return the sentences for what was met."""
        notes = []
        if self.zeros:
            notes.append(
                f"In {self.zeros:,} of {rows:,} rows the denominator is 0 or missing: there is no ratio."
            )
        if self.above_one:
            notes.append(
                f"In {self.above_one:,} rows the numerator is larger than the denominator: it is no share, and low and high are null."
            )
        if not has_interval:
            notes.append("low and high are given for counts and sums, not for this measure.")
        return notes


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """Return the 95 % score interval of a share of `successes` in `trials` (1 or more), both ends in [0, 1].

    E. B. Wilson (1927), "Probable inference, the law of succession, and statistical inference",
    Journal of the American Statistical Association 22, 209-212.
    """
    share = successes / trials
    scale = 1 + Z * Z / trials
    centre = (share + Z * Z / (2 * trials)) / scale
    reach = Z / scale * math.sqrt(share * (1 - share) / trials + Z * Z / (4 * trials * trials))
    # At the ends the formula is exactly 0 or 1; rounding must not leave the share outside.
    low = 0.0 if successes == 0 else centre - reach
    high = 1.0 if successes == trials else centre + reach
    return (low, high)


def delta_interval(above: float, below: float, squares: Sequence[Any]) -> tuple[Cell, Cell]:
    """Return the 95 % interval of a ratio of two sums, by the delta method.

    `squares` are the sums over n events of (x - x̄)², (x - x̄)(y - ȳ) and (y - ȳ)², each times n / (n - 1), where an event
    adds x to the numerator and y to the denominator; None of one event. Events are taken as independent; the standard
    error is √Σ(x - Ry)² / Σy, and as x̄ = Rȳ that sum is the same around the means. W. G. Cochran, "Sampling Techniques",
    3rd edition (1977), section 6.4.
    """
    if None in squares:
        return None, None
    ratio = above / below
    first, product, second = (float(number or 0) for number in squares)
    other = ratio * ratio * second
    # What rounding alone can make of the difference is the least that is known of it.
    spread = max(first - 2 * ratio * product + other, _ROUNDING * (first + other))
    reach = Z * math.sqrt(spread) / abs(below) if math.isfinite(spread) else math.nan
    if not math.isfinite(reach):
        return None, None
    return spread_interval(ratio, reach)
