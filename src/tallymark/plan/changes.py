"""What applying a folder of files would change, and the writes that do it.

An origin is one such folder. What it held before and no longer holds is removed; what somebody made by hand under the
same name is taken over, and what another origin holds is a conflict.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from tallymark.catalog.definitions import Definition, Removal, Write
from tallymark.plan.files import File, Found, Problem, Reading, check_all, read_files
from tallymark.plan.kinds import BY_NAME
from tallymark.plan.objects import Objects, decode_object, encode_object


class Change(msgspec.Struct, frozen=True):
    """One object's change: `action` is create, update, remove, take over or none; `fields` are those that differ."""

    action: str
    kind: str
    name: str
    file: str
    fields: list[str] = []


class Plan(msgspec.Struct, frozen=True):
    """What would change. With problems nothing is applied."""

    changes: list[Change]
    problems: list[Problem]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A plan and the writes that carry it out."""

    plan: Plan
    writes: list[Write | Removal]


def prepare(files: list[File], origin: str, present: list[Definition]) -> Prepared:
    """Compare files with what is there."""
    reading = read_files(files)
    known = {(one.kind, one.name): one for one in present}
    wanted = {(found.kind.name, found.one.name): found for found in reading.found}
    gone = [one for key, one in known.items() if one.origin == origin and key not in wanted]
    _check(reading, wanted, known, {(one.kind, one.name) for one in gone}, origin)
    changes: list[Change] = []
    writes: list[Write | Removal] = []
    for key, found in wanted.items():
        change, write = _compare(found, known.get(key), origin)
        changes.append(change)
        if write is not None:
            writes.append(write)
    for one in gone:
        changes.append(Change("remove", one.kind, one.name, one.file))
        writes.append(Removal(one.kind, one.name, one.version))
    return Prepared(Plan(changes, reading.problems), [] if reading.problems else writes)


def collect_objects(present: list[Definition]) -> Objects:
    """Return all definitions as objects, by kind and name; of a kind that this program does not know, none."""
    objects: Objects = {name: {} for name in BY_NAME}
    for one in present:
        if one.kind in objects:
            objects[one.kind][one.name] = decode_object(one.kind, one.body)
    return objects


def _check(
    reading: Reading,
    wanted: dict[tuple[str, str], Found],
    known: dict[tuple[str, str], Definition],
    gone: set[tuple[str, str]],
    origin: str,
) -> None:
    """Check the objects as they would stand beside those that stay, and those that stay without what goes."""
    staying = [one for key, one in known.items() if key not in wanted and key not in gone]
    objects = collect_objects(staying)
    for found in reading.found:
        objects[found.kind.name][found.one.name] = found.one
    check_all(reading, objects)
    for key, found in wanted.items():
        present = known.get(key)
        if present is not None and present.origin not in ("", origin):
            line, column = found.document.place_of((*found.path, "name"))
            message = f"The {present.kind} {present.name!r} belongs to {present.file} of the origin {present.origin!r}."
            reading.problems.append(Problem(found.file, line, column, "name", message))
    for one in staying:
        for name in _missing_uses(objects[one.kind][one.name], objects) if one.kind in objects else ():
            message = f"The {one.kind} {one.name!r} needs the metric {name!r}, which would be removed."
            reading.problems.append(Problem(one.file, 1, 1, "", message))


def _missing_uses(one: Any, objects: Objects) -> list[str]:
    return [name for name in one.uses() if name not in objects["metric"]]


def _compare(found: Found, present: Definition | None, origin: str) -> tuple[Change, Write | None]:
    kind, name, body = found.kind.name, found.one.name, encode_object(found.one)
    write = Write(kind, name, body, present.version if present else 0, origin, found.file)
    if present is None:
        return Change("create", kind, name, found.file), write
    fields = _differing(present, found)
    if not present.origin:
        return Change("take over", kind, name, found.file, fields), write
    if not fields and present.file == found.file:
        return Change("none", kind, name, found.file), None
    return Change("update", kind, name, found.file, fields or ["file"]), write


def _differing(present: Definition, found: Found) -> list[str]:
    old = msgspec.json.decode(present.body)
    new = msgspec.json.decode(encode_object(found.one))
    return [name for name in dict.fromkeys([*old, *new]) if old.get(name) != new.get(name)]
