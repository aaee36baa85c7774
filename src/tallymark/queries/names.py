"""Which event names, fields and values exist in a project; and which of a question's do not.

Comes in: a store and a project. Goes out: lists for the page that chooses, and notes with near names for answers in
which something was not found. `run` and the web room call it.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from tallymark.errors import RequestRefused
from tallymark.queries.ask import DEFAULT_LIMITS, Limits, QueryStore, ask_store
from tallymark.queries.fields import ATTRIBUTE_PREFIX, CORE, DERIVED, SKETCH, Type, parse_field
from tallymark.queries.kinds import Question
from tallymark.queries.notes import Looking, explain_empty
from tallymark.queries.result import Cell
from tallymark.queries.sql import Parameters, build_scope

# Fields are gathered from the newest events of each name; what only older events have is not listed.
SAMPLE_EVENTS: Final = 20_000
_SAMPLED_NAMES: Final = 50
# `count_values` tells numbers up to this apart.
MOST_COUNTED: Final = 100
_NEAR: Final = 3
_NEAR_ENOUGH: Final = 0.5
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


class FieldValue(msgspec.Struct, frozen=True):
    """A value of a field, null for missing, and in how many events."""

    value: Cell
    count: int


class FieldSpread(msgspec.Struct, frozen=True):
    """How many different values a field has (`MOST_COUNTED` + 1 = more than that), and which share of the events has it."""

    name: str
    values: int
    present: float


class Missing(msgspec.Struct, frozen=True):
    """Notes about names that were never seen, with the paths of those, and about what else left the answer empty."""

    notes: list[str]
    paths: list[str]


def list_event_names(store: QueryStore, project: str, *, limit: int = 1_000) -> list[EventName]:
    """Return the project's event names, the most frequent first. Raises `RequestRefused` as `ask_store` does."""
    parameters = Parameters()
    sql = (
        "SELECT event_name, count() AS events, formatDateTime(max(event_time), '%Y-%m-%dT%H:%i:%SZ', 'UTC')\n"
        f"{build_scope(parameters, project)}\nGROUP BY event_name ORDER BY events DESC, event_name\n"
        f"LIMIT {parameters.add(limit, 'UInt32')}"
    )
    return [EventName(*row) for row in _ask(store, sql, parameters)]


def list_fields(store: QueryStore, project: str, event_name: str | None = None) -> list[FieldInfo]:
    """Return the fields that the newest events have, of one event name or of all: core columns, then attributes."""
    names = [event_name] if event_name else _names(store, project)[:_SAMPLED_NAMES]
    found: dict[str, set[str]] = {}
    for name in names:
        for field in _sample_fields(store, project, name):
            found.setdefault(field.name, set()).update(field.types)
    if found:
        found |= {name: {kind.value} for name, (kind, _) in DERIVED.items()}
    order = {name: place for place, name in enumerate([*CORE, *DERIVED])}
    ordered = sorted(found, key=lambda name: (order.get(name, len(order)), name))
    return [FieldInfo(name, sorted(found[name])) for name in ordered]


def list_values(
    store: QueryStore, project: str, event_name: str | None, field: str, *, limit: int = 50
) -> list[FieldValue]:
    """Return the field's most frequent values among the newest events of that name, or of all names, as text."""
    counts: Counter[Cell] = Counter()
    for name in [event_name] if event_name else _names(store, project)[:_SAMPLED_NAMES]:
        for one in _count_values(store, project, name, field, limit):
            counts[one.value] += one.count
    ordered = sorted(counts.items(), key=lambda found: (-found[1], str(found[0])))
    return [FieldValue(value, events) for value, events in ordered[:limit]]


