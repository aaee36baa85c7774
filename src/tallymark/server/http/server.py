"""Listens, looks after the connections once a second, and stops in order: what is under way is finished, nothing new begins."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

import structlog

from tallymark.server.http.asgi import ASGIApp, Lifespan
from tallymark.server.http.bounds import Bounds
from tallymark.server.http.connections import Connections
from tallymark.server.http.listener import Listener, open_sockets
from tallymark.server.http.serving import Opener, Serving

log = structlog.get_logger("tallymark.web")

_BACKLOG: Final = 1024
_LOOK_SECONDS: Final = 1.0
# What the application may take to end a request when it is told to.
_CANCEL_SECONDS: Final = 1.0


def _ignore(_: str) -> None:
    """Count nothing."""


class HttpServer:
    """Serves an ASGI application; `opener` is offered each request first, and may take it.

    `on_turned_away` is called with a code for each connection that had to go although its client wanted something.
    """

    def __init__(
        self,
        app: ASGIApp,
        opener: Opener,
        bounds: Bounds | None = None,
        on_turned_away: Callable[[str], None] = _ignore,
    ) -> None:
        found = bounds or Bounds()
        self._serving = Serving(app, opener, found, Connections(found, on_turned_away))
        self._lifespan = Lifespan(app)
        self._listeners: list[Listener] = []
        self._looking: asyncio.TimerHandle | None = None

    async def start(self, host: str, port: int) -> int:
        """Start to listen; return the port. Raises OSError where the address cannot be had."""
        await self._lifespan.start()
        sockets = await open_sockets(host, port, _BACKLOG)
        self._listeners = [Listener(self._serving, one) for one in sockets]
        self._look()
        return self._listeners[0].port

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        self._serving.tell_date()
        now = loop.time()
        for connection in self._serving.connections.all():
            connection.look(now)
        self._serving.connections.say()
        self._looking = loop.call_later(_LOOK_SECONDS, self._look)

    async def stop(self) -> None:
        """Take no more connections, answer what is under way within `stop_seconds`, end the rest."""
        serving = self._serving
        serving.stopping = True
        for listener in self._listeners:
            listener.close()
        for connection in serving.connections.all():
            connection.shut_down()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(serving.bounds.stop_seconds):
                await serving.connections.wait_empty()
        if self._looking is not None:
            self._looking.cancel()
        for connection in serving.connections.all():
            connection.abort()
        tasks = list(serving.tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_CANCEL_SECONDS)
        await self._lifespan.stop()
