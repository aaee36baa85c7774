"""Rows of a form that say a condition: field, operator, value; from texts to typed filters and back.

Explore and the events' search use them. Pure. `5` is a number and `"5"` a text where a field can hold both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, get_args

import msgspec

from tallymark.queries.fields import Type, find_type
from tallymark.queries.question import MAX_BREAKDOWNS, MAX_FILTERS, Filter, FilterOp
from tallymark.web.parameters import Parameter, formed, free, handled, one_of

# What a question, one of its parts, its breakdown and a bucket ask for together: what leads to their events has them all.
MAX_ROWS: Final = 2 * MAX_FILTERS + MAX_BREAKDOWNS + 2
LISTS: Final = ("in", "not_in")
_ROW: Final = re.compile(r"(s\d{1,3}\.)?f\d{1,3}|[sb]\d{1,3}")
# The parameters of rows, and the one that names a row to leave out.
ROWS: Final[tuple[Parameter, ...]] = (
    free("f#.field"),
    one_of("f#.op", get_args(FilterOp)),
    handled("f#.value"),
)
DROP: Final = formed("drop", lambda text: bool(_ROW.fullmatch(text)), "a row's name, such as f0")
CONDITIONS: Final = (*ROWS, DROP)
OPERATOR_WORDS: Final = {
    "eq": "is",
    "ne": "is not",
    "in": "is one of",
    "not_in": "is none of",
    "lt": "<",
    "lte": "≤",
    "gt": ">",
    "gte": "≥",
    "contains": "contains",
    "matches": "matches",
    "digest": "has the SHA-256",
    "exists": "is there",
}


@dataclass(frozen=True, slots=True)
class FilterRow:
    """What stands in the three inputs of a row."""

    field: str = ""
    op: str = "eq"
    value: str = ""


def parse_rows(fields: Mapping[str, str], prefix: str = "") -> list[FilterRow]:
    """Return the rows of a form whose field is filled in: `{prefix}f0.field`, `.op`, `.value`, `{prefix}f1` and so on.

    The row that `drop` names is left out: the button beside it says so.
    """
    rows = []
    for number in range(MAX_ROWS + 1):
        name = f"{prefix}f{number}"
        field = read_name(fields.get(f"{name}.field", ""))
        if field and fields.get("drop") != name:
            rows.append(FilterRow(field, fields.get(f"{name}.op") or "eq", fields.get(f"{name}.value", "")))
    return rows


def find_row_input(at: str) -> str:
    """Return the name of the input that a place in a list of filters belongs to: filters[0].value is f0.value."""
    return at.replace("filters[", "f").replace("]", "")


def render_rows(rows: Sequence[FilterRow], prefix: str = "") -> list[tuple[str, str]]:
    """Return the rows as fields of a link."""
    pairs = []
    for number, row in enumerate(rows):
        name = f"{prefix}f{number}"
        pairs += [
            (f"{name}.field", write_name(row.field)),
            (f"{name}.op", row.op),
            (f"{name}.value", row.value),
        ]
    return [(name, value) for name, value in pairs if value and not (name.endswith(".op") and value == "eq")]


def build_filter(row: FilterRow) -> dict[str, Any]:
    """Return a row as a question's filter."""
    if row.op == "exists":
        return {
            "field": row.field,
            "op": "exists",
            **({"value": False} if row.value in ("false", "no") else {}),
        }
    kind = find_type(row.field)
    if row.op in LISTS:
        return {"field": row.field, "op": row.op, "value": [_parse(one, kind) for one in _split(row.value)]}
    value = (
        row.value if row.op in ("contains", "matches") and kind is not Type.ANY else _parse(row.value, kind)
    )
    if row.op == "matches":
        value = row.value
    return {"field": row.field, "op": row.op, "value": value}


def build_filters(rows: Sequence[FilterRow]) -> list[Filter]:
    """Return rows as typed filters; raises msgspec.ValidationError for an unknown operator."""
    return [msgspec.convert(build_filter(row), Filter) for row in rows]


def build_row(one: Mapping[str, Any]) -> FilterRow:
    """Return a question's filter as a row that gives it back."""
    field, op, value = str(one["field"]), str(one["op"]), one.get("value")
    if op == "exists":
        return FilterRow(field, op, "false" if value is False else "")
    kind = find_type(field)
    if op in LISTS and isinstance(value, list | tuple):
        text = ", ".join(_write(item, kind) for item in value)
        plain = repr([_parse(part, kind) for part in _split(text)]) == repr(list(value))
        return FilterRow(field, op, text if plain else _json(list(value)))
    if op == "matches" and isinstance(value, str):
        return FilterRow(field, op, value)
    if op == "contains" and kind is not Type.ANY and isinstance(value, str):
        return FilterRow(field, op, value)
    return FilterRow(field, op, _write(value, kind))


def _split(text: str) -> list[str]:
    """Return the parts of a list: as JSON when it is a JSON array, else between commas."""
    if text.lstrip().startswith("["):
        try:
            found = msgspec.json.decode(text)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            pass
        else:
            return [_json(item) for item in found]
    return [part.strip() for part in text.split(",") if part.strip()]


def _parse(text: str, kind: Type) -> Any:
    """Return the value that a text means for a field of a type."""
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return text
    if isinstance(value, str):
        return value
    if kind in (Type.TEXT, Type.TEXTS, Type.TIME) and value is not None:
        return text
    return text if isinstance(value, dict | list) else value


def _write(value: Any, kind: Type) -> str:
    """Return a text that `_parse` reads as the value.

    The empty text stands in quotes, for an empty input says nothing, and so does one whose ends an input would lose.
    """
    if isinstance(value, str) and value and value == value.strip() and _parse(value, kind) == value:
        return value
    return _json(value)


def write_name(name: str) -> str:
    """Return a name as an input holds it: one with blanks at its ends, or that looks like JSON, as a JSON text."""
    return name if name == name.strip() and not name.startswith('"') else _json(name)


def read_name(text: str) -> str:
    """Return the name that an input holds."""
    text = text.strip()
    if text.startswith('"'):
        try:
            return str(msgspec.json.decode(text, type=str))
        except (msgspec.MsgspecError, UnicodeError):
            pass
    return text


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
