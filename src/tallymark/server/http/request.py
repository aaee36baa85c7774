"""One request as it stands on a connection: its head, its body as it grows, and its answer.

The connection makes it and lets its body grow. The intake reads it as an `intake.ingest.Exchange`; `asgi.py` makes a
scope of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote

import httptools

from tallymark.errors import RequestRefused
from tallymark.server.http.answer_text import CONTINUE, build_crowded, render_answer

if TYPE_CHECKING:
    from tallymark.server.http.connection import Connection


# Of these an address takes some and answers 405 to the others; of CONNECT too, since we are no proxy.
METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"))

_MOST_SHOWN = 40
_HOST = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+,;=%-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")


class BadHead(Exception):
    """A request that cannot be served, or not read in one way only; `refusal` is what it is answered with."""

    def __init__(self, code: str, message: str = "", *, at: str = "") -> None:
        super().__init__(code, message)
        self.refusal = RequestRefused(code, message, at=at)


class Taker(Protocol):
    """Who answers a request: the intake's `IngestRequest`, or the framework's `AppExchange`.

    It asks for the body by `Request.welcome`.
    """

    def begin(self) -> None:
        """Start to work on the request; its head is there."""
        ...

    def advance(self) -> None:
        """Take note that the body has grown, or is whole."""
        ...

    def expire(self, pause: float, total: float) -> None:
        """Take note that the body has stood still for `pause` seconds, and has taken `total`."""
        ...

    def leave(self) -> None:
        """Let go: the client is gone."""
        ...


class Request:
    """A request whose head is whole."""

    __slots__ = (
        "_body", "answered", "complete", "connection", "expects_continue", "headers", "held", "keep_alive", "length",
        "method", "owner", "path", "query", "raw_path", "size", "started", "version",
    )  # fmt: skip

    def __init__(
        self,
        connection: Connection,
        method: str,
        version: str,
        url: bytes,
        headers: list[tuple[bytes, bytes]],
    ) -> None:
        """Read the head; raises BadHead."""
        if method not in METHODS:
            raise BadHead(
                "method_not_allowed" if method == "CONNECT" else "method_not_implemented", at="method"
            )
        self.connection = connection
        self.method = method
        self.version = version
        self.headers = headers
        self.raw_path, self.query = parse_target(url, method)
        path = self.raw_path.decode("ascii")
        self.path = unquote(path) if "%" in path else path
        # Bytes of the body still to come; None when it is chunked, and its end shows itself.
        self.length: int | None = 0
        self.expects_continue = False
        self._read_headers()
        self.keep_alive = True
        self._body: bytes | bytearray = b""
        self.size = 0
        self.complete = False
        # Set by whoever does not want more of the body for now.
        self.held = False
        # Whether the head of its answer was sent, and whether the whole answer was.
        self.started = self.answered = False
        # Whose answer it is: a project, once one is known.
        self.owner = ""

    def _read_headers(self) -> None:
        hosts = 0
        for name, value in self.headers:
            if name == b"content-length":
                self.length = int(value)
            elif name == b"transfer-encoding":
                self.length = None
                if self.version != "1.1":
                    message = f"HTTP/{self.version} has no chunks: send a Content-Length, or HTTP/1.1."
                    raise BadHead("malformed_request", message, at="Transfer-Encoding")
            elif name == b"expect":
                self.expects_continue = self.version == "1.1" and value.lower() == b"100-continue"
            elif name == b"host":
                hosts += 1
                if not _HOST.fullmatch(value):
                    message = f"{_show(value)} is no host. Allowed: a name or an address, and a port: example.org:8600."
                    raise BadHead("malformed_request", message, at="Host")
        if hosts > 1 or (not hosts and self.version == "1.1"):
            message = f"The request has {hosts} Host headers. HTTP/1.1 needs one."
            raise BadHead("malformed_request", message, at="Host")

    def grow(self, piece: bytes) -> None:
        """Add a piece of the body; of an answered request nobody wants it any more."""
        if self.answered:
            return
        self.size += len(piece)
        if not self._body:
            self._body = piece
        elif isinstance(self._body, bytearray):
            self._body += piece
        else:
            self._body = bytearray(self._body) + piece

    @property
    def waiting_bytes(self) -> int:
        """How much of the body nobody has read yet."""
        return len(self._body)

    def read(self) -> bytes:
        """Return what there is of the body and let go of it."""
        body, self._body = self._body, b""
        return body if isinstance(body, bytes) else bytes(body)

    def answer(self, status: int, headers: Mapping[str, str], body: bytes, *, close: bool = False) -> None:
        """Send the whole answer in one write; without effect when there is one, or nobody to read it."""
        connection = self.connection
        if self.started or connection.closing:
            return
        self.started = True
        if len(body) > connection.serving.bounds.counted_bytes and not connection.hold(self.owner, len(body)):
            # What was accepted stays so: sent again, it is a repetition.
            status, headers, body = build_crowded()
        self.settle(close=close)
        text = render_answer(status, headers, body, connection.serving.date, close=not self.keep_alive)
        connection.write(text if self.method != "HEAD" else text[: len(text) - len(body)])
        connection.finish(self)

    def settle(self, *, close: bool = False) -> None:
        """Decide, before the answer's head, whether the connection stays open behind it."""
        # Who waits for a 100 that never comes may send the body all the same, or not: nobody can tell what follows.
        if close or (self.expects_continue and not self.complete) or self.connection.serving.stopping:
            self.keep_alive = False

    @property
    def peer(self) -> str:
        """The address at the other end of the connection."""
        return self.connection.address

    def claim(self, owner: str) -> None:
        """Take note whose the request is: the answer is its, and the connection does not have to make room for others."""
        self.owner = owner
        self.connection.serving.connections.work(self.connection)

    def welcome(self) -> None:
        """Ask for the body where the client waits for that."""
        if self.expects_continue and not self.started:
            self.expects_continue = False
            if not self.size and not self.complete:
                self.connection.write(CONTINUE)


def parse_target(url: bytes, method: str) -> tuple[bytes, bytes]:
    """Return the path as sent, and the query, of a request's target. Raises BadHead for a target that has none."""
    if url == b"*":
        if method != "OPTIONS":
            raise _refuse_target(url)
        return b"*", b""
    try:
        parsed = httptools.parse_url(url)
    except httptools.HttpParserError:
        raise _refuse_target(url) from None
    path = parsed.path or b"/"
    if not path.isascii():
        raise _refuse_target(url)
    return path, parsed.query or b""


def _refuse_target(url: bytes) -> BadHead:
    message = f"{_show(url)} is no address here. Send a path that begins with a slash, in ASCII: /readyz."
    return BadHead("malformed_request", message, at="path")


def _show(value: bytes) -> str:
    """Return what was sent as a message shows it."""
    return repr(value[:_MOST_SHOWN].decode("ascii", "backslashreplace"))