def _count_values(
    store: QueryStore, project: str, event_name: str, field: str, limit: int
) -> list[FieldValue]:
    parameters = Parameters()
    text = parse_field(field, "field").text()
    sample = f"SELECT {text} AS value\n{_newest(parameters, project, event_name)}"
    sql = (
        f"SELECT toString(value), count() AS events FROM (\n{sample}\n)\n"  # noqa: S608 - quoted by `fields`
        f"GROUP BY value ORDER BY events DESC, value LIMIT {parameters.add(limit, 'UInt32')}"
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
    sample = f"SELECT {columns}\n{_newest(parameters, project, event_name)}"
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


def find_missing(
    question: Question,
    doubts: Sequence[str],
    store: QueryStore,
    project: str,
    limits: Limits = DEFAULT_LIMITS,
) -> Missing:
    """Look which names at the doubted paths were never seen in the project, at any time; else why nothing was found."""
    missing = Missing([], [])
    names = _names(store, project, limits)
    doubted = [(at, selection) for at, selection in question.selections() if at in doubts]
    for at, selection in doubted:
        if selection.event_name not in names:
            missing.paths.append(f"{at}.event_name")
            near = _near(selection.event_name, names)
            missing.notes.append(f"No event is called {selection.event_name!r}.{near}")
    known = [selection.event_name for _, selection in question.selections() if selection.event_name in names]
    if known:
        fields = _find_missing_fields(question, doubts, store, project=project, known=known)
        missing = Missing([*missing.notes, *fields.notes], [*missing.paths, *fields.paths])
    # What is not missing may be why: where no event has the field `by`, that is said already.
    seen = [(at, one) for at, one in doubted if one.event_name in names and "by" not in missing.paths]
    reasons = explain_empty(Looking(question, store, project, limits), seen)
    return Missing([*missing.notes, *reasons], missing.paths)


def _find_missing_fields(
    question: Question, doubts: Sequence[str], store: QueryStore, *, project: str, known: list[str]
) -> Missing:
    missing = Missing([], [])
    asked: dict[str, str] = {}
    for at, text in _asked_fields(question, doubts):
        asked.setdefault(text, at)
    attributes = [text for text in asked if parse_field(text, asked[text]).is_attribute]
    unseen = _unseen(store, project, known, attributes)
    if not unseen:
        return missing
    fields = sorted({field.name for name in known[:5] for field in list_fields(store, project, name)})
    for text in unseen:
        missing.paths.append(asked[text])
        near = _near(
            text.removeprefix(ATTRIBUTE_PREFIX), [name.removeprefix(ATTRIBUTE_PREFIX) for name in fields]
        )
        missing.notes.append(f"No event called {' or '.join(known)} has the attribute {text!r}.{near}")
    return missing


def _asked_fields(question: Question, doubts: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the path and text of each field that could be why the doubted paths found nothing."""
    for at in doubts:
        name, _, place = at.partition("[")
        if name in ("breakdown", "dimensions"):
            yield (at, getattr(question, name)[int(place[:-1])])
    selections = [(at, selection) for at, selection in question.selections() if at in doubts]
    if not selections:
        return
    yield from ((f"filters[{n}].field", one.field) for n, one in enumerate(question.filters))
    by = getattr(question, "by", None)
    if by is not None:
        yield ("by", by)
    for at, selection in selections:
        yield from ((f"{at}.filters[{n}].field", one.field) for n, one in enumerate(selection.filters))
        measure = getattr(selection, "measure", None)
        if measure is not None and measure.field is not None:
            yield (f"{at}.measure.field", measure.field)
        if hasattr(selection, "field"):
            yield (f"{at}.field", selection.field)


def _unseen(store: QueryStore, project: str, names: list[str], fields: list[str]) -> list[str]:
    """Return those of the attributes that no event of these names has."""
    if not fields:
        return []
    parameters = Parameters()
    counts = ", ".join(f"countIf({parse_field(text, '').exists()})" for text in fields)
    rows = _ask(store, f"SELECT {counts}\n{build_scope(parameters, project, None, names)}", parameters)
    return [text for text, count in zip(fields, rows[0], strict=True) if not count]


def _names(store: QueryStore, project: str, limits: Limits = DEFAULT_LIMITS) -> list[str]:
    parameters = Parameters()
    sql = f"SELECT DISTINCT event_name\n{build_scope(parameters, project)}"
    return sorted(row[0] for row in _ask(store, sql, parameters, limits))


def _sample_fields(store: QueryStore, project: str, name: str) -> Iterator[FieldInfo]:
    parameters = Parameters()
    fields = {text: parse_field(text, "") for text in CORE}
    present = ", ".join(f"countIf({field.exists()})" for field in fields.values())
    columns = ", ".join(dict.fromkeys(path for field in fields.values() for path in field.paths))
    sample = f"SELECT attributes, {columns}\n{_newest(parameters, project, name)}"
    sql = f"SELECT distinctJSONPathsAndTypes(attributes), {present} FROM (\n{sample}\n)"  # noqa: S608 - our own columns
    row = _ask(store, sql, parameters)[0]
    for field, count in zip(fields.values(), row[1:], strict=True):
        if count:
            kind = "list" if field.type is Type.TEXTS else field.type.value
            yield FieldInfo(field.name, [SKETCH if field.name == SKETCH else kind])
    for path, types in row[0].items():
        yield FieldInfo(_field_text(path), sorted({_TYPES.get(one, "list") for one in types}))


def _newest(parameters: Parameters, project: str, name: str) -> str:
    scope = build_scope(parameters, project, None, [name])
    return f"{scope}\nORDER BY event_time DESC LIMIT {SAMPLE_EVENTS}"


def _field_text(path: str) -> str:
    """Return the engine's path as a question names it: a dot in a key is written as it is where that is clear."""
    nested = "." in path
    return ATTRIBUTE_PREFIX + (path if nested else path.replace("%2E", "."))


def _near(name: str, names: Sequence[str]) -> str:
    by_fold = {one.casefold(): one for one in names}
    near = [by_fold[one] for one in difflib.get_close_matches(name.casefold(), by_fold, _NEAR, _NEAR_ENOUGH)]
    return f" Near names: {', '.join(near)}." if near else ""


def _ask(
    store: QueryStore, sql: str, parameters: Parameters, limits: Limits = DEFAULT_LIMITS
) -> list[list[Any]]:
    rows, _ = ask_store(store, parameters.statement(sql), limits)
    return rows
