"""The store process: chDB over one data folder, behind ClickHouse's HTTP interface on the loopback address.

The supervisor starts `run_store` in a process of its own, freshly started and never forked after chDB was imported.
"""

from __future__ import annotations

import os
import signal
import socket
import socketserver
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from tallymark.store.engine import Engine
from tallymark.store.http_handler import StoreHandler
from tallymark.store.service import Service
from tallymark.store.watch import Watch

# How long inserts may go on after SIGTERM, in seconds.
_DRAIN_SECONDS: Final = 20.0
# Each connection has a thread; one more than these is closed at once.
_MAX_CONNECTIONS: Final = 256


class StoreServer(socketserver.ThreadingTCPServer):
    """Accepts connections; each has a thread and a handler, which find here what they share."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, port: int, service: Service, password: str) -> None:
        self.service = service
        self.password = password
        self.stopping = False
        self.watch = Watch()
        self._places = threading.BoundedSemaphore(_MAX_CONNECTIONS)
        super().__init__(("127.0.0.1", port), StoreHandler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start a connection's thread, or close the connection where there are too many."""
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(
        self, request: socket.socket | tuple[bytes, socket.socket], client_address: Any
    ) -> None:
        """Serve one connection until it ends."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Show an error, unless it is only a caller that went away."""
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


def run_store(
    data_dir: Path,
    port: int,
    password: str,
    *,
    memory_limit_bytes: int,
    ready: Callable[[int], None],
) -> None:
    """Serve the store of `data_dir` until SIGTERM or SIGINT, or until the parent process is gone.

    `port` 0 takes any free one; `ready` is called with the port once connections are answered. Must be called in
    the main thread. Raises EngineError where the folder cannot be opened, such as when another process has it.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    parent = os.getppid()
    engine = Engine(data_dir, memory_limit_bytes=memory_limit_bytes)
    server = StoreServer(port, Service(engine), password)
    accepting = threading.Thread(target=server.serve_forever, name="accept", daemon=True)
    accepting.start()
    ready(int(server.server_address[1]))
    while not stop.wait(0.5) and os.getppid() == parent:
        server.service.expire_sessions()
    server.stopping = True
    server.shutdown()
    server.server_close()
    server.service.drain(_DRAIN_SECONDS)
    server.watch.close()
    engine.close()
