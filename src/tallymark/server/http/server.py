"""Listens, looks after the connections once a second, and stops in order: what is under way is finished, nothing new begins."""

from __future__ import annotations

import asyncio
import contextlib
import errno
from collections.abc import Callable
from typing import Any, Final

import structlog

from tallymark.server.http.asgi import ASGIApp, Lifespan
from tallymark.server.http.bounds import Bounds
from tallymark.server.http.connection import Connection
from tallymark.server.http.connections import Connections
from tallymark.server.http.serving import Opener, Serving

log = structlog.get_logger("tallymark.web")

_BACKLOG: Final = 1024
_LOOK_SECONDS: Final = 1.0
# What the application may take to end a request when it is told to.
_CANCEL_SECONDS: Final = 1.0
_NO_DESCRIPTOR: Final = (errno.EMFILE, errno.ENFILE)


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
        self._listening: asyncio.Server | None = None
        self._looking: asyncio.TimerHandle | None = None

    async def start(self, host: str, port: int) -> int:
        """Start to listen; return the port. Raises OSError where the address cannot be had."""
        loop = asyncio.get_running_loop()
        await self._lifespan.start()
        loop.set_exception_handler(self._handle)
        self._listening = await loop.create_server(
            lambda: Connection(self._serving), host or None, port, backlog=_BACKLOG
        )
        self._look()
        return int(self._listening.sockets[0].getsockname()[1])

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        self._serving.tell_date()
        now = loop.time()
        for connection in self._serving.connections.all():
            connection.look(now)
        self._serving.connections.say()
        self._looking = loop.call_later(_LOOK_SECONDS, self._look)

    def _handle(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Make room where the system had no descriptor for a new connection; leave the rest to the loop."""
        error = context.get("exception")
        if isinstance(error, OSError) and error.errno in _NO_DESCRIPTOR:
            self._serving.connections.free_descriptors()
        else:
            loop.default_exception_handler(context)

    async def stop(self) -> None:
        """Take no more connections, answer what is under way within `stop_seconds`, end the rest."""
        serving = self._serving
        serving.stopping = True
        if self._listening is not None:
            self._listening.close()
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


def format_address(host: str, port: int) -> str:
    """Return the address under which a server on `host` is reached: `http://127.0.0.1:8600`, `http://[::1]:8600`."""
    return f"http://[{host}]:{port}" if ":" in host and not host.startswith("[") else f"http://{host}:{port}"
