"""The real intake behind the real HTTP server, with a journal and a catalog of its own, in one thread: no store, no loader."""

from __future__ import annotations

import asyncio
import http.client
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import uvloop

from tallymark.catalog.migrations import run_migrations
from tallymark.catalog.repository import Catalog
from tallymark.catalog.snapshot import SnapshotSource
from tallymark.catalog.tables import open_engine, sqlite_url
from tallymark.intake.accept import Acceptor
from tallymark.intake.app import Intake
from tallymark.intake.limits import IntakeLimits
from tallymark.journal.reader import SegmentReader
from tallymark.journal.record import Record
from tallymark.journal.segments import SegmentWriter
from tallymark.networks import parse_networks
from tallymark.server.http.bounds import Bounds
from tallymark.server.http.server import HttpServer
from tests.conftest import HttpAnswer

# A guard against hanging only.
DEADLINE_SECONDS = 60.0


class IntakeSite:
    """An intake that listens; `keys` are by scope, of the project `p`, and 'other' writes to the project `q`."""

    def __init__(self, folder: Path, limits: IntakeLimits) -> None:
        self._folder = folder
        self._limits = limits
        self.port = 0
        self.keys: dict[str, str] = {}
        self._ready: Future[None] = Future()
        self._thread = threading.Thread(target=lambda: uvloop.run(self._serve()), daemon=True)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        engine = open_engine(sqlite_url(self._folder))
        run_migrations(engine)
        self.catalog = Catalog(engine)
        for project in ("p", "q"):
            self.catalog.create_project(project)
        self.keys = {scope: self.catalog.create_key("p", scope) for scope in ("write", "read", "admin")}
        self.keys["other"] = self.catalog.create_key("q", "write")
        journal = SegmentWriter(self._folder / "journal")
        self.snapshots = SnapshotSource(self.catalog)
        self.intake = Intake(
            journal, Acceptor(journal, 1), self.snapshots, b"secret", self._limits,
            trusted_proxies=parse_networks("127.0.0.1"),
        )  # fmt: skip
        server = HttpServer(_nothing, self.intake.open, Bounds())
        self.port = await server.start("127.0.0.1", 0)
        self._ready.set_result(None)
        await self._stop.wait()
        await server.stop()
        await self.intake.acceptor.drain()
        self.intake.close_workers()
        journal.close()
        engine.dispose()

    def start(self) -> IntakeSite:
        self._thread.start()
        self._ready.result(DEADLINE_SECONDS)
        return self

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(DEADLINE_SECONDS)
        assert not self._thread.is_alive()

    def call(self, function: Callable[[], Any]) -> Any:
        """Call something on the server's loop."""

        async def run() -> Any:
            return function()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(DEADLINE_SECONDS)

    def limit_rate(self, events_per_second: int) -> None:
        """Let the project `p` send so many events a second; 0 for any number."""

        def change() -> None:
            self.catalog.change_project("p", rate_limit=events_per_second)
            self.snapshots.look()

        self.call(change)

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> HttpAnswer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_SECONDS)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            told = {name.lower(): value for name, value in response.getheaders()}
            return HttpAnswer(response.status, told, response.read())
        finally:
            connection.close()

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE_SECONDS)

    def read_records(self, start: int = 0) -> list[Record]:
        """Return the durable records from a number on."""
        reader = SegmentReader(self._folder / "journal")
        try:
            found: list[Record] = []
            while more := reader.read_from(start + len(found), 1 << 24):
                found += more
            return found
        finally:
            reader.close()

    def count_held(self) -> tuple[int, int]:
        """Return the bytes and requests that the intake holds, of projects and of addresses together."""

        def count() -> tuple[int, int]:
            budgets = (self.intake.projects.budget, self.intake.addresses.budget)
            return sum(one._all_bytes for one in budgets), sum(one._all_requests for one in budgets)

        return self.call(count)


async def _nothing(scope: Any, receive: Any, send: Any) -> None:
    """Be an application that has nothing."""
    if scope["type"] == "lifespan":
        for _ in range(2):
            what = (await receive())["type"]
            await send({"type": f"{what}.complete"})
        return
    await send({"type": "http.response.start", "status": 404, "headers": []})
    await send({"type": "http.response.body", "body": b""})
