"""What is wrong with the form of an object: each field, and each element of a list, looked at by itself.

Comes in: a type of the plan and the value that somebody wrote. Goes out: all mistakes, where decoding the whole would stop
at the first. `objects` calls it. What the types cannot tell is the checks' business, once the form is right.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Annotated, Any, Final, get_args, get_origin

import msgspec

from tallymark.plan.words import PATTERN_WORDS
from tallymark.queries.parse import split_error

_SHOWN: Final = 80


@dataclass(frozen=True, slots=True)
class Mistake:
    """What is wrong; `at` is the path of the value, `of` that of what says what is allowed there."""

    message: str
    at: str
    of: str


def find_mistakes(kind: Any, value: Any, at: str = "") -> Iterator[Mistake]:
    """Yield what keeps a value from being of a type; `at` is the path of the value."""
    plain = _plain(kind)
    found: list[Mistake] = []
    tagged = list_tagged(plain)
    if tagged:
        yield from _look_at_tagged(tagged, value, at)
        return
    if isinstance(plain, type) and issubclass(plain, msgspec.Struct) and isinstance(value, Mapping):
        found = list(_look_at_fields(plain, value, at))
    elif get_origin(plain) is tuple and isinstance(value, list):
        item = get_args(plain)[0]
        for number, one in enumerate(value):
            found += find_mistakes(item, one, f"{at}[{number}]")
    # Where no part of it is wrong by itself, the whole may be, such as a list that is too long.
    yield from found or _convert(kind, value, at)


def list_tagged(plain: Any) -> dict[str, type[msgspec.Struct]]:
    """Return the types of a union by the word that tells them apart; none of another type."""
    types = [one for one in get_args(plain) if isinstance(one, type) and issubclass(one, msgspec.Struct)]
    if len(types) < 2 or len(types) != len(get_args(plain)):
        return {}
    return {str(one.__struct_config__.tag): one for one in types}


def _look_at_tagged(tagged: Mapping[str, type[msgspec.Struct]], value: Any, at: str) -> Iterator[Mistake]:
    """Yield what is wrong with a value that has to be of one of several types."""
    field = str(next(iter(tagged.values())).__struct_config__.tag_field)
    words, here = ", ".join(tagged), f"{at}.{field}"
    if not isinstance(value, Mapping):
        shown = str(value)[:_SHOWN]
        yield Mistake(
            f"Expected a mapping such as {{{field}: {next(iter(tagged))}, ...}}, not {shown!r}. Allowed for {field}: {words}",
            at,
            here,
        )
    elif field not in value:
        yield Mistake(f"`{field}` is missing, which says what kind it is. Allowed: {words}", at, here)
    elif str(value[field]) not in tagged:
        yield Mistake(f"{field} is {str(value[field])[:_SHOWN]!r}. Allowed: {words}", here, here)
    else:
        meant = tagged[str(value[field])]
        names = ", ".join(one.encode_name for one in msgspec.structs.fields(meant))
        for mistake in find_mistakes(meant, value, at):
            told = f"{mistake.message}. Fields: {names}" if mistake.of == at else mistake.message
            yield Mistake(told, mistake.at, here if mistake.of == at else mistake.of)


def _look_at_fields(struct: type[msgspec.Struct], value: Mapping[str, Any], at: str) -> Iterator[Mistake]:
    fields = {field.encode_name: field for field in msgspec.structs.fields(struct)}
    for name, one in value.items():
        here = f"{at}.{name}".lstrip(".")
        if name in fields:
            yield from find_mistakes(fields[name].type, one, here)
        elif name != struct.__struct_config__.tag_field:
            yield Mistake(f"Object contains unknown field `{name[:_SHOWN]}`", here, at)
    unknown = [name for name in value if name not in fields]
    for name, field in fields.items():
        # What stands there misspelt has been told.
        if field.required and name not in value and not get_close_matches(name, unknown, 1):
            yield Mistake(f"Object missing required field `{name}`", at, at)


def _convert(kind: Any, value: Any, at: str) -> Iterator[Mistake]:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        message, inner = split_error(error)
        place = f"{at}{inner}" if inner.startswith("[") else f"{at}.{inner}".strip(".")
        for pattern, words in PATTERN_WORDS.items():
            if pattern in message:
                message = f"Expected {words}, not {str(value)[:_SHOWN]!r}"
        yield Mistake(message, place, place)


def _plain(kind: Any) -> Any:
    """Return a type without its remarks and without null."""
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    others = [one for one in get_args(kind) if one is not type(None)]
    return _plain(others[0]) if len(others) == 1 and type(None) in get_args(kind) else kind
