"""multipart/form-data, in which clickhouse-connect sends a query whose parameters are too long for a URL.

Comes in: the Content-Type and the plain body. Goes out: names and values, as from a URL. `http_handler` calls it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import multipart

from tallymark.store.errors import EngineError

_MAX_FIELD_BYTES: Final = 16 * 1024 * 1024
_MAX_FIELDS: Final = 1000


def parse_form(content_type: str, body: Iterator[bytes]) -> list[tuple[str, str]]:
    """Return the form's text fields. Raises EngineError for a broken form, and for files (external data)."""
    options = multipart.parse_options_header(content_type)[1]
    boundary = options.get("boundary", "")
    if not boundary:
        raise EngineError(36, "The multipart form has no boundary")
    fields: list[tuple[str, bytearray]] = []
    try:
        with multipart.PushMultipartParser(
            boundary, max_segment_size=_MAX_FIELD_BYTES, max_segment_count=_MAX_FIELDS
        ) as parser:
            for piece in body:
                for part in parser.parse(piece):
                    _take(part, fields)
    except multipart.MultipartError as error:
        raise EngineError(36, f"The multipart form is not valid: {error}") from None
    try:
        return [(name, value.decode()) for name, value in fields]
    except UnicodeDecodeError as error:
        raise EngineError(36, f"The multipart form is not UTF-8: {error}") from None


def _take(part: Any, fields: list[tuple[str, bytearray]]) -> None:
    if isinstance(part, multipart.MultipartSegment):
        if part.filename is not None:
            raise EngineError(
                48, f"External data (file {part.name!r} in the form) is not supported by this server"
            )
        fields.append((part.name, bytearray()))
    elif part:
        fields[-1][1].extend(part)
