"""The disk under the journal fails: nothing is acknowledged that is not durable, and it recovers unaided (F4, F5)."""

from __future__ import annotations

import contextlib
import http.client
import os
import resource
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from tests.conftest import lack

pytestmark = pytest.mark.store


@pytest.fixture
def strace() -> str:
    path = shutil.which("strace")
    if path is None:
        lack("strace is not installed: apt-get install strace")
    return path


def test_fsync_error(strace, fresh, build_event):
    """While fsync fails with EIO events are refused with 503; what was and is acknowledged is stored, once."""
    acknowledged, refused = [], []

    def send(number: int) -> int:
        event_id = f"eio-{number}"
        status = fresh.send(build_event(event_id)).status
        (acknowledged if status == 200 else refused).append(event_id)
        return status

    assert send(0) == 200
    web = fresh.pids()["web"]
    tracer = subprocess.Popen(
        [strace, "-f", "-q", "-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO", "-p", str(web)],
        stderr=subprocess.DEVNULL,
    )
    try:
        number = iter(range(1, 10_000))
        if (
            not fresh.wait_until(
                lambda: tracer.poll() is not None or send(next(number)) == 503, "a sync fails", pause=0.05
            )
            or tracer.poll() is not None
        ):
            lack("this machine does not let strace attach")
        assert [send(next(number)) for _ in range(3)] == [503] * 3
        answer = fresh.send(build_event("eio-never"))
        assert answer.json["code"] == "journal_unavailable"
        assert int(answer.headers["retry-after"]) > 0
    finally:
        tracer.terminate()
        tracer.wait(60)
    fresh.wait_until(lambda: send(next(number)) == 200, "the journal works again")
    totals = fresh.wait_loaded()["totals"]
    stored = {row[0] for row in fresh.sql("SELECT event_id FROM events")}
    assert stored == set(acknowledged)
    assert totals["received"] == totals["stored"] == len(acknowledged)
    assert fresh.run("journal", "verify", "--data", "data").returncode == 0


@pytest.mark.parametrize("calls", ["fdatasync", "statfs,fstatfs,openat,fdatasync,pread64"])
def test_frozen_disk(strace, fresh, build_event, calls):
    """While the disk does not answer `/readyz` says so, 503, in time; `/healthz` stays 200, and a page is answered, too."""
    assert fresh.send(build_event("before")).status == 200
    web = fresh.pids()["web"]
    # The catalog, the journal, the ledger: what is asked from now on takes an hour.
    command = [strace, "-f", "-q", "-P", str(fresh.data), "-P", str(fresh.data / "journal" / "0000")]
    command += [
        item
        for path in sorted(fresh.data.rglob("*"))
        if path.is_file() and path.parent.name in ("data", "0000")
        for item in ("-P", str(path))
    ]
    command += ["-e", f"trace={calls}", "-e", f"inject={calls}:delay_enter=3600s", "-p", str(web)]
    tracer = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    sender = threading.Thread(target=_send_quietly, args=(fresh, build_event("during")), daemon=True)
    try:
        fresh.wait_until(lambda: tracer.poll() is not None or _is_traced(web), "strace is there")
        if tracer.poll() is not None:
            lack("this machine does not let strace attach")
        sender.start()
        answer = fresh.wait_until(
            lambda: (got := fresh.get("/readyz")).status == 503 and got, "readyz says 503"
        )
        told = answer.json
        assert told["journal"] == "journal_unavailable" or "does not answer" in told["problem"]
        assert fresh.get("/healthz").status == 200
        assert fresh.request("GET", "/sign-in").status in (200, 503)
        assert fresh.request("GET", "/", headers={"Cookie": "tallymark_session=abc"}).status in (303, 503)
        assert fresh.get("/readyz").status == 503
    finally:
        tracer.terminate()
        tracer.wait(60)
    fresh.wait_until(lambda: fresh.send(build_event("after")).status == 200, "the journal works again")
    fresh.wait_until(lambda: fresh.get("/readyz").status == 200, "the server is ready again")


def _send_quietly(server, event) -> None:
    with contextlib.suppress(OSError, http.client.HTTPException):
        server.send(event, timeout=300)


def _is_traced(pid: int) -> bool:
    """Tell whether every thread of a process has its tracer."""
    states = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/status")]
    return all("TracerPid:\t0\n" not in state for state in states)


def test_file_size_limit(fresh, build_event):
    """When the disk takes no more bytes events are refused with 503 `disk_full`; with room again it goes on (F4)."""
    web = fresh.pids()["web"]
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    assert fresh.send(build_event("room-0")).status == 200
    process = psutil.Process(web)
    # SIGXFSZ is ignored by Python, so the write fails with EFBIG, as it would with ENOSPC.
    process.rlimit(psutil.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
    try:
        padding = {"padding": "x" * 3000}
        refused = fresh.wait_until(
            lambda: (got := fresh.send(build_event("room-1", attributes=padding))).status == 503 and got,
            "503",
        )
        assert refused.json["code"] == "disk_full"
        assert fresh.get("/healthz").status == 200
    finally:
        process.rlimit(psutil.RLIMIT_FSIZE, unlimited)
    fresh.wait_until(lambda: fresh.send(build_event("room-2")).status == 200, "there is room again")
    totals = fresh.wait_loaded()["totals"]
    stored = {row[0] for row in fresh.sql("SELECT event_id FROM events")}
    assert {"room-0", "room-2"} <= stored
    assert totals["stored"] == len(stored)
    assert fresh.run("journal", "verify", "--data", "data").returncode == 0


@pytest.mark.parametrize(("variable", "told"), [("true", "1 error"), ("", "1 skipped")])
def test_gate_without_its_tool(tmp_path, variable, told):
    """Without strace the test of failing syncs fails in CI, and is skipped elsewhere; both name the tool."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"{__file__}::test_fsync_error"],
        env={**variables, "PATH": str(tmp_path), "CI": variable},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert told in done.stdout
    assert "apt-get install strace" in done.stdout
    assert done.returncode == (1 if variable else 0)
