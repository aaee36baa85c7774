"""What several rooms' tests share: a real server in processes of its own, with ways to talk to it and to hurt it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import psutil
import pytest
from hypothesis import HealthCheck, settings
from prometheus_client.parser import text_string_to_metric_families

from tallymark.catalog.repository import Catalog
from tallymark.catalog.tables import open_engine, sqlite_url
from tallymark.crashpoints import POINTS

# Hypothesis would fail a test because the machine is busy: for a slow example, or for slow data.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")
# Guards against hanging only: generous, because the machine may be busy.
DEADLINE_SECONDS = 90.0
WRITE_KEY, READ_KEY = "write-key-of-the-tests-1", "read-key-of-the-tests-1"
PASSWORD = "password-of-the-tests"
ROLES = ("web", "store", "loader", "jobs")
# Where a process may die while clients send. Alerts die in `tests/journeys/test_alerts.py`, the copy of an older table in
# `tests/store/test_copying.py`.
POINTS_OF_EVENTS = [point for point in POINTS if not point.startswith(("alerts.", "copy."))]
# What the server would leave out rather than be late with: here it is waited for, however busy the machine is.
PATIENT = {"alert_picture_seconds": DEADLINE_SECONDS}


def lack(reason: str) -> None:
    """Skip, but not in CI: there a gate that was not tried has not been passed."""
    (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)


def utc(text: str) -> datetime:
    """Return a moment from ISO 8601 without a zone."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@dataclass
