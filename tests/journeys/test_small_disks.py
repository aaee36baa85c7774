"""Disks that are really full: a small file system under the journal, or under the store alone (F4, F6)."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.conftest import lack

pytestmark = pytest.mark.store

PADDING = {"padding": "x" * 3000}


@pytest.fixture
def small_disk():
    """Give a maker of small file systems in memory, and a way to enlarge them; both need to be root."""
    mounted = []

    def mount(folder, megabytes: int, *, again: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        options = f"size={megabytes}m" + (",remount" if again else "")
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            fault = f"exit code {done.returncode} {done.stderr.strip()}" if done.returncode else ""
        except FileNotFoundError as error:
            fault = str(error)
        if fault:
            lack(f"this machine does not let a test mount a file system: {fault}")
        if not again:
            mounted.append(folder)

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=False)


def test_journal_without_room(make_server, build_event, small_disk):
    """ENOSPC under the journal: 503 `disk_full`, nothing half acknowledged, and it goes on once there is room (F4)."""
    server = make_server(loader_linger_seconds=0.05, disk_reserve_bytes=0)
    small_disk(server.data / "journal", 2)
    server.start()
    acknowledged = []

    def send(number: int) -> int:
        event_id = f"full-{number}"
        answer = server.send([build_event(event_id, attributes=PADDING)])
        if answer.status == 200:
            acknowledged.append(event_id)
        else:
            assert (answer.status, answer.json["code"]) == (503, "disk_full")
            assert int(answer.headers["retry-after"]) > 0
        return answer.status

    number = iter(range(2000))
    server.wait_until(lambda: send(next(number)) == 503, "the disk is full", pause=0)
    assert server.get("/healthz").status == 200
    small_disk(server.data / "journal", 64, again=True)
    server.wait_until(lambda: send(next(number)) == 200, "there is room again", pause=0.1)
    totals = server.wait_loaded()["totals"]
    stored = {row[0] for row in server.sql("SELECT event_id FROM events")}
    assert stored == set(acknowledged)
    assert totals["received"] == totals["stored"] == len(acknowledged)
    server.close()


def test_store_without_room(make_server, build_event, small_disk):
    """The store's disk full while the journal has room: the intake goes on, no row is blamed, and all is stored later (F6)."""
    server = make_server(loader_linger_seconds=0.05, restart_pause_seconds=0.2)
    small_disk(server.data / "store", 24)
    server.start()
    sent = 0

    def send(count: int = 500) -> None:
        nonlocal sent
        batch = [
            build_event(
                f"room-{sent + place}",
                session_id=f"{hash((sent, place))}",
                attributes={f"k{name}": f"{hash((sent, place, name))}" for name in range(20)},
            )
            for place in range(count)
        ]
        assert server.send(batch).status == 200
        sent += count

    def refused_by_the_disk() -> bool:
        send()
        return "store_insert_failed" in server.log

    server.wait_until(refused_by_the_disk, "the store's disk is full", pause=0.05)
    # So often that rows themselves come under suspicion.
    server.wait_until(lambda: server.log.count("store_insert_failed") > 6, "the loader goes on trying")
    send()
    ledger = server.ledger()
    assert ledger["balanced"]
    assert ledger["totals"]["in_flight"] > 0
    small_disk(server.data / "store", 1024, again=True)
    totals = server.wait_loaded()["totals"]
    assert totals["stored"] == totals["received"] == sent
    assert totals["quarantined"] == {}
    assert server.sql("SELECT count(), uniqExact(event_id) FROM events") == [[str(sent), str(sent)]]
    server.close()


@pytest.mark.parametrize(("variable", "told"), [("true", "2 failed"), ("", "2 skipped")])
def test_gates_without_mounting(tmp_path, variable, told):
    """Where no file system may be mounted these tests fail in CI, and are skipped elsewhere; both say why."""
    refusing = tmp_path / "mount"
    refusing.write_text("#!/bin/sh\necho permission denied >&2\nexit 32\n")
    refusing.chmod(0o755)
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-k", "without_room", __file__],
        env={**variables, "PATH": str(tmp_path), "CI": variable},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert told in done.stdout
    assert "permission denied" in done.stdout
    assert done.returncode == (1 if variable else 0)
