"""The real PostHog SDKs, unchanged but for their host, and a proxy that loses answers; for tests/journeys/test_posthog.py."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from posthog import Posthog

from tests.conftest import DEADLINE_SECONDS, lack

POSTHOG_NODE = "posthog-node@5.70.0"
SCRIPT = Path(__file__).parent / "posthog_events.mjs"


@dataclass(frozen=True)
class Sent:
    """One call of an SDK, and what has to reach the store for it. `attributes` are those that the application gave."""

    method: str
    event_id: str
    time: datetime
    row: dict[str, Any]
    attributes: dict[str, Any]
    arguments: dict[str, Any]


def build_calls(prefix: str, count: int, start: datetime, step: Any) -> list[Sent]:
    """Make calls of all sorts: events of people and of nobody, with groups and pages, identities, aliases and groups."""
    return [_build_call(prefix, number, start + number * step) for number in range(count)]


def _build_call(prefix: str, number: int, at: datetime) -> Sent:
    event_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{prefix}-{number}"))
    person = f"person-{number % 17}"
    properties: dict[str, Any] = {
        "number": number, "price": number / 4, "nested": {"list": [number, None, "später €"], "yes": True},
    }  # fmt: skip
    if number % 20 == 7:
        row = {"event_name": "$set", "event_type": "identify", "user_id": person}
        return Sent(
            "set", event_id, at, row, {"$set": properties}, {"person": person, "properties": properties}
        )
    if number % 20 == 11:
        row = {"event_name": "$groupidentify", "event_type": "group"}
        attributes = {"$group_type": "company", "$group_key": f"c-{number}", "$group_set": properties}
        return Sent("group", event_id, at, row, attributes, {"key": f"c-{number}", "properties": properties})
    if number % 20 == 13:
        row = {"event_name": "$create_alias", "event_type": "alias"}
        return Sent(
            "alias",
            event_id,
            at,
            row,
            {"alias": f"alias-{number}"},
            {"person": person, "alias": f"alias-{number}"},
        )
    row = {"event_name": f"bought-{number % 5}", "event_type": "track", "user_id": person}
    given = dict(properties)
    if number % 4 == 1:
        row |= {
            "page_url": f"https://shop.example/{number}",
            "session_id": f"s-{number}",
            "agent_os": "Linux",
        }
        given |= {"$current_url": row["page_url"], "$session_id": row["session_id"], "$os": "Linux"}
    if number % 6 == 1:
        row = {**row, "user_id": "", "install_id": person}
        given["$process_person_profile"] = False
        properties = {**properties, "$process_person_profile": False}
    groups = {"company": f"c-{number}"} if number % 3 == 1 else {}
    if groups:
        row["performer_groups"] = [f"company:c-{number}"]
    arguments = {"person": person, "event": row["event_name"], "properties": given, "groups": groups}
    return Sent("capture", event_id, at, row, properties, arguments)


class PythonSender:
    """`posthog` from PyPI, in this process."""

    def __init__(self, host: str, key: str) -> None:
        self.errors: list[str] = []
        self._client = Posthog(key, host=host, on_error=lambda error, _: self.errors.append(str(error)))

    def send(self, calls: list[Sent], pause: float = 0.0) -> None:
        for call in calls:
            self._send(call)
            time.sleep(pause)

    def finish(self) -> list[str]:
        """Send what waits; return the errors that the SDK reported."""
        self._client.shutdown()
        return self.errors

    def is_enabled(self, flag: str) -> Any:
        return self._client.evaluate_flags("u-1").is_enabled(flag)

    def _send(self, call: Sent) -> None:
        given, common = call.arguments, {"timestamp": call.time, "uuid": call.event_id}
        if call.method == "set":
            self._client.set(distinct_id=given["person"], properties=given["properties"], **common)
        elif call.method == "group":
            self._client.group_identify("company", given["key"], given["properties"], **common)
        elif call.method == "alias":
            self._client.alias(given["person"], given["alias"], **common)
        else:
            options = {"distinct_id": given["person"], "properties": given["properties"], **common}
            self._client.capture(given["event"], groups=given["groups"] or None, **options)


class NodeSender:
    """`posthog-node` from npm, in a process of its own."""

    def __init__(self, host: str, key: str, folder: Path) -> None:
        self._command = ["node", str(SCRIPT), host, key]
        self._environment = {**os.environ, "POSTHOG_NODE_FOLDER": str(folder)}
        self._process: subprocess.Popen[str] | None = None

    def send(self, calls: list[Sent], pause: float = 0.0, flag: str = "") -> None:
        """Begin to send; returns when all calls were given to the SDK's process, not when they were made."""
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._process = subprocess.Popen(self._command, env=self._environment, **pipes)
        assert self._process.stdin is not None
        asked = {"calls": list(map(_build_node_call, calls)), "pauseMs": pause * 1000, "flag": flag}
        json.dump(asked, self._process.stdin)
        self._process.stdin.close()
        self._process.stdin = None

    def finish(self) -> list[str]:
        return self.read_end()["errors"]

    def read_end(self) -> dict[str, Any]:
        assert self._process is not None
        out, _ = self._process.communicate(timeout=2 * DEADLINE_SECONDS)
        assert self._process.returncode == 0
        return json.loads(out.splitlines()[-1])


