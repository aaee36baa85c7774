"""The loader, seen from outside: no set of projects can stop it, and a server whose loader stands still says so."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlencode

import pytest

pytestmark = pytest.mark.store

PROJECTS = 1500


def _change_store(server, *statements: str) -> None:
    """Run statements in the store of a server that was stopped, in a process of its own."""
    program = "import sys, chdb.session as s; c = s.Session(sys.argv[1]); [c.query(q) for q in sys.argv[2:]]"
    command = [sys.executable, "-c", program, str(server.data / "store"), *statements]
    subprocess.run(command, check=True, capture_output=True, timeout=90)


def _sign_in(server):
    """Sign the first person in; return the cookie as a header."""
    form = server.get("/sign-in")
    csrf = re.search(rb'name="csrf" value="([^"]+)"', form.body)[1].decode()
    cookie = form.headers["set-cookie"].partition(";")[0]
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": cookie}
    fields = {"csrf": csrf, "name": "admin", "password": server.password, "next": "/"}
    answer = server.request("POST", "/sign-in", urlencode(fields), headers=headers)
    assert answer.status == 303
    return {"Cookie": answer.headers["set-cookie"].partition(";")[0]}


def test_1500_projects_at_once(fresh, build_event):
    """Events of 1,500 projects that come within seconds are stored, each once, and no insert fails."""
    keys = {}
    with fresh.open_catalog() as catalog:
        for number in range(PROJECTS):
            catalog.create_project(f"many-{number}")
            keys[number] = catalog.create_key(f"many-{number}", "write")
        reading = {number: catalog.create_key(f"many-{number}", "read") for number in (0, 777, PROJECTS - 1)}
    fresh.wait_until(
        lambda: fresh.get("/v1/events", reading[PROJECTS - 1]).status == 200, "the last key is known"
    )
    # All in one batch.
    pid = fresh.signal("loader", signal.SIGSTOP)

    def send(number: int) -> int:
        events = [build_event(f"e-{one}", event_name=f"n{one}") for one in range(3)]
        return fresh.send(events, key=keys[number]).status

    with ThreadPoolExecutor(4) as threads:
        assert set(threads.map(send, range(PROJECTS))) == {200}
    os.kill(pid, signal.SIGCONT)
    fresh.wait_until(lambda: fresh.get("/readyz").json["lag_events"] == 0, "everything is loaded", pause=0.2)
    for key in reading.values():
        totals = fresh.ledger(key)["totals"]
        assert (totals["received"], totals["stored"], totals["in_flight"]) == (3, 3, 0)
        assert fresh.sql("SELECT count(), uniqExact(event_id) FROM events", key) == [["3", "3"]]
    assert "store_insert_failed" not in fresh.log
    assert fresh.get("/readyz").json["loader"] == "working"


def test_a_loader_that_stands_still(make_server, build_event):
    """With a store that takes no row, `/readyz` and Home say so with its error, until it takes them again."""
    server = make_server(
        loader_linger_seconds=0.05, stalled_seconds=2, own_project="default", own_seconds=1, alert_seconds=1
    ).start()
    server.stop()
    _change_store(server, "RENAME TABLE tallymark.events TO tallymark.elsewhere")
    server.launch()
    server.wait_until(lambda: server.send(build_event("waits")).status == 200, "the intake answers")
    answer = server.wait_until(
        lambda: (got := server.get("/readyz")).status == 503 and got.json["loader"] == "stalled" and got,
        "readyz says that nothing is stored",
    )
    assert answer.json["store"] == "reachable"
    assert answer.json["lag_events"] > 0
    assert "tallymark.events" in answer.json["loader_message"]
    assert server.get("/healthz").status == 200
    assert server.send(build_event("waits too")).status == 200
    home = server.request("GET", "/", headers=_sign_in(server))
    assert b"stalled" in home.body
    assert b"tallymark.events" in home.body
    server.wait_until(lambda: _own_alert(server) == "firing", "an alert tells")
    server.stop()
    _change_store(server, "RENAME TABLE tallymark.elsewhere TO tallymark.events")
    server.start()
    server.wait_until(lambda: server.trace("waits too")["verdict"] == "stored", "the backlog is stored")
    assert server.trace("waits")["verdict"] == "stored"
    readiness = server.wait_until(lambda: (got := server.get("/readyz")).status == 200 and got, "it is ready")
    assert readiness.json["loader"] in ("working", "retrying")


def test_a_store_that_was_never_there(make_server, build_event):
    """Before the loader has made its ledger everything waits, and a loader that cannot begin is told as well."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{probe.getsockname()[1]}"
        server = make_server(clickhouse_url=nowhere, stalled_seconds=1)
        server.launch()
        server.wait_until(lambda: server.send(build_event("waits")).status == 200, "the intake answers")
        answer = server.wait_until(
            lambda: (got := server.get("/readyz")).json["loader"] == "stalled" and got, "the stall is told"
        )
    assert (answer.status, answer.json["lag_events"]) == (503, 1)
    assert "The store cannot be reached" in answer.json["loader_message"]


def _own_alert(server) -> str:
    answer = server.get("/v1/alerting")
    found = next((one for one in answer.json.get("alerts", ()) if one["alert"] == "tallymark_loading"), None)
    return found["values"][0]["state"] if found else json.dumps(None)