class HttpAnswer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class RunningServer:
    """`tallymark serve` on a folder and a port of its own; both stay the same when it is started again."""

    folder: Path
    settings: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    port: int = 0
    process: subprocess.Popen[bytes] | None = None
    admin_key: str = ""

    def __post_init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]

    write_key, read_key, password = WRITE_KEY, READ_KEY, PASSWORD

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def log(self) -> str:
        return (self.folder / "server.log").read_text("utf-8", "replace")

    def command(self, *arguments: str) -> list[str]:
        start = "from tallymark.server.cli import main; main()"
        return [sys.executable, "-c", start, *arguments]

    def variables(self) -> dict[str, str]:
        # Servers start often: their compiled code is kept, as an installed program's is.
        dropped = ("TALLYMARK_", "PYTHONDONTWRITEBYTECODE")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
        keys = {
            "TALLYMARK_WRITE_KEY": WRITE_KEY,
            "TALLYMARK_READ_KEY": READ_KEY,
            "TALLYMARK_ADMIN_PASSWORD": PASSWORD,
        }
        return {**inherited, **keys, **self.environment}

    # Life

    def launch(self) -> None:
        """Start the processes without waiting for anything."""
        flags = [
            "--port",
            str(self.port),
            *(f"--set={name}={value}" for name, value in (PATIENT | self.settings).items()),
        ]
        command = self.command("serve", "--data", str(self.data), *flags)
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "server.log").open("ab") as log:
            options = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
            self.process = subprocess.Popen(command, cwd=self.folder, env=self.variables(), **options)

    def start(self) -> RunningServer:
        """Start the processes and wait until the server is ready."""
        self.launch()
        self.wait_ready()
        if not self.admin_key:
            self.admin_key = self.make_key("admin")
        return self

    def stop(self) -> int:
        """End the server in order; return its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(DEADLINE_SECONDS)

    def kill_all(self) -> None:
        """Kill the supervisor and with it everything else; return when nobody holds the folder any more."""
        assert self.process is not None
        children = psutil.Process(self.process.pid).children(recursive=True)
        self.process.kill()
        self.process.wait()
        _, alive = psutil.wait_procs(children, timeout=DEADLINE_SECONDS)
        assert not alive, f"children outlive their parent: {alive}"

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            with contextlib.suppress(psutil.NoSuchProcess):
                self.kill_all()

    def pids(self) -> dict[str, int]:
        """Return the process ids of the roles that run."""
        assert self.process is not None
        found = {}
        for child in psutil.Process(self.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied, IndexError):
                role = child.cmdline()[-1]
                if role in ROLES:
                    found[role] = child.pid
        return found

    def signal(self, role: str, number: int = signal.SIGKILL) -> int:
        """Send a signal to one role; return the process id that got it."""
        pid = self.wait_until(lambda: self.pids().get(role), f"{role} runs")
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        return pid

    # Talking

    def request(
        self,
        method: str,
        path: str,
        body: bytes | str | None = None,
        *,
        key: str | None = None,
        headers: dict[str, str] | None = None,
        timeout: float = DEADLINE_SECONDS,
    ) -> HttpAnswer:
        """Send one request on a connection of its own."""
        sent = {"Authorization": f"Bearer {key}"} if key else {}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            raw = body.encode() if isinstance(body, str) else body
            connection.request(method, path, raw, {**sent, **(headers or {})})
            response = connection.getresponse()
            known = {name.lower(): value for name, value in response.getheaders()}
            return HttpAnswer(response.status, known, response.read())
        finally:
            connection.close()

    def get(self, path: str, key: str = READ_KEY, **options: Any) -> HttpAnswer:
        return self.request("GET", path, key=key, **options)

    def send(self, body: Any, query: str = "", key: str = WRITE_KEY, **options: Any) -> HttpAnswer:
        """Post events: bytes and text as they are, anything else as JSON."""
        raw = body if isinstance(body, (bytes, str)) else json.dumps(body)
        return self.request("POST", f"/v1/events{query}", raw, key=key, **options)

    def ledger(self, key: str = READ_KEY) -> dict[str, Any]:
        answer = self.get("/v1/ledger", key)
        assert answer.status == 200, answer.body
        return answer.json

    def sql(self, statement: str, key: str = READ_KEY) -> list[list[str]]:
        """Run SQL over the project's events; return rows of texts."""
        answer = self.get(f"/clickhouse/?{urlencode({'query': statement})}", key)
        assert answer.status == 200, answer.body
        return [line.split("\t") for line in answer.body.decode().splitlines()]

    def trace(self, event_id: str, key: str = READ_KEY) -> dict[str, Any]:
        return self.get(f"/v1/trace?event_id={quote(event_id, safe='')}", key).json

    def read_own(self, name: str, **labels: str) -> float:
        """Return one of the server's own numbers, as Prometheus gets it; 0 for one that was never counted."""
        text = self.request("GET", "/metrics").body.decode()
        samples = [one for family in text_string_to_metric_families(text) for one in family.samples]
        return sum(one.value for one in samples if (one.name, one.labels) == (name, labels))

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a `tallymark` command beside the server, with its address and key in the environment."""
        told = {"TALLYMARK_URL": self.url, "TALLYMARK_READ_KEY": READ_KEY, "COLUMNS": "400"}
        environment = {**self.variables(), **told, **variables}
        options = {"cwd": self.folder, "capture_output": True, "text": True, "timeout": DEADLINE_SECONDS}
        return subprocess.run(self.command(*arguments), env=environment, check=False, **options)

    @contextlib.contextmanager
    def open_catalog(self) -> Iterator[Catalog]:
        """Work on the catalog beside the server, as the commands do."""
        engine = open_engine(sqlite_url(self.data))
        try:
            yield Catalog(engine)
        finally:
            engine.dispose()

    def make_key(self, scope: str, project: str = "default") -> str:
        """Make a key; it is known to the server where one runs."""
        with self.open_catalog() as catalog:
            key = catalog.create_key(project, scope)
        if self.process is not None and self.process.poll() is None:
            self.wait_until(lambda: self.get("/v1/ledger", key).status != 401, "the key is known")
        return key

    def make_project(self, name: str) -> None:
        with self.open_catalog() as catalog:
            catalog.create_project(name)

    # Waiting

    def wait_until(
        self, condition: Callable[[], Any], what: str, seconds: float = DEADLINE_SECONDS, pause: float = 0.02
    ) -> Any:
        """Return the first true value of `condition`; connection errors count as not yet."""
        deadline = time.monotonic() + seconds
        while True:
            with contextlib.suppress(OSError, http.client.HTTPException):
                if found := condition():
                    return found
            if time.monotonic() > deadline:
                pytest.fail(f"not within {seconds} s: {what}\n{self.log[-6000:]}")
            time.sleep(pause)

    def wait_ready(self) -> None:
        self.wait_until(self._is_ready, "the server is ready")

    def _is_ready(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            pytest.fail(f"the server ended with {self.process.returncode}:\n{self.log[-6000:]}")
        return self.get("/readyz").status == 200 and (self.data / "ledger.sqlite").exists()

    def wait_loaded(self, key: str = READ_KEY) -> dict[str, Any]:
        """Wait until nothing is in flight; return the ledger of that moment."""

        def loaded() -> dict[str, Any] | None:
            if self.get("/readyz").json.get("lag_events") != 0:
                return None
            answer = self.get("/v1/ledger", key)
            if answer.status != 200 or answer.json["totals"]["in_flight"]:
                return None
            return answer.json

        return self.wait_until(loaded, "everything is loaded", pause=0.05)

    def pss_bytes(self) -> dict[str, int]:
        """Return the proportional memory of each role."""
        return {role: psutil.Process(pid).memory_full_info().pss for role, pid in self.pids().items()}


def build_event(event_id: str, **fields: Any) -> dict[str, Any]:
    return {
        "event_id": event_id,
        "event_time": "2026-01-31T12:00:00Z",
        "event_type": "behavior",
        "event_name": "clicked",
        **fields,
    }


@pytest.fixture(scope="session", name="build_event")
def _build_event() -> Callable[..., dict[str, Any]]:
    """Give a builder of events as clients send them."""
    return build_event


@pytest.fixture(scope="module")
def make_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., RunningServer]]:
    """Give a maker of servers, not started yet; what still runs at the end of the module is killed."""
    made: list[RunningServer] = []

    def make(*, environment: dict[str, str] | None = None, **settings: Any) -> RunningServer:
        server = RunningServer(tmp_path_factory.mktemp("server"), settings, environment or {})
        made.append(server)
        return server

    yield make
    for server in made:
        server.close()


@pytest.fixture(scope="module")
def server(make_server: Callable[..., RunningServer]) -> RunningServer:
    """Start a server that the tests of a module share: use ids of the test's own."""
    return make_server(loader_linger_seconds=0.05).start()


