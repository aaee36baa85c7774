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

    A statement has the clause when the engine takes no other one behind it. Raises EngineError 62 where the engine
    cannot parse a statement that may have one.
    """
    if ";" not in sql and "format" not in sql.lower():
        return sql, ""
    text = strip_semicolons(sql)
    tokens = list(read_tokens(text))
    places = list(find_formats(tokens))
    if not places:
        return text, ""
    read_words(connection, text)
    if _takes_format(connection, text):
        return text, ""
    for place in places:
        word, name = tokens[place], tokens[place + 1]
        rest = f"{text[: word.start]} {text[name.end :]}"
        if _takes_format(connection, rest):
            return rest.rstrip(), name.value
    raise EngineError(62, "Syntax error: the FORMAT clause cannot stand where it does")


def _takes_format(connection: Connection, sql: str) -> bool:
    """Tell whether the engine can parse the statement with a FORMAT clause behind it."""
    parsed = connection.run(
        "SELECT isNotNull(formatQueryOrNull({q:String}))",
        "TSV",
        {"q": escape_parameter(f"{sql}\nFORMAT Null")},
    ).body
    return parsed.strip() == b"1"


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
    """Return the statement's tokens as the engine writes it, so that all ways to write it look alike.

    Raises EngineError 62 for what it cannot parse.
    """
    try:
        written = connection.run(
            "SELECT formatQuerySingleLine({q:String})", "RawBLOB", {"q": escape_parameter(sql)}
        ).body
    except EngineError as error:
        # Behind it stands our question about the statement.
        raise EngineError(error.number, error.message.partition(": In scope")[0], error.name) from error
    return list(read_tokens(written.decode("utf-8", "replace")))
