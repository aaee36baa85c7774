"""Histogram: how the numbers of a field are spread, such as the seconds of a timer.

Comes in: the question as it stands in JSON. Goes out: SQL, and the table `low`, `high`, `values`. `run` calls it through
`kinds.KINDS`. Edges are round numbers; buckets hold `low` and not `high`.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Final

import msgspec

from tallymark.queries.fields import Type, parse_field
from tallymark.queries.filters import build_filters
from tallymark.queries.measures import SKETCH_ERROR
from tallymark.queries.period import Period, build_period
from tallymark.queries.question import Asked, Filters, Text, refuse
from tallymark.queries.result import Cell, Column, Table
from tallymark.queries.sql import Parameters, Statement, build_scope

# One in two hundred values on each side lies outside, or a single one could make all others one bucket.
_OUTSIDE: Final = 0.005
# From what was found of the values to the number of each value's bucket. The axis begins at 0 where the lowest values are
# not far from it, compared with the highest. The width is 1, 2 or 5 times a power of ten, as a fraction of whole numbers:
# so edges are what they read. A bucket is never narrower than doubles of that size can tell apart: its number, and that
# number times its width as a whole number, then fit a double. Halves of a range do not overflow, where the range would.
# Rounding can put a value that lies on an edge beside its bucket, which is then mended.
_BUCKETS: Final = """
 assumeNotNull(found.1) AS lowest, assumeNotNull(found.2) AS highest,
 if(found.3 >= 0 AND lowest <= 0.3 * highest, 0, lowest) AS begin,
 if(highest > begin, highest / BUCKETS - begin / BUCKETS, 1) AS wanted,
 greatest(wanted, FINEST * greatest(abs(begin), abs(highest)), LEAST) AS raw,
 floor(log10(raw)) AS exponent, raw / exp10(exponent) AS mantissa,
 multiIf(mantissa <= 1, 1, mantissa <= 2, 2, mantissa <= 5, 5, 10) AS round,
 least(round * if(exponent > 0, exp10(exponent), 1), 1e308) AS above, if(exponent < 0, exp10(-exponent), 1) AS below,
 assumeNotNull(v) AS x, floor(x * below / above) AS near,
 near + (x >= (near + 1) * above / below) - (x < near * above / below) AS bucket,
 floor(begin * below / above) AS first, floor(highest * below / above) AS last
""".strip("\n")
# The least width, as a share of the values: 47 bits of a double's 53 number the buckets, 4 are for the width's digits.
_FINEST: Final = 2.0**-47
# And in any case: smaller doubles lose digits.
_LEAST: Final = 1e-290


class Sample(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Some events and the field whose numbers are looked at."""

    event_name: Text
    field: Text = "value"
    filters: Filters = ()


class Histogram(
    Asked, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag="histogram", kw_only=True
):
    """The numbers of a field of some events, in about `buckets` buckets of one width."""

    of: Sample
    buckets: Annotated[int, msgspec.Meta(ge=2, le=200)] = 30

    def period(self) -> Period:
        """Return the time of the question. Raises `RequestRefused`."""
        return build_period(self.start, self.end, "", self.timezone)

    def selections(self) -> list[tuple[str, Sample]]:
        """Return what is read, with its path."""
        return [("of", self.of)]

    def has_exact_form(self) -> bool:
        """Whether anything is exact or approximate depending on the number of rows: only where the buckets begin."""
        return self.of.field != "sketch"

    def build_sql(self, project: str, period: Period, *, exact: bool) -> Statement:
        """Build the statement; raises `RequestRefused` for what is not well formed."""
        if self.breakdown:
            raise refuse("A histogram takes no breakdown: use filters.", "breakdown")
        parameters = Parameters(local_seconds=period.local_sql)
        source = self._source(project, period, parameters)
        low, high = (self._quantile(q, exact=exact) for q in (_OUTSIDE, 1 - _OUTSIDE))
        buckets = parameters.add(self.buckets, "UInt16")
        found = f"SELECT tuple({low}, {high}, min(v), countIf(isNull(v) AND has)) FROM (\n{source}\n)"  # noqa: S608 - made of fixed words and placeholders
        return parameters.statement(
            f"WITH ({found}) AS found,\n{_write_buckets(buckets)}\n"
            "SELECT least(greatest(bucket, first - 1), last + 1) AS number, sum(w),"
            f" any(above), any(below), any(first), any(last), any(found.4)\nFROM (\n{source}\n)\n"
            "WHERE isNotNull(v)\nGROUP BY number ORDER BY number"
        )

    def shape_result(self, period: Period, rows: list[list[Any]], *, exact: bool) -> Table:
        """Make the table of the statement's rows."""
        del period, exact
        columns = (
            Column("low", "number", exact=True),
            Column("high", "number", exact=True),
            Column("values", "integer", exact=True),
        )
        if not rows:
            return Table(columns, [], [], ["of"])
        _, _, above, below, first, last, skipped = rows[0]
        counts = {int(row[0]): int(row[1]) for row in rows}
        first, last = int(first), int(last)
        above, below = float(above), float(below)

        def edge(number: int) -> float | None:
            # Beyond the largest double there is nothing: such a bucket is open.
            found = float(number) * above / below
            return found if math.isfinite(found) else None

        table: list[list[Cell]] = [
            [edge(number), edge(number + 1), counts.get(number, 0)] for number in range(first, last + 1)
        ]
        if first - 1 in counts:
            table.insert(0, [None, edge(first), counts[first - 1]])
        if last + 1 in counts:
            table.append([edge(last + 1), None, counts[last + 1]])
        notes = []
        if self.of.field == "sketch":
            notes.append(f"Values of a sketch have a {SKETCH_ERROR}.")
        if skipped:
            notes.append(f"{int(skipped):,} values of {self.of.field} that are no numbers were left out.")
        return Table(columns, table, notes, [])

    def _source(self, project: str, period: Period, parameters: Parameters) -> str:
        """Return the values `v`, each so often as `w` says; `has` tells those that are there and no number."""
        field = parse_field(self.of.field, "of.field")
        if field.type not in {Type.NUMBER, Type.ANY, Type.SKETCH}:
            message = (
                f"A histogram needs numbers; {field.name} is of type {field.type.value}."
                " Allowed: value, sketch, or an attribute."
            )
            raise refuse(message, "of.field")
        conditions = build_filters(self.filters, "filters", parameters)
        conditions += build_filters(self.of.filters, "of.filters", parameters)
        scope = build_scope(parameters, project, period, [self.of.event_name], conditions)
        if field.type is Type.SKETCH:
            table, _, where = scope.partition("\n")
            return (
                "SELECT toNullable(v) AS v, toUInt64(w) AS w, true AS has\n"
                f"{table}\nARRAY JOIN sketch_values AS v, sketch_counts AS w\n{where}"
            )
        return f"SELECT toNullable({field.number()}) AS v, toUInt64(1) AS w, {field.exists()} AS has\n{scope}"

    def _quantile(self, q: float, *, exact: bool) -> str:
        if self.of.field == "sketch":
            return f"quantileExactWeighted({q})(v, w)"
        return f"quantileExact({q})(v)" if exact else f"quantileDD(0.01, {q})(v)"


def _write_buckets(buckets: str) -> str:
    words = {"BUCKETS": buckets, "FINEST": repr(_FINEST), "LEAST": repr(_LEAST)}
    text = _BUCKETS
    for word, value in words.items():
        text = text.replace(word, value)
    return text