def _build_node_call(call: Sent) -> dict[str, Any]:
    """Say a call as posthog-node's `capture` takes it: only that lets the caller choose id and time."""
    given = call.arguments
    message = {"timestamp": call.time.isoformat(), "uuid": call.event_id}
    if call.method == "set":
        message |= {
            "distinctId": given["person"],
            "event": "$set",
            "properties": {"$set": given["properties"]},
        }
    elif call.method == "group":
        properties = {"$group_type": "company", "$group_key": given["key"], "$group_set": given["properties"]}
        message |= {
            "distinctId": f"$company_{given['key']}",
            "event": "$groupidentify",
            "properties": properties,
        }
    elif call.method == "alias":
        properties = {"distinct_id": given["person"], "alias": given["alias"]}
        message |= {"distinctId": given["person"], "event": "$create_alias", "properties": properties}
    else:
        message |= {"distinctId": given["person"], "event": given["event"], "properties": given["properties"]}
        if given["groups"]:
            message["groups"] = given["groups"]
    return {"method": "capture", "message": message}


def install_node_sdk() -> Path:
    """Install posthog-node into a cache, once for all runs; return its folder. Skips where there is no npm."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        lack("no npm: posthog-node cannot be tried (apt-get install npm)")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tallymark-tests"
    folder = cache / POSTHOG_NODE.replace("@", "-")
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "done").exists():
            command = [npm, "install", "--prefix", str(folder), "--no-audit", "--no-fund", POSTHOG_NODE]
            folder.mkdir(exist_ok=True)
            done = subprocess.run(command, capture_output=True, text=True, timeout=10 * DEADLINE_SECONDS)
            if done.returncode:
                lack(f"npm cannot install {POSTHOG_NODE}: {done.stderr[-300:]}")
            (folder / "done").touch()
    return folder


@dataclass
class LossyProxy:
    """Passes requests on to a server, one a connection, and drops every third answer after the server has given it."""

    server_port: int
    lost: int = 0
    passed: int = 0
    port: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextlib.contextmanager
    def listen(self) -> Iterator[str]:
        """Give the proxy's address while it listens."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            self.port = listening.getsockname()[1]
            thread = threading.Thread(target=self._accept, args=(listening,), daemon=True)
            thread.start()
            yield f"http://127.0.0.1:{self.port}"
            with contextlib.suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)
        thread.join(DEADLINE_SECONDS)

    def _accept(self, listening: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listening.accept()
                threading.Thread(target=self._pass, args=(client,), daemon=True).start()

    def _pass(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            client.settimeout(DEADLINE_SECONDS)
            request = _read_request(client)
            if not request:
                return
            with socket.create_connection(("127.0.0.1", self.server_port), DEADLINE_SECONDS) as server:
                server.sendall(request)
                answer = b""
                while piece := server.recv(65536):
                    answer += piece
            with self._lock:
                number = self.lost + self.passed
                loses = number % 3 == 0
                self.lost, self.passed = self.lost + loses, self.passed + (not loses)
            if not loses:
                client.sendall(answer)


def _read_request(client: socket.socket) -> bytes:
    """Read one request whole, and have its connection end behind the answer."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = client.recv(65536)
        if not piece:
            return b""
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    length = next(
        (int(line.split(b":")[1]) for line in lines if line.lower().startswith(b"content-length:")), 0
    )
    while len(body) < length:
        body += client.recv(65536)
    kept = [line for line in lines if not line.lower().startswith(b"connection:")]
    return b"\r\n".join([*kept, b"Connection: close"]) + b"\r\n\r\n" + body
