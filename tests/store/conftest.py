"""A real store process for the tests of this room, and ways to talk to it."""

from __future__ import annotations

import http.client
import json
import multiprocessing
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tallymark.store.chdb_server import run_store
from tallymark.store.client import StoreClient
from tallymark.store.migrations import run_migrations

PASSWORD = "store-test-password"
START_SECONDS = 60.0


def _serve(data_dir: str, pipe: Connection, port: int = 0) -> None:
    run_store(Path(data_dir), port, PASSWORD, memory_limit_bytes=2 << 30, ready=pipe.send)


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


@dataclass
class StoreProcess:
    """A store in a process of its own, which can be killed and started again on the same folder."""

    data_dir: Path
    port: int = 0
    process: multiprocessing.process.BaseProcess | None = None
    clients: list[StoreClient] = field(default_factory=list)

    def start(self, port: int = 0) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe(duplex=False)
        self.process = context.Process(target=_serve, args=(str(self.data_dir), theirs, port))
        self.process.start()
        theirs.close()
        assert ours.poll(START_SECONDS), "the store did not start"
        self.port = ours.recv()
        ours.close()

    @property
    def pid(self) -> int:
        assert self.process is not None
        assert self.process.pid is not None
        return self.process.pid

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        assert self.process is not None
        self.process.join(START_SECONDS)

    def stop(self) -> int | None:
        for client in self.clients:
            client.close()
        if self.process is None or not self.process.is_alive():
            return None
        self.process.terminate()
        self.process.join(START_SECONDS)
        if self.process.is_alive():
            self.kill()
        return self.process.exitcode

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, **options) -> StoreClient:
        client = StoreClient(self.url, password=PASSWORD, **options)
        self.clients.append(client)
        return client

    def visitor(self, project: str) -> StoreClient:
        client = StoreClient(
            self.url, user="public", password=PASSWORD, headers={"X-Tallymark-Project": project}
        )
        self.clients.append(client)
        return client

    def ask(
        self, body: bytes | str = b"", method="POST", path="/", headers=None, project="", **parameters
    ) -> Answer:
        """Send one bare HTTP request, as curl would, and return the whole answer."""
        sent = {"X-ClickHouse-User": "public" if project else "tallymark", "X-ClickHouse-Key": PASSWORD}
        if project:
            sent["X-Tallymark-Project"] = project
        sent.update(headers or {})
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            target = f"{path}?{urlencode(parameters)}" if parameters else path
            connection.request(method, target, body.encode() if isinstance(body, str) else body, sent)
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()


@pytest.fixture
def store_process(tmp_path: Path) -> Iterator[StoreProcess]:
    """Start a store of the test's own, empty and migrated."""
    process = StoreProcess(tmp_path / "data")
    process.start()
    try:
        run_migrations(process.client())
        yield process
    finally:
        process.stop()


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreProcess]:
    """Start a store that the tests of a worker share: use tables or projects of the test's own."""
    process = StoreProcess(tmp_path_factory.mktemp("store"))
    process.start()
    try:
        run_migrations(process.client())
        yield process
    finally:
        process.stop()


@pytest.fixture
def build_row():
    """Return a builder of rows as the loader sends them."""

    def build(number: int = 0, **fields) -> dict:
        return {
            "client_time": "2026-01-01T00:00:00.5Z",
            "event_id": f"event-{number}",
            "event_type": "behavior",
            "event_name": "clicked",
            "attributes": {},
            "project": "default",
            "source": "http",
            "received_at": "2026-01-01T00:00:01.123456Z",
            "skew_ms": 0,
            "journal_shard": 0,
            "journal_record": number,
            **fields,
        }

    return build


@pytest.fixture
def render_rows(build_row):
    """Return a function that renders rows as NDJSON."""

    def render(rows: list[dict]) -> bytes:
        return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)

    return render
