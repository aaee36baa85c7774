"""One statement to the store and back: limits in, rows out, the store's errors as answers that say what to do.

Comes in: a `Statement`. Goes out: rows. `run`, `names` and `events` call it; it is the only part of this room that
reaches the store.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import msgspec

from tallymark.errors import RequestRefused
from tallymark.queries.question import refuse
from tallymark.queries.result import ANSWER_BYTES, decode_rows
from tallymark.queries.sql import Statement
from tallymark.store.errors import QueryTooExpensive, StoreError, StoreUnavailable

_TOO_MANY_ROWS: Final = 158
_CANNOT_COMPILE_REGEXP: Final = 427
_RETRY_AFTER: Final = 5


class QueryStore(Protocol):
    """The part of `store.client.StoreClient` that questions need."""

    def query_raw(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        fmt: str = "JSONEachRow",
        settings: Mapping[str, Any] | None = None,
    ) -> bytes:
        """Run a SELECT with typed parameters and return its answer in one of ClickHouse's formats."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """What one question may take in the store; 0 = the store's own limit."""

    seconds: float = 30.0
    memory_bytes: int = 1024**3
    rows_to_read: int = 0

    def settings(self) -> dict[str, str]:
        """Return the limits as settings of the engine."""
        wanted = {
            "max_execution_time": self.seconds,
            "max_memory_usage": self.memory_bytes,
            "max_rows_to_read": self.rows_to_read,
            "max_result_bytes": ANSWER_BYTES,
        }
        return {name: str(value) for name, value in wanted.items() if value}


class TooManyRows(RequestRefused):
    """The question would read more rows than its limit says; the engine tells before it reads any."""


DEFAULT_LIMITS: Final = Limits()
# The answer's form is ours: plain arrays, numbers as numbers, null for what is not finite (see `Statement.denormals`).
_FORM: Final = {
    "output_format_json_named_tuples_as_objects": "0",
    "output_format_json_quote_64bit_integers": "0",
}


def ask_store(store: QueryStore, statement: Statement, limits: Limits = DEFAULT_LIMITS) -> list[list[Any]]:
    """Run one statement and return its rows. Raises `RequestRefused`."""
    try:
        form = {**_FORM, "output_format_json_quote_denormals": str(int(statement.denormals))}
        body = store.query_raw(
            statement.sql, statement.parameters, fmt="JSONCompact", settings={**form, **limits.settings()}
        )
        return decode_rows(body)
    except QueryTooExpensive as error:
        advice = "Ask for a shorter time or fewer values."
        if error.number == _TOO_MANY_ROWS:
            # How many it would be the engine's text says, and counts rows of other projects with it.
            reason = f"The question ran into a limit: it would read more than {limits.rows_to_read:,} rows."
            raise TooManyRows("query_too_expensive", f"{reason} {advice}") from error
        reason = f"The question ran into a limit: {error.message}"
        raise RequestRefused("query_too_expensive", f"{reason} {advice}") from error
    except StoreUnavailable as error:
        raise RequestRefused("store_unavailable", retry_after=_RETRY_AFTER) from error
    except StoreError as error:
        if error.number == _CANNOT_COMPILE_REGEXP:
            raise refuse(
                f"A pattern of matches is no RE2 regular expression: {error.message}", "filters"
            ) from error
        raise
    except msgspec.DecodeError as error:
        message = f"The store's answer broke off: {error}"
        raise RequestRefused("store_unavailable", message, retry_after=_RETRY_AFTER) from error