@dataclass
class Traffic:
    """Clients that send batches and send each again until it is answered, through every crash.

    Batches mix new events with repetitions of acknowledged ones and with invalid ones. What was acknowledged is
    remembered here, so that `audit` can hold the server to it.
    """

    server: RunningServer
    clients: int = 2
    largest_batch: int = 40
    pause: float = 0.01
    seed: int = 1
    acknowledged: set[str] = field(default_factory=set)
    sent: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> Traffic:
        for client in range(self.clients):
            thread = threading.Thread(target=self._send, args=(client,), daemon=True)
            thread.start()
            self._threads.append(thread)
        return self

    def stop(self) -> None:
        """Let every client finish its last batch; the server must be up."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(2 * DEADLINE_SECONDS)
        assert not any(thread.is_alive() for thread in self._threads), "a client did not finish"
        assert not self.failures, self.failures[:3]

    def _send(self, client: int) -> None:
        dice = random.Random(self.seed * 1000 + client)
        made, known = 0, []
        while not self._stopping.is_set():
            events = []
            for _ in range(dice.randint(1, self.largest_batch)):
                made += 1
                events.append(self._build(f"{self.seed}-{client}-{made}"))
            fresh = [event["event_id"] for event in events]
            again = dice.sample(known, min(len(known), dice.randint(1, 3))) if dice.random() < 0.2 else []
            events += [self._build(event_id) for event_id in again]
            bad = dice.randint(1, 3) if dice.random() < 0.2 else 0
            events += [
                build_event(f"bad-{self.seed}-{client}-{made}-{n}", event_time="never") for n in range(bad)
            ]
            dice.shuffle(events)
            if not self._deliver(events, bad):
                return
            with self._lock:
                self.acknowledged.update(fresh)
                self.sent["repeated"] += len(again)
                self.sent["invalid"] += bad
                self.sent["answered"] += len(events)
            known = (known + fresh)[-200:]
            self._stopping.wait(self.pause)

    @staticmethod
    def _build(event_id: str) -> dict[str, Any]:
        return build_event(event_id, attributes={"padding": event_id * 12})

    def _deliver(self, events: list[dict[str, Any]], bad: int) -> bool:
        body = json.dumps(events)
        deadline = time.monotonic() + 2 * DEADLINE_SECONDS
        while time.monotonic() < deadline:
            with self._lock:
                self.sent["attempted"] += len(events)
            try:
                answer = self.server.send(body)
            except (OSError, http.client.HTTPException) as error:
                with self._lock:
                    # A refused connection certainly brought nothing.
                    self.sent["attempted"] -= len(events) * isinstance(error, ConnectionRefusedError)
                time.sleep(0.05)
                continue
            if answer.status == 503:
                time.sleep(0.05)
                continue
            told = answer.json
            if answer.status == (207 if bad else 200) and told["accepted"] == len(events) - bad:
                return True
            self.failures.append(f"{answer.status}: {told}")
            return False
        self.failures.append("no answer in time")
        return False

    def audit(self) -> dict[str, int]:
        """Hold the server to its promises and return the counts; call it after `stop`."""
        report = self.server.wait_loaded()
        totals = report["totals"]
        assert report["balanced"], totals
        assert all(row["balanced"] for row in report["rows"]), report["rows"]
        rows = self.server.sql("SELECT event_id, count() FROM events GROUP BY event_id")
        times = {event_id: int(count) for event_id, count in rows}
        lost = self.acknowledged - times.keys()
        assert not lost, f"{len(lost)} acknowledged events lost: {sorted(lost)[:5]}"
        twice = [event_id for event_id, count in times.items() if count != 1]
        assert not twice, f"{len(twice)} events stored twice: {sorted(twice)[:5]}"
        assert totals["stored"] == len(times)
        by_source = self.server.sql("SELECT source, count() FROM events GROUP BY source")
        in_ledger: Counter[str] = Counter()
        for row in report["rows"]:
            in_ledger[row["source"]] += row["stored"]
        assert +in_ledger == {source: int(count) for source, count in by_source}
        assert self.sent["answered"] <= totals["received"] <= self.sent["attempted"]
        assert totals["duplicate"] >= self.sent["repeated"]
        assert report["outside"]["conflicts"] == 0
        quarantined = totals["quarantined"].get("time_invalid", 0)
        assert quarantined >= self.sent["invalid"]
        counts = {"attempted": self.sent["attempted"], "acknowledged": len(self.acknowledged)}
        counts |= {line: totals[line] for line in ("received", "stored", "duplicate")}
        return counts | {"quarantined": quarantined, "lost": len(lost), "twice": len(twice)}


@pytest.fixture
def make_traffic() -> Iterator[Callable[..., Traffic]]:
    """Give a maker of traffic; whatever happens, it ends with the test."""
    made: list[Traffic] = []

    def make(server: RunningServer, **options: Any) -> Traffic:
        made.append(Traffic(server, **options))
        return made[-1]

    yield make
    for traffic in made:
        traffic._stopping.set()


@dataclass
class Saboteur:
    """Kills what it is told to, while the server runs; the server must have `CRASH_SETTINGS` and `crash_variables`."""

    server: RunningServer
    deaths: Counter[str] = field(default_factory=Counter)

    @property
    def _file(self) -> Path:
        return self.server.folder / "crash-point"

    def crash_at(self, point: str, pass_number: int = 1) -> None:
        """Let a process die at a named point, and wait until it did."""
        once_a_life = point.startswith(
            ("dedup.", "journal.before_segment", "journal.during_segment", "retention.")
        )
        draft = self._file.with_suffix(".draft")
        draft.write_text(f"{point}:{1 if once_a_life else pass_number}")
        draft.rename(self._file)
        nudged, patience = 0.0, 2.0

        def died() -> bool:
            nonlocal nudged, patience
            if once_a_life and time.monotonic() - nudged > patience:
                # The loader writes its index when it is told to end, and removes segments when it begins. On a slow
                # machine it takes longer to begin.
                self.server.signal("loader", signal.SIGTERM)
                nudged, patience = time.monotonic(), 1.5 * patience
            return not self._file.exists()

        self.server.wait_until(died, f"a process dies at {point}")
        self.deaths[point] += 1

    def kill(self, role: str) -> None:
        """Kill one process, now."""
        self.server.signal(role)
        self.deaths[f"kill {role}"] += 1

    def kill_during_insert(self, role: str) -> None:
        """Kill a process while the store works on an insert: its data lies in the spool then."""
        spool = self.server.data / "store-spool"
        self.server.wait_until(lambda: any(spool.glob("*.data")), "an insert is under way", pause=0.001)
        self.server.signal(role)
        self.deaths[f"kill {role} during an insert"] += 1

    def kill_everything(self) -> None:
        """Kill all processes and start the server again."""
        self.server.kill_all()
        self.server.start()
        self.deaths["kill everything"] += 1


# Small segments that go at once, short pauses: every point is passed often.
CRASH_SETTINGS = {
    "journal_segment_bytes": 65536, "journal_keep_seconds": 0, "loader_linger_seconds": 0.05, "restart_pause_seconds": 0.2
}  # fmt: skip


@pytest.fixture
def make_saboteur(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Saboteur]]:
    """Give a maker of a started server with a saboteur at its side."""
    made: list[RunningServer] = []

    def make() -> Saboteur:
        folder = tmp_path_factory.mktemp("sabotaged")
        variables = {"TALLYMARK_CRASH_FILE": str(folder / "crash-point")}
        made.append(RunningServer(folder, dict(CRASH_SETTINGS), variables))
        return Saboteur(made[-1].start())

    yield make
    for server in made:
        server.close()
