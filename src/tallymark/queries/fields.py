"""What a field is: a core column, an attribute, or the sketch of a timing; and how the engine reads it.

Comes in: the text of a field as the user wrote it. Goes out: a `Field`, whose SQL is made of fixed column names, of
expressions over the event's time, of backtick-quoted attribute names and of nothing else. Filters, measures and breakdowns call it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from tallymark.event import CORE_FIELDS, MAX_NAME_BYTES
from tallymark.queries.question import refuse

ATTRIBUTE_PREFIX: Final = "attributes."
SKETCH: Final = "sketch"
# Nested levels that one name can reach; deeper attributes are still stored and shown.
_MAX_LEVELS: Final = 16


class Type(Enum):
    """What values a field has."""

    TEXT = "text"
    NUMBER = "number"
    BOOLEAN = "boolean"
    TIME = "time"
    TEXTS = "texts"
    SKETCH = "sketch"
    # An attribute: each event says for itself.
    ANY = "any"


_NOT_TEXT: Final = {
    "event_time": Type.TIME,
    "value": Type.NUMBER,
    "is_dev": Type.BOOLEAN,
    "performer_is_logged_in": Type.BOOLEAN,
    "performer_is_bot": Type.BOOLEAN,
    "performer_groups": Type.TEXTS,
    "truncated": Type.BOOLEAN,
}
# The fields of an event, and what the server noted about its arrival.
CORE: Final[dict[str, Type]] = {
    **{
        name: _NOT_TEXT.get(name, Type.TEXT)
        for name in CORE_FIELDS
        if name not in {"sketch_values", "sketch_counts"}
    },
    "source": Type.TEXT,
    "received_at": Type.TIME,
    "streams": Type.TEXTS,
    SKETCH: Type.SKETCH,
}
# Stands for the event's local time in seconds; `Parameters.statement` puts it in. Quoting never makes two backticks in a row.
LOCAL_SECONDS: Final = "``local``"
# The values of `event_weekday`, in the order of ISO 8601.
WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
# What is computed of an event's time, in the question's time zone. 1970-01-01 was a Thursday.
DERIVED: Final[dict[str, tuple[Type, str]]] = {
    "event_hour": (Type.NUMBER, f"intDiv({LOCAL_SECONDS} % 86400, 3600)"),
    "event_weekday": (Type.TEXT, f"{list(WEEKDAYS)}[(intDiv({LOCAL_SECONDS}, 86400) + 3) % 7 + 1]"),
}
# Columns in which "not given" is NULL; in the others it is the empty text.
NULLABLE: Final = frozenset({"value", "performer_is_logged_in", "performer_is_bot"})
# What the engine reads as its own syntax even between backticks: a type (:`), a sub-object (^`), its raw form (@`).
_RESERVED: Final = re.compile(r"[:^@]`")


@dataclass(frozen=True, slots=True)
class Field:
    """One field. `paths` are the engine's identifiers in the order in which they are tried (one for a column)."""

    name: str
    type: Type
    paths: tuple[str, ...]

    @property
    def is_attribute(self) -> bool:
        """Whether events may or may not have it, each with a type of its own."""
        return self.type is Type.ANY

    def typed(self, engine_type: str) -> tuple[str, ...]:
        """Return the attribute's values of one engine type, NULL for all others, for each path."""
        return tuple(f"{path}.:`{engine_type}`" for path in self.paths)

    def first(self, expressions: tuple[str, ...]) -> str:
        """Return the first expression that is not NULL."""
        return expressions[0] if len(expressions) == 1 else f"coalesce({', '.join(expressions)})"

    def number(self) -> str:
        """Return the value as Nullable(Float64); an attribute that is no number is NULL."""
        if not self.is_attribute:
            return self.paths[0]
        # `5` is stored as an integer and `5.0` as a float; a column of one type alone would drop the other.
        # Picking from the whole value reads it once, where `.:Int64` and its like read it once each.
        return self.first(
            tuple(
                f"coalesce(dynamicElement({path}, 'Float64'), toFloat64(dynamicElement({path}, 'Int64')),"
                f" toFloat64(dynamicElement({path}, 'UInt64')))"
                for path in self.paths
            )
        )

    def text(self) -> str:
        """Return the value as text for breakdowns: NULL or '' where the event has none."""
        if self.is_attribute:
            # Turning values into text takes its time; for those that are text already the engine skips it.
            return self.first(
                tuple(
                    f"if(isNotNull(dynamicElement({path}, 'String')), dynamicElement({path}, 'String'), {path}::Nullable(String))"
                    for path in self.paths
                )
            )
        if self.type is Type.TEXTS:
            return f"arrayStringConcat({self.paths[0]}, ', ')"
        return self.paths[0]

    def exists(self) -> str:
        """Return a condition: the event has the field."""
        if self.is_attribute:
            return "(" + " OR ".join(f"isNotNull({path})" for path in self.paths) + ")"
        column = self.paths[0]
        if self.name in NULLABLE:
            return f"isNotNull({column})"
        if self.type in {Type.TEXTS, Type.SKETCH}:
            return f"notEmpty({column})"
        return f"({column} != '')" if self.type is Type.TEXT else "true"


