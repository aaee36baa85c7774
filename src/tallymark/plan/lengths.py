"""Lengths of time as files write them: a whole number and s, m, h, d or w."""

from __future__ import annotations

import re
from typing import Annotated, Final

import msgspec

from tallymark.plan.words import LENGTH_PATTERN, refuse

DAY: Final = 86_400
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": DAY, "w": 7 * DAY}
_LENGTH: Final = re.compile(r"([1-9][0-9]{0,4})([smhdw])", re.ASCII)

Length = Annotated[str, msgspec.Meta(pattern=LENGTH_PATTERN)]


def parse_length(text: str, at: str = "") -> int:
    """Return a length of time in seconds; raises RequestRefused."""
    found = _LENGTH.fullmatch(text)
    if found is None:
        raise refuse(
            f"{text[:20]!r} is no length of time. Allowed is a whole number and s, m, h, d or w: 30s, 15m, 1h, 7d.",
            at,
        )
    return int(found[1]) * _UNITS[found[2]]


def write_length(seconds: int) -> str:
    """Return a length of time as it stands in a file, in the largest unit that fits."""
    unit = next(unit for unit in ("w", "d", "h", "m", "s") if seconds % _UNITS[unit] == 0)
    return f"{seconds // _UNITS[unit]}{unit}"
