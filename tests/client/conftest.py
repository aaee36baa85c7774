"""A far side on 127.0.0.1 that can be told to misbehave, and clients that are closed at the end of a test."""

from __future__ import annotations

import gzip
import http.server
import json
import logging
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tallymark import Client
from tallymark.client.core import open_cores
from tallymark.testing import CaptureSink

HANG_GUARD = 30.0


class Intake(http.server.ThreadingHTTPServer):
    """Takes events as the real intake does, unless `script` holds something else to do for the next request."""

    daemon_threads = True
    block_on_close = True

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.requests: list[dict[str, Any]] = []
        self.script: deque[Callable[[Any, list[Any]], None]] = deque()
        self.always: Callable[[Any, list[Any]], None] | None = None
        self.released = threading.Event()
        self.guard = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client that hangs up is part of the tests."""

    def wait_for(self, done: Callable[[], object], seconds: float = HANG_GUARD) -> bool:
        end = time.monotonic() + seconds
        while not done():
            if time.monotonic() > end:
                return False
            time.sleep(0.005)
        return True

    @property
    def ids(self) -> list[str]:
        return [event["event_id"] for event in self.events]

    @property
    def reports(self) -> list[dict[str, Any]]:
        texts = [request["headers"].get("Tallymark-Client-Report") for request in self.requests]
        return [json.loads(text) for text in texts if text]


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Intake

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        plain = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
        events = (
            json.loads(plain) if plain.startswith(b"[") else [json.loads(line) for line in plain.split(b"\n")]
        )
        with self.server.guard:
            self.server.requests.append(
                {"path": self.path, "headers": dict(self.headers), "events": events, "size": len(body)}
            )
            act = self.server.script.popleft() if self.server.script else self.server.always
        if act is None:
            self.accept(events)
        else:
            act(self, events)

    def accept(self, events: list[Any]) -> None:
        with self.server.guard:
            self.server.events.extend(events)
        self.answer(200, {"accepted": len(events), "rejected": []})

    def answer(self, status: int, content: Any, headers: dict[str, str] | None = None) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def reset(self) -> None:
        """Close so that the far side sees a reset, not an end."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def sink() -> CaptureSink:
    return CaptureSink()


@pytest.fixture
def intake() -> Iterator[Intake]:
    server = Intake()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield server
    server.released.set()
    server.shutdown()
    server.server_close()
    thread.join(HANG_GUARD)


@pytest.fixture
def connect(intake: Intake) -> Callable[..., Client]:
    """Make clients of the intake that neither wait long between batches nor between retries."""

    def make(**settings: Any) -> Client:
        quick = {"flush_interval": 0.02, "retry_base": 0.005, "retry_cap": 0.02}
        return Client(settings.pop("url", intake.url), "test-key", **(quick | settings))

    return make


@pytest.fixture(autouse=True)
def _close_clients(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("TALLYMARK_URL", "TALLYMARK_WRITE_KEY", "TALLYMARK_KEY", "TALLYMARK_DISABLED"):
        monkeypatch.delenv(name, raising=False)
    before = set(open_cores())
    yield
    for core in set(open_cores()) - before:
        core.close(0.05)


@pytest.fixture
def refused_port() -> int:
    """Return a port on which nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@pytest.fixture
def warnings_said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collect what the library logs, as if nothing had been said before."""
    said: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    monkeypatch.setattr("tallymark.client.log._seen", {})
    handler = Handler()
    logger = logging.getLogger("tallymark")
    logger.addHandler(handler)
    yield said
    logger.removeHandler(handler)
