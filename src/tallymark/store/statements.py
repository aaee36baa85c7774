"""What the server must know of a statement before the engine sees it: whether data follows, and the answer's format.

Comes in: SQL text. Goes out: an `InsertHead`, a kill's query id or a format's name. Only words outside quotes and comments are looked at;
what a statement means and whether it may run is judged by the engine's own parser, never here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_TOKEN: Final = re.compile(
    r"""(?P<space>\s+|--[^\n]*|\#[ !][^\n]*|/\*.*?\*/)
      |(?P<quoted>'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*"|`(?:[^`\\]|\\.|``)*`)
      |(?P<word>[A-Za-z_][A-Za-z0-9_]*)
      |(?P<number>[0-9][A-Za-z0-9_.]*)
      |(?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
_KILL: Final = re.compile(
    r"\s*KILL\s+QUERY\s+WHERE\s+query_id\s*=\s*'((?:[^'\\]|\\.)*)'\s*(SYNC|ASYNC)?\s*;?\s*(?:FORMAT\s+\w+\s*)?\Z",
    re.IGNORECASE,
)
# What may follow a table that has no alias.
_AFTER_TABLE: Final = frozenset(
    {"WHERE", "PREWHERE", "GROUP", "ORDER", "LIMIT", "UNION", "JOIN", "LEFT", "INNER", "HAVING"}
)
_LAST_FORMAT: Final = re.compile(r"\bFORMAT\s+([A-Za-z0-9_]+)\s*(?:;\s*)?\Z", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class InsertHead:
    """An INSERT whose rows come as data: `INSERT INTO target FORMAT format`; the data starts at `end` of the text."""

    target: str
    format: str
    end: int


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    start: int
    end: int

    @property
    def upper(self) -> str:
        return self.text.upper() if self.kind == "word" else self.text


def _read_tokens(sql: str) -> Iterator[_Token]:
    for found in _TOKEN.finditer(sql):
        kind = found.lastgroup or "other"
        if kind != "space":
            yield _Token(kind, found.group(), found.start(), found.end())


def parse_insert(sql: str) -> InsertHead | None:
    """Return the head of an INSERT that takes data, None for every other statement, an INSERT ... SELECT too."""
    tokens = _read_tokens(sql)
    first = next(tokens, None)
    if first is None or first.upper != "INSERT":
        return None
    depth = 0
    previous = first
    for token in tokens:
        if token.text in "()":
            depth += 1 if token.text == "(" else -1
        elif depth == 0 and token.kind == "word":
            if token.upper in {"SELECT", "WITH", "FROM", "WATCH"} and previous.text != ".":
                return None
            if token.upper == "VALUES":
                return InsertHead(sql[first.end : token.start].strip(), "Values", token.end)
            if token.upper == "FORMAT":
                return _finish_insert(sql, first.end, token, next(tokens, None))
        previous = token
    return None


def _finish_insert(sql: str, start: int, keyword: _Token, name: _Token | None) -> InsertHead | None:
    if name is None or name.kind != "word":
        return None
    end = name.end
    # Blanks after the format's name belong to the statement, up to and with the first line break.
    while end < len(sql) and sql[end] in " \t\r;":
        end += 1
    if end < len(sql) and sql[end] == "\n":
        end += 1
    return InsertHead(sql[start : keyword.start].strip(), name.text, end)


def is_insert(sql: str) -> bool:
    """Tell whether the first word is INSERT."""
    first = next(_read_tokens(sql), None)
    return first is not None and first.upper == "INSERT"


def is_select(sql: str) -> bool:
    """Tell whether the statement is a SELECT in any of its forms: they also begin with WITH, FROM or a parenthesis."""
    first = next((token for token in _read_tokens(sql) if token.text != "("), None)
    return first is not None and first.upper in {"SELECT", "WITH", "FROM"}


def replace_table(sql: str, database: str, table: str, replacement: str) -> str:
    """Return the statement with `replacement` in the place of each `database.table`, quoted or not.

    The table's name stays good before a column's, unless an alias follows.
    """
    tokens = list(_read_tokens(sql))
    named = [(token.text[1:-1] if token.text[0] in '`"' else token.text) for token in tokens]
    parts, end = [], 0
    for place in range(len(tokens) - 2):
        before, after = named[place - 1 : place], named[place + 3 : place + 4]
        if named[place : place + 3] != [database, ".", table] or "." in (*before, *after):
            continue
        last = tokens[place + 3] if after else None
        alone = last is None or last.kind == "other" or last.upper in _AFTER_TABLE
        parts += [sql[end : tokens[place].start], replacement, f" AS {table}" if alone else ""]
        end = tokens[place + 2].end
    return "".join([*parts, sql[end:]])


def parse_kill(sql: str) -> str | None:
    """Return the query id of `KILL QUERY WHERE query_id = '...'`, None for anything else."""
    found = _KILL.match(sql)
    return re.sub(r"\\(.)", r"\1", found.group(1)) if found else None


def parse_format(sql: str, default: str) -> str:
    """Return the format that the answer will have: the one in the text's last clause, else `default`."""
    found = _LAST_FORMAT.search(sql)
    return found.group(1) if found else default


def parse_words(sql: str) -> tuple[str, ...]:
    """Return a statement's tokens in upper case, without comments and closing semicolons."""
    words = [token.upper for token in _read_tokens(sql)]
    while words and words[-1] == ";":
        words.pop()
    return tuple(words)


def split_format(sql: str) -> tuple[str, str]:
    """Return the statement without its closing FORMAT clause and semicolons, and the format's name or ''."""
    tokens = list(_read_tokens(sql))
    while tokens and tokens[-1].text == ";":
        tokens.pop()
    if len(tokens) > 2 and tokens[-2].upper == "FORMAT" and tokens[-1].kind == "word":
        return sql[: tokens[-2].start], tokens[-1].text
    return sql[: tokens[-1].end] if tokens else "", ""
