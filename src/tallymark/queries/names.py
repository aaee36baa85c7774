"""Which event names, fields and values exist in a project.

Comes in: a store and a project. Goes out: short lists for the page that chooses, with how many there are in all. How many that
is, senders decide: so the store counts, sorts and searches them, and what comes here is never longer than the list asked for.
`missing` and the web room call it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from tallymark.errors import RequestRefused
from tallymark.queries.ask import DEFAULT_LIMITS, Limits, QueryStore, ask_store
from tallymark.queries.fields import ATTRIBUTE_PREFIX, CORE, DERIVED, SKETCH, Type, parse_field
from tallymark.queries.result import Cell
from tallymark.queries.sql import Parameters, build_scope

# Fields are gathered from the newest events of each name; what only older events have is not listed.
SAMPLE_EVENTS: Final = 20_000
# Of all names, the newest events of the most frequent ones: so many names, and so many events of each.
_SAMPLED_NAMES: Final = 50
_SAMPLED_EACH: Final = 1_000
# What a list has at most where nobody asks for less.
MOST_NAMES: Final = 1_000
MOST_FIELDS: Final = 1_000
MOST_VALUES: Final = 50
# `count_values` tells numbers up to this apart.
MOST_COUNTED: Final = 100
_TYPES: Final = {
    "Int64": "number",
    "UInt64": "number",
    "Float64": "number",
    "String": "text",
    "Bool": "boolean",
}


class EventName(msgspec.Struct, frozen=True):
    """An event name, how many events have it, and the time of the latest (ISO 8601, UTC)."""

    name: str
    count: int
    last_time: str


class FieldInfo(msgspec.Struct, frozen=True):
    """A field as a question names it, and the types its values have: text, number, boolean, time, list, sketch."""

    name: str
    types: list[str]


class EventNames(msgspec.Struct, frozen=True):
    """Names to choose from, the most frequent first, and how many there are in all that were looked for."""

    names: list[EventName]
    total: int


class FieldInfos(msgspec.Struct, frozen=True):
    """Fields to choose from, core columns first, and how many there are in all that were looked for."""

    fields: list[FieldInfo]
    total: int


class FieldValue(msgspec.Struct, frozen=True):
    """A value of a field, null for missing, and in how many events."""

    value: Cell
    count: int


class FieldSpread(msgspec.Struct, frozen=True):
    """How many different values a field has (`MOST_COUNTED` + 1 = more than that), and which share of the events has it."""

    name: str
    values: int
    present: float


def find_event_names(
    store: QueryStore,
    project: str,
    *,
    containing: str = "",
    always: Sequence[str] = (),
    limit: int = MOST_NAMES,
    limits: Limits = DEFAULT_LIMITS,
) -> EventNames:
    """Return the project's most frequent event names that contain a text (in any case), and how many do.

    Those in `always` that exist stand in the list however seldom they are. Raises `RequestRefused` as `ask_store` does.
    """
    parameters = Parameters()
    has = f"positionCaseInsensitiveUTF8(event_name, {parameters.text(containing)}) > 0"
    conditions = [f"({has} OR event_name IN {parameters.texts(always)})"] if containing else []
    first = f"event_name IN {parameters.texts(always)} DESC, " if always else ""
    sql = (
        "SELECT event_name, count() AS events, formatDateTime(max(event_time), '%Y-%m-%dT%H:%i:%SZ', 'UTC'),"
        " count() OVER ()\n"
        f"{build_scope(parameters, project, conditions=conditions)}\nGROUP BY event_name\n"
        f"ORDER BY {first}events DESC, event_name LIMIT {parameters.add(limit, 'UInt32')}"
    )
    rows = _ask(store, sql, parameters, limits)
    names = sorted((EventName(*row[:3]) for row in rows), key=lambda one: (-one.count, one.name))
    return EventNames(names, rows[0][3] if rows else 0)


def find_fields(
    store: QueryStore,
    project: str,
    event_name: str | None = None,
    *,
    containing: str = "",
    limit: int = MOST_FIELDS,
    limits: Limits = DEFAULT_LIMITS,
) -> FieldInfos:
    """Return fields that the newest events have, of one name or of the most frequent ones, and that contain a text (in any case)."""
    parameters = Parameters()
    core = {text: parse_field(text, "") for text in CORE}
    present = ", ".join(f"countIf({field.exists()})" for field in core.values())
    columns = ", ".join(dict.fromkeys(path for field in core.values() for path in field.paths))
    sample = build_sample(store, parameters, project, event_name, f"attributes, {columns}", limits)
    if not sample:
        return FieldInfos([], 0)
    has = f"positionCaseInsensitiveUTF8({PATH_TEXT}, {parameters.text(containing)}) > 0"
    paths = f"arrayFilter(one -> {has}, paths)" if containing else "paths"
    listed = f"arraySlice(arraySort(one -> one.1, {paths}), 1, {parameters.add(limit, 'UInt32')})"
    sql = (
        f"SELECT {listed}, length({paths}), * EXCEPT paths FROM (\n"  # noqa: S608 - our own columns
        f"SELECT {PATHS} AS paths, count(), {present} FROM (\n{sample}\n))"
    )
    ((attributes, total, events, *counts),) = _ask(store, sql, parameters, limits)
    found = [
        FieldInfo(field.name, [SKETCH if field.name == SKETCH else _core_type(field.type)])
        for field, count in zip(core.values(), counts, strict=True)
        if count
    ]
    if events:
        found += [FieldInfo(name, [kind.value]) for name, (kind, _) in DERIVED.items()]
    wanted = containing.casefold()
    found = [one for one in found if wanted in one.name.casefold()]
    total += len(found)
    found += [
        FieldInfo(name_path(path), sorted({_TYPES.get(one, "list") for one in types}))
        for path, types in attributes
    ]
    return FieldInfos(found[:limit], total)


def list_fields(store: QueryStore, project: str, event_name: str | None = None) -> list[FieldInfo]:
    """Return the fields that the newest events have, of one event name or of all: core columns, then attributes."""
    return find_fields(store, project, event_name).fields


def list_values(
    store: QueryStore,
    project: str,
    event_name: str | None,
    field: str,
    *,
    containing: str = "",
    limit: int = MOST_VALUES,
) -> list[FieldValue]:
    """Return the field's most frequent values among the newest events of that name, or of the most frequent ones, as text."""
    parameters = Parameters()
    text = parse_field(field, "field").text()
    sample = build_sample(store, parameters, project, event_name, f"toString({text}) AS value")
    if not sample:
        return []
    has = f"WHERE positionCaseInsensitiveUTF8(ifNull(value, ''), {parameters.text(containing)}) > 0\n"
    sql = (
        f"SELECT value, count() AS events FROM (\n{sample}\n)\n"  # noqa: S608 - quoted by `fields`
        f"{has if containing else ''}"
        f"GROUP BY value ORDER BY events DESC, ifNull(value, 'None') LIMIT {parameters.add(limit, 'UInt32')}"
    )
    return [FieldValue(*row) for row in _ask(store, sql, parameters)]


