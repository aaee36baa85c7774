"""A real server of ours on a free port, in a thread with a loop of its own, with a small application and a small intake."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

import pytest
import uvloop

from tallymark.errors import ReaderStopped
from tallymark.server.http.bounds import Bounds
from tallymark.server.http.request import Request
from tallymark.server.http.server import HttpServer

# A guard against hanging only.
DEADLINE_SECONDS = 60.0


class SmallUpload:
    """Takes requests below /direct as the intake does: answers when the body is whole, or when the gate opens."""

    def __init__(self, site: Site, request: Request) -> None:
        self._site = site
        self._request = request
        self._done = False

    def begin(self) -> None:
        if self._request.path == "/direct/refused":
            self._answer(401)
            return
        self._request.claim("")
        self._request.welcome()

    def advance(self) -> None:
        if self._done or not self._request.complete:
            return
        self._done = True
        if self._request.path == "/direct/slow":
            self._site.waiting.append(self)
        else:
            self._answer(200)

    def _answer(self, status: int) -> None:
        self._done = True
        query = parse_qs(self._request.query.decode())
        size = int(query.get("bytes", ["0"])[0])
        body = b"x" * size or json.dumps({"size": len(self._request.read())}).encode()
        self._request.answer(status, {"content-type": "application/json"}, body)

    def expire(self, pause: float, _: float) -> None:
        if not self._done and pause > self._site.patience:
            self._done = True
            self._request.answer(408, {}, b"", close=True)

    def leave(self) -> None:
        self._site.seen["left"] += 1


@dataclass
class Ask:
    scope: Any
    query: dict[str, str]
    receive: Any
    send: Any


class Site:
    """The application, and what it saw."""

    def __init__(self, bounds: Bounds) -> None:
        self.seen: Counter[str] = Counter()
        self.bodies: list[int] = []
        self.patience = 1000.0
        self.waiting: list[SmallUpload] = []
        self.turned_away: list[str] = []
        self.port = 0
        self._ready: Future[None] = Future()
        self.server = HttpServer(self.application, self.open, bounds, self.turned_away.append)
        self._thread = threading.Thread(target=lambda: uvloop.run(self._serve()), daemon=True)

    def open(self, request: Request) -> Any:
        return SmallUpload(self, request) if request.path.startswith("/direct") else None

    async def _serve(self) -> None:
        self.loop, self.gate, self._stop = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
        self.port = await self.server.start("127.0.0.1", 0)
        self._ready.set_result(None)
        await self._stop.wait()
        await self.server.stop()

    def start(self) -> Site:
        self._thread.start()
        self._ready.result(DEADLINE_SECONDS)
        return self

    def begin_stop(self) -> None:
        self.loop.call_soon_threadsafe(self._stop.set)

    def stop(self) -> None:
        if self._thread.is_alive():
            with contextlib.suppress(RuntimeError):
                self.call(self._release)
                self.begin_stop()
            self._thread.join(DEADLINE_SECONDS)
            assert not self._thread.is_alive()

    def call(self, function: Callable[[], Any]) -> Any:
        """Call something on the server's loop."""

        async def run() -> Any:
            return function()

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(DEADLINE_SECONDS)

    def _release(self) -> None:
        self.gate.set()
        waiting, self.waiting = self.waiting, []
        for upload in waiting:
            upload._answer(200)

    def release(self) -> None:
        """Let what is slow go on."""
        self.call(self._release)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE_SECONDS)

    def connections(self) -> list[Any]:
        return self.call(self.server._serving.connections.all)

    async def application(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for _ in range(2):
                what = (await receive())["type"]
                self.seen[what] += 1
                await send({"type": f"{what}.complete"})
            return
        self.seen[scope["path"]] += 1
        query = {name: values[0] for name, values in parse_qs(scope["query_string"].decode()).items()}
        await getattr(self, f"_{scope['path'].strip('/').partition('/')[0]}")(
            Ask(scope, query, receive, send)
        )

    async def _echo(self, ask: Ask) -> None:
        body = b""
        while True:
            message = await ask.receive()
            if message["type"] == "http.disconnect":
                self.seen["disconnected"] += 1
                return
            body += message["body"]
            if not message["more_body"]:
                break
        found = {name: ask.scope[name] for name in ("method", "path", "http_version", "client", "scheme")}
        text = json.dumps({**found, "query": ask.query, "body": body.decode("latin-1")}).encode()
        await self._answer(ask.send, text)

    async def _slow(self, ask: Ask) -> None:
        await self.gate.wait()
        await self._echo(ask)

    async def _large(self, ask: Ask) -> None:
        ask.scope["state"]["owner"] = ask.query.get("owner", "")
        await self._answer(ask.send, b"x" * int(ask.query["bytes"]))

    async def _stream(self, ask: Ask) -> None:
        await ask.send({"type": "http.response.start", "status": 200, "headers": []})
        for number in range(int(ask.query["pieces"])):
            self.seen["pieces"] = number + 1
            await ask.send({"type": "http.response.body", "body": b"y" * 65_536, "more_body": True})
        await ask.send({"type": "http.response.body", "body": b"end"})

    async def _empty(self, ask: Ask) -> None:
        await ask.send({"type": "http.response.start", "status": 204, "headers": []})
        await ask.send({"type": "http.response.body", "body": b""})

    async def _gone(self, ask: Ask) -> None:
        while (await ask.receive())["type"] != "http.disconnect":
            self.seen["asked"] += 1
        self.seen["disconnected"] += 1

    async def _boom(self, _: Ask) -> None:
        raise ValueError("boom")

    async def _stopped(self, ask: Ask) -> None:
        """End a stream early, as a framework passes on what its stream raises."""
        await ask.send({"type": "http.response.start", "status": 200, "headers": []})
        await ask.send({"type": "http.response.body", "body": b"abc", "more_body": True})
        why = ReaderStopped()
        why.__cause__ = OSError("disk full") if ask.query["why"] == "disk" else None
        raise RuntimeError("the response has begun") from ExceptionGroup("tasks", [why])

    async def _short(self, ask: Ask) -> None:
        headers = [(b"content-length", b"10")]
        await ask.send({"type": "http.response.start", "status": 200, "headers": headers})
        await ask.send({"type": "http.response.body", "body": b"abc"})

    async def _broken(self, ask: Ask) -> None:
        headers = [(b"x-name", ask.query["value"].encode("latin-1"))]
        await ask.send({"type": "http.response.start", "status": 200, "headers": headers})
        await ask.send({"type": "http.response.body", "body": b"abc"})

    async def _answer(self, send: Any, body: bytes, status: int = 200) -> None:
        headers = [(b"Content-Type", b"application/json"), (b"Content-Length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


@pytest.fixture
def make_site() -> Iterator[Callable[..., Site]]:
    """Give a maker of started servers; its arguments are bounds."""
    made: list[Site] = []

    def make(**bounds: Any) -> Site:
        made.append(Site(Bounds(**bounds)).start())
        return made[-1]

    yield make
    for site in made:
        site.stop()


@pytest.fixture
def site(make_site: Callable[..., Site]) -> Site:
    return make_site()
