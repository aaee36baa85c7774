"""The words that every kind of question shares, exactly as they stand in its JSON.

`parse.py` decodes into these, the kinds are built from them. Nothing here knows SQL or the store; what a
combination of words means is checked where it is used (`period`, `fields`, `filters`, `measures`).
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec

from tallymark.errors import RequestRefused

MAX_TEXT = 1024
MAX_FILTERS: Final = 50
MAX_BREAKDOWNS: Final = 5
DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 1000
# The column that says how many groups stand in a row.
GROUPS: Final = "groups"

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_TEXT)]
Interval = Literal["minute", "hour", "day", "week", "month", "quarter", "year"]
FilterOp = Literal[
    "eq", "ne", "in", "not_in", "lt", "lte", "gt", "gte", "contains", "matches", "digest", "exists"
]
MeasureOp = Literal[
    "count", "unique", "sum", "average", "minimum", "maximum", "quantile", "last", "deviation"
]


class Filter(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A condition on one field. `value` is a text, number, boolean or null, or a list of them for in and not_in.

    `digest` is met by the one text whose UTF-8 bytes have this SHA-256, in hexadecimal: texts too long for an address.
    """

    field: Text
    op: FilterOp
    value: Any = msgspec.UNSET


class Measure(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is computed of the events; `field` for all but count, `q` (0 to 1) for quantile.

    `bound` asks for an end of the quantile's 95 % interval instead of the quantile. `deviation` is the sample standard
    deviation.
    """

    op: MeasureOp
    field: Text | None = None
    q: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    bound: Literal["low", "high"] | None = None


COUNT: Final = Measure(op="count")
Filters = Annotated[tuple[Filter, ...], msgspec.Meta(max_length=MAX_FILTERS)]


class Selection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Some events and what is computed of them: the numerator or denominator of a ratio."""

    event_name: Text
    measure: Measure = COUNT
    filters: Filters = ()


class Series(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A named selection: one line of a trend. Without a name it is called after its event."""

    event_name: Text
    name: Text | None = None
    measure: Measure = COUNT
    filters: Filters = ()


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One step of a funnel. Without a name it is called after its event."""

    event_name: Text
    name: Text | None = None
    filters: Filters = ()


class Asked(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    tag_field="kind",
    kw_only=True,
):
    """What every question has: a time from `from` up to, not including, `to`, common filters, a breakdown.

    Times are ISO 8601 with an offset, or a date or a time without one, which is then taken in `timezone`.
    `limit` is the largest number of breakdown groups that are shown.
    """

    start: Text = msgspec.field(name="from")
    end: Text = msgspec.field(name="to")
    timezone: Text = "UTC"
    filters: Filters = ()
    breakdown: Annotated[tuple[Text, ...], msgspec.Meta(max_length=MAX_BREAKDOWNS)] = ()
    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_LIMIT)] = DEFAULT_LIMIT


def refuse(message: str, at: str, code: str = "invalid_question") -> RequestRefused:
    """Build the error for a question that cannot be asked; `at` is a path such as `series[0].measure.op`."""
    return RequestRefused(code, message, at=at)
