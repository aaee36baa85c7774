"""Passes a statement of another tool to the store, and its answer back; either can be broken off at any moment.

Comes in: a request for the store. Goes out: status, headers and pieces as they come. A statement holds a place while the store
works for it. What its reader has not taken by then waits in a `Backlog`. `api.clickhouse` calls this.
"""

from __future__ import annotations

import asyncio
import http.client
import socket
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from tallymark.errors import ReaderStopped, RequestRefused
from tallymark.store.cancelling import present
from tallymark.store.client import StoreClient
from tallymark.store.errors import StoreUnavailable
from tallymark.store.limits import GRACE_SECONDS, PLACE_SECONDS, VISITOR_SECONDS
from tallymark.web.backlog import Backlog
from tallymark.web.shares import Share, call_in_loop

_CONNECT_SECONDS: Final = 5.0
# A statement waits for its place in the store, and then runs.
_ANSWER_SECONDS: Final = PLACE_SECONDS + VISITOR_SECONDS + GRACE_SECONDS
# How long a reader may take for one piece, and for all of them.
READER_SECONDS: Final = 30.0
_WHOLE_SECONDS: Final = 300.0
_PIECE_BYTES: Final = 64 * 1024
_RETRY_AFTER: Final = 2
_NO_LINGER: Final = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Order:
    """What is sent: `target` is path and query of the address."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Work:
    """Where statements are worked on: places while the store works, places until the answer is sent, a folder for backlogs.

    `spare_bytes` of the folder's disk stay free. Whoever holds a place among the statements holds one among the answers, too;
    there are more places among the answers.
    """

    statements: Share
    answers: Share
    folder: Path
    spare_bytes: int = 0


class Statement:
    """A connection of its own for one statement, so that breaking it off ends that statement and nothing else."""

    def __init__(self, store: StoreClient, order: Order) -> None:
        self._store = store
        parts = urlsplit(store.url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(parts.hostname or "", parts.port, timeout=_CONNECT_SECONDS)
        self._order = order
        self._socket: socket.socket | None = None
        self._answer: http.client.HTTPResponse | None = None

    def send(self) -> http.client.HTTPResponse:
        """Send it and wait for the head of the answer; blocking. Raises RequestRefused (store_unavailable)."""
        cancellation = present()
        try:
            self._store.check_alive()
            self._connection.connect()
            self._socket = self._connection.sock
            self._socket.settimeout(_ANSWER_SECONDS)
            with nullcontext() if cancellation is None else cancellation.question(lambda _: self.break_off()):
                order = self._order
                self._connection.request(order.method, order.target, order.body or None, dict(order.headers))
                self._answer = self._connection.getresponse()
                return self._answer
        except (StoreUnavailable, http.client.HTTPException, OSError) as error:
            self.close()
            raise RequestRefused("store_unavailable", retry_after=_RETRY_AFTER) from error

    def read(self) -> bytes:
        """Return the next piece, b'' after the last; blocking. Raises RequestRefused (store_unavailable) where it broke off."""
        if self._answer is None:
            return b""
        try:
            if (piece := self._answer.read1(_PIECE_BYTES)) or not self._answer.length:
                return piece
            # Of a body with a length the library does not say so.
            raise http.client.IncompleteRead(piece, self._answer.length)
        except (http.client.HTTPException, OSError) as error:
            raise RequestRefused("store_unavailable", retry_after=_RETRY_AFTER) from error

    @property
    def is_read(self) -> bool:
        """Whether the whole answer was read. An answer without a length says so only with its next, empty piece."""
        return self._answer is not None and self._answer.length == 0

    def begin(self) -> tuple[http.client.HTTPResponse, bytes]:
        """Send it and wait for the head and the first piece of the answer; blocking. Raises as `send` and `read` do."""
        head = self.send()
        try:
            return head, self.read()
        except RequestRefused:
            self.close()
            raise

    def break_off(self) -> None:
        """Let the store know that nobody waits any more. May be called from any thread; a read that waits fails."""
        if self._socket is not None:
            with suppress(OSError):
                # So that closing resets the connection: a store that waits for room to write would hear of it a minute later.
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
                self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection."""
        if self._answer is not None:
            self._answer.close()
        self._connection.close()


