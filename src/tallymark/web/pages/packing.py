"""Compresses what pages answer to a GET: HTML, JSON and CSV above a kilobyte.

`routes.get_page` puts it around each handler. Static files come compressed already and pass through.
"""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Mapping
from typing import Any, Final

from litestar.types import ASGIApp, Message, Receive, Scope, Send

LEAST_BYTES: Final = 1024
_LEVEL: Final = 5
# Compressing this takes about a millisecond; more is done beside the loop, which the intake shares.
_MOST_ON_THE_LOOP: Final = 32 * 1024
_TYPES: Final = (b"text/html", b"text/csv", b"application/json")


def accepts_gzip(header: str) -> bool:
    """Tell whether an Accept-Encoding header takes gzip."""
    for part in header.lower().split(","):
        name, _, weight = part.partition(";")
        if name.strip() in ("gzip", "*"):
            return weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


def may_pack(headers: Mapping[str, str]) -> bool:
    """Tell whether the answer to a request with these headers (lower case) may be compressed."""
    # The size of a compressed page tells whether text that somebody else put into it repeats what stands there
    # (BREACH). What such a guess could be after is kept from it in three ways. The form token is masked anew in each
    # answer (`sessions.mask_token`), so nothing repeats it. A new key is shown by the answer to a POST only, and those
    # are not compressed. And a page that another site opened is not compressed, so nobody can have guesses
    # measured one after the other against the project's events.
    asked_here = headers.get("sec-fetch-site", "none") in ("none", "same-origin")
    return asked_here and accepts_gzip(headers.get("accept-encoding", ""))


def pack_answers(app: ASGIApp) -> ASGIApp:
    """Return the application with its answers compressed where the request allows it."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        await app(scope, receive, _Packer(send).take if may_pack(headers) else send)

    return application


class _Packer:
    """Holds an answer's head back until its body is there."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._head: Any = None

    async def take(self, message: Message) -> None:
        """Take a message of the application and pass it on, the body compressed."""
        if message["type"] == "http.response.start":
            self._head = message
            return
        if self._head is not None and message["type"] == "http.response.body":
            head, self._head = self._head, None
            body = message["body"]
            if not message["more_body"] and len(body) >= LEAST_BYTES and _is_text(head["headers"]):
                body = await _pack(body)
                head = {**head, "headers": _describe(head["headers"], len(body))}
                message = {"type": "http.response.body", "body": body, "more_body": False}
            await self._send(head)
        await self._send(message)


def _is_text(headers: list[tuple[bytes, bytes]]) -> bool:
    found = {name.lower(): value for name, value in headers}
    return b"content-encoding" not in found and found.get(b"content-type", b"").startswith(_TYPES)


async def _pack(body: bytes) -> bytes:
    if len(body) <= _MOST_ON_THE_LOOP:
        return gzip.compress(body, _LEVEL, mtime=0)
    return await asyncio.to_thread(gzip.compress, body, _LEVEL, mtime=0)


def _describe(headers: list[tuple[bytes, bytes]], size: int) -> list[tuple[bytes, bytes]]:
    kept = [(name, value) for name, value in headers if name.lower() != b"content-length"]
    return [*kept, (b"content-encoding", b"gzip"), (b"content-length", str(size).encode())]
