"""The limits of a request: what it gets by default and the most it may ask for, by role.

Comes in: a `StoreRequest`. Goes out: the settings of its connection. `service` calls it for each request.
"""

from __future__ import annotations

import re
from decimal import ROUND_DOWN, Decimal
from typing import Final

from tallymark.fair_queue import Bounds
from tallymark.store.errors import EngineError
from tallymark.store.requests import StoreRequest

_MEBIBYTE: Final = 1024 * 1024

# What a question of our own processes may take where it says nothing of it, in seconds.
QUERY_SECONDS: Final = 60

# What a statement of another tool may take at most, in seconds.
VISITOR_SECONDS: Final = 60
# How long a statement waits for its place in the store, in seconds.
PLACE_SECONDS: Final = 30.0
# An answer may come so many seconds later than its statement's limit: the engine looks at its clock between two blocks.
GRACE_SECONDS: Final = 5.0

# Statements of other tools that run at once; one project has one fewer, so that another never waits for it alone. The web
# process holds the same bounds in front of the store: there a statement waits without a thread, and long queues are refused.
_VISITOR_PLACES: Final = 3
VISITOR_BOUNDS: Final = Bounds(places=_VISITOR_PLACES, each=_VISITOR_PLACES - 1)

# Name: default and maximum, 0 = without limit. Seconds, bytes and rows.
_INTERNAL_LIMITS: Final = {
    "max_execution_time": (QUERY_SECONDS, 3600),
    "max_memory_usage": (1024 * _MEBIBYTE, 0),
    "max_result_bytes": (512 * _MEBIBYTE, 0),
    "max_result_rows": (0, 0),
    "max_rows_to_read": (0, 0),
    "max_bytes_to_read": (0, 0),
}
_VISITOR_LIMITS: Final = {
    "max_execution_time": (30, VISITOR_SECONDS),
    "max_memory_usage": (512 * _MEBIBYTE, 512 * _MEBIBYTE),
    "max_result_bytes": (128 * _MEBIBYTE, 128 * _MEBIBYTE),
    "max_result_rows": (1_000_000, 1_000_000),
    "max_rows_to_read": (200_000_000, 200_000_000),
    "max_bytes_to_read": (0, 0),
    "max_threads": (2, 16),
}

_INSERT_SECONDS: Final = 600

# The engine counts time in microseconds, everything else in whole numbers of 64 bits; of all it reads 0 as "without limit".
_SMALLEST_SECONDS: Final = Decimal("0.000001")
_LARGEST: Final = 2**64 - 1
_NUMBER: Final = re.compile(r"\+?[0-9]{1,40}(\.[0-9]{0,40})?([eE][+-]?[0-9]{1,4})?")

# On every connection of other tools. What a statement read is not told: rows of other projects, which share its partition,
# are among them.
_VISITOR_ALWAYS: Final = {"output_format_write_statistics": "0"}

# On every connection. The last two are for inserts: their file has the columns of the table, with their defaults,
# and reading it costs less than mapping it.
ALWAYS: Final = {
    "implicit_select": "0",
    "timeout_overflow_mode": "throw",
    "result_overflow_mode": "throw",
    "read_overflow_mode": "throw",
    "json_type_escape_dots_in_keys": "1",
    "use_structure_from_insertion_table_in_table_functions": "1",
    "storage_file_read_method": "pread",
}


def build_settings(request: StoreRequest, *, insert: bool) -> dict[str, str]:
    """Return the settings of the request's connection. Raises EngineError 452 beyond a maximum."""
    limits = _VISITOR_LIMITS if request.project else _INTERNAL_LIMITS
    settings = {**ALWAYS, **request.settings}
    for name, (default, maximum) in limits.items():
        if insert and name.startswith("max_result"):
            continue
        if insert and name == "max_execution_time":
            # A slow disk must not turn a batch away that would only come again.
            default = _INSERT_SECONDS  # noqa: PLW2901 - the one exception
        given = request.settings.get(name)
        settings[name] = str(default) if given is None else _check(name, given, maximum)
    return {**settings, **_VISITOR_ALWAYS} if request.project else settings


def _check(name: str, given: str, maximum: int) -> str:
    """Return the limit as the engine is told it. Raises EngineError 36 for no number, 452 for one that may not be given.

    The engine is given digits of ours: it rounds a millionth of a microsecond to 0, which is no limit, and counts past 64 bits
    from 0 again.
    """
    if _NUMBER.fullmatch(given) is None:
        raise EngineError(36, f"Setting {name}: {given!r} is not a number")
    value = Decimal(given)
    if not maximum and not value:
        return "0"
    smallest = _SMALLEST_SECONDS if name == "max_execution_time" else Decimal(1)
    largest = maximum or _LARGEST
    if not smallest <= value <= largest:
        raise EngineError(452, f"Setting {name} has to be from {smallest} to {largest} (given: {given})")
    rounded = value.quantize(smallest, ROUND_DOWN)
    if rounded != value and smallest == 1:
        raise EngineError(36, f"Setting {name}: {given!r} is not a whole number")
    return f"{rounded.normalize():f}"
