"""Ends the work on a request whose client has gone: its task is cancelled, and with it what waits or is asked for it.

Wraps the application that answers pages and the API; the intake is not behind it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
ASGIApp = Callable[[MutableMapping[str, Any], Any, Any], Awaitable[None]]

# They only ask. Their bodies mean nothing, so nobody reads them: the first message is taken here.
_WITHOUT_BODY = frozenset({"GET", "HEAD"})
# What only asks though it has a body. Whatever else has one changes something, and is finished once it has begun.
_ASKING = ("/v1/query", "/v1/alerting/preview", "/clickhouse")


def end_with_client(app: ASGIApp) -> ASGIApp:
    """Return an application that cancels the work on a request when its client closes the connection."""

    async def application(scope: MutableMapping[str, Any], receive: Receive, send: Any) -> None:
        if not _only_asks(scope):
            await app(scope, receive, send)
            return
        hearing = _Hearing(receive)
        if scope["method"] in _WITHOUT_BODY:
            await hearing.read_ahead()
        work = asyncio.ensure_future(app(scope, hearing.receive, send))
        hearing.on_departure(work.cancel)
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            # Of the work: nobody is there who could be told. Of this task: the server is stopping, and the work has to end.
            work.cancel()
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
        finally:
            hearing.close()

    return application


def _only_asks(scope: MutableMapping[str, Any]) -> bool:
    if scope.get("type") != "http":
        return False
    return scope["method"] in _WITHOUT_BODY or scope["path"].startswith(_ASKING)


class _Hearing:
    """Passes a request's body on, and listens for the client's leaving once it is whole."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._ahead: list[Message] = []
        self._listening: asyncio.Future[Message] | None = None
        self._act: Callable[[], object] | None = None

    async def read_ahead(self) -> None:
        self._ahead.append(await self._hear())

    async def receive(self) -> Message:
        """Return the next message, as the server's own `receive` does."""
        if self._ahead:
            return self._ahead.pop()
        if self._listening is not None:
            return await asyncio.shield(self._listening)
        return await self._hear()

    def on_departure(self, act: Callable[[], object]) -> None:
        """Call `act` when the client goes."""
        self._act = act

    def close(self) -> None:
        """Stop listening."""
        self._act = None
        if self._listening is not None:
            self._listening.cancel()

    async def _hear(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request" and not message.get("more_body"):
            self._listening = asyncio.ensure_future(self._receive())
            self._listening.add_done_callback(self._notice)
        return message

    def _notice(self, heard: asyncio.Future[Message]) -> None:
        if heard.cancelled() or heard.exception() is not None:
            return
        if heard.result()["type"] == "http.disconnect" and self._act is not None:
            self._act()
