"""A folder of YAML files to the objects in it: each with its file, line and column, all mistakes at once.

`tallymark plan` and `apply` send the files' text; the server reads it here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from tallymark.errors import RequestRefused
from tallymark.plan.kinds import BY_PLURAL, KINDS, Kind
from tallymark.plan.objects import Objects, check_object, read_object
from tallymark.plan.yaml_text import Document, Path, parse_path, parse_yaml

MAX_FILES: Final = 500
MAX_OBJECTS: Final = 5_000
_MOST_PROBLEMS: Final = 50


class File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file's name below the folder, and its text."""

    name: str
    text: str


class Problem(msgspec.Struct, frozen=True):
    """A mistake: which file, line and column (from 1), the path of the value, what is wrong and what is allowed."""

    file: str
    line: int
    column: int
    path: str
    message: str


@dataclass(frozen=True, slots=True)
class Found:
    """An object and where it stands."""

    kind: Kind
    one: Any
    file: str
    document: Document
    path: Path


@dataclass(slots=True)
class Reading:
    """What was found in files: objects, and what is wrong with them."""

    found: list[Found] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def read_files(files: list[File]) -> Reading:
    """Read the objects of all files; what they refer to is checked by `check_all`."""
    reading = Reading()
    for file in files:
        try:
            document = parse_yaml(file.text)
        except RequestRefused as error:
            line, column = _parse_at(error.at)
            reading.problems.append(Problem(file.name, line, column, "", error.message))
            continue
        _read_document(file.name, document, reading)
    _refuse_twice(reading)
    del reading.problems[_MOST_PROBLEMS:]
    return reading


def check_all(reading: Reading, objects: Objects) -> None:
    """Check every object among all of the project's; adds to the problems."""
    for found in reading.found:
        try:
            check_object(found.kind, found.one, objects)
        except RequestRefused as error:
            _add(reading, found.file, found.document, (*found.path, *parse_path(error.at)), error.message)
    del reading.problems[_MOST_PROBLEMS:]


def _read_document(file: str, document: Document, reading: Reading) -> None:
    if document.value is None:
        return
    allowed = ", ".join(kind.plural for kind in KINDS)
    if not isinstance(document.value, dict):
        _add(reading, file, document, (), f"A file is a mapping. Allowed keys: {allowed}.")
        return
    for key, items in document.value.items():
        kind = BY_PLURAL.get(key)
        if kind is None:
            _add(reading, file, document, (key,), f"There is no {key[:80]!r}. Allowed keys: {allowed}.")
        elif not isinstance(items, list):
            _add(
                reading,
                file,
                document,
                (key,),
                f"{key} holds a list: begin each {kind.name} with '- name: …'.",
            )
        else:
            _read_items(file, document, kind, items, reading)


def _read_items(file: str, document: Document, kind: Kind, items: list[Any], reading: Reading) -> None:
    for number, value in enumerate(items):
        path: Path = (kind.plural, number)
        one, mistakes = read_object(kind, value)
        wrong = [((*path, *parse_path(mistake.at)), mistake.message) for mistake in mistakes]
        for place, message in sorted(wrong, key=lambda one: document.place_of(one[0])):
            _add(reading, file, document, place, message)
        if not mistakes:
            reading.found.append(Found(kind, one, file, document, path))


def _refuse_twice(reading: Reading) -> None:
    seen: dict[tuple[str, str], Found] = {}
    for found in reading.found:
        identity = (found.kind.name, found.one.name)
        first = seen.setdefault(identity, found)
        if first is not found:
            line, _ = first.document.place_of(first.path)
            message = f"The {found.kind.name} {found.one.name!r} stands in {first.file}, line {line}, too."
            _add(reading, found.file, found.document, (*found.path, "name"), message)


def _add(reading: Reading, file: str, document: Document, path: Path, message: str) -> None:
    line, column = document.place_of(path)
    reading.problems.append(Problem(file, line, column, _render_path(path), message))


def _render_path(path: Path) -> str:
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")


def _parse_at(at: str) -> tuple[int, int]:
    line, _, column = at.removeprefix("line ").partition(", column ")
    return (int(line), int(column)) if line.isdigit() and column.isdigit() else (1, 1)
