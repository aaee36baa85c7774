"""One object as somebody types it: read, checked among all others, with the line and column of each mistake."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from tallymark.plan.files import File, Found, Problem, check_all, read_files
from tallymark.plan.kinds import Kind
from tallymark.plan.objects import Objects

# Where a line ends in YAML.
_BREAK: Final = re.compile("\r\n|[\r\n\x85\u2028\u2029]")
_WIDTH: Final = 160


@dataclass(frozen=True, slots=True)
class Draft:
    """The object, or None and what is wrong."""

    one: Any
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a text around a mistake; `wrong` is the one with the mistake."""

    number: int
    text: str
    wrong: bool


def read_draft(kind: Kind, name: str, text: str, objects: Objects) -> Draft:
    """Read the one object of a text; `objects` are the project's. With a name it must be the object's own."""
    reading = read_files([File("", text)])
    found = reading.found[0] if reading.found else None
    if not reading.problems:
        reading.problems += _check_single(kind, name, reading.found)
    if not reading.problems and found is not None:
        among = {**objects, kind.name: {**objects[kind.name], found.one.name: found.one}}
        check_all(reading, among)
    if found is None or reading.problems:
        return Draft(None, tuple(reading.problems))
    return Draft(found.one)


def excerpt(text: str, problem: Problem) -> list[Line]:
    """Return the line of a mistake with the one above and the one below; of long lines the part around the mistake."""
    lines = _BREAK.split(text)
    # A text that ends too early is wrong behind its last line.
    place = min(problem.line, len(lines))
    first = max(0, place - 2)
    begin = problem.column - _WIDTH // 2 if problem.column > _WIDTH else 0
    return [
        Line(number, line[begin : begin + _WIDTH], number == place)
        for number, line in enumerate(lines[first : place + 1], first + 1)
    ]


def compare_lines(text: str, other: str) -> list[tuple[str, bool]]:
    """Return the lines of a text, and of each whether it stands nowhere in the other one."""
    others = set(_BREAK.split(other))
    return [(line, line not in others) for line in _BREAK.split(text.rstrip("\n"))]


def _check_single(kind: Kind, name: str, found: list[Found]) -> list[Problem]:
    if not found:
        return [Problem("", 1, 1, "", f"There is no {kind.name}: begin with '{kind.plural}:'.")]
    extra = next((one for number, one in enumerate(found) if number or one.kind is not kind), None)
    if extra is not None:
        message = f"Here stands one {kind.name}, below '{kind.plural}:', and nothing else."
        return [_problem(extra, "", message)]
    if name and found[0].one.name != name:
        message = (
            f"The {kind.name} is called {name[:80]!r}: links, dashboards and formulas know it by that name. "
            f"For another name make a new {kind.name}, then remove this one."
        )
        return [_problem(found[0], "name", message)]
    return []


def _problem(found: Found, field: str, message: str) -> Problem:
    line, column = found.document.place_of((*found.path, field) if field else found.path)
    return Problem("", line, column, field, message)