def count_values(
    store: QueryStore, project: str, event_name: str, fields: Sequence[str]
) -> list[FieldSpread]:
    """Return how the fields are spread over the newest events of a name, in the order given; one question for all.

    Those that no question can name are left out.
    """
    fields = [one for one in fields if _can_be_asked(one)]
    if not fields:
        return []
    parameters = Parameters()
    texts = [f"nullIf(CAST({parse_field(one, 'field').text()} AS Nullable(String)), '')" for one in fields]
    columns = ", ".join(f"{text} AS v{number}" for number, text in enumerate(texts))
    figures = ", ".join(
        f"uniqUpTo({MOST_COUNTED})(v{number}), count(v{number})" for number in range(len(fields))
    )
    sample = f"SELECT {columns}\n{_newest(parameters, project, event_name, SAMPLE_EVENTS)}"
    (row,) = _ask(store, f"SELECT count(), {figures} FROM (\n{sample}\n)", parameters)  # noqa: S608 - quoted by `fields`
    total = max(1, row[0])
    return [
        FieldSpread(name, values, present / total)
        for name, values, present in zip(fields, row[1::2], row[2::2], strict=True)
    ]


def _can_be_asked(field: str) -> bool:
    try:
        parse_field(field, "field")
    except RequestRefused:
        return False
    return True


def find_newest(store: QueryStore, project: str, event_names: Sequence[str]) -> datetime | None:
    """Return the time of the newest event of any of these names; None where there is none."""
    if not event_names:
        return None
    parameters = Parameters()
    sql = f"SELECT count(), toUnixTimestamp(max(event_time))\n{build_scope(parameters, project, None, event_names)}"
    count, seconds = _ask(store, sql, parameters)[0]
    return datetime.fromtimestamp(int(seconds), UTC) if int(count) else None


# In a statement over a sample: all paths with their types; and of one of those, its text as a question names it.
PATHS: Final = "CAST(distinctJSONPathsAndTypes(attributes) AS Array(Tuple(String, Array(String))))"
PATH_TEXT: Final = "if(position(one.1, '.') > 0, one.1, replaceAll(one.1, '%2E', '.'))"


def build_sample(
    store: QueryStore,
    parameters: Parameters,
    project: str,
    event_name: str | None,
    columns: str,
    limits: Limits = DEFAULT_LIMITS,
) -> str:
    """Return a SELECT over the newest events of a name, or of the most frequent names; '' where there is no event."""
    if event_name:
        return f"SELECT {columns}\n{_newest(parameters, project, event_name, SAMPLE_EVENTS)}"
    names = find_event_names(store, project, limit=_SAMPLED_NAMES, limits=limits).names
    return "\nUNION ALL ".join(
        f"(SELECT {columns}\n{_newest(parameters, project, one.name, _SAMPLED_EACH)})" for one in names
    )


def name_path(path: str) -> str:
    """Return the engine's path as a question names it: a dot in a key is written as it is where that is clear."""
    nested = "." in path
    return ATTRIBUTE_PREFIX + (path if nested else path.replace("%2E", "."))


def _core_type(kind: Type) -> str:
    return "list" if kind is Type.TEXTS else kind.value


def _newest(parameters: Parameters, project: str, name: str, events: int) -> str:
    scope = build_scope(parameters, project, None, [name])
    return f"{scope}\nORDER BY event_time DESC LIMIT {events}"


def _ask(
    store: QueryStore, sql: str, parameters: Parameters, limits: Limits = DEFAULT_LIMITS
) -> list[list[Any]]:
    return ask_store(store, parameters.statement(sql), limits)
