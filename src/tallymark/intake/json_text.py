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

Slice = tuple[int, int, bool]


def split_array(text: bytes) -> Iterator[Slice]:
    """Yield (start, end, whole) of the elements of the array that `text` begins with.

    `whole` is False for what is left when brackets or quotes do not close; then it reaches to the end.
    """
    start = position = 1
    depth = 0
    while True:
        mark = _MARKS.search(text, position)
        if mark is None:
            break
        at, kind = mark.start(), mark[0]
        position = at + 1
        if kind == b'"':
            closed = _STRING_END.match(text, position)
            if closed is None:
                break
            position = closed.end()
        elif kind in b"[{":
            depth += 1
        elif kind in b"]}" and depth:
            depth -= 1
        elif kind == b"," and not depth:
            yield start, at, True
            start = position
        elif kind == b"]":
            if text[start:at].strip(_WHITE) or start > 1:
                yield start, at, True
            if text[position:].strip(_WHITE):
                yield position, len(text), False
            return
        elif kind == b"}":
            break
    yield start, len(text), False


def split_lines(text: bytes) -> Iterator[Slice]:
    """Yield (start, end, whole) of the lines of an NDJSON text that are not blank."""
    start = 0
    while start < len(text):
        end = text.find(b"\n", start)
        end = len(text) if end < 0 else end
        if text[start:end].strip(_WHITE):
            yield start, end, True
        start = end + 1
