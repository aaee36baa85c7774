"""One statement of another tool on its way to the store, and the answer on its way back; it can be broken off at any moment.

Comes in: a request for the store. Goes out: status, headers and pieces as they come. The answer holds its place among the
statements until it is read, or until its reader takes nothing any more. `api.clickhouse` calls this.
"""

from __future__ import annotations

import asyncio
import http.client
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, nullcontext, suppress
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from tallymark.errors import ReaderStopped, RequestRefused
from tallymark.store.cancelling import present
from tallymark.store.client import StoreClient
from tallymark.store.errors import StoreUnavailable
from tallymark.store.limits import GRACE_SECONDS, PLACE_SECONDS, VISITOR_SECONDS
from tallymark.web.shares import Share

_CONNECT_SECONDS: Final = 5.0
# A statement waits for its place in the store, and then runs.
_ANSWER_SECONDS: Final = PLACE_SECONDS + VISITOR_SECONDS + GRACE_SECONDS
# How long a reader may take for one piece, and for all of them.
READER_SECONDS: Final = 30.0
_WHOLE_SECONDS: Final = 300.0
_PIECE_BYTES: Final = 64 * 1024
_RETRY_AFTER: Final = 2


@dataclass(frozen=True, slots=True)
class Order:
    """What is sent: `target` is path and query of the address."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


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
        try:
            return self._answer.read1(_PIECE_BYTES) if self._answer is not None else b""
        except (http.client.HTTPException, OSError) as error:
            raise RequestRefused("store_unavailable", retry_after=_RETRY_AFTER) from error

    def begin(self) -> tuple[http.client.HTTPResponse, bytes]:
        """Send it and wait for the head and the first piece of the answer; blocking. Raises as `send` and `read` do."""
        head = self.send()
        try:
            return head, self.read()
        except RequestRefused:
            self.close()
            raise

    def break_off(self) -> None:
        """Let the store know that nobody waits any more, from any thread; whoever reads fails."""
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection."""
        if self._answer is not None:
            self._answer.close()
        self._connection.close()


class Passing:
    """An answer that is being passed on. Its place is given back when `pieces` ends, or when its reader stops reading."""

    def __init__(
        self,
        share: Share,
        statement: Statement,
        head: http.client.HTTPResponse,
        first: bytes,
        place: AsyncExitStack,
    ) -> None:
        self.status = head.status
        self._first = first
        self.headers = head.headers
        self._share = share
        self._statement = statement
        self._place = place
        self._stopped = False
        self._whole_until = asyncio.get_running_loop().time() + _WHOLE_SECONDS
        self._giving_up: asyncio.Task[None] | None = None
        # Also before the first piece: an answer that nobody begins to read must not keep its place.
        self._timer = self._begin_wait()

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the answer; ending early ends the statement. Raises ReaderStopped where it was not read in time."""
        self._timer.cancel()
        piece = self._first
        try:
            while piece:
                self._timer = self._begin_wait()
                yield piece
                self._timer.cancel()
                if self._stopped:
                    raise ReaderStopped
                piece = await self._share.work(self._statement.read)
        finally:
            self._timer.cancel()
            await self._end()

    def _begin_wait(self) -> asyncio.TimerHandle:
        loop = asyncio.get_running_loop()
        seconds = max(0.0, min(READER_SECONDS, self._whole_until - loop.time()))
        return loop.call_later(seconds, self._give_up)

    def _give_up(self) -> None:
        self._stopped = True
        self._giving_up = asyncio.ensure_future(self._end())

    async def _end(self) -> None:
        self._statement.break_off()
        self._statement.close()
        await self._place.aclose()


async def pass_on(share: Share, project: str, statement: Statement) -> Passing:
    """Wait for a place, send a statement and return its answer; raises RequestRefused as `Share.place` and `begin` do.

    The first piece is waited for: where the store breaks off before it, that can still be told as a status.
    """
    async with AsyncExitStack() as place:
        await place.enter_async_context(share.place(project))
        try:
            head, first = await share.work(statement.begin)
        except BaseException:
            statement.break_off()
            raise
        return Passing(share, statement, head, first, place.pop_all())
