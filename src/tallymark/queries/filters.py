"""Conditions on events: from a `Filter` to a boolean expression that is never NULL.

Comes in: a filter and its path in the question. Goes out: SQL with typed parameters. The kinds call it.
Comparisons know types: 5 equals 5.0, "5" does not equal 5. A missing field equals nothing but null, and is kept
by `ne` and `not_in`, which are the exact opposites of `eq` and `in`.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
import re2

from tallymark.event import MAX_EVENT_BYTES
from tallymark.queries.fields import Field, Type, parse_field
from tallymark.queries.period import parse_time
from tallymark.queries.question import Filter, refuse
from tallymark.queries.sql import Parameters

MAX_LIST: Final = 1_000
# Whatever an event can carry can be asked for.
MAX_VALUE: Final = MAX_EVENT_BYTES
MAX_PATTERN: Final = 512
_COMPARE: Final = {"lt": "<", "lte": "<=", "gt": ">", "gte": ">="}
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_NUMBER_TYPES: Final = ("Int64", "UInt64", "Float64")

_ORDERED: Final = ("eq", "ne", "in", "not_in", "lt", "lte", "gt", "gte")
_ALL_OPERATORS: Final = (*_ORDERED, "contains", "matches", "digest", "exists")

# Which operators a field's type has; exists has them all.
OPERATORS: Final[dict[Type, tuple[str, ...]]] = {
    Type.TEXT: _ALL_OPERATORS,
    Type.NUMBER: (*_ORDERED, "exists"),
    Type.BOOLEAN: ("eq", "ne", "in", "not_in", "exists"),
    Type.TIME: (*_ORDERED, "exists"),
    Type.TEXTS: ("contains", "exists"),
    Type.SKETCH: ("exists",),
    Type.ANY: _ALL_OPERATORS,
}


def build_filters(filters: Sequence[Filter], at: str, parameters: Parameters) -> list[str]:
    """Build one condition per filter; all of them must hold. `at` is the path of the list in the question."""
    return [build_filter(one, f"{at}[{number}]", parameters) for number, one in enumerate(filters)]


def build_filter(one: Filter, at: str, parameters: Parameters) -> str:
    """Build the condition of one filter. Raises `RequestRefused` for what the field or the operator does not allow."""
    field = parse_field(one.field, f"{at}.field")
    if one.op not in OPERATORS[field.type]:
        allowed = ", ".join(OPERATORS[field.type])
        message = f"{field.name} is of type {field.type.value}, which has no {one.op}. Allowed: {allowed}."
        raise refuse(message, f"{at}.op")
    condition = _BUILDERS[one.op](field, one, f"{at}.value", parameters)
    return f"NOT {condition}" if one.op in {"ne", "not_in"} else condition


def _build_exists(field: Field, one: Filter, at: str, parameters: Parameters) -> str:
    del parameters
    if one.value is not msgspec.UNSET and not isinstance(one.value, bool):
        raise refuse(f"exists takes true or false, not {one.value!r}.", at)
    return f"NOT {field.exists()}" if one.value is False else field.exists()


def _build_equal(field: Field, one: Filter, at: str, parameters: Parameters) -> str:
    return _any_of(field, [_check_value(field, one.value, one.op, at)], parameters)


def _build_in(field: Field, one: Filter, at: str, parameters: Parameters) -> str:
    if not isinstance(one.value, list | tuple) or not 1 <= len(one.value) <= MAX_LIST:
        raise refuse(f"{one.op} takes a list of 1 to {MAX_LIST:,} values, not {_shown(one.value)}.", at)
    values = [_check_value(field, value, one.op, f"{at}[{number}]") for number, value in enumerate(one.value)]
    return _any_of(field, values, parameters)


def _build_compare(field: Field, one: Filter, at: str, parameters: Parameters) -> str:
    value = _check_value(field, one.value, one.op, at)
    if value is None or isinstance(value, bool):
        raise refuse(f"{one.op} takes a text or a number, not {_shown(one.value)}.", at)
    sign = _COMPARE[one.op]
    if not field.is_attribute:
        placeholder = _scalar(value, parameters)
        column = field.paths[0]
        if field.type is Type.TEXT:
            # The empty text stands for "not given", which is neither smaller nor greater.
            return f"({column} {sign} {placeholder} AND {column} != '')"
        return f"ifNull({column} {sign} {placeholder}, false)"
    placeholder = _scalar(value, parameters)
    types = ("String",) if isinstance(value, str) else _NUMBER_TYPES
    return _any(f"{typed} {sign} {placeholder}" for kind in types for typed in field.typed(kind))


def _build_contains(field: Field, one: Filter, at: str, parameters: Parameters) -> str:
    value = _check_value(field, one.value, one.op, at)
    is_text = isinstance(value, str)
    if value is None or isinstance(value, bool) or not (is_text or field.is_attribute):
        raise refuse(
            f"contains takes a text (or a number, for a list of numbers), not {_shown(one.value)}.", at
        )
    if is_text and not value:
        raise refuse("contains takes a text that is not empty.", at)
    placeholder = _scalar(value, parameters)
    if field.type is Type.TEXTS:
        return f"has({field.paths[0]}, {placeholder})"
    if not field.is_attribute:
        return f"(position({field.paths[0]}, {placeholder}) > 0)"
    lists = ("Nullable(String)",) if is_text else ("Nullable(Int64)", "Nullable(Float64)")
    element = ("String",) if is_text else _NUMBER_TYPES
    parts = [f"has({typed}, {placeholder})" for kind in lists for typed in field.typed(f"Array({kind})")]
    # A list of values of several types keeps the type of each.
    parts += [
        f"arrayExists(one -> ifNull(dynamicElement(one, '{kind}') = {placeholder}, false), {typed})"
        for kind in element
        for typed in field.typed("Array(Dynamic)")
    ]
    if is_text:
        parts += [f"position({typed}, {placeholder}) > 0" for typed in field.typed("String")]
    return _any(parts)


def _build_matches(field: Field, one: Filter, at: str, parameters: Parameters) -> str:
    if not isinstance(one.value, str) or not 1 <= len(one.value) <= MAX_PATTERN:
        message = f"matches takes a regular expression (RE2) of 1 to {MAX_PATTERN} characters, not {_shown(one.value)}."
        raise refuse(message, at)
    _check_pattern(one.value, at)
    placeholder = parameters.text(_check_value(field, one.value, one.op, at))
    if not field.is_attribute:
        column = field.paths[0]
        return f"(match({column}, {placeholder}) AND {column} != '')"
    return _any(f"match({typed}, {placeholder})" for typed in field.typed("String"))


def find_digest(text: str) -> str:
    """Return what the operator `digest` finds a text by: the SHA-256 of its UTF-8 bytes, in hexadecimal."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _build_digest(field: Field, one: Filter, at: str, parameters: Parameters) -> str:
    if not isinstance(one.value, str) or not _DIGEST.fullmatch(one.value):
        message = f"digest takes the SHA-256 of a text as 64 digits 0-9 and a-f, not {_shown(one.value)}."
        raise refuse(message, at)
    placeholder = f"unhex({parameters.text(one.value)})"
    sources = field.typed("String") if field.is_attribute else field.paths
    return _any(f"SHA256({source}) = {placeholder}" for source in sources)


