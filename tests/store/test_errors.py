"""An engine's error text becomes a code, a name and a message without repetition."""

from __future__ import annotations

import pytest

from tallymark.store.errors import QueryTooExpensive, StoreError, build_store_error, parse_engine_error


@pytest.mark.parametrize(
    ("text", "number", "name", "message"),
    [
        (
            "Code: 60. DB::Exception: Table t does not exist. (UNKNOWN_TABLE)",
            60,
            "UNKNOWN_TABLE",
            "Table t does not exist.",
        ),
        (
            "Code: 164. DB::Exception: Code: 164. DB::Exception: Cannot modify. (READONLY) (version 26.9.2.1). (READONLY)",
            164,
            "READONLY",
            "Cannot modify.",
        ),
        (
            "Error: Code: 62. DB::Exception: Syntax error: at (1). (SYNTAX_ERROR)",
            62,
            "SYNTAX_ERROR",
            "Syntax error: at (1).",
        ),
        ("something else", 1002, "UNKNOWN_EXCEPTION", "something else"),
        ("", 1002, "UNKNOWN_EXCEPTION", "the engine gave no reason"),
    ],
)
def test_engine_errors_are_read(text, number, name, message):
    """Number, name and message are found in every shape that the engine writes."""
    error = parse_engine_error(text)
    assert (error.number, error.name, error.message) == (number, name, message)


def test_limits_have_a_kind_of_their_own():
    """A limit's code becomes QueryTooExpensive with its own stable code, every other one a StoreError."""
    limit, other = (
        build_store_error(159, "TIMEOUT_EXCEEDED", "x"),
        build_store_error(60, "UNKNOWN_TABLE", "x"),
    )
    assert (type(limit), limit.code) == (QueryTooExpensive, "query_too_expensive")
    assert (type(other), other.code, other.number) == (StoreError, "store_error", 60)
