"""What is computed of events: from a `Measure` to an aggregate function.

Comes in: a measure, the condition of its events and whether exact figures are affordable. Goes out: an `Aggregate`
with its SQL, the type and unit of its column, and what must be said about it. `grid` and the kinds call it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from msgspec import UNSET, UnsetType

from tallymark.queries.fields import DERIVED, NULLABLE, SKETCH, Field, Type, parse_field
from tallymark.queries.question import Measure, refuse
from tallymark.queries.sql import Parameters

# Above this many rows that the index cannot rule out, unique and quantile become approximate.
EXACT_ROWS: Final = 10_000_000
UNIQUE_ERROR: Final = "standard error 0.3 %"
QUANTILE_ERROR: Final = "relative error of at most 1 %"
SKETCH_ACCURACY: Final = 0.01
SKETCH_ERROR: Final = f"relative error of at most {SKETCH_ACCURACY:.0%}".replace("%", " %")
# The standard normal distribution's 97.5 % point: 95 % lie within it on both sides.
Z: Final = 1.959963984540054
# Measures whose figures are values, or sums of values, and no estimates of anything, where a double carries them.
_EXACT: Final = frozenset({"sum", "minimum", "maximum", "last"})
# How far the nearest double lies from a decimal, at most, as a share of it.
_HALF_UNIT: Final = 2.0**-53
# Up to here a double carries every whole number, and any number of so many significant digits.
_WHOLE: Final = 2.0**53
_DIGITS: Final = 15
# A sum of values up to so much is off by less than a hundredth: a whole number of them is certain.
_CERTAIN: Final = 2.0**46
# So many more decimal places than a sum has must be known of it: further decimals would have shown there.
_SPARE_PLACES: Final = 2
# From here on what a double leaves out may reach a hundredth.
LARGE: Final = 2.0**43
# Measures whose figures of parts add up to the figure of the whole.
ADDITIVE: Final = frozenset({"count", "sum"})
# Measures whose figures are numbers of something: two of them divided are a share.
COUNTED: Final = frozenset({"count", "unique"})
# A sum that is compensated (Kahan) loses nothing however many values it has.
_NUMERIC: Final = {"sum": "sumKahan", "average": "sumKahan", "minimum": "min", "maximum": "max"}
# Of sketches: the number of their values, their sum, and value by value how often it was seen.
_COUNT: Final = "sumIf(arraySum(sketch_counts), {where})"
_SUM: Final = "sumIf(arraySum((v, c) -> v * c, sketch_values, sketch_counts), {where})"
_BINS: Final = "sumMapIf(sketch_values, sketch_counts, {where})"
_SKETCH: Final = {
    "count": _COUNT,
    "sum": _SUM,
    "average": f"{_SUM} / {_COUNT}",
    "minimum": "minArrayIf(sketch_values, {where})",
    "maximum": "maxArrayIf(sketch_values, {where})",
    # Around the mean: the difference of two large sums of squares would be rounding alone.
    "deviation": (
        f"if({_COUNT} < 2, NULL, sqrt(arraySum((v, c) -> c * pow(v - ({_SUM}) / {_COUNT}, 2), {_BINS}.1, {_BINS}.2)"
        f" / ({_COUNT} - 1)))"
    ),
}


@dataclass(frozen=True, slots=True)
class Aggregate:
    """One figure: its SQL, its column's type and unit (None = unknown), its value where there are no events.

    `others` counts the values that are no numbers and were left out ('' = none can be). `magnitude` adds up the values
    without their signs, where the figure is a sum: it says how precise the sum is (`settle_sum`). `exact` figures were
    counted, added up or read, and are no estimates.
    """

    sql: str
    type: str
    unit: str | None
    empty: int | None
    others: str = ""
    note: str = ""
    magnitude: str = ""
    exact: bool | UnsetType = UNSET


def build_measure(
    measure: Measure, at: str, condition: str, parameters: Parameters, *, exact: bool
) -> Aggregate:
    """Build the aggregate of one measure over the rows that meet `condition` ('' = all of the statement's rows).

    Raises `RequestRefused` for a field or `q` that the operator needs or does not take.
    """
    _check_shape(measure, at)
    if measure.field is None:
        count = f"countIf({condition})" if condition else "count()"
        return Aggregate(count, "integer", "events", 0, exact=True)
    field = parse_field(measure.field, f"{at}.field")
    if measure.op == "unique":
        return _build_unique(field, condition, at, exact=exact)
    if field.type is Type.SKETCH:
        return _build_sketch(measure, at, condition, parameters)
    if field.type not in {Type.NUMBER, Type.ANY}:
        message = f"{measure.op} needs numbers; {field.name} is of type {field.type.value}. Allowed: value, sketch, or an attribute."
        raise refuse(message, f"{at}.field")
    return _build_numeric(measure, field, condition, parameters, exact=exact)


def needs_exact(measure: Measure) -> bool:
    """Whether the measure has an exact and an approximate form."""
    return measure.op == "unique" or (measure.op == "quantile" and measure.field != SKETCH)


def _check_shape(measure: Measure, at: str) -> None:
    if measure.op == "count" and measure.field not in (None, SKETCH):
        message = "count counts events and takes no field, or sketch, whose values it counts; unique counts a field's values."
        raise refuse(message, f"{at}.field")
    if measure.op != "count" and measure.field is None:
        raise refuse(f"{measure.op} needs a field, such as value or attributes.NAME.", f"{at}.field")
    if measure.op == "quantile" and measure.q is None:
        raise refuse('quantile needs q between 0 and 1, such as "q": 0.95.', f"{at}.q")
    if measure.op != "quantile" and measure.bound is not None:
        raise refuse(f"Only quantile takes bound, not {measure.op}.", f"{at}.bound")
    if measure.op != "quantile" and measure.q is not None:
        raise refuse(f"Only quantile takes q, not {measure.op}.", f"{at}.q")


def _build_unique(field: Field, condition: str, at: str, *, exact: bool) -> Aggregate:
    if field.type in {Type.SKETCH, Type.TEXTS}:
        raise refuse(f"unique cannot count {field.name}, which holds lists.", f"{at}.field")
    conditions = [condition] if condition else []
    if field.type is Type.TEXT:
        conditions.append(field.exists())
    function = "uniqExact" if exact else "uniqCombined64(17)"
    name, _, rest = function.partition("(")
    suffix = "If" if conditions else ""
    call = f"{name}{suffix}" + (f"({rest}" if rest else "")
    arguments = ", ".join([field.text(), *([" AND ".join(conditions)] if conditions else [])])
    note = "" if exact else f"unique {field.name} is approximate ({UNIQUE_ERROR})"
    return Aggregate(f"{call}({arguments})", "integer", None, 0, note=note, exact=exact or UNSET)


def _build_numeric(
    measure: Measure, field: Field, condition: str, parameters: Parameters, *, exact: bool
) -> Aggregate:
    # What is computed of an event's time is an integer, which some aggregates do not take.
    number = f"toFloat64({field.number()})" if field.name in DERIVED else field.number()
    suffix, arguments = ("If", f"{number}, {condition}") if condition else ("", number)
    note = ""
    if measure.op == "quantile":
        if measure.bound is not None:
            return _build_bound(measure, number, condition, parameters, exact=exact)
        level = parameters.add(measure.q, "Float64")
        call = f"quantileExactInclusive{suffix}({level})"
        if not exact:
            call = f"quantileDD{suffix}(0.01, {level})"
            note = f"the quantile of {field.name} is approximate ({QUANTILE_ERROR})"
    elif measure.op == "last":
        # By event time; among events of one instant the larger value, so that the answer is always the same.
        call = f"argMax{suffix}"
        arguments = f"{number}, (event_time, {number})" + (f", {condition}" if condition else "")
    elif measure.op != "deviation":
        call = f"{_NUMERIC[measure.op]}{suffix}"
    sql = _build_deviation(suffix, arguments) if measure.op == "deviation" else f"{call}({arguments})"
    magnitude = ""
    if measure.op == "sum":
        sql = f"ifNull({sql}, 0)"
        magnitude = f"ifNull(sum{suffix}(abs({number}){f', {condition}' if condition else ''}), 0)"
    elif measure.op == "average":
        sql = f"{sql} / count{suffix}({arguments})"
    others = ""
    if field.name not in NULLABLE:
        others = f"countIf({condition + ' AND ' if condition else ''}isNull({number}) AND {field.exists()})"
    empty = 0 if measure.op == "sum" else None
    # A quantile is an estimate, with an interval, and stands between two values.
    is_exact = measure.op in _EXACT
    return Aggregate(sql, "number", None, empty, others, note, magnitude, exact=is_exact or UNSET)


def _build_deviation(suffix: str, arguments: str) -> str:
    """Build the sample standard deviation, exact also of values that lie far from 0 and close together.

    The engine's stable form (B. P. Welford 1962, Technometrics 4, 419-420; parts are joined as T. F. Chan, G. H. Golub
    and R. J. LeVeque 1983, The American Statistician 37, 242-247) instead of the difference of two large sums. What it
    still rounds is bounded by the range r of n values: r / √(2(n - 1)) ≤ s ≤ r / 2 · √(n / (n - 1)) (J. von Szőkefalvi
    Nagy 1918; T. Popoviciu 1935). So it is 0 where all values are the same, and only there.
    """
    count = f"count{suffix}({arguments})"
    spread = f"(max{suffix}({arguments}) - min{suffix}({arguments}))"
    least = f"{spread} / sqrt(2 * ({count} - 1))"
    most = f"{spread} / 2 * sqrt({count} / ({count} - 1))"
    stable = f"stddevSampStable{suffix}({arguments})"
    return f"if({count} < 2, NULL, least(greatest({stable}, {least}), {most}))"


def spread_interval(middle: float, reach: float) -> tuple[float, float]:
    """Return both ends of an interval; one that has a width keeps it, also where doubles cannot tell its ends apart."""
    low, high = middle - reach, middle + reach
    if reach > 0:
        low, high = min(low, math.nextafter(middle, -math.inf)), max(high, math.nextafter(middle, math.inf))
    return low, high


def settle_sum(value: float, magnitude: float | None, parts: int = 1) -> float:
    """Return the shortest decimal that a sum can have been, given the sum of its values without their signs.

    Values arrive as decimals and are kept as the nearest double, which is off by up to 2⁻⁵³ of each; adding them up
    with compensation costs at most three times as much more; sums of `parts` that were added up without it cost as much
    for each. Of the numbers in between the one with the fewest decimals is meant: 1248025.57, and not
    1248025.5699999998. Whole numbers stay as they are.
    """
    return settle_exactly(value, magnitude, parts)[0]


def settle_exactly(value: float, magnitude: float | None, parts: int = 1) -> tuple[float, bool]:
    """Return what `settle_sum` does, and whether it is certain: the exact sum of the decimals that were sent.

    It is where the error leaves room for more decimal places than the sum has (`_SPARE_PLACES`). What is no finite number, and stands in no answer, counts as certain.
    """
    if not magnitude or not math.isfinite(value) or not math.isfinite(magnitude):
        return value, True
    if value.is_integer() and magnitude * (3 + parts) < _CERTAIN:
        return value, True
    error = magnitude * _HALF_UNIT * (3 + parts)
    if not error:
        return value, True
    places = math.floor(-math.log10(2 * error))
    settled = value if value.is_integer() else round(value, max(0, places))
    if abs(settled - value) > error:
        return value, False
    spare = places - _SPARE_PLACES
    return settled, spare >= 0 and round(settled, spare) == settled


def is_carried(value: float) -> bool:
    """Return whether a double carries a number that was read: it is whole and below 2⁵³, or has up to 15 digits."""
    if not math.isfinite(value):
        return True
    if value.is_integer():
        return abs(value) < _WHOLE
    return float(f"{value:.{_DIGITS}g}") == value


def describe_rounded(op: str, field: str | None, event_name: str) -> str:
    """Return the sentence about large figures that are not marked as exact."""
    return (
        f"{op} of {field} of {event_name} has more digits than a 64-bit float carries: it is rounded to about"
        f" {_DIGITS} digits, and not exact."
    )


def _build_bound(
    measure: Measure, number: str, condition: str, parameters: Parameters, *, exact: bool
) -> Aggregate:
    """Build one end of a quantile's 95 % interval: the order statistic whose rank is nq ± 1.96 √(nq(1 - q)).

    Distribution-free; W. J. Conover, "Practical Nonparametric Statistics", 3rd edition (1999), section 3.2. NULL where
    there are too few values for that rank, and where so many would have to be sorted that figures are approximate.
    """
    if not exact:
        return Aggregate(
            "NULL", "number", None, None, note="the quantile's interval is left out over so many rows"
        )
    q = parameters.add(measure.q, "Float64")
    suffix, more = (
        ("If", f", {condition} AND isNotNull({number})") if condition else ("If", f", isNotNull({number})")
    )
    values = f"groupArray{suffix}(assumeNotNull({number}){more})"
    count = f"length({values})"
    rank = _rank(measure, count, q)
    sql = f"if({rank} BETWEEN 1 AND {count}, arraySort({values})[toUInt64(greatest(1, {rank}))], NULL)"
    return Aggregate(sql, "number", None, None)


def _rank(measure: Measure, count: str, q: str) -> str:
    """Return the rank of one end of the interval of a quantile of `count` values."""
    reach = f"{Z} * sqrt({count} * {q} * (1 - {q}))"
    if measure.bound == "low":
        return f"floor({count} * {q} - {reach})"
    return f"ceil({count} * {q} + {reach}) + 1"


def _build_sketch(measure: Measure, at: str, condition: str, parameters: Parameters) -> Aggregate:
    """Build what a sketch can tell: everything but which of its values came last."""
    if measure.op == "last":
        raise refuse("last needs single values, and not a sketch.", f"{at}.op")
    where = "notEmpty(sketch_values)" + (f" AND {condition}" if condition else "")
    if measure.op == "count":
        return Aggregate(_COUNT.format(where=where), "integer", "values", 0, exact=True)
    if measure.bound is not None:
        return _build_sketch_bound(measure, where, parameters)
    if measure.op == "quantile":
        level = parameters.add(measure.q, "Float64")
        sql = f"quantileExactWeightedArrayIf({level})(sketch_values, sketch_counts, {where})"
    else:
        sql = _SKETCH[measure.op].format(where=where)
    # These aggregates give 0 for no rows, which is not an answer.
    if measure.op != "sum":
        sql = f"if(countIf({where}) = 0, NULL, {sql})"
    note = f"{measure.op} of sketch has a {SKETCH_ERROR}: timings and histograms are sent as sketches"
    if measure.op == "deviation":
        note = f"deviation of sketch is off by up to {SKETCH_ACCURACY:.0%} of the values themselves: timings and histograms are sent as sketches"
        note = note.replace("%", " %")
    return Aggregate(sql, "number", None, 0 if measure.op == "sum" else None, note=note)


def _build_sketch_bound(measure: Measure, where: str, parameters: Parameters) -> Aggregate:
    """Build one end of a quantile's 95 % interval as of single values, moved outwards by the sketch's own error.

    The value of a rank is that of the bin in which the rank lies, once the bins of all sketches are added up.
    """
    q = parameters.add(measure.q, "Float64")
    bins = _BINS.format(where=where)
    count = f"arraySum({bins}.2)"
    rank = _rank(measure, count, q)
    end = f"arrayFirst((v, c) -> c >= {rank}, {bins}.1, arrayCumSum({bins}.2))"
    sign = "-" if measure.bound == "low" else "+"
    sql = f"if({rank} BETWEEN 1 AND {count}, {end} {sign} {SKETCH_ACCURACY} * abs({end}), NULL)"
    return Aggregate(sql, "number", None, None)
