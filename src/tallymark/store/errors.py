"""What can go wrong between us and the store, on both sides of its HTTP interface.

The store process raises and renders `EngineError`; callers of `StoreClient` catch `StoreError` and its kinds.
Codes are ClickHouse's own numbers and names.
"""

from __future__ import annotations

import re
from typing import Final

from tallymark.errors import TallymarkError

_MESSAGE = re.compile(r"Code: (\d+)\. (?:DB::Exception: )?(.*)", re.DOTALL)
_NAME = re.compile(r"\(([A-Z][A-Z0-9_]{2,})\)\s*(?:\(version [^)]*\))?[\s.]*$")

# A query with the same id runs, such as an insert that a dead sender left behind.
STILL_RUNNING: Final = 216

_MEMORY: Final = 241
# Too many rows or bytes to read.
READ_LIMIT_CODES: Final = frozenset({158, 307})
# Limits of time, memory and size. ClickHouse answers most of them with 500; here the asker can act on them.
LIMIT_CODES: Final = READ_LIMIT_CODES | {159, 160, _MEMORY, 396}

CODE_NAMES: Final = {
    1: "UNSUPPORTED_METHOD",
    36: "BAD_ARGUMENTS",
    48: "NOT_IMPLEMENTED",
    62: "SYNTAX_ERROR",
    73: "UNKNOWN_FORMAT",
    81: "UNKNOWN_DATABASE",
    115: "UNKNOWN_SETTING",
    117: "INCORRECT_DATA",
    158: "TOO_MANY_ROWS",
    159: "TIMEOUT_EXCEEDED",
    160: "TOO_SLOW",
    164: "READONLY",
    202: "TOO_MANY_SIMULTANEOUS_QUERIES",
    210: "NETWORK_ERROR",
    216: "QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING",
    229: "QUERY_IS_TOO_LARGE",
    241: "MEMORY_LIMIT_EXCEEDED",
    307: "TOO_MANY_BYTES",
    372: "SESSION_NOT_FOUND",
    373: "SESSION_IS_LOCKED",
    394: "QUERY_WAS_CANCELLED",
    396: "TOO_MANY_ROWS_OR_BYTES",
    452: "SETTING_CONSTRAINT_VIOLATION",
    497: "ACCESS_DENIED",
    516: "AUTHENTICATION_FAILED",
    1002: "UNKNOWN_EXCEPTION",
}


class EngineError(Exception):
    """An error inside the store process, with ClickHouse's number and name."""

    def __init__(self, number: int, message: str, name: str = "") -> None:
        super().__init__(message)
        self.number = number
        self.name = name or CODE_NAMES.get(number, "UNKNOWN_EXCEPTION")
        self.message = message

    def render_text(self) -> str:
        """Return the error as ClickHouse writes it into an answer's body."""
        return f"Code: {self.number}. DB::Exception: {self.message} ({self.name})"


def parse_engine_error(text: str) -> EngineError:
    """Read an engine's error text; a text of another shape becomes UNKNOWN_EXCEPTION."""
    found = _MESSAGE.search(text)
    if found is None:
        return EngineError(1002, text.strip() or "the engine gave no reason")
    message = found.group(2)
    # The engine wraps an error that it met while handling another one; the inner one says it all.
    while (inner := _MESSAGE.match(message)) is not None:
        message = inner.group(2)
    message = re.sub(r"\s*\(version [^)]*\)", "", message).strip()
    named = _NAME.search(message)
    name = named.group(1) if named else ""
    while (named := _NAME.search(message)) is not None:
        message = message[: named.start()].rstrip(" .")
    return EngineError(int(found.group(1)), message + ".", name)


class StoreError(TallymarkError):
    """The store answered with an error. `number` and `name` are ClickHouse's, such as 62 and SYNTAX_ERROR."""

    def __init__(self, number: int, name: str, message: str, *, code: str = "store_error") -> None:
        super().__init__(code, f"{message} (ClickHouse code {number}, {name})")
        self.number = number
        self.name = name


class QueryTooExpensive(StoreError):
    """The question ran into a limit of time, memory, rows or bytes."""

    def __init__(self, number: int, name: str, message: str) -> None:
        super().__init__(number, name, message, code="query_too_expensive")

    @property
    def is_of_all(self) -> bool:
        """Whether all statements together had no memory left, and not this one: a moment later it may go well."""
        return self.number == _MEMORY and "(total)" in self.message


class StoreUnavailable(TallymarkError):
    """The store could not be reached, or the connection broke: whether the request took effect is unknown."""

    def __init__(self, message: str) -> None:
        super().__init__("store_unavailable", message)


def build_store_error(number: int, name: str, message: str) -> StoreError:
    """Return the kind of error that a ClickHouse code stands for."""
    if number in LIMIT_CODES:
        return QueryTooExpensive(number, name, message)
    return StoreError(number, name, message)
