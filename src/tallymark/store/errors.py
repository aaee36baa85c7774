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

# What is the engine's own fault, the disk's or the machine's. All else the engine says of a statement is its asker's to mend.
# Logical errors, exceptions of its libraries and of what is unknown.
_FAULTS_OF_ENGINE: Final = (
    49, 269, 341, 342, 650, 667, 668, 677, 696, 710, 717, 734, 999, 1000, 1001, 1002, 1003, 1004, 1005,
)  # fmt: skip
# Threads, clocks, memory maps, signals and other calls of the system.
_FAULTS_OF_MACHINE: Final = (
    109, 110, 111, 112, 114, 173, 239, 240, 298, 299, 300, 301, 302, 303, 304, 375, 411, 412, 413, 423, 425, 429, 439, 445,
    459, 460, 461, 463, 464, 465, 468, 502, 573, 590, 635, 661,
)  # fmt: skip
# Sockets and names of hosts.
_FAULTS_OF_NETWORK: Final = (
    95, 96, 198, 203, 209, 210,
)  # fmt: skip
# Files, parts that are broken or missing, room, checksums.
_FAULTS_OF_DISK: Final = (
    23, 24, 40, 74, 75, 76, 77, 83, 87, 88, 91, 107, 172, 204, 214, 226, 227, 228, 230, 231, 232, 233, 238, 243, 246, 252, 270,
    271, 272, 273, 274, 275, 294, 305, 354, 355, 384, 400, 402, 424, 458, 481, 521, 531, 553, 554, 560, 561, 566, 586, 615,
    617, 618, 625, 641, 662, 678, 679, 713, 733, 738, 740, 741, 771, 1008, 1010, 1015,
)  # fmt: skip
FAULT_CODES: Final = frozenset(
    {*_FAULTS_OF_ENGINE, *_FAULTS_OF_MACHINE, *_FAULTS_OF_NETWORK, *_FAULTS_OF_DISK}
)

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
