"""The HTTP server of the `web` process: uvicorn with httptools, the bounds that it leaves open, and a short way in.

A connection is closed that is slow with its headers, stops in the middle of a body, or sends headers without end; more
connections than there is room for are turned away. Requests that the intake takes go to it without ASGI between: no
task, no messages, one write for the whole answer.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from tallymark.intake.upload import Upload

# Takes a request, or leaves it to the application.
Opener = Callable[["Direct"], Upload | None]

MOST_CONNECTIONS = 4096
# Seconds from a connection's or a request's first byte to the end of its headers, and between two pieces of a body.
HEAD_SECONDS, PIECE_SECONDS = 10.0, 30.0
HEAD_BYTES = 64 * 1024
_LOOK_SECONDS = 1.0
# What is read, and thrown away, of a body whose request has its answer already: a sender in the middle of it sees that.
_WASTE_BYTES = 32 * 1024 * 1024
# Less than the supervisor's patience: the journal is closed afterwards.
_STOP_SECONDS = 8


class Direct:
    """One request as the intake sees it: `intake.upload.Exchange` over uvicorn's own record of the request."""

    __slots__ = ("_cycle", "_pieces", "_protocol", "_upload", "headers", "method", "path", "query", "size")

    def __init__(self, protocol: BoundedProtocol, cycle: RequestResponseCycle) -> None:
        scope = cycle.scope
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.query: bytes = scope["query_string"]
        self.headers: list[tuple[bytes, bytes]] = scope["headers"]  # type: ignore[assignment]
        self._protocol = protocol
        self._cycle = cycle
        self._upload: Upload | None = None
        # A request that waited behind another has some of its body, or all, already.
        self._pieces = [bytes(cycle.body)] if cycle.body else []
        self.size = len(cycle.body)

    def begin(self, opener: Opener) -> bool:
        """Offer the request to the intake; False when it leaves it to the application."""
        upload = opener(self)
        if upload is None:
            return False
        self._upload = upload
        # What uvicorn sets when there is more of the body, when it is whole, and when the sender is gone.
        self._cycle.message_event = self  # type: ignore[assignment]
        upload.begin()
        if not self._cycle.response_complete:
            if self._cycle.waiting_for_100_continue:
                self._protocol.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                self._cycle.waiting_for_100_continue = False
            upload.advance()
        return True

    def set(self) -> None:
        """Tell the intake; in the words of the event that this stands for."""
        if self._upload is None:
            return
        if self._cycle.disconnected:
            self._upload.leave()
        elif not self._cycle.response_complete:
            self._upload.advance()

    def expire(self, pause: float, total: float) -> None:
        """Tell the intake how long the body has stood still, and how long it has taken, in seconds."""
        if self._upload is not None and self._cycle.more_body and not self._cycle.response_complete:
            self._upload.expire(pause, total)

    def receive(self, cycle: RequestResponseCycle, piece: bytes) -> bool:
        """Take a piece of the body; False when it is another request's, or the application's."""
        if self._upload is None or cycle is not self._cycle:
            return False
        if not cycle.response_complete:
            self._pieces.append(piece)
            self.size += len(piece)
            self._upload.advance()
        return True

    def read(self) -> bytes:
        """Return the body and let go of it."""
        pieces, self._pieces = self._pieces, []
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    @property
    def complete(self) -> bool:
        """Whether the body is whole."""
        return not self._cycle.more_body

    def answer(self, status: int, headers: Mapping[str, str], body: bytes, *, close: bool = False) -> None:
        """Send the whole answer in one write; without effect when there is one, or nobody to read it."""
        cycle, protocol = self._cycle, self._protocol
        if cycle.disconnected or cycle.response_complete:
            return
        if close:
            cycle.keep_alive = False
        lines = [STATUS_LINE[status]]
        for name, value in protocol.server_state.default_headers:
            lines += (name, b": ", value, b"\r\n")
        text = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        end = "" if cycle.keep_alive else "connection: close\r\n"
        lines += (f"{text}{end}content-length: {len(body)}\r\n\r\n".encode("latin-1"), body)
        cycle.response_started = cycle.response_complete = True
        self._pieces = []
        protocol.transport.write(b"".join(lines))
        if not cycle.keep_alive:
            protocol.transport.close()
        cycle.on_response()


class BoundedProtocol(HttpToolsProtocol):
    """One connection. A timer looks every few seconds how far it has got: requests themselves cost no timer."""

    opener: Opener

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._in_head = True
        self._in_body = False
        self._head_bytes = 0
        self._wasted_bytes = 0
        self._since = self._began = self.loop.time()
        self._direct: Direct | None = None

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
        self._in_head, self._in_body, self._wasted_bytes = False, True, 0
        self._since = self._began = self.loop.time()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Note that the sender goes on."""
        self._since = self.loop.time()
        if self.cycle.response_complete:
            self._wasted_bytes += len(body)
            if self._wasted_bytes > _WASTE_BYTES:
                self.transport.abort()
        if self._direct is None or not self._direct.receive(self.cycle, body):
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Wait for nothing more from the sender."""
        self._in_body = False
        super().on_message_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        # Uvicorn's name for: this request's turn has come.
        self._direct = Direct(self, cycle)
        if app is not self.app or not self._direct.begin(self.opener):
            self._direct = None
            super()._start_asgi_task(cycle, app)

    def _look(self) -> None:
        if self.transport.is_closing():
            return
        now = self.loop.time()
        waited = now - self._since
        if self._direct is not None and self._in_body:
            self._direct.expire(waited, now - self._began)
        # A sender that we do not read from is not to blame.
        if self._in_head and waited > HEAD_SECONDS:
            self._end(b"408 Request Timeout")
        elif self._in_body and waited > PIECE_SECONDS and self._is_ours() and not self.flow.read_paused:
            if self.cycle.response_started:
                self.transport.abort()
            else:
                self._end(b"408 Request Timeout")
        else:
            self.loop.call_later(_LOOK_SECONDS, self._look)

    def _is_ours(self) -> bool:
        """Tell whether nobody else watches over the body: the application does not, and no one after the answer."""
        return self._direct is None or self.cycle.response_complete

    def _end(self, status: bytes) -> None:
        """Say why and close; a connection on which no request has begun is closed without a word."""
        if (self._head_bytes or self._in_body) and not self.transport.is_closing():
            self.transport.write(
                b"HTTP/1.1 " + status + b"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            )
        self.transport.close()


class HttpServer(uvicorn.Server):
    """Serves an ASGI application until `stop`; then finishes what is under way.

    `opener` is offered each request first, and may take it.
    """

    def __init__(self, application: Any, opener: Opener, host: str, port: int) -> None:
        config = uvicorn.Config(
            application,
            host=host,
            port=port,
            http=type("Protocol", (BoundedProtocol,), {"opener": staticmethod(opener)}),
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
