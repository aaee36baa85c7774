"""The answer to a question: a table that says its columns, with notes and what it cost; and its forms as bytes.

Comes in: rows from a kind. Goes out: JSON, NDJSON or CSV. The web room, the CLI and the pages call it.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable
from typing import Any, Final

import msgspec

from tallymark.errors import RequestRefused

# An answer is held whole, and several may be at once. So many bytes may come from the store, as it counts them. As many
# characters of text may stand in the rows made of them, where a group's value stands in each row of its group.
ANSWER_BYTES: Final = 64 * 1024 * 1024

Cell = str | int | float | bool | None


def read_number(cell: Cell) -> float | None:
    """Return a cell that is a number, None for any other."""
    return cell if isinstance(cell, int | float) else None


class Column(msgspec.Struct, frozen=True):
    """One column: `type` is time, text, integer, number or boolean; `unit` such as events or s, None = unknown.

    `exact` is left out where the numbers are estimates. What was counted, added up or read is exact, or false where a double
    does not carry all of its digits.
    """

    name: str
    type: str
    unit: str | None = None
    exact: bool | msgspec.UnsetType = msgspec.UNSET

    @property
    def in_full(self) -> bool:
        """Whether its numbers are no estimates, and are written with all digits that there are."""
        return self.exact is not msgspec.UNSET


class Cost(msgspec.Struct, frozen=True):
    """What the answer took, in milliseconds.

    Rows that the store read are not told: some of them are other projects' (docs/decisions/0009-partitions.md).
    """

    elapsed_ms: float


class Answer(msgspec.Struct, frozen=True):
    """A table in the order of its rows. `notes` are sentences that belong under it."""

    columns: tuple[Column, ...]
    rows: list[list[Cell]]
    notes: list[str]
    statistics: Cost


class Table(msgspec.Struct, frozen=True):
    """What a kind makes of the store's rows; `doubts` are paths of the question for which nothing was found."""

    columns: tuple[Column, ...]
    rows: list[list[Cell]]
    notes: list[str]
    doubts: list[str]


MEDIA_TYPES: Final = ("application/json", "application/x-ndjson", "text/csv")
# What spreadsheets take for the begin of a formula.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "%")


def render_answer(answer: Answer, media_type: str) -> bytes:
    """Return the answer as bytes in one of `MEDIA_TYPES`.

    Raises ValueError for another media type, RequestRefused (query_too_expensive) for an answer that is too long.
    """
    if media_type not in _RENDERERS:
        raise ValueError(f"There is no media type {media_type!r}. Allowed: {', '.join(MEDIA_TYPES)}.")
    _check_size(answer)
    return _RENDERERS[media_type](answer)


def _check_size(answer: Answer) -> None:
    """Refuse an answer whose text would be too long: a value of many bytes stands in each of its rows."""
    size = sum(len(cell) for row in answer.rows for cell in row if isinstance(cell, str))
    if size > ANSWER_BYTES:
        message = (
            f"The answer's rows hold {size:,} characters of text; {ANSWER_BYTES:,} are allowed. "
            "Ask for fewer groups, a longer interval or a shorter time."
        )
        raise RequestRefused("query_too_expensive", message)


def _render_json(answer: Answer) -> bytes:
    rows = [[_finite(cell) for cell in row] for row in answer.rows]
    return msgspec.json.encode(msgspec.structs.replace(answer, rows=rows))


def _render_ndjson(answer: Answer) -> bytes:
    names = [column.name for column in answer.columns]
    lines = [
        msgspec.json.encode(dict(zip(names, map(_finite, row), strict=True))) + b"\n" for row in answer.rows
    ]
    return b"".join(lines)


def _render_csv(answer: Answer) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([_defused(column.name) for column in answer.columns])
    for row in answer.rows:
        writer.writerow([_defused(_finite(cell)) for cell in row])
    return text.getvalue().encode()


def _finite(cell: Cell) -> Cell:
    """Return None for what JSON has no number for."""
    return None if isinstance(cell, float) and not math.isfinite(cell) else cell


def _defused(cell: Cell) -> Cell:
    """Return a cell that no spreadsheet runs: an apostrophe in front of what looks like a formula."""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    # Spreadsheets pass over any white space, not only blanks.
    if isinstance(cell, str) and (cell.startswith(_FORMULA) or cell.lstrip().startswith(_FORMULA)):
        return "'" + cell
    return cell


_RENDERERS: Final[dict[str, Callable[[Answer], bytes]]] = {
    "application/json": _render_json,
    "application/x-ndjson": _render_ndjson,
    "text/csv": _render_csv,
}


def decode_rows(body: bytes) -> list[list[Any]]:
    """Return the rows of the store's JSONCompact answer."""
    return msgspec.json.decode(body, type=_JsonCompact).data


class _JsonCompact(msgspec.Struct):
    data: list[list[Any]]
