"""Which names of a question were never seen in the project, and what else left its answer empty.

Comes in: a question and the paths for which nothing was found. Goes out: notes with near names. `run` calls it. How many names
and fields there are, senders decide: the store compares them, within the question's limits, and three come back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final

import msgspec

from tallymark.errors import RequestRefused
from tallymark.queries.ask import DEFAULT_LIMITS, Limits, QueryStore, ask_store
from tallymark.queries.fields import ATTRIBUTE_PREFIX, CORE, DERIVED, parse_field
from tallymark.queries.kinds import Question
from tallymark.queries.names import PATH_TEXT, PATHS, build_sample
from tallymark.queries.notes import Looking, explain_empty
from tallymark.queries.sql import Parameters, build_scope

_NEAR: Final = 3
_NEAR_ENOUGH: Final = 0.5


class Missing(msgspec.Struct, frozen=True):
    """Notes about names that were never seen, with the paths of those, and about what else left the answer empty."""

    notes: list[str]
    paths: list[str]


def find_missing(
    question: Question,
    doubts: Sequence[str],
    store: QueryStore,
    project: str,
    limits: Limits = DEFAULT_LIMITS,
) -> Missing:
    """Look which names at the doubted paths were never seen in the project, at any time; else why nothing was found."""
    missing = Missing([], [])
    looking = Looking(question, store, project, limits)
    names = _find_existing(looking, [selection.event_name for _, selection in question.selections()])
    doubted = [(at, selection) for at, selection in question.selections() if at in doubts]
    for at, selection in doubted:
        if selection.event_name not in names:
            missing.paths.append(f"{at}.event_name")
            near = _write_near(partial(_find_near_names, looking, selection.event_name))
            missing.notes.append(f"No event is called {selection.event_name!r}.{near}")
    known = [selection.event_name for _, selection in question.selections() if selection.event_name in names]
    if known:
        fields = _find_missing_fields(looking, doubts, known)
        missing = Missing([*missing.notes, *fields.notes], [*missing.paths, *fields.paths])
    # What is not missing may be why: where no event has the field `by`, that is said already.
    seen = [(at, one) for at, one in doubted if one.event_name in names and "by" not in missing.paths]
    return Missing([*missing.notes, *explain_empty(looking, seen)], missing.paths)


def _find_missing_fields(looking: Looking, doubts: Sequence[str], known: list[str]) -> Missing:
    missing = Missing([], [])
    asked: dict[str, str] = {}
    for at, text in _asked_fields(looking.question, doubts):
        asked.setdefault(text, at)
    attributes = [text for text in asked if parse_field(text, asked[text]).is_attribute]
    for text in _unseen(looking, known, attributes):
        missing.paths.append(asked[text])
        near = _write_near(partial(_find_near_fields, looking, known[:5], text))
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


def _unseen(looking: Looking, names: list[str], fields: list[str]) -> list[str]:
    """Return those of the attributes that no event of these names has."""
    if not fields:
        return []
    parameters = Parameters()
    counts = ", ".join(f"countIf({parse_field(text, '').exists()})" for text in fields)
    scope = build_scope(parameters, looking.project, None, names)
    rows = _ask(looking, f"SELECT {counts}\n{scope}", parameters)
    return [text for text, count in zip(fields, rows[0], strict=True) if not count]


def _find_existing(looking: Looking, names: Sequence[str]) -> set[str]:
    """Return those of the names that any event has."""
    parameters = Parameters()
    scope = build_scope(parameters, looking.project, None, names)
    return {row[0] for row in _ask(looking, f"SELECT DISTINCT event_name\n{scope}", parameters)}


def _find_near_names(looking: Looking, name: str) -> list[str]:
    parameters = Parameters()
    names = f"SELECT DISTINCT event_name AS name\n{build_scope(parameters, looking.project)}"
    return _find_near(looking, parameters, names, name)


def _find_near_fields(looking: Looking, event_names: Sequence[str], text: str) -> list[str]:
    parameters = Parameters()
    samples = [
        f"(SELECT arrayJoin(arrayMap(one -> {PATH_TEXT}, {PATHS})) AS name FROM (\n"  # noqa: S608 - our own columns
        f"{build_sample(looking.store, parameters, looking.project, one, 'attributes', looking.limits)}\n))"
        for one in event_names
    ]
    columns = f"SELECT arrayJoin({parameters.texts([*CORE, *DERIVED])}) AS name"
    names = "\nUNION ALL ".join([*samples, columns])
    distinct = f"SELECT DISTINCT name FROM (\n{names}\n)"  # noqa: S608 - our own columns
    return _find_near(looking, parameters, distinct, text.removeprefix(ATTRIBUTE_PREFIX))


def _find_near(looking: Looking, parameters: Parameters, names: str, wanted: str) -> list[str]:
    """Return the names that are most like the wanted one: half of its characters at least stand where they should."""
    folded = f"lowerUTF8({parameters.text(wanted)})"
    longest = f"greatest(lengthUTF8(name), lengthUTF8({folded}), 1)"
    likeness = f"1 - editDistanceUTF8(lowerUTF8(toString(name)), {folded}) / {longest}"
    sql = (
        f"SELECT name FROM (\n{names}\n)\nWHERE {likeness} >= {_NEAR_ENOUGH}"  # noqa: S608 - our own columns
        f"\nORDER BY {likeness} DESC, name LIMIT {_NEAR}"
    )
    return [row[0] for row in _ask(looking, sql, parameters)]


def _write_near(find: Callable[[], list[str]]) -> str:
    try:
        near = find()
    except RequestRefused as refusal:
        # The answer itself is there; a remark on it must not cost it.
        if refusal.code != "query_too_expensive":
            raise
        near = []
    return f" Near names: {', '.join(near)}." if near else ""


def _ask(looking: Looking, sql: str, parameters: Parameters) -> list[list[Any]]:
    return ask_store(looking.store, parameters.statement(sql), looking.limits)
