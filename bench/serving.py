"""A server of one's own for a measurement: started in a folder of its own, watched by the operating system's numbers."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Self

import psutil

WRITE_KEY, READ_KEY = "bench-write-key-000000", "bench-read-key-0000000"


class Server:
    """`tallymark serve` on a free port; a context manager. `folder` keeps the data when it is given."""

    def __init__(self, folder: Path | None = None, *settings: str) -> None:
        self._own = folder is None
        self.folder = folder or Path(tempfile.mkdtemp(prefix="tallymark-bench-"))
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._settings = settings
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        if self._own:
            shutil.rmtree(self.folder, ignore_errors=True)

    def start(self) -> float:
        """Start; returns the seconds until the first 2xx of the intake."""
        environment = os.environ | {
            "TALLYMARK_WRITE_KEY": WRITE_KEY,
            "TALLYMARK_READ_KEY": READ_KEY,
            "TALLYMARK_ADMIN_PASSWORD": "bench-password",
            "TALLYMARK_LOG_LEVEL": "error",
        }
        # An installed program is compiled; where it runs from a checkout, its first start compiles it.
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        command = [str(Path(sys.executable).with_name("tallymark")), "serve"]
        command += ["--data", str(self.folder), "--port", str(self.port)]
        for setting in self._settings:
            command += ["--set", setting]
        started = time.perf_counter()
        self.process = subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        while not self._answers():
            time.sleep(0.01)
        first = time.perf_counter() - started
        while not self.ready():
            time.sleep(0.02)
        return first

    def restart(self, *settings: str) -> None:
        """Stop and start again with other settings."""
        self.stop()
        self._settings = settings
        self.start()

    def post(self, body: bytes) -> None:
        """Send one body of events."""
        request = urllib.request.Request(
            f"{self.url}/v1/events", body, {"Authorization": f"Bearer {WRITE_KEY}"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert answer.status == 200

    def _answers(self) -> bool:
        request = urllib.request.Request(
            f"{self.url}/v1/events", b"[]", {"Authorization": f"Bearer {WRITE_KEY}"}
        )
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def ready(self) -> bool:
        """Tell whether journal and store work."""
        try:
            self.get("/readyz")
        except (urllib.error.URLError, OSError):
            return False
        return True

    def get(self, path: str) -> dict[str, Any]:
        """Read from the API."""
        request = urllib.request.Request(self.url + path, headers={"Authorization": f"Bearer {READ_KEY}"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        """Ask a question."""
        found: dict[str, Any] = json.loads(self.ask_raw(question))
        return found

    def ask_raw(self, question: dict[str, Any], key: str = READ_KEY) -> bytes:
        """Ask a question and return the answer as it comes; anything but 200 raises."""
        body = json.dumps(question).encode()
        request = urllib.request.Request(f"{self.url}/v1/query", body, {"Authorization": f"Bearer {key}"})
        with urllib.request.urlopen(request, timeout=120) as answer:
            found: bytes = answer.read()
        return found

    def knows(self, key: str) -> bool:
        """Tell whether a key that was just made may read by now."""
        request = urllib.request.Request(f"{self.url}/v1/ledger", headers={"Authorization": f"Bearer {key}"})
        try:
            with urllib.request.urlopen(request, timeout=60):
                return True
        except urllib.error.HTTPError:
            return False

    def wait_loaded(self, pause: float = 0.02) -> float:
        """Wait until nothing is in flight; returns the seconds."""
        started = time.perf_counter()
        while self.get("/readyz")["lag_events"]:
            time.sleep(pause)
        return time.perf_counter() - started

    def processes(self) -> list[psutil.Process]:
        """Return all processes of the server."""
        assert self.process is not None
        root = psutil.Process(self.process.pid)
        return [root, *root.children(recursive=True)]

    def role(self, name: str) -> psutil.Process:
        """Return the process of one role."""
        return next(process for process in self.processes() if process.cmdline()[-1:] == [name])

    def cpu_seconds(self) -> float:
        """Return the CPU seconds of all processes so far."""
        return float(sum(sum(process.cpu_times()[:2]) for process in self.processes()))

    def pss_bytes(self) -> int:
        """Return the memory of all processes, shared pages counted once."""
        return sum(process.memory_full_info().pss for process in self.processes())

    def kill(self) -> None:
        """Kill all processes at once, as a crash would."""
        found = self.processes()
        for process in found:
            process.kill()
        psutil.wait_procs(found, timeout=10)
        assert self.process is not None
        self.process.wait()

    def stop(self) -> None:
        """Stop in order."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(60)


class PeakMemory:
    """Samples a server's memory every 100 ms while the block runs."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._ended = threading.Event()
        self.peak = 0

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._sample)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._ended.wait(0.1):
            try:
                self.peak = max(self.peak, self._server.pss_bytes())
            except psutil.Error:
                continue


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
