"""Which parameters an address may have, and which values: each route declares both as `takes`, and others are refused.

A parameter that does nothing would let somebody believe that it does: `?limt=5` and `?span=week` answer 400, with what is near
and what is allowed. `app` checks every request; `openapi` describes what is declared. An empty value is as good as none.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Literal

from litestar import Request

from tallymark.errors import RequestRefused

_MOST_SHOWN: Final = 40


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of an address; in its name `#` stands for a number. Made by one of the functions below.

    `fits` tells whether a value means something; `allowed` says in words which do, and `values` are all where there is a
    closed list. What is `checked_by` its handler is refused there, and of a free one every text means something.
    """

    name: str
    checked_by: Literal["declaration", "handler", "nobody"]
    fits: Callable[[str], bool] = bool
    allowed: str = ""
    values: tuple[str, ...] = ()


def one_of(name: str, values: Iterable[str]) -> Parameter:
    """Return a parameter with a closed list of values."""
    known = tuple(values)
    return Parameter(name, "declaration", known.__contains__, ", ".join(known), known)


def flag(name: str) -> Parameter:
    """Return a parameter that is switched on by 1."""
    return one_of(name, ("1",))


def number(name: str, least: int, most: int) -> Parameter:
    """Return a parameter whose values are whole numbers."""

    def fits(text: str) -> bool:
        return text.isascii() and text.isdigit() and len(text) < 19 and least <= int(text) <= most

    return Parameter(name, "declaration", fits, f"a whole number from {least} to {most}")


def formed(name: str, fits: Callable[[str], bool], allowed: str) -> Parameter:
    """Return a parameter whose values have a form; `allowed` says in words which."""
    return Parameter(name, "declaration", fits, allowed)


def handled(name: str) -> Parameter:
    """Return a parameter whose handler refuses wrong values: beside the field of a form, or as only the project knows them."""
    return Parameter(name, "handler")


def free(name: str) -> Parameter:
    """Return a parameter of which every text means something: words to search for, names of events and fields."""
    return Parameter(name, "nobody")


# Of a route whose addresses others write, or lengthen: what they add means nothing, and is not refused.
ANYTHING: Final = (free("*"),)
# A key may stand in every address of the API.
KEY: Final = handled("key")


async def check_parameters(request: Request[Any, Any, Any]) -> None:
    """Raise RequestRefused (invalid_request) for a parameter that the route does not take, or a value that it does not have."""
    takes: tuple[Parameter, ...] | None = request.route_handler.opt.get("takes")
    if takes is None or takes == ANYTHING or not request.scope["query_string"]:
        return
    for name in request.query_params:
        if _find(takes, name) is None:
            raise RequestRefused("invalid_request", _explain_name(name, takes), at=name[:_MOST_SHOWN])
    check_values(request, takes)


def check_values(request: Request[Any, Any, Any], takes: tuple[Parameter, ...]) -> None:
    """Raise RequestRefused (invalid_request) for a wrong value of one of these parameters; others are not looked at."""
    for name, value in request.query_params.multi_items():
        found = _find(takes, name)
        if found is not None and found.checked_by == "declaration" and value and not found.fits(value):
            raise RequestRefused("invalid_request", _explain_value(name, value, found), at=name[:_MOST_SHOWN])


def _find(takes: Sequence[Parameter], name: str) -> Parameter | None:
    return next((one for one in takes if _pattern(one.name).fullmatch(name)), None)


@cache
def _pattern(declared: str) -> re.Pattern[str]:
    return re.compile(re.escape(declared).replace(r"\#", r"\d{1,3}"))


def _explain_name(name: str, takes: Sequence[Parameter]) -> str:
    names = [one.name for one in takes]
    # Longer ones are near nothing, and comparing them would take long.
    hint = _hint(re.sub(r"\d+", "#", name[:_MOST_SHOWN]), names)
    allowed = f"Allowed: {', '.join(names)}." if names else "This address takes none."
    return f"There is no parameter {_shorten(name)!r} here.{hint} {allowed}"


def _explain_value(name: str, value: str, declared: Parameter) -> str:
    hint = _hint(value[:_MOST_SHOWN], declared.values)
    return f"{_shorten(value)!r} is no value of {name}.{hint} Allowed: {declared.allowed}."


def _hint(text: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(text, known, 1)
    return f" Did you mean {near[0]}?" if near else ""


def _shorten(text: str) -> str:
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."
