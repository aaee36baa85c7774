"""How a request reaches the framework: an ASGI scope, the body piece by piece, the answer piece by piece.

A body that nobody asks for is not read on; an answer goes out as fast as its reader takes it, and takes its bytes of the
budget meanwhile. `Lifespan` tells the application when serving begins and ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

import structlog

from tallymark.errors import ReaderStopped, RequestRefused
from tallymark.intake.answers import build_refusal
from tallymark.server.http.answer_text import build_crowded, render_head
from tallymark.server.http.request import Request

Message = MutableMapping[str, Any]
ASGIApp = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]
]

log = structlog.get_logger("tallymark.web")

_VERSION: Final = {"version": "3.0", "spec_version": "2.3"}
_NO_BODY: Final = (204, 304)
# Where the application says in a scope's `state` whose the answer is.
OWNER: Final = "owner"


class AppFault(Exception):
    """The application broke ASGI's rules."""


class AppExchange:
    """One request in the framework's hands."""

    __slots__ = (
        "_app",
        "_begun",
        "_chunked",
        "_gone",
        "_head",
        "_left",
        "_more",
        "_news",
        "_request",
        "_state",
    )

    def __init__(self, request: Request, app: ASGIApp) -> None:
        self._request = request
        self._app = app
        self._gone = False
        # Whether the application has yet to be told the body's end.
        self._more = True
        self._news: asyncio.Future[None] | None = None
        # The answer's head waits for its first piece: the two go out together, or not at all.
        self._head: tuple[int, list[tuple[bytes, bytes]]] | None = None
        self._begun = False
        self._left: int | None = None
        self._chunked = False
        self._state: dict[str, Any] = {}

    # What the connection tells

    def begin(self) -> None:
        """Start the application."""
        self._request.connection.serving.start_task(self._run())

    def advance(self) -> None:
        """Take note that the body has grown; hold the client back while the application does not read."""
        request = self._request
        request.held = request.waiting_bytes > request.connection.serving.bounds.held_body_bytes
        self._wake()

    def expire(self, pause: float, total: float) -> None:  # noqa: ARG002 - the intake's side asks for both
        """End a request whose body has stood still for too long."""
        connection = self._request.connection
        if not self._request.held and pause > connection.serving.bounds.piece_seconds:
            connection.end(RequestRefused("request_timeout", retry_after=1), "body_timeout")

    def leave(self) -> None:
        """Tell the application that the client is gone."""
        self._gone = True
        self._wake()

    def _wake(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    # What the application does

    async def _run(self) -> None:
        request = self._request
        try:
            await self._app(self._build_scope(), self._receive, self._send)
        except asyncio.CancelledError:
            request.connection.abort()
            raise
        except Exception as error:
            if _is_readers_fault(error):
                log.info("reader_stopped", path=request.path)
            else:
                log.exception("request_failed", path=request.path)
            self._fail()
        else:
            if not request.answered and not self._gone:
                log.error("request_failed", path=request.path, why="the application gave no whole answer")
                self._fail()

    def _fail(self) -> None:
        request = self._request
        if request.started:
            request.connection.abort()
        else:
            status, headers, body = build_refusal(RequestRefused("internal_error"))
            request.answer(status, headers, body, close=True)

    def _build_scope(self) -> dict[str, Any]:
        request = self._request
        connection = request.connection
        return {
            "type": "http",
            "asgi": _VERSION,
            "http_version": request.version,
            "method": request.method,
            "scheme": "http",
            "path": request.path,
            "raw_path": request.raw_path,
            "query_string": request.query,
            "root_path": "",
            "headers": request.headers,
            "client": connection.client,
            "server": connection.server,
            "state": self._state,
        }

    async def _receive(self) -> Message:
        request = self._request
        while not self._gone:
            if self._more and (request.waiting_bytes or request.complete):
                body = request.read()
                self._more = not request.complete
                request.held = False
                request.connection.proceed()
                return {"type": "http.request", "body": body, "more_body": self._more}
            if request.answered:
                break
            if self._more:
                request.welcome()
            self._news = asyncio.get_running_loop().create_future()
            await self._news
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        if self._gone:
            return
        if kind == "http.response.start" and self._head is None:
            self._head = (
                message["status"],
                [(name.lower(), value) for name, value in message.get("headers", ())],
            )
        elif kind == "http.response.body" and self._head is not None and not self._request.answered:
            await self._send_piece(message.get("body", b""), more=message.get("more_body", False))
        else:
            raise AppFault(f"{kind!r} may not be sent now")

    async def _send_piece(self, piece: bytes, *, more: bool) -> None:
        request = self._request
        connection = request.connection
        budget, bounds = connection.serving.budget, connection.serving.bounds
        owner, size = self._state.get(OWNER) or connection.address, len(piece)
        # A stream holds one small piece at a time; what is held whole is counted.
        whole = not more and not self._begun and request.method != "HEAD"
        counted = whole and size > bounds.counted_bytes
        if counted and not budget.take(owner, size):
            self._refuse(owner, size)
            return
        try:
            text = b"" if self._begun else self._begin_answer(size, more=more)
            await self._write(text, piece, more=more)
        finally:
            if counted:
                budget.give_back(owner, size)
        if not more and not self._gone:
            if self._left:
                raise AppFault(f"the answer is {self._left} bytes shorter than its length")
            connection.finish(request)
            self._wake()

    def _refuse(self, owner: str, size: int) -> None:
        """Give no answer for which there is no room."""
        self._request.connection.serving.tell_refused(owner, size)
        # Whatever else the application sends goes nowhere.
        self._gone = True
        self._request.answer(*build_crowded())

    def _begin_answer(self, size: int, *, more: bool) -> bytes:
        """Return the answer's head; settles how the end of the body shows."""
        request = self._request
        assert self._head is not None  # noqa: S101 - `_send` has looked
        status, headers = self._head
        request.settle(
            close=any(name == b"connection" and b"close" in value.lower() for name, value in headers)
        )
        headers = [item for item in headers if item[0] not in (b"connection", b"transfer-encoding")]
        lines = [request.connection.serving.date]
        length = next((value for name, value in headers if name == b"content-length"), None)
        if status in _NO_BODY:
            self._left = 0
            headers = [item for item in headers if item[0] != b"content-length"]
        elif length is not None:
            self._left = int(length)
        elif not more:
            self._left = size
            lines.append(b"content-length: %d\r\n" % size)
        elif request.version == "1.1":
            self._chunked = True
            lines.append(b"transfer-encoding: chunked\r\n")
        else:
            request.keep_alive = False
        if request.method == "HEAD":
            self._left, self._chunked = None, False
        if not request.keep_alive:
            lines.append(b"connection: close\r\n")
        text = render_head(status, headers, *lines)
        self._begun = request.started = True
        return text

    async def _write(self, head: bytes, piece: bytes, *, more: bool) -> None:
        """Write the head and a piece of the body, as fast as the reader takes it."""
        connection = self._request.connection
        if self._request.method == "HEAD":
            piece = b""
        if self._left is not None:
            if len(piece) > self._left:
                raise AppFault(f"the answer is {len(piece) - self._left} bytes longer than its length")
            self._left -= len(piece)
        before = b"%x\r\n" % len(piece) if self._chunked and piece else b""
        after = (b"\r\n" if before else b"") + (b"0\r\n\r\n" if self._chunked and not more else b"")
        most = connection.serving.bounds.piece_bytes
        if len(piece) <= most:
            connection.write(b"".join((head, before, piece, after)))
            await connection.drain()
            return
        connection.write(head + before)
        view = memoryview(piece)
        for start in range(0, len(view), most):
            await connection.drain()
            if self._gone:
                return
            connection.write(bytes(view[start : start + most]))
        if after:
            connection.write(after)
        await connection.drain()


def _is_readers_fault(error: BaseException) -> bool:
    """Tell whether an answer ended early because nobody read on; a framework wraps what its streams raise."""
    if isinstance(error, BaseExceptionGroup):
        return all(_is_readers_fault(one) for one in error.exceptions)
    return isinstance(error, ReaderStopped) or (
        error.__cause__ is not None and _is_readers_fault(error.__cause__)
    )


class Lifespan:
    """The application's beginning and end."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._orders: asyncio.Queue[Message] = asyncio.Queue()
        self._answers: asyncio.Queue[Message] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the application; raises RuntimeError where it cannot."""
        self._task = asyncio.create_task(self._run())
        answer = await self._order("startup")
        if answer["type"] != "lifespan.startup.complete":
            raise RuntimeError(f"the application does not start: {answer.get('message', '')}")

    async def stop(self) -> None:
        """End the application."""
        if self._task is not None and not self._task.done():
            await self._order("shutdown")
            await self._task

    async def _order(self, what: str) -> Message:
        await self._orders.put({"type": f"lifespan.{what}"})
        return await self._answers.get()

    async def _run(self) -> None:
        scope: Message = {"type": "lifespan", "asgi": _VERSION, "state": {}}
        try:
            await self._app(scope, self._orders.get, self._answers.put)
        except Exception as error:
            log.exception("application_failed")
            await self._answers.put({"type": "lifespan.failed", "message": str(error)})
