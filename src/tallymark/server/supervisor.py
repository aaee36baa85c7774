"""`tallymark serve`: starts the processes, restarts what dies, and takes all of them down in order.

The intake comes first, because it needs nobody else to keep its promise. A child that ends is started again,
more slowly each time it fails soon after its start. A store that lives and answers nothing is ended first.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
import structlog

from tallymark.server.config import Config
from tallymark.server.orders import Orders
from tallymark.store.heartbeat import watch_store

log = structlog.get_logger("tallymark.server")

# In this order they end: first nothing new comes in, then what is there is loaded, then the store closes.
_STOP_ORDER = ("web", "jobs", "loader", "store")
_STOP_SECONDS = {"web": 15.0, "jobs": 20.0, "loader": 20.0, "store": 20.0}
_SOON_SECONDS = 10.0


@dataclass(slots=True)
class _Child:
    role: str
    process: subprocess.Popen[bytes]
    started: float
    ready: threading.Event = field(default_factory=threading.Event)
    note: str = ""


class Supervisor:
    """Runs the processes of one server until `stop` is called."""

    def __init__(self, config: Config) -> None:
        if not config.port:
            # Chosen here, so that it stays the same when the web process is restarted.
            config = msgspec.structs.replace(config, port=_find_port(config.host))
        self._config = config
        self._orders = _build_orders(config)
        self._roles = (
            ("web", "loader", "jobs") if config.clickhouse_url else ("web", "store", "loader", "jobs")
        )
        self._children: dict[str, _Child] = {}
        self._pauses = dict.fromkeys(self._roles, 0.0)
        self._restart_at: dict[str, float] = {}
        self._stopping = threading.Event()

    def run(self, on_ready: Callable[[str], None]) -> int:
        """Run until told to stop; `on_ready` gets the server's address once the intake answers.

        Returns the exit code: 0 after an orderly stop, 1 when the intake could not be started at all.
        """
        for role in self._roles:
            self._start(role)
        while not self._children["web"].ready.wait(0.05):
            if self._stopping.is_set():
                break
            # What was killed is started again, now as later; what ended by itself would only end again.
            if (self._children["web"].process.poll() or 0) > 0:
                log.error("server_cannot_start", fix="the lines above tell why")
                self._stop_all()
                return 1
            self._look_after()
        else:
            on_ready(self._children["web"].note)
        while not self._stopping.wait(0.2):
            self._look_after()
        self._stop_all()
        return 0

    def stop(self) -> None:
        """Ask `run` to end; safe in a signal handler."""
        self._stopping.set()

    def _start(self, role: str) -> None:
        process = subprocess.Popen(
            [sys.executable, "-m", "tallymark.server.processes", role],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # A Ctrl-C at the terminal is for the supervisor alone, which ends the others in order.
            start_new_session=True,
        )
        child = _Child(role, process, time.monotonic())
        self._children[role] = child
        try:
            process.stdin.write(msgspec.json.encode(self._orders) + b"\n")  # type: ignore[union-attr]
            process.stdin.flush()  # type: ignore[union-attr]
        except BrokenPipeError:
            return
        threading.Thread(target=self._listen, args=(child,), name=f"{role}-ready", daemon=True).start()

    def _listen(self, child: _Child) -> None:
        """Wait for the child to say that it is ready; what else it prints goes nowhere."""
        for line in child.process.stdout or ():
            if line.startswith(b"ready"):
                child.note = line[5:].strip().decode()
                child.ready.set()
                if child.role == "store":
                    given = (child.process, self._orders.store_url, self._stopping)
                    threading.Thread(target=watch_store, args=given, name="store-watch", daemon=True).start()

    def _look_after(self) -> None:
        """Start again what has ended."""
        now = time.monotonic()
        for role, child in list(self._children.items()):
            code = child.process.poll()
            if code is None:
                continue
            if role not in self._restart_at:
                soon = now - child.started < _SOON_SECONDS
                longest = self._config.restart_pause_seconds
                self._pauses[role] = min(longest, max(0.2, self._pauses[role] * 2)) if soon else 0.0
                self._restart_at[role] = now + self._pauses[role]
                log.warning("process_ended", role=role, code=code, restart_in_s=self._pauses[role])
            if now >= self._restart_at[role]:
                del self._restart_at[role]
                _close_pipes(child)
                self._start(role)

    def _stop_all(self) -> None:
        for role in _STOP_ORDER:
            child = self._children.get(role)
            if child is None or child.process.poll() is not None:
                continue
            child.process.send_signal(signal.SIGTERM)
            try:
                child.process.wait(_STOP_SECONDS[role])
            except subprocess.TimeoutExpired:
                log.warning(
                    "process_killed", role=role, fix="it did not end in time; nothing acknowledged is lost"
                )
                child.process.kill()
                child.process.wait()
        for child in self._children.values():
            _close_pipes(child)


def _build_orders(config: Config) -> Orders:
    if config.clickhouse_url:
        return Orders(config, config.clickhouse_url, 0, os.environ.get("TALLYMARK_CLICKHOUSE_PASSWORD", ""))
    port = _find_port()
    return Orders(config, f"http://127.0.0.1:{port}", port, secrets.token_urlsafe(32))


def _find_port(host: str = "127.0.0.1") -> int:
    """Find a free port; the process that gets it keeps it through its restarts."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _close_pipes(child: _Child) -> None:
    for pipe in (child.process.stdin, child.process.stdout):
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
