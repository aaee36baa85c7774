"""Accepts connections from one listening socket, also when the process has no file descriptor left for them.

uvloop's own server would then throw the connection away without a word. Here it stays in the system's queue until idle
connections have made room.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import Final

from tallymark.server.http.connection import Connection
from tallymark.server.http.serving import Serving

_NO_ROOM: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_PAUSE_SECONDS: Final = 0.05
# Connections that are accepted before those that are there have their turn.
_AT_ONCE: Final = 64


class Listener:
    """One listening socket of a server."""

    def __init__(self, serving: Serving, listening: socket.socket) -> None:
        self._serving = serving
        self._loop = asyncio.get_running_loop()
        self._socket = listening
        self._socket.setblocking(False)
        self._opening: set[asyncio.Task[object]] = set()
        self._pause: asyncio.TimerHandle | None = None
        self._loop.add_reader(self._socket, self._accept)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._socket.getsockname()[1])

    def close(self) -> None:
        """Listen no more."""
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._socket)
        self._socket.close()

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                accepted, _address = self._socket.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                # Any other one is of a connection that ended before it was accepted.
                if error.errno in _NO_ROOM:
                    self._wait_for_room()
                    return
                continue
            self._open(accepted)

    def _open(self, accepted: socket.socket) -> None:
        accepted.setblocking(False)
        if accepted.family != socket.AF_UNIX:
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task = self._loop.create_task(self._connect(accepted))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _connect(self, accepted: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._build, accepted)
        except OSError:
            accepted.close()

    def _build(self) -> Connection:
        return Connection(self._serving)

    def _wait_for_room(self) -> None:
        """Have idle connections end, and look again in a moment."""
        self._serving.connections.free_descriptors()
        self._loop.remove_reader(self._socket)
        self._pause = self._loop.call_later(_PAUSE_SECONDS, self._loop.add_reader, self._socket, self._accept)


async def open_sockets(host: str, port: int, backlog: int) -> list[socket.socket]:
    """Return a listening socket for each address that `host` has; port 0 takes a free one. Raises OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    try:
        for family, address in dict.fromkeys((one[0], one[4]) for one in found):
            listening = socket.socket(family, socket.SOCK_STREAM)
            sockets.append(listening)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listening.bind(address)
            listening.listen(backlog)
    except OSError:
        for one in sockets:
            one.close()
        raise
    return sockets
