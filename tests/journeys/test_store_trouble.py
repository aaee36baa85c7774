"""The store is down, hangs, or refuses a row: the intake goes on acknowledging, and nothing is lost."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlencode

import pytest

pytestmark = pytest.mark.store

QUESTION = json.dumps(
    {"kind": "trend", "from": "2026-01-01T00:00:00Z", "to": "2026-02-01T00:00:00Z",
     "series": [{"name": "n", "event_name": "clicked", "measure": {"op": "count"}}]}
)  # fmt: skip


def _let_go_on(pid):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


def _sign_in(server):
    """Sign the first person in; return the cookie as a header."""
    form = server.get("/sign-in")
    csrf = re.search(rb'name="csrf" value="([^"]+)"', form.body)[1].decode()
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": _cookie(form)}
    fields = {"csrf": csrf, "name": "admin", "password": server.password, "next": "/"}
    answer = server.request("POST", "/sign-in", urlencode(fields), headers=headers)
    assert answer.status == 303
    return {"Cookie": _cookie(answer)}


def _cookie(answer):
    return answer.headers["set-cookie"].partition(";")[0]


def test_hung_store_is_told_and_ended(fresh, build_event):
    """What needs a hung store says so while it hangs; the supervisor then ends it, and another one goes on."""
    fresh.send(build_event("stored"))
    fresh.wait_loaded()
    person = _sign_in(fresh)
    assert fresh.request("POST", "/v1/query", QUESTION, key=fresh.read_key).status == 200
    pid = fresh.signal("store", signal.SIGSTOP)
    fresh.send([build_event("waits"), build_event("stored")])
    with ThreadPoolExecutor(8) as threads:
        # At once: each may wait some seconds, and all of them are to be answered by then.
        asked = {
            name: threads.submit(call)
            for name, call in {
                "query": lambda: fresh.request("POST", "/v1/query", QUESTION, key=fresh.read_key),
                "events": lambda: fresh.get("/v1/events"),
                "names": lambda: fresh.get("/v1/names"),
                "trace": lambda: fresh.get("/v1/trace?event_id=unknown"),
                "waits": lambda: fresh.get("/v1/events/waits/trace"),
                "clickhouse": lambda: fresh.get("/clickhouse?query=select+1"),
                "home": lambda: fresh.request("GET", "/", headers=person),
            }.items()
        }
        answers = {name: call.result() for name, call in asked.items()}
    # Nobody waited for the supervisor.
    assert fresh.pids()["store"] == pid
    for name in ("query", "events", "names", "trace"):
        assert (answers[name].status, answers[name].json["code"]) == (503, "store_unavailable"), name
        assert "retry-after" in answers[name].headers
    assert (answers["clickhouse"].status, answers["clickhouse"].headers["x-clickhouse-exception-code"]) == (
        503,
        "210",
    )
    assert answers["home"].status == 200
    assert b'<dd class="bad">unreachable</dd>' in answers["home"].body
    trace = answers["waits"].json
    assert (answers["waits"].status, trace["verdict"], trace["store_answered"]) == (200, "in_flight", False)
    assert "The store did not answer" in trace["message"]
    fresh.wait_until(lambda: fresh.pids().get("store", pid) != pid, "another store runs")
    assert "store_silent" in fresh.log
    assert fresh.wait_loaded()["totals"]["stored"] == 2
    trace = fresh.trace("waits")
    assert (trace["verdict"], trace["store_answered"]) == ("stored", True)


def test_hung_store(fresh, build_event):
    """While the store hangs the intake acknowledges, memory stays bounded, the lag shows; then all is stored (F7).

    On a slow machine the supervisor may have ended the hung store by then: that changes nothing.
    """
    pid = fresh.signal("store", signal.SIGSTOP)
    before = fresh.pss_bytes()
    sent = 0
    try:
        for batch in range(40):
            answer = fresh.send(
                [build_event(f"hung-{batch}-{n}", attributes={"x": "y" * 300}) for n in range(500)]
            )
            assert answer.status == 200
            sent += 500
        during = fresh.pss_bytes()
        assert during["web"] - before["web"] < 60 * 1024 * 1024
        assert during["loader"] - before["loader"] < 200 * 1024 * 1024
    finally:
        _let_go_on(pid)
    totals = fresh.wait_loaded()["totals"]
    assert totals["stored"] == sent == int(fresh.sql("SELECT count() FROM events")[0][0])


def test_store_down_and_stop(fresh, build_event):
    """A server that is told to end while the store is down loses nothing that it acknowledged.

    What the loader had judged but could not insert must not count as known at the next start.
    """
    fresh.send([build_event(f"first-{n}") for n in range(10)])
    fresh.wait_loaded()
    fresh.signal("store", signal.SIGSTOP)
    fresh.send([build_event(f"pending-{n}") for n in range(100)])
    loader = fresh.signal("loader", signal.SIGTERM)
    fresh.signal("store", signal.SIGKILL)
    fresh.wait_until(lambda: fresh.pids().get("loader", loader) != loader, "another loader runs")
    totals = fresh.wait_loaded()["totals"]
    assert (totals["stored"], totals["duplicate"]) == (110, 0)
    assert fresh.sql("SELECT count() FROM events") == [["110"]]


def test_readyz_tells_of_a_store_that_is_gone(fresh):
    """Without the store readyz is 503 and says so; healthz stays 200; it recovers unaided."""
    pid = fresh.signal("store", signal.SIGSTOP)
    try:
        answer = fresh.wait_until(
            lambda: (got := fresh.get("/readyz")).status == 503 and got, "readyz notices"
        )
        assert answer.json["store"] == "unreachable"
        assert answer.json["journal"] == "writable"
        assert fresh.get("/healthz").status == 200
    finally:
        _let_go_on(pid)
    fresh.wait_ready()


def test_disk_nearly_full(make_server, build_event):
    """With less room than the reserve the intake answers 503 and Retry-After, reading goes on, and room brings it back (F4)."""
    server = make_server(loader_linger_seconds=0.05).start()
    server.send(build_event("room-1"))
    server.wait_loaded()
    assert server.stop() == 0
    server.settings["disk_reserve_bytes"] = 2**50
    server.launch()
    server.wait_until(lambda: server.get("/healthz").status == 200, "the server answers")
    answer = server.wait_until(
        lambda: (got := server.send(build_event("room-2"))).status == 503 and got, "503"
    )
    assert answer.json["code"] == "disk_full"
    assert int(answer.headers["retry-after"]) > 0
    assert server.get("/readyz").json["journal"] == "disk_full"
    server.wait_until(lambda: server.trace("room-1")["verdict"] == "stored", "reading goes on")
    server.stop()
    del server.settings["disk_reserve_bytes"]
    server.start()
    assert server.send(build_event("room-2")).status == 200
    assert server.wait_loaded()["totals"]["stored"] == 2


def test_ledger_of_a_future_format_is_refused(make_server):
    """A ledger that a newer program wrote stops the loader with a sentence that says what to do, and nothing else."""
    server = make_server(restart_pause_seconds=0.2).start()
    server.stop()
    with sqlite3.connect(server.data / "ledger.sqlite") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    server.launch()
    server.wait_until(lambda: "The ledger has format 99" in server.log, "the refusal is logged")
    server.stop()
