"""A statement's tokens, and what the server must know before the engine sees it: whether data follows, what to kill.

Comes in: SQL text. Goes out: tokens, an `InsertHead`, a query id. Only words outside quotes and comments are looked at;
what a statement means and whether it may run is judged by the engine's own parser (`parser`), never here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

# The engine's own lexer, rule by rule; a test compares the two (`tokenizeQuery`).
_TOKEN: Final = re.compile(
    r"""(?P<space>[\s\ufeff]+|--[^\n]*|//[^\n]*|\#[ !][^\n]*)
      |(?P<comment>/\*)
      |(?P<heredoc>\$(?P<tag>[A-Za-z0-9_]*)\$.*?\$(?P=tag)\$)
      |(?P<text>'(?:[^'\\]|\\.|'')*'|\u2018[^\u2019]*\u2019)
      |(?P<name>"(?:[^"\\]|\\.|"")*"|`(?:[^`\\]|\\.|``)*`|\u201c[^\u201d]*\u201d)
      |(?P<word>[A-Za-z_$][A-Za-z0-9_$]*)
      |(?P<number>[0-9][A-Za-z0-9_.]*)
      |(?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
_COMMENT_MARK: Final = re.compile(r"/\*|\*/")
_ESCAPE: Final = re.compile(r"\\(x[0-9A-Fa-f]{2}|.)|''", re.DOTALL)
_ESCAPES: Final = {
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "0": "\0",
    "a": "\a",
    "v": "\v",
    "e": "\x1b",
}


@dataclass(frozen=True, slots=True)
class InsertHead:
    """An INSERT whose rows come as data: `INSERT INTO target FORMAT format`; the data starts at `end` of the text."""

    target: str
    format: str
    end: int


@dataclass(frozen=True, slots=True)
class Token:
    """One token: its kind (text, heredoc, name, word, number, other), its text, and where it stands."""

    kind: str
    text: str
    start: int
    end: int

    @property
    def upper(self) -> str:
        """The word in upper case; what is no word as it is."""
        return self.text.upper() if self.kind == "word" else self.text

    @property
    def value(self) -> str:
        """The text or name without its quotes and escapes; a word as it is."""
        if self.kind not in {"text", "name"}:
            return self.text
        return _ESCAPE.sub(_unescape, self.text[1:-1])

    @property
    def is_name(self) -> bool:
        """Whether this can be the name of something, quoted or not."""
        return self.kind in {"word", "name"}


def _unescape(found: re.Match[str]) -> str:
    escaped = found.group(1)
    if escaped is None:
        return "'"
    if len(escaped) == 3:
        return chr(int(escaped[1:], 16))
    return _ESCAPES.get(escaped, escaped)


def read_tokens(sql: str) -> Iterator[Token]:
    """Yield a statement's tokens, without blanks and comments, as the engine's lexer parts them."""
    place = 0
    while (found := _TOKEN.match(sql, place)) is not None:
        place = found.end()
        kind = found.lastgroup or "other"
        if kind == "tag":
            kind = "heredoc"
        if kind == "comment":
            place = _find_comment_end(sql, place)
        elif kind != "space":
            yield Token(kind, found.group(), found.start(), place)


def _find_comment_end(sql: str, place: int) -> int:
    """Return where a comment ends that begins before `place`: comments may stand in comments."""
    depth = 1
    while depth:
        mark = _COMMENT_MARK.search(sql, place)
        if mark is None:
            return len(sql)
        depth += 1 if mark.group() == "/*" else -1
        place = mark.end()
    return place


def parse_insert(sql: str) -> InsertHead | None:
    """Return the head of an INSERT that takes data, None for every other statement, an INSERT ... SELECT too."""
    tokens = read_tokens(sql)
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


def _finish_insert(sql: str, start: int, keyword: Token, name: Token | None) -> InsertHead | None:
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
    first = next(read_tokens(sql), None)
    return first is not None and first.upper == "INSERT"


def is_select(sql: str) -> bool:
    """Tell whether the statement is a SELECT in any of its forms: they also begin with WITH, FROM or a parenthesis."""
    first = next((token for token in read_tokens(sql) if token.text != "("), None)
    return first is not None and first.upper in {"SELECT", "WITH", "FROM"}


def parse_kill(sql: str) -> str | None:
    """Return the query id of `KILL QUERY WHERE query_id = '...'`, None for anything else."""
    tokens = strip_end(list(read_tokens(sql)))
    if len(tokens) > 2 and tokens[-2].upper == "FORMAT" and tokens[-1].kind == "word":
        tokens = tokens[:-2]
    if tokens and tokens[-1].upper in {"SYNC", "ASYNC"}:
        tokens = tokens[:-1]
    words = [token.upper for token in tokens]
    if len(tokens) != 6 or words[:3] != ["KILL", "QUERY", "WHERE"] or words[4] != "=":
        return None
    if tokens[3].value != "query_id" or tokens[5].kind != "text":
        return None
    return tokens[5].value


def parse_words(sql: str) -> tuple[str, ...]:
    """Return a statement's tokens in upper case, without comments and closing semicolons."""
    return tuple(token.upper for token in strip_end(list(read_tokens(sql))))


def strip_end(tokens: list[Token]) -> list[Token]:
    """Return the tokens without closing semicolons."""
    end = len(tokens)
    while end and tokens[end - 1].text == ";":
        end -= 1
    return tokens[:end]


def strip_semicolons(sql: str) -> str:
    """Return the statement without closing semicolons and what stands behind them."""
    tokens = list(read_tokens(sql))
    kept = strip_end(tokens)
    if not kept:
        return ""
    return sql if len(kept) == len(tokens) else sql[: kept[-1].end]


def find_formats(tokens: list[Token]) -> Iterator[int]:
    """Yield where a FORMAT clause may stand among the tokens, the last place first: the word and a name behind it.

    Columns, aliases and tables may have that name too. Whether it is the clause only the engine's parser knows.
    """
    depth = 0
    places = []
    for place, token in enumerate(tokens[:-1]):
        if token.text in {"(", "[", "{", ")", "]", "}"}:
            depth += 1 if token.text in "([{" else -1
        elif depth == 0 and token.upper == "FORMAT" and tokens[place + 1].is_name:
            places.append(place)
    yield from reversed(places)
