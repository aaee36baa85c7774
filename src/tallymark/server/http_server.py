"""The HTTP server of the `web` process: uvicorn with httptools, and the bounds in time and size that it leaves open.

A connection is closed that is slow with its headers, stops in the middle of a body, or sends headers without end; more
connections than there is room for are turned away. What a body may hold is the application's business.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_CONNECTIONS = 4096
# Seconds from a connection's or a request's first byte to the end of its headers, and between two pieces of a body.
HEAD_SECONDS, PIECE_SECONDS = 10.0, 30.0
HEAD_BYTES = 64 * 1024
_LOOK_SECONDS = 2.0
# Less than the supervisor's patience: the journal is closed afterwards.
_STOP_SECONDS = 8


class BoundedProtocol(HttpToolsProtocol):
    """One connection. A timer looks every few seconds how far it has got: requests themselves cost no timer."""

    piece_seconds = PIECE_SECONDS

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._in_head = True
        self._in_body = False
        self._head_bytes = 0
        self._since = self.loop.time()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to watch; without room for one more, end it."""
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            transport.abort()
            return
        self.loop.call_later(_LOOK_SECONDS, self._look)

    def data_received(self, data: bytes) -> None:
        """Count what comes before the end of the headers."""
        super().data_received(data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self._end(b"431 Request Header Fields Too Large")

    def on_message_begin(self) -> None:
        """Begin to count: a request's first byte is here."""
        super().on_message_begin()
        self._in_head, self._head_bytes, self._since = True, 0, self.loop.time()

    def on_headers_complete(self) -> None:
        """Stop counting: the headers are whole."""
        self._in_head, self._in_body, self._since = False, True, self.loop.time()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Note that the sender goes on."""
        self._since = self.loop.time()
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Wait for nothing more from the sender."""
        self._in_body = False
        super().on_message_complete()

    def _look(self) -> None:
        if self.transport.is_closing():
            return
        waited = self.loop.time() - self._since
        # A sender that we do not read from is not to blame.
        if self._in_head and waited > HEAD_SECONDS:
            self._end(b"408 Request Timeout")
        elif self._in_body and waited > self.piece_seconds and not self.flow.read_paused:
            self.transport.abort()
        else:
            self.loop.call_later(_LOOK_SECONDS, self._look)

    def _end(self, status: bytes) -> None:
        if self._head_bytes and not self.transport.is_closing():
            self.transport.write(
                b"HTTP/1.1 " + status + b"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            )
        self.transport.close()


class HttpServer(uvicorn.Server):
    """Serves an ASGI application until `stop`; then finishes what is under way.

    `piece_seconds` is the longest pause inside a body that the application may want to answer itself.
    """

    def __init__(self, application: Any, host: str, port: int, *, piece_seconds: float) -> None:
        patience = max(PIECE_SECONDS, 2 * piece_seconds)
        config = uvicorn.Config(
            application,
            host=host,
            port=port,
            http=type("Protocol", (BoundedProtocol,), {"piece_seconds": patience}),
            ws="none",
            loop="none",
            lifespan="on",
            backlog=1024,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=60,
            timeout_graceful_shutdown=_STOP_SECONDS,
        )
        super().__init__(config)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the process."""
        yield

    async def wait_started(self, serving: asyncio.Task[None]) -> None:
        """Return once connections are taken; raises what ended `serving` before that."""
        while not self.started:
            if serving.done():
                await serving
            await asyncio.sleep(0.01)

    def stop(self) -> None:
        """Take no more connections, answer what is under way, end."""
        self.should_exit = True
