"""One connection: bytes in, one request at a time to whoever takes it, bytes out.

A request is read when the one before it has its answer and the reader takes it: what is pipelined behind it stays bytes, and
nothing more is read meanwhile. So neither the depth of calls nor memory grows with what a client sends ahead.
"""

from __future__ import annotations

import asyncio
from typing import cast

from tallymark.errors import RequestRefused
from tallymark.intake.answers import build_refusal
from tallymark.server.http.answer_text import render_answer
from tallymark.server.http.asgi import AppExchange
from tallymark.server.http.reader import RequestReader
from tallymark.server.http.request import BadHead, Request, Taker
from tallymark.server.http.serving import Serving


class Connection(asyncio.Protocol):
    """`serving` looks at it once a second: requests themselves cost no timer."""

    def __init__(self, serving: Serving) -> None:
        self.serving = serving
        self.client: tuple[str, int] | None = None
        self.server: tuple[str, int] | None = None
        self.address = ""
        # To be told 503 as soon as it says something.
        self.refused = False
        # Nothing more is answered; what still comes is thrown away.
        self.closing = False
        self._loop = asyncio.get_running_loop()
        self._reader = RequestReader(self)
        self._taker: Taker | None = None
        # What was read and not looked at yet, from `_at` on.
        self._rest = b""
        self._at = 0
        self._busy = self._paused = self._put_off = False
        # Times of the loop: of the last byte that counts, of the request's head.
        self._since = self._head_at = self._loop.time()
        self._wasted = 0
        self._served = False
        # Answers: what was written, and how far the reader was when it was last looked at.
        self._write_paused = False
        self._drained: list[asyncio.Future[None]] = []
        self._held: list[tuple[str, int]] = []
        self._written = self._read_mark = 0
        self._read_at = 0.0

    # What the loop tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, where there is room."""
        # A stream's is one; uvloop's own is no subclass of it.
        stream = cast("asyncio.Transport", transport)
        self._transport = stream
        self.client, self.server = _read_end(stream, "peername"), _read_end(stream, "sockname")
        self.address = self.client[0] if self.client else ""
        stream.set_write_buffer_limits(high=self.serving.bounds.piece_bytes)
        self.serving.connections.open(self, self.address)

    def data_received(self, data: bytes) -> None:
        """Take what was read; look at it when the turn of what came before is over."""
        if self.closing:
            self._waste(len(data))
            return
        self._since = self._loop.time()
        if self._at < len(self._rest):
            self._rest = self._rest[self._at :] + data
        else:
            self._rest = data
        self._at = 0
        self.proceed()

    def eof_received(self) -> None:
        """Let the connection end: who says nothing more is taken for gone, as by other servers."""

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - however it ended
        """Tell whoever works for this client that it is gone."""
        self.closing = True
        self.serving.connections.close(self)
        taker, request = self._taker, self._reader.request
        self._taker = None
        self._reader.clear()
        self._rest = b""
        if taker is not None and request is not None and not request.answered:
            taker.leave()
        self._let_go()
        self._wake_writers()

    def pause_writing(self) -> None:
        """Take note that the reader is slow: we wait for it."""
        self._write_paused = True
        self.serving.connections.wait(self)

    def resume_writing(self) -> None:
        """Go on: the reader has caught up."""
        self._write_paused = False
        if self._reader.request is not None and not self._reader.request.answered:
            self.serving.connections.work(self)
        self._let_go()
        self._wake_writers()
        self.proceed()

    # Reading

    def proceed(self) -> None:
        """Look at what was read, as far as it may be looked at now. Never calls itself, whatever stands in it."""
        if self._busy or self._put_off:
            return
        self._busy = True
        try:
            self._go_on()
        finally:
            self._busy = False

    def _go_on(self) -> None:
        bounds, requests, start = self.serving.bounds, 0, self._at
        while not self.closing:
            request = self._reader.request
            if self._at >= len(self._rest):
                # A body that nobody wants yet stays with the client.
                if request is not None and request.held:
                    self._pause()
                else:
                    self._resume()
                return
            if request is None:
                if self._write_paused:
                    break
                if requests >= bounds.turn_requests:
                    self._put_off_rest()
                    break
                requests += 1
                self._feed_head()
            elif request.complete or request.held:
                break
            else:
                if request.length is None and self._at - start >= bounds.turn_bytes:
                    self._put_off_rest()
                    break
                self._feed_body(request)
        if not self.closing:
            self._pause()

    def _put_off_rest(self) -> None:
        """Let others have their turn."""
        self._put_off = True
        self._loop.call_soon(self._take_up)

    def _take_up(self) -> None:
        self._put_off = False
        self.proceed()

    def _feed_head(self) -> None:
        """Read a head, or all that there is of it, and begin its request."""
        reader = self._reader
        if not reader.head_bytes:
            self._head_at = self._since
        try:
            self._at = reader.read_head(self._rest, self._at)
        except BadHead as bad:
            self.end(bad.refusal)
            return
        if reader.request is not None:
            self._begin(reader.request)

    def _feed_body(self, request: Request) -> None:
        """Read as much of the body as is there."""
        at = self._at
        try:
            self._at = self._reader.read_body(request, self._rest, at)
        except BadHead as bad:
            self.end(bad.refusal)
            return
        if request.answered:
            if request.complete:
                self._release(request)
            else:
                self._waste(self._at - at)
        elif self._taker is not None:
            if request.complete:
                self.serving.connections.work(self)
            self._taker.advance()

    # Requests

    def _begin(self, request: Request) -> None:
        """Give a request to the intake, or else to the application."""
        serving = self.serving
        if self.refused:
            self.end(RequestRefused("too_many_connections", retry_after=1))
            return
        self._served = True
        self._wasted = 0
        # Nobody has looked at its key yet: until its body is whole, it is a connection that waits for its client.
        if request.complete:
            serving.connections.work(self)
        taker = self._taker = serving.opener(request) or AppExchange(request, serving.app)
        taker.begin()
        if request.complete and not request.started:
            taker.advance()

    def finish(self, request: Request) -> None:
        """Take note that a request has its whole answer."""
        request.answered = True
        request.held = False
        if request is not self._reader.request:
            return
        if not request.keep_alive:
            self._close_gently(listen=not request.complete)
        elif request.complete:
            self._release(request)
        else:
            self.serving.connections.wait(self)
        self.proceed()

    def _release(self, request: Request) -> None:
        """Go on to the next request."""
        self._taker = None
        self._reader.clear()
        self._since = self._loop.time()
        if not request.keep_alive or self.serving.stopping:
            self._close_gently(listen=False)
        else:
            self.serving.connections.wait(self)

    # Writing

    def write(self, data: bytes) -> None:
        """Send bytes; the system takes them, or they wait here."""
        if not self._transport.is_closing():
            self._written += len(data)
            self._transport.write(data)
        if self._held and not self._write_paused:
            self._let_go()

    def hold(self, owner: str, size: int) -> bool:
        """Count an answer that is about to be written until its reader has it; False where there is no room for it."""
        owner = owner or self.address
        if not self.serving.budget.take(owner, size):
            self.serving.tell_refused(owner, size)
            return False
        self._held.append((owner, size))
        return True

    def _let_go(self) -> None:
        """Count the answers that were written no longer."""
        for owner, size in self._held:
            self.serving.budget.give_back(owner, size)
        self._held.clear()

    async def drain(self) -> None:
        """Wait until the reader has taken most of what was written."""
        if self._write_paused and not self._transport.is_closing():
            waiter = self._loop.create_future()
            self._drained.append(waiter)
            await waiter

    def _wake_writers(self) -> None:
        waiting, self._drained = self._drained, []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)

    # Ending

    @property
    def in_head(self) -> bool:
        """Whether a head has begun and is not whole."""
        return self._reader.head_bytes > 0

    @property
    def asks(self) -> bool:
        """Whether its client has said something that has no answer yet."""
        return self.in_head or (self._reader.request is not None and not self._reader.request.answered)

    def end(self, refusal: RequestRefused, reason: str = "") -> None:
        """Say why and close. Who has said nothing yet, has half an answer or was told already is closed without a word."""
        if self.closing:
            self.abort()
            return
        if reason:
            self.serving.connections.count(reason)
        request = self._reader.request
        if request is not None and request.started:
            self.abort()
            return
        if request is not None or self.in_head:
            status, headers, body = build_refusal(refusal)
            text = render_answer(status, headers, body, self.serving.date, close=True)
            self.write(text[: len(text) - len(body)] if self._reader.is_head else text)
        taker, self._taker = self._taker, None
        self._reader.clear()
        if taker is not None:
            taker.leave()
        self._close_gently(listen=self.in_head or (request is not None and not request.complete))

    def shut_down(self) -> None:
        """Close, behind the answer that is under way where there is one."""
        if self._reader.request is None:
            self.closing = True
            self._transport.close()
        else:
            self._reader.request.keep_alive = False

    def abort(self) -> None:
        """Close at once; what was not sent is lost."""
        self.closing = True
        self._transport.abort()

    def _close_gently(self, *, listen: bool) -> None:
        """Close behind what was written; `listen` for a moment to who is still sending, or it could not read the answer."""
        self.closing = True
        self._since = self._loop.time()
        self._wasted = 0
        if not listen and self._at >= len(self._rest):
            self._transport.close()
            return
        self._rest, self._at = b"", 0
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self.serving.connections.wait(self)
        self._resume()

    def _waste(self, size: int) -> None:
        self._wasted += size
        if self._wasted > self.serving.bounds.waste_bytes:
            self.abort()

    def _pause(self) -> None:
        if not self._paused and not self._transport.is_closing():
            self._paused = True
            self._transport.pause_reading()

    def _resume(self) -> None:
        if self._paused and not self._transport.is_closing():
            self._paused = False
            # Time in which nothing was read is not the client's.
            self._since = self._loop.time()
            self._transport.resume_reading()

    def look(self, now: float) -> None:
        """Look how far it has got; called once a second."""
        bounds, waited = self.serving.bounds, now - self._since
        unread = self._transport.get_write_buffer_size()
        if not unread:
            self._read_at = 0.0
        if unread and self._is_stuck(now, self._written - unread):
            self.serving.connections.count("slow_reader")
            self.abort()
        elif self.closing:
            if waited > bounds.linger_seconds and not unread:
                self.abort()
        elif self._reader.request is not None:
            self._look_at_body(self._reader.request, now)
        elif self._paused:
            return
        elif self.in_head:
            if now - self._head_at > bounds.head_seconds:
                self.end(RequestRefused("request_timeout", retry_after=1), "head_timeout")
        elif waited > (bounds.idle_seconds if self._served else bounds.head_seconds):
            self.end(RequestRefused("request_timeout", retry_after=1))

    def _look_at_body(self, request: Request, now: float) -> None:
        if request.complete or self._paused:
            if not request.started and now - self._head_at > self.serving.bounds.answer_seconds:
                self.end(RequestRefused("no_answer", retry_after=1), "no_answer")
            return
        pause = now - self._since
        if request.answered:
            if pause > self.serving.bounds.piece_seconds:
                self.serving.connections.count("body_timeout")
                self.abort()
        elif self._taker is not None:
            self._taker.expire(pause, now - self._head_at)

    def _is_stuck(self, now: float, taken: int) -> bool:
        """Tell whether the reader has taken too little for too long, of what it has `taken` so far."""
        if taken - self._read_mark >= self.serving.bounds.write_bytes or not self._read_at:
            self._read_mark, self._read_at = taken, now
        return now - self._read_at > self.serving.bounds.write_seconds


def _read_end(transport: asyncio.Transport, which: str) -> tuple[str, int] | None:
    found = transport.get_extra_info(which)
    return (str(found[0]), int(found[1])) if isinstance(found, tuple | list) and len(found) >= 2 else None
