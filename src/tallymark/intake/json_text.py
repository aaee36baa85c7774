"""Finding the elements of a JSON text that may be broken somewhere: one bad event must not cost its neighbours.

The receiver comes here when the whole body did not decode. Nesting is counted, not recursed into, and nothing
is interpreted: each slice is decoded by itself afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_WHITE = b" \t\r\n"
# What can change the state of the scan; all else is skipped at the speed of the regular expression engine.
_MARKS = re.compile(rb'["\[\]{},]')
_STRING_END = re.compile(rb'[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)

_COMMA, _CLOSE, _CLOSE_OBJECT = b",]}"

Slice = tuple[int, int, bool]


def split_array(text: bytes) -> Iterator[Slice]:
    """Yield (start, end, whole) of the elements of the array that `text` begins with.

    `whole` is False for what is left when brackets or quotes do not close; then it reaches to the end.
    """
    start = 1
    depth = 0
    for at in _find_marks(text, 1):
        kind = text[at]
        if kind in b"[{":
            depth += 1
        elif depth:
            depth -= kind in b"]}"
        elif kind == _COMMA:
            yield start, at, True
            start = at + 1
        elif kind == _CLOSE:
            # An element may be missing between commas, which is an error; an empty array has none.
            if text[start:at].strip(_WHITE) or start > 1:
                yield start, at, True
            if text[at + 1 :].strip(_WHITE):
                yield at + 1, len(text), False
            return
        elif kind == _CLOSE_OBJECT:
            break
    yield start, len(text), False


def _find_marks(text: bytes, position: int) -> Iterator[int]:
    """Yield the places of brackets and commas outside of strings; ends early in a string that does not close."""
    while (mark := _MARKS.search(text, position)) is not None:
        position = mark.end()
        if mark[0] == b'"':
            closed = _STRING_END.match(text, position)
            if closed is None:
                return
            position = closed.end()
        else:
            yield mark.start()


def split_lines(text: bytes) -> Iterator[Slice]:
    """Yield (start, end, whole) of the lines of an NDJSON text that are not blank."""
    start = 0
    while start < len(text):
        end = text.find(b"\n", start)
        end = len(text) if end < 0 else end
        if text[start:end].strip(_WHITE):
            yield start, end, True
        start = end + 1
