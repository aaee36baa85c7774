"""What may stand in an object, read from its types: tables for people, and a first text to begin a new one with.

Comes in: a kind of the plan. Goes out: plain words. What the types cannot tell is told by the check when it matters.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from string import Template
from typing import Any, Final

import msgspec
from msgspec import inspect as types

from tallymark.plan.kinds import BY_NAME, Kind
from tallymark.plan.words import NAME_PATTERN, PATTERN_WORDS

# What a field of a new object begins with, as YAML. What a kind needs stands in it, the rest is commented out.
_SAMPLES: Final = {
    "name": "my_$kind",
    "event_name": "order_placed",
    "numerator": "\n      event_name: order_placed",
    "denominator": "\n      event_name: page_viewed",
    "by": "session_id",
    "window": "7d",
    "steps": "\n      - event_name: page_viewed\n      - event_name: order_placed",
    "expression": "$metric * 100",
    "last": "30d",
    "panels": "\n      - name: first\n        kind: line\n        metrics: [$metric]",
    "title": "What people read",
    "description": "More about it",
    "owner": "shop",
    "unit": "EUR",
    "caveat": "What nobody should conclude from it",
    "minimum_sample": "100",
    "scrape": "5m",
    "tags": "[shop]",
    "from": "2026-01-01",
    "to": "2026-02-01",
    "interval": "day",
    "refresh": "60",
    "filters": "[{field: agent_os, op: eq, value: iOS}]",
}
# What means something else in this kind.
_OWN_SAMPLES: Final = {
    ("alert", "metric"): "$metric",
    ("alert", "when"): "\n      is: falls\n      percent: 20\n      against: last week",
    ("alert", "window"): "1h",
    ("alert", "every"): "1m",
    ("alert", "for"): "5m",
    ("alert", "keep_firing"): "5m",
    ("alert", "no_data"): "{for: 2h}",
    ("alert", "tell"): "[growth_chat]",
    ("alert", "breakdown"): "[agent_os]",
    ("rota", "name"): "on_call",
    ("rota", "people"): "[ana_phone, bo_phone]",
    ("rota", "begins"): "2026-01-05T09:00",
    ("rota", "escalate"): "[{after: 15m, tell: [next]}]",
    ("alert", "runbook"): "https://wiki.example/what-to-do",
}
# Not needed by the types, but an object without it is none.
_BEGUN: Final = frozenset({"last", "panels"})
# An example of a metric, where a project has none yet.
_METRIC: Final = "orders"


@dataclass(frozen=True, slots=True)
class Field:
    """A field: its name in YAML, what may stand there, and what holds where it is left out."""

    name: str
    allowed: str
    default: str


@dataclass(frozen=True, slots=True)
class Table:
    """The fields of a kind of object, or of a part of one."""

    name: str
    about: str
    fields: tuple[Field, ...]


@cache
def list_choices(kind_name: str) -> dict[str, str]:
    """Return the values of `kind` in an object and what each is, by its docstring; none where there is one kind only."""
    members = _members(BY_NAME[kind_name])
    return {str(one.tag): _about(one) for one in members} if len(members) > 1 else {}


@cache
def describe_fields(kind_name: str) -> tuple[Table, ...]:
    """Return the tables of a kind: what all of its objects have, what each has of its own, then the parts."""
    kind = BY_NAME[kind_name]
    members = _members(kind)
    own = {one.tag: one.fields for one in members}
    tables = []
    if len(members) > 1:
        shared = _shared(members)
        common = _table(
            f"every {kind.name}", "", tuple(field for field in members[0].fields if field.name in shared)
        )
        choice = Field("kind", ", ".join(list_choices(kind_name)), "required")
        tables.append(Table(common.name, "", (common.fields[0], choice, *common.fields[1:])))
        own = {tag: tuple(f for f in fields if f.name not in shared) for tag, fields in own.items()}
    tables += [_table(str(one.tag or kind.name), _about(one), own[one.tag]) for one in members]
    parts: dict[str, types.StructType] = {}
    for one in members:
        parts |= {part.cls.__name__: part for part in _parts(one)}
    return (
        *tables,
        *(_table(name.lower(), _about(part), part.fields) for name, part in parts.items()),
    )


def begin_text(kind: Kind, choice: str, metrics: list[str]) -> str:
    """Return the YAML of a new object that can be saved as it is, with all other fields as comments.

    `choice` is one of `list_choices`, or ''. `metrics` are names to use where the object needs one.
    """
    members = _members(kind)
    one = next((member for member in members if member.tag == choice), members[0])
    given = {"kind": kind.name, "metric": next(iter(metrics), _METRIC)}
    lines = [_line(field, given) for field in one.fields if _is_begun(field)]
    if one.tag:
        lines.insert(1, f"kind: {one.tag}")
    shared = _shared(members) if len(members) > 1 else set()
    # What only this kind has stands first.
    rest = sorted(
        (field for field in one.fields if not _is_begun(field)), key=lambda field: field.name in shared
    )
    lines += [f"# {_line(field, given)}" for field in rest]
    return f"# {_about(one)}\n{kind.plural}:\n  - " + "\n    ".join(lines) + "\n"


def _is_begun(field: types.Field) -> bool:
    return field.required or field.encode_name in _BEGUN


def _line(field: types.Field, given: dict[str, str]) -> str:
    name = field.encode_name
    sample = _OWN_SAMPLES.get((given["kind"], name), _SAMPLES.get(name))
    if sample is None:
        sample = field.default if isinstance(field.default, str) else json.dumps(field.default)
    return f"{name}: {Template(sample).substitute(given)}".replace(": \n", ":\n")


def _members(kind: Kind) -> tuple[types.StructType, ...]:
    found = types.type_info(kind.type)
    members = found.types if isinstance(found, types.UnionType) else (found,)
    return tuple(one for one in members if isinstance(one, types.StructType))


def _shared(members: tuple[types.StructType, ...]) -> set[str]:
    return set.intersection(*({field.name for field in one.fields} for one in members))


def _about(one: types.StructType) -> str:
    """Return the first paragraph of what the type says of itself."""
    return " ".join((inspect.getdoc(one.cls) or "").split("\n\n")[0].split())


def _table(name: str, about: str, fields: tuple[types.Field, ...]) -> Table:
    return Table(
        name,
        about,
        tuple(Field(field.encode_name, _words(field.type), _default(field)) for field in fields),
    )


def _default(field: types.Field) -> str:
    if field.required:
        return "required"
    if field.default in ("", (), None, msgspec.NODEFAULT):
        return "–"
    default: Any = field.default
    if isinstance(default, bool):
        return "true" if default else "false"
    return "–" if isinstance(default, msgspec.Struct) else str(default)


def _parts(node: Any) -> Iterator[types.StructType]:
    """Return the structs inside a struct, outer ones first."""
    for field in node.fields:
        part = _plain(field.type)
        part = _plain(getattr(part, "item_type", part))
        found = field.type.types if isinstance(field.type, types.UnionType) else (part,)
        for one in (each for each in found if isinstance(each, types.StructType)):
            yield one
            yield from _parts(one)


def _plain(node: types.Type) -> types.Type:
    """Return the type without null."""
    if isinstance(node, types.UnionType):
        return next(one for one in node.types if not isinstance(one, types.NoneType))
    return node


def _words(node: types.Type) -> str:
    members = node.types if isinstance(node, types.UnionType) else ()
    structs = [one.cls.__name__.lower() for one in members if isinstance(one, types.StructType)]
    if len(structs) > 1:
        return f"one of: {', '.join(structs)}, as is says"
    node = _plain(node)
    if isinstance(node, types.BoolType):
        return "true, false"
    if isinstance(node, types.LiteralType):
        return ", ".join(map(str, node.values))
    if isinstance(node, types.StrType):
        return _text(node)
    if isinstance(node, types.IntType):
        return f"whole number, {node.ge:,} to {node.le:,}"
    if isinstance(node, types.FloatType):
        return "number" if node.ge is None else f"number, {node.ge} to {node.le}"
    if isinstance(node, types.VarTupleType):
        least = f"{node.min_length} to " if node.min_length else "up to "
        return f"list of {least}{node.max_length}: {_words(node.item_type)}"
    return node.cls.__name__.lower() if isinstance(node, types.StructType) else "any value"


def _text(node: types.StrType) -> str:
    if node.pattern == NAME_PATTERN:
        return "name: a-z, 0-9 and _"
    if node.pattern:
        return PATTERN_WORDS.get(node.pattern, f"text like {node.pattern}")
    return f"text of up to {node.max_length:,} characters"
