"""Why an answer is empty although its names are right: a funnel's `by` that events lack, a filter of another type.

Comes in: a question and the paths for which nothing was found. Goes out: sentences. `missing` calls it, so
it costs a look at the events only where there was nothing to show.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tallymark.errors import RequestRefused
from tallymark.queries.ask import Limits, QueryStore, ask_store
from tallymark.queries.fields import Field, parse_field
from tallymark.queries.filters import build_filter, build_filters
from tallymark.queries.kinds import Question
from tallymark.queries.question import Filter
from tallymark.queries.sql import Parameters, build_scope

# What keeps events whose field is missing cannot be empty because of a type.
_ANY_TYPE: Final = frozenset({"ne", "not_in", "exists"})
_KINDS: Final = {
    "String": "a text",
    "Bool": "a boolean",
    "Int64": "a number",
    "UInt64": "a number",
    "Float64": "a number",
}
_LIST: Final = "a list"


@dataclass(frozen=True, slots=True)
class Looking:
    """Where to look, and why: `question` is the one that found nothing."""

    question: Question
    store: QueryStore
    project: str
    limits: Limits


def explain_empty(looking: Looking, doubted: Sequence[tuple[str, Any]]) -> list[str]:
    """Return a sentence for each reason that is found. `doubted` are selections with their paths.

    Raises `RequestRefused` (store_unavailable).
    """
    notes: list[str] = []
    try:
        for at, selection in doubted:
            notes += _explain_by(looking, at, selection)
            notes += _explain_types(looking, at, selection)
    except RequestRefused as refusal:
        # The answer itself is there; a remark on it must not cost it.
        if refusal.code != "query_too_expensive":
            raise
    return list(dict.fromkeys(notes))


def _explain_by(looking: Looking, at: str, selection: Any) -> list[str]:
    """Say how many events of a funnel's step have no value in the field that tells who it was."""
    by = getattr(looking.question, "by", None)
    if by is None:
        return []
    parameters = Parameters(local_seconds=looking.question.period().local_sql)
    conditions = [
        *build_filters(looking.question.filters, "filters", parameters),
        *build_filters(selection.filters, f"{at}.filters", parameters),
        f"NOT {parse_field(by, 'by').exists()}",
    ]
    ((lacking,),) = _ask(looking, "count()", selection.event_name, conditions, parameters)
    if not lacking:
        return []
    events, have = ("1 event", "has") if lacking == 1 else (f"{lacking:,} events", "have")
    return [f"{events} of {selection.event_name!r} {have} no {by}: a funnel leaves out who has none."]


def _explain_types(looking: Looking, at: str, selection: Any) -> list[str]:
    """Say of each filter on an attribute whether all values, or equal ones, are of another type than the filter's."""
    filters = [
        (place, one, field)
        for place, one in _filters(looking.question, at, selection)
        if one.op not in _ANY_TYPE and (field := parse_field(one.field, place)).is_attribute
    ]
    if not filters:
        return []
    parameters = Parameters(local_seconds=looking.question.period().local_sql)
    columns = []
    for place, one, field in filters:
        has = field.exists()
        types = f"arraySort(groupUniqArrayIf({_type_sql(field)}, {has}))"
        columns += [types, f"countIf({has})", f"countIf({_alike_sql(one, field, place, parameters)})"]
    (row,) = _ask(looking, ", ".join(columns), selection.event_name, [], parameters)
    notes = []
    for number, (_, one, _) in enumerate(filters):
        types, having, alike = row[3 * number : 3 * number + 3]
        note = _describe(one, selection.event_name, types, having, alike)
        notes += [note] if note else []
    return notes


def _filters(question: Question, at: str, selection: Any) -> Iterator[tuple[str, Filter]]:
    yield from ((f"filters[{number}]", one) for number, one in enumerate(question.filters))
    yield from ((f"{at}.filters[{number}]", one) for number, one in enumerate(selection.filters))


def _type_sql(field: Field) -> str:
    types = [f"dynamicType({path})" for path in field.paths]
    if len(types) == 1:
        return types[0]
    return f"if(isNotNull({field.paths[0]}), {types[0]}, {types[1]})"


def _alike_sql(one: Filter, field: Field, at: str, parameters: Parameters) -> str:
    """Build the condition of an event that reads like what the filter wants, and is not equal to it."""
    if one.op not in ("eq", "in"):
        return "false"
    values = one.value if one.op == "in" else [one.value]
    texts = [_text(value) for value in values if value is not None]
    if not texts:
        return "false"
    alike = f"ifNull({field.text()} IN {parameters.texts(texts)}, false)"
    return f"{alike} AND NOT {build_filter(one, at, parameters)}"


def _text(value: Any) -> str:
    """Return a value as the engine writes it as text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _describe(one: Filter, event_name: str, types: list[str], having: int, alike: int) -> str:
    found = list(dict.fromkeys(_KINDS.get(name, _LIST) for name in types))
    wanted = _wanted(one)
    if not having or not wanted:
        return ""
    rule = '1 is a number, "1" a text, true a boolean.'
    asks = f"the filter {one.op} asks for {' or '.join(wanted)}"
    if not set(found) & set(wanted):
        events = "the 1 event that has it" if having == 1 else f"all {having:,} events that have it"
        return f"{one.field} of {event_name!r} is {' or '.join(found)} in {events}; {asks}: {rule}"
    if alike:
        events = "1 event" if alike == 1 else f"{alike:,} events"
        return (
            f"In {events} of {event_name!r} {one.field} reads the same and is of another type; {asks}: {rule}"
        )
    return ""


def _wanted(one: Filter) -> list[str]:
    """Return the kinds of values that the filter can find."""
    values = one.value if isinstance(one.value, list | tuple) else [one.value]
    kinds = [
        "a boolean" if isinstance(value, bool) else "a text" if isinstance(value, str) else "a number"
        for value in values
        if value is not None
    ]
    if one.op == "contains":
        # A number is found in lists only, a text in texts as well.
        kinds = [_LIST, *(kind for kind in kinds if kind == "a text")]
    return list(dict.fromkeys(kinds))


def _ask(
    looking: Looking, columns: str, event_name: str, conditions: Sequence[str], parameters: Parameters
) -> list[list[Any]]:
    scope = build_scope(parameters, looking.project, looking.question.period(), [event_name], conditions)
    return ask_store(looking.store, parameters.statement(f"SELECT {columns}\n{scope}"), looking.limits)
