"""The engine's own parser: what in a statement is its FORMAT clause, and statements as trees that can be changed.

Comes in: a connection and SQL text. Goes out: text, a format's name, trees as JSON. `service` and `visitors` call it,
so that nothing is guessed from a statement's words.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from tallymark.store.engine import Connection
from tallymark.store.errors import EngineError
from tallymark.store.statements import Token, find_formats, read_tokens, strip_semicolons

# How parameters are written: ClickHouse's escaped text.
_ESCAPED: Final = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": "\\0"})


def escape_parameter(text: str) -> str:
    """Return a text as the value of a String parameter."""
    return text.translate(_ESCAPED)


def part_format(connection: Connection, sql: str) -> tuple[str, str]:
    """Return the statement without its FORMAT clause and closing semicolons, and the format's name or ''.

    A place is the clause when the engine parses the text without it, and what it has parsed differs in the clause alone.
    """
    if ";" not in sql and "format" not in sql.lower():
        return sql, ""
    text = strip_semicolons(sql)
    tokens = list(read_tokens(text))
    whole: list[Token] | None = None
    for place in find_formats(tokens):
        word, name = tokens[place], tokens[place + 1]
        if whole is None:
            whole = _read_canonical(connection, text)
        rest = f"{text[: word.start]} {text[name.end :]}"
        if whole and _differ_by_clause(whole, _read_canonical(connection, rest), name.value):
            return rest.rstrip(), name.value
    return text, ""


def _read_canonical(connection: Connection, sql: str) -> list[Token]:
    """Return the tokens of the statement as the engine writes it; none where it cannot be parsed."""
    written = connection.run(
        "SELECT formatQuerySingleLineOrNull({q:String}) AS q WHERE isNotNull(q)",
        "RawBLOB",
        {"q": escape_parameter(sql)},
    ).body
    return list(read_tokens(written.decode("utf-8", "replace")))


def _differ_by_clause(whole: list[Token], rest: list[Token], name: str) -> bool:
    if not rest:
        return False
    expected = [token.text for token in rest]
    return any(
        whole[place + 1].value == name
        and [token.text for token in whole[:place] + whole[place + 2 :]] == expected
        for place in find_formats(whole)
    )


def read_tree(connection: Connection, sql: str) -> dict[str, Any] | None:
    """Return the statement's tree as the engine's `parseQueryToJSON` gives it; None for a kind that it does not know."""
    try:
        body = connection.run(
            "SELECT parseQueryToJSON({q:String})", "RawBLOB", {"q": escape_parameter(sql)}
        ).body
    except EngineError as error:
        if error.number in _NO_TREE:
            return None
        raise
    tree: dict[str, Any] = json.loads(body)
    return tree


# BAD_ARGUMENTS: a kind of statement without a JSON form; SYNTAX_ERROR: the engine will say so itself.
_NO_TREE: Final = frozenset({36, 62})


def render_tree(connection: Connection, tree: Mapping[str, Any]) -> str:
    """Return the statement that a tree stands for."""
    text = json.dumps(tree, ensure_ascii=False)
    return connection.run(
        "SELECT formatQueryFromJSON({q:String})", "RawBLOB", {"q": escape_parameter(text)}
    ).body.decode()


def read_words(connection: Connection, sql: str) -> list[Token]:
    """Return the statement's tokens as the engine writes it, so that all ways to write it look alike."""
    return _read_canonical(connection, sql)
