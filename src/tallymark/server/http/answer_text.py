"""The text of an answer's head: status line, headers, end. Values that would break out of their line are refused."""

from __future__ import annotations

import http
import re
from collections.abc import Iterable, Mapping
from typing import Final

from tallymark.errors import RequestRefused
from tallymark.intake.answers import Answer, build_refusal

_NAME: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE: Final = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")


def _build_line(status: int) -> bytes:
    try:
        phrase = http.HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return f"HTTP/1.1 {status} {phrase}\r\n".encode()


STATUS_LINES: Final = {status: _build_line(status) for status in range(100, 600)}
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


def render_head(status: int, headers: Iterable[tuple[bytes, bytes]], *more: bytes) -> bytes:
    """Return an answer's head; `more` are whole lines of our own. Raises ValueError for what is no header."""
    lines = [STATUS_LINES[status], *more]
    for name, value in headers:
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise ValueError(f"{name!r}: {value!r} is no header of an answer")
        lines += (name, b": ", value, b"\r\n")
    lines.append(b"\r\n")
    return b"".join(lines)


def build_crowded() -> Answer:
    """Return the answer that stands for one for which there is no room."""
    message = "Too many answers wait for readers that do not read them. Read them, or ask for less at once."
    return build_refusal(RequestRefused("overloaded", message, retry_after=5))


def render_answer(status: int, headers: Mapping[str, str], body: bytes, date: bytes, *, close: bool) -> bytes:
    """Return a whole answer. The headers are our own, made of constants: they are not looked at."""
    text = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    end = "connection: close\r\n" if close else ""
    # A 204 has no body and no length.
    length = "" if status == 204 else f"content-length: {len(body)}\r\n"
    return b"".join((STATUS_LINES[status], date, f"{text}{end}{length}\r\n".encode("latin-1"), body))