class Passing:
    """An answer that is being passed on.

    It gives back its place among the statements when the store has said all of it, however much its reader has taken. It
    gives back its place among the answers when `pieces` ends, or when its reader takes too long.
    """

    def __init__(
        self,
        work: Work,
        statement: Statement,
        begun: tuple[http.client.HTTPResponse, bytes],
        statement_place: AsyncExitStack,
        answer_place: AsyncExitStack,
    ) -> None:
        head, first = begun
        self.status = head.status
        self.headers = head.headers
        self._work = work
        self._statement = statement
        self._statement_place = statement_place
        self._answer_place = answer_place
        self._stopped = False
        loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._backlog = Backlog(work.folder, lambda: call_in_loop(loop, self._news.set), work.spare_bytes)
        self._whole_until = loop.time() + _WHOLE_SECONDS
        self._giving_up: asyncio.Task[None] | None = None
        self._reading = asyncio.ensure_future(self._read_store(first))
        # Also before the first piece: an answer that nobody begins to read must not keep its place.
        self._timer = self._begin_wait()

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the answer; ending early ends the statement. Raises ReaderStopped where it was not read in time."""
        self._timer.cancel()
        try:
            while piece := await self._take():
                self._timer = self._begin_wait()
                yield piece
                self._timer.cancel()
        finally:
            self._timer.cancel()
            await self._end()

    async def _take(self) -> bytes:
        while True:
            if self._stopped:
                raise ReaderStopped
            self._news.clear()
            if self._backlog.next_is_in_file:
                return await self._work.answers.work(self._backlog.read_file)
            piece = self._backlog.take()
            if piece is not None:
                return piece
            await self._news.wait()

    async def _read_store(self, first: bytes) -> None:
        """Read the answer at the store's speed, then give the place among the statements back."""
        error: BaseException | None = None
        try:
            if self._statement.is_read:
                # It is one small piece: neither a thread nor a file has anything to do.
                self._backlog.push(first)
            else:
                await self._work.statements.work(lambda: self._fill(first))
        except (RequestRefused, ReaderStopped) as caught:
            error = caught
        except BaseException as caught:
            # The server stops, or a fault of ours: the reader must not wait for ever.
            error = caught
            raise
        finally:
            self._backlog.end(error)
            if error is not None:
                self._statement.break_off()
            self._statement.close()
            await self._statement_place.aclose()

    def _fill(self, piece: bytes) -> None:
        while piece:
            self._backlog.push(piece)
            piece = self._statement.read()

    def _begin_wait(self) -> asyncio.TimerHandle:
        loop = asyncio.get_running_loop()
        seconds = max(0.0, min(READER_SECONDS, self._whole_until - loop.time()))
        return loop.call_later(seconds, self._give_up)

    def _give_up(self) -> None:
        self._stopped = True
        self._giving_up = asyncio.ensure_future(self._end())

    async def _end(self) -> None:
        self._statement.break_off()
        self._backlog.close()
        await self._answer_place.aclose()


async def pass_on(work: Work, project: str, statement: Statement) -> Passing:
    """Wait for places, send a statement and return its answer; raises RequestRefused as `Share.place` and `begin` do.

    It waits for the first piece as well: where the store breaks off before that, the caller can still answer with a status.
    """
    async with AsyncExitStack() as answer_place:
        # First the place that is held longer: a project that does not read its answers waits here, not among the statements.
        await answer_place.enter_async_context(work.answers.place(project))
        async with AsyncExitStack() as statement_place:
            await statement_place.enter_async_context(work.statements.place(project))
            try:
                begun = await work.statements.work(statement.begin)
            except BaseException:
                statement.break_off()
                raise
            return Passing(work, statement, begun, statement_place.pop_all(), answer_place.pop_all())