def parse_field(text: str, at: str) -> Field:
    """Turn a field's text into a `Field`.

    A bare name means the core column, or what is computed of one, if there is such, else the attribute; `attributes.NAME` is always the
    attribute. Raises `RequestRefused` (`unknown_field`) for what can be neither.
    """
    if text in CORE:
        column = "sketch_values" if text == SKETCH else text
        return Field(text, CORE[text], (f"`{column}`",))
    if text in DERIVED:
        kind, expression = DERIVED[text]
        return Field(text, kind, (expression,))
    name = text.removeprefix(ATTRIBUTE_PREFIX)
    _check_attribute_name(text, name, at)
    return Field(text, Type.ANY, tuple(f"attributes.{path}" for path in _paths(name)))


def find_type(text: str) -> Type:
    """Return the type of a field's values, ANY for attributes."""
    return DERIVED[text][0] if text in DERIVED else CORE.get(text, Type.ANY)


def parse_breakdown(texts: Sequence[str], columns: Collection[str], at: str = "breakdown") -> list[Field]:
    """Turn the texts of a breakdown into fields; `columns` are the names that the answer's other columns have.

    `at` is the path of the list.

    Raises `RequestRefused` for what `parse_field` refuses, a sketch, and a name that would stand twice.
    """
    taken = set(columns)
    fields = []
    for number, text in enumerate(texts):
        here = f"{at}[{number}]"
        field = parse_field(text, here)
        if field.type is Type.SKETCH:
            raise refuse("sketch holds many values and makes no groups. Allowed: any other field.", here)
        if text in taken:
            message = f"The column {text!r} would stand twice in the answer. An attribute is also {ATTRIBUTE_PREFIX}NAME."
            raise refuse(message, here)
        taken.add(text)
        fields.append(field)
    return fields


def _check_attribute_name(text: str, name: str, at: str) -> None:
    problem = ""
    if not name or text == "attributes":
        problem = "has no name after 'attributes.'"
    elif len(name.encode("utf-8", "surrogatepass")) > MAX_NAME_BYTES:
        problem = f"is longer than {MAX_NAME_BYTES} bytes"
    elif "\0" in name or any("\ud800" <= character <= "\udfff" for character in name):
        problem = "holds NUL or half of a surrogate pair, which no attribute has"
    elif any(_RESERVED.match(part) for part in (name, *name.split("."))):
        problem = "has a part that begins with ':`', '^`' or '@`', which the store keeps for itself"
    elif name.count(".") >= _MAX_LEVELS:
        problem = f"has more than {_MAX_LEVELS} levels"
    if problem:
        shown = text if len(text) <= 80 else text[:80] + "..."
        message = (
            f"The field {shown!r} {problem}. Fields: {', '.join([*CORE, *DERIVED])}, or attributes.NAME."
        )
        raise refuse(message, at, "unknown_field")


def _paths(name: str) -> tuple[str, ...]:
    """Return the attribute's identifiers: a name with dots is the key itself, then the way into objects."""
    whole = _quote(name.replace(".", "%2E"))
    parts = name.split(".")
    if len(parts) == 1 or not all(parts):
        return (whole,)
    return (whole, ".".join(_quote(part) for part in parts))


def _quote(identifier: str) -> str:
    """Quote one identifier: between backticks only the backslash and the backtick mean anything."""
    escaped = identifier.replace("\\", "\\\\").replace("`", "\\`")
    return f"`{escaped}`"