def _check_pattern(pattern: str, at: str) -> None:
    """Raise RequestRefused for what the store could not compile: a definition is to be refused before anybody looks at it."""
    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(pattern, options)
    except re2.error as error:
        why = error.args[0].decode("utf-8", "replace") if error.args else ""
        raise refuse(f"{_shown(pattern)} is no RE2 regular expression: {why}.", at) from None


_BUILDERS: Final[dict[str, Callable[[Field, Filter, str, Parameters], str]]] = {
    "eq": _build_equal,
    "ne": _build_equal,
    "in": _build_in,
    "not_in": _build_in,
    **dict.fromkeys(_COMPARE, _build_compare),
    "contains": _build_contains,
    "matches": _build_matches,
    "digest": _build_digest,
    "exists": _build_exists,
}


def _any_of(field: Field, values: Sequence[Any], parameters: Parameters) -> str:
    """Build a condition that is true where the field equals one of the values; null means missing."""
    parts = [f"NOT {field.exists()}"] if None in values else []
    given = [value for value in values if value is not None]
    texts = [value for value in given if isinstance(value, str)]
    times = [parameters.time(value) for value in given if isinstance(value, datetime)]
    booleans = sorted({value for value in given if isinstance(value, bool)})
    numbers = [value for value in given if not isinstance(value, str | bool | datetime)]
    if times:
        parts.append(f"{field.paths[0]} IN ({', '.join(times)})")
    if texts:
        sources = field.typed("String") if field.is_attribute else field.paths
        parts += [_equals(source, texts, parameters) for source in sources]
    if booleans:
        sources = field.typed("Bool") if field.is_attribute else field.paths
        wanted = ", ".join("true" if value else "false" for value in booleans)
        parts += [f"{source} IN ({wanted})" for source in sources]
    if numbers:
        placeholders = [parameters.number(number) for number in numbers]
        sources = (
            tuple(typed for kind in _NUMBER_TYPES for typed in field.typed(kind))
            if field.is_attribute
            else field.paths
        )
        # IN would first turn 5.0 and 5 into one type; `=` compares integers and floats exactly.
        parts += [f"{source} = {placeholder}" for source in sources for placeholder in placeholders]
    return _any(parts)


