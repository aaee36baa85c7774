"""The store is down, hangs, or refuses a row: the intake goes on acknowledging, and nothing is lost."""

from __future__ import annotations

import signal
import sqlite3

import pytest

pytestmark = [pytest.mark.store]


def test_hung_store(fresh, build_event):
    """While the store hangs the intake acknowledges, memory stays bounded, the lag shows; then all is stored (F7)."""
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
        fresh.signal("store", signal.SIGCONT)
    assert fresh.pids()["store"] == pid
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
        fresh.signal("store", signal.SIGCONT)
    fresh.wait_ready()
    assert fresh.pids()["store"] == pid


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
