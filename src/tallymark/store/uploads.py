"""Parts a request into its statement and its data, reading no more of the body than the statement needs.

Comes in: the URL's query text and the body's pieces. Goes out: an insert's head with its data, or a whole statement.
`http_handler` calls it for each request.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tallymark.store.errors import EngineError
from tallymark.store.statements import InsertHead, is_insert, parse_insert

# An INSERT's statement must end within this much of the body.
_HEAD_BYTES: Final = 256 * 1024
MAX_STATEMENT_BYTES: Final = 16 * 1024 * 1024


def chain(*first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    """Yield some pieces and then the rest."""
    yield from first
    yield from rest


def split_statement(query: str, body: Iterator[bytes]) -> tuple[InsertHead | None, str, Iterator[bytes]]:
    """Return an insert's head and data, or None and the whole statement.

    An INSERT's data may follow its statement in the body, or be the whole body. Raises EngineError 62 for a text
    that is empty, too long or not UTF-8.
    """
    if query:
        head = parse_insert(query)
        if head is not None:
            return head, "", chain(query[head.end :].encode(), rest=body)
        return None, _finish_text(query, bytearray(), body), iter(())
    begin = bytearray()
    for piece in body:
        begin += piece
        if len(begin) >= _HEAD_BYTES:
            break
    text = begin.decode("utf-8", "surrogateescape")
    if is_insert(text[:_HEAD_BYTES]):
        head = parse_insert(text[:_HEAD_BYTES])
        if head is not None:
            consumed = len(text[: head.end].encode("utf-8", "surrogateescape"))
            return head, "", chain(bytes(begin[consumed:]), rest=body)
    return None, _finish_text("", begin, body), iter(())


def _finish_text(query: str, begin: bytearray, body: Iterator[bytes]) -> str:
    for piece in body:
        begin += piece
        if len(begin) > MAX_STATEMENT_BYTES:
            raise EngineError(62, f"Max query size exceeded: at most {MAX_STATEMENT_BYTES} bytes")
    try:
        text = begin.decode()
    except UnicodeDecodeError as error:
        raise EngineError(62, f"The query is not UTF-8: {error}") from None
    text = f"{query}\n{text}" if query and text else query or text
    if not text.strip():
        raise EngineError(62, "Empty query")
    return text
