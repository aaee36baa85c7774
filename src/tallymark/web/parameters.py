"""Which parameters an address may have: each route declares them as `takes`, and a request with another one is refused.

A parameter that does nothing would let somebody believe that it does: `?limt=5` answers 400, with the name that is near. In a
declared name `#` stands for a number. `app` checks every request; `openapi` describes what is declared.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from functools import cache
from typing import Any, Final

from litestar import Request

from tallymark.errors import RequestRefused

# Of a route whose addresses others write, or lengthen: what they add means nothing, and is not refused.
ANYTHING: Final = ("*",)
# A key may stand in every address of the API.
KEY: Final = "key"
# What several pages take.
TIMES: Final = ("last", "from", "to", "interval", "tz")
CONDITIONS: Final = ("f#.field", "f#.op", "f#.value", "drop")

_MOST_SHOWN: Final = 40


async def check_parameters(request: Request[Any, Any, Any]) -> None:
    """Raise RequestRefused (invalid_request) for a parameter that the route does not take."""
    takes: tuple[str, ...] | None = request.route_handler.opt.get("takes")
    if takes is None or takes == ANYTHING or not request.scope["query_string"]:
        return
    for name in request.query_params:
        if not any(_pattern(one).fullmatch(name) for one in takes):
            raise RequestRefused("invalid_request", _explain(name, takes), at=name[:_MOST_SHOWN])


@cache
def _pattern(declared: str) -> re.Pattern[str]:
    return re.compile(re.escape(declared).replace(r"\#", r"\d{1,3}"))


def _explain(name: str, takes: Sequence[str]) -> str:
    shown = name if len(name) <= _MOST_SHOWN else f"{name[:_MOST_SHOWN]}..."
    # Longer ones are near nothing, and comparing them would take long.
    near = difflib.get_close_matches(re.sub(r"\d+", "#", name[:_MOST_SHOWN]), takes, 1)
    hint = f" Did you mean {near[0]}?" if near else ""
    allowed = f"Allowed: {', '.join(takes)}." if takes else "This address takes none."
    return f"There is no parameter {shown!r} here.{hint} {allowed}"
