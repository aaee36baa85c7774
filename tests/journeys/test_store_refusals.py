"""A row that the store refuses, seen from outside: quarantined with the reason, its neighbours stored, replayed after a fix (F8)."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.store


def _change_store(server, statement: str) -> None:
    """Run a statement in the store of a server that was stopped, in a process of its own."""
    program = "import sys, chdb.session as s; s.Session(sys.argv[1]).query(sys.argv[2])"
    command = [sys.executable, "-c", program, str(server.data / "store"), statement]
    subprocess.run(command, check=True, capture_output=True, timeout=90)


def test_refused_row(make_server, build_event):
    """What the store will not have is quarantined as `store_refused`; when it will, a replay stores it."""
    server = make_server(loader_linger_seconds=0.05).start()
    server.stop()
    _change_store(server, "ALTER TABLE tallymark.events ADD CONSTRAINT no_odd CHECK event_name != 'odd'")
    server.start()
    events = [
        build_event(f"row-{number}", event_name="odd" if number == 7 else "even") for number in range(20)
    ]
    assert server.send(events).json == {"accepted": 20, "rejected": []}
    totals = server.wait_loaded()["totals"]
    assert (totals["received"], totals["stored"], totals["quarantined"]) == (20, 19, {"store_refused": 1})
    (kept,) = server.get("/v1/quarantine?code=store_refused").json["events"]
    assert kept["event_id"] == "row-7"
    assert "no_odd" in kept["message"]
    assert server.trace("row-7")["verdict"] == "quarantined"

    server.stop()
    _change_store(server, "ALTER TABLE tallymark.events DROP CONSTRAINT no_odd")
    server.start()
    order = json.dumps({"code": "store_refused"})
    answer = server.request("POST", "/v1/quarantine/replay", order, key=server.admin_key)
    assert answer.json == {"accepted": 1, "rejected": []}
    ledger = server.wait_loaded()
    assert ledger["balanced"]
    assert server.trace("row-7")["verdict"] == "stored"
    assert server.sql("SELECT count(), uniqExact(event_id) FROM events") == [["20", "20"]]


def test_store_of_a_newer_version(make_server):
    """A store that a newer program wrote is refused with a sentence that says what to do (F43)."""
    server = make_server(restart_pause_seconds=0.2).start()
    server.stop()
    _change_store(server, "INSERT INTO tallymark.migrations (version, name) VALUES (99, 'later')")
    server.launch()
    server.wait_until(lambda: "The store has format version 99" in server.log, "the refusal is told")
    server.close()


def test_store_of_the_first_version(make_server, build_event):
    """A store as the first version made it is brought up to date at start, and keeps its events."""
    server = make_server(loader_linger_seconds=0.05).start()
    server.send([build_event(f"first-{number}") for number in range(10)])
    server.wait_loaded()
    server.stop()
    _change_store(
        server,
        "ALTER TABLE tallymark.events MODIFY SETTING min_level_for_wide_part = 1, min_bytes_for_wide_part = 10485760",
    )
    _change_store(server, "DELETE FROM tallymark.migrations WHERE version > 1")
    server.start()
    server.send([build_event(f"second-{number}") for number in range(10)])
    assert server.wait_loaded()["totals"]["stored"] == 20
    assert server.sql("SELECT count() FROM events") == [["20"]]
