"""From bytes to requests: `httptools` reads, this decides how much it is given.

The parser never gets bytes of two requests at once: what is sent ahead stays bytes until the request before it has its answer.
A connection owns it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import httptools

from tallymark.server.http.request import BadHead, Request

if TYPE_CHECKING:
    from tallymark.server.http.connection import Connection

_END: Final = b"\r\n\r\n"
_VERSIONS: Final = ("1.0", "1.1")


class RequestReader:
    """Reads one connection. `request` is the one whose head is whole, until `clear`."""

    __slots__ = (
        "_bounds", "_connection", "_deaf", "_headers", "_parser", "_tail", "_url", "head_bytes", "request",
    )  # fmt: skip

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._bounds = connection.serving.bounds
        self._parser = httptools.HttpRequestParser(self)
        self.request: Request | None = None
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        # Bytes of a head that is not whole yet.
        self.head_bytes = 0
        # The last bytes that were read of a head or of a chunked body.
        self._tail = b""
        # The parser is told what its client never sent.
        self._deaf = False

    @property
    def is_head(self) -> bool:
        """Whether it is a HEAD that is being read or answered: its answer has no body."""
        if self.request is not None:
            return self.request.method == "HEAD"
        # The target stands behind the method: from its first byte on the parser knows that.
        return bool(self._url) and self._parser.get_method() == b"HEAD"

    def clear(self) -> None:
        """Make ready for the next request."""
        self.request = None
        self._url = self._tail = b""

    def read_head(self, data: bytes, at: int) -> int:
        """Read from `at` up to the end of a head, or all that there is of it; return how far. Raises BadHead."""
        end = self._find_end(data, at, len(data))
        self.head_bytes += end - at
        excess = self.head_bytes - self._bounds.head_bytes
        # Also of a head that is too large the beginning is read: it says how the answer has to look.
        self._feed(data, at, max(at, end - max(0, excess)))
        if excess > 0:
            raise BadHead(
                "headers_too_large", f"The request's head has more than {self._bounds.head_bytes:,} bytes."
            )
        if self.request is not None:
            self.head_bytes, self._tail = 0, b""
        return end

    def read_body(self, request: Request, data: bytes, at: int) -> int:
        """Read as much of the request's body as is there; return how far. Raises BadHead."""
        if request.length is not None:
            end = min(len(data), at + request.length)
            request.length -= end - at
        else:
            end = self._find_end(data, at, min(len(data), at + self._bounds.turn_bytes))
        self._feed(data, at, end)
        return end

    def _find_end(self, data: bytes, at: int, most: int) -> int:
        """Return where the empty line ends with which a head ends, and a chunked body; `most` where there is none before."""
        tail = self._tail
        # It may have come in two pieces.
        cut = (tail + data[at : min(at + 3, most)]).find(_END) if tail else -1
        if cut >= 0:
            end = at + cut + 4 - len(tail)
        else:
            cut = data.find(_END, at, most)
            end = most if cut < 0 else cut + 4
        self._tail = (tail + data[max(at, end - 3) : end])[-3:]
        return end

    def _feed(self, data: bytes, start: int, end: int) -> None:
        piece = data if start == 0 and end == len(data) else memoryview(data)[start:end]
        try:
            self._parser.feed_data(piece)
        except httptools.HttpParserUpgrade:
            self._stay_http()
        except httptools.HttpParserInvalidMethodError:
            raise BadHead("method_not_implemented", at="method") from None
        except httptools.HttpParserError as error:
            cause = error.__context__
            if isinstance(cause, BadHead):
                raise cause from None
            message = f"What was sent is not HTTP/1.1: {error}."
            raise BadHead("malformed_request", message) from None

    def _stay_http(self) -> None:
        """Go on after a head that asks for another protocol, which nobody here speaks.

        The parser stops behind such a head and takes its body for that protocol. A new one is told of the body.
        """
        self._parser = httptools.HttpRequestParser(self)
        request = self.request
        if request is not None and request.length != 0:
            request.complete = False
            framing = b"transfer-encoding: chunked"
            if request.length is not None:
                framing = b"content-length: %d" % request.length
            self._deaf = True
            self._parser.feed_data(b"POST / HTTP/1.1\r\n" + framing + b"\r\n\r\n")
            self._deaf = False

    # What the parser tells

    def on_message_begin(self) -> None:
        """Begin a head."""
        if self._deaf:
            return
        if self.request is not None:
            raise BadHead("malformed_request", "A request begins within the body of another one.")
        self._url, self._headers = b"", []

    def on_url(self, url: bytes) -> None:
        """Take a piece of the target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; what stands behind a chunked body is none."""
        if self.request is None:
            if len(self._headers) >= self._bounds.headers:
                message = f"The request has more than {self._bounds.headers} headers."
                raise BadHead("headers_too_large", message)
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Make a request of the head."""
        if self._deaf:
            return
        parser = self._parser
        version = parser.get_http_version()
        if version not in _VERSIONS:
            raise BadHead("http_version_not_supported", at="version")
        method = parser.get_method().decode("ascii")
        request = Request(self._connection, method, version, self._url, self._headers)
        request.keep_alive = version == "1.1" and parser.should_keep_alive()
        self.request = request

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        if self.request is not None:
            self.request.grow(body)

    def on_message_complete(self) -> None:
        """Take note that the body is whole."""
        if self.request is not None:
            self.request.complete = True