def _equals(source: str, texts: Sequence[str], parameters: Parameters) -> str:
    if len(texts) == 1:
        return f"{source} = {parameters.text(texts[0])}"
    return f"{source} IN {parameters.texts(texts)}"


def _any(parts: Any) -> str:
    """Join conditions that may be NULL into one that is true if any is true, and else false."""
    return f"ifNull({' OR '.join(parts)}, false)"


def _scalar(value: Any, parameters: Parameters) -> str:
    if isinstance(value, datetime):
        return parameters.time(value)
    return parameters.text(value) if isinstance(value, str) else parameters.number(value)


def _check_value(field: Field, value: Any, op: str, at: str) -> Any:
    """Return the value as the field compares it; raises `RequestRefused` where the types can never meet."""
    if isinstance(value, float) and not math.isfinite(value):
        raise refuse("NaN and Infinity are not numbers in JSON.", at)
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        raise refuse(f"The integer {_shown(value)} does not fit 64 bits, so no event has it.", at)
    if isinstance(value, str) and (len(value) > MAX_VALUE or "\0" in value):
        raise refuse(f"A text has at most {MAX_VALUE:,} characters and no NUL.", at)
    wanted = {
        Type.TEXT: (str,),
        Type.TEXTS: (str,),
        Type.TIME: (str,),
        Type.BOOLEAN: (bool,),
        Type.NUMBER: (int, float),
    }.get(field.type, (str, bool, int, float))
    fits = isinstance(value, wanted) and not (isinstance(value, bool) and bool not in wanted)
    if not fits and (value is not None or op not in {"eq", "ne", "in", "not_in"}):
        names = {str: "a text", bool: "true or false", int: "a number"}
        allowed = ", ".join(names[kind] for kind in wanted if kind in names)
        message = f"{op} on {field.name} ({field.type.value}) takes {allowed}, not {_shown(value)}."
        raise refuse(message, at)
    if field.type is Type.TIME and isinstance(value, str):
        return parse_time(value, UTC, at)
    return value


def _shown(value: Any) -> str:
    """Return a value short enough for an error's text."""
    if value is msgspec.UNSET:
        return "nothing"
    shown = repr(value)
    return shown if len(shown) <= 80 else shown[:80] + "..."
