"""The words that the kinds of a plan's objects share: names, texts, and the error that tells where."""

from __future__ import annotations

import re
from typing import Annotated, Final

import msgspec

from tallymark.errors import RequestRefused

MAX_TAGS: Final = 20
NAME_PATTERN: Final = "^[a-z][a-z0-9_]{0,63}$"
TIME_PATTERN: Final = "^([1-9][0-9]{0,3}[smhd])?$"
LENGTH_PATTERN: Final = "^[1-9][0-9]{0,4}[smhdw]$"
NO_LENGTH_PATTERN: Final = "^([1-9][0-9]{0,4}[smhdw])?$"
MOMENT_PATTERN: Final = "^[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2})?$"
# What a pattern allows, for those who got it wrong.
PATTERN_WORDS: Final = {
    NAME_PATTERN: "a name of a-z, 0-9 and _ that begins with a letter and has at most 64 characters",
    TIME_PATTERN: "a length of time such as 30s, 5m, 1h or 1d",
    LENGTH_PATTERN: "a length of time such as 30s, 15m, 1h, 1d or 1w",
    NO_LENGTH_PATTERN: "a length of time such as 30s, 15m, 1h, 1d or 1w",
    MOMENT_PATTERN: "a day such as 2026-01-05, with a time of day where one is wanted: 2026-01-05T09:00",
}

Name = Annotated[str, msgspec.Meta(pattern=NAME_PATTERN)]
ShortText = Annotated[str, msgspec.Meta(max_length=200)]
Prose = Annotated[str, msgspec.Meta(max_length=4000)]


def is_name(text: str) -> bool:
    """Tell whether a text can be a name."""
    return re.fullmatch(NAME_PATTERN, text, re.ASCII) is not None and not text.endswith("\n")


def refuse(message: str, at: str = "") -> RequestRefused:
    """Build the error for a definition that is not valid; `at` is a path such as `steps[0].event_name`."""
    return RequestRefused("invalid_definition", message, at=at)
