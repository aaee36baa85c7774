"""tallymark's own numbers over a running server: recorded like everything else, accounted for, and off unless asked for."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tallymark.plan.yaml_text import parse_yaml

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.store
_NAMES = {
    "tallymark_intake",
    "tallymark_turned_away",
    "tallymark_pipeline",
    "tallymark_ledger",
    "tallymark_reader",
    *({"tallymark_process"} if sys.platform == "linux" else ()),
}


def _total(server, key):
    (row,) = server.sql("SELECT sum(value) FROM events WHERE event_name = 'tallymark_intake'", key)
    return float(row[0])


def test_own_events_beside_others(make_server, build_event):
    """What was sent, turned away and loaded is told by events in the project that was named; both ledgers balance."""
    server = make_server(loader_linger_seconds=0.05, own_seconds=1).start()
    server.make_project("ops")
    assert server.stop() == 0
    server.settings["own_project"] = "ops"
    server.start()
    key = server.make_key("read", "ops")

    assert server.send([build_event(f"counted-{n}") for n in range(30)]).status == 200
    followed = server.run("journal", "follow", "--reader", "exports", "--once", "--data", "data")
    assert followed.returncode == 0, followed.stderr
    assert server.send([build_event("never")], key="no-such-key-at-all").status == 401
    # The last sample of a server that is stopped tells what it has not told yet.
    assert server.stop() == 0
    server.start()

    def told():
        names = {row[0] for row in server.sql("SELECT DISTINCT event_name FROM events", key)}
        return names >= _NAMES and _total(server, key) >= 30

    server.wait_until(told, "own events are stored", pause=0.2)
    assert _total(server, key) == 30
    (row,) = server.sql("SELECT sum(value) FROM events WHERE attributes.code = 'unauthorized'", key)
    assert float(row[0]) == 1

    def figures():
        return server.sql(
            "SELECT max(attributes.store_bytes::Int64) > 0, max(attributes.journal_bytes::Int64) > 0,"
            " max(attributes.disk_bytes::Int64) > 0 FROM events WHERE event_name = 'tallymark_pipeline'",
            key,
        )

    readers = server.sql(
        "SELECT DISTINCT attributes.reader::String FROM events WHERE event_name = 'tallymark_reader'", key
    )
    assert readers == [["exports"]]
    # The first sample may be older than the first part of the store.
    server.wait_until(
        lambda: figures() in ([["true"] * 3], [["1"] * 3]), "a sample that found the store's bytes", pause=0.2
    )
    assert server.ledger()["totals"]["received"] == 30
    ledger = server.ledger(key)
    assert ledger["balanced"]
    assert {row["source"] for row in ledger["rows"]} == {"own"}
    assert not ledger["totals"]["quarantined"]
    assert not ledger["totals"]["refused"]
    if sys.platform == "linux":
        roles = {row[0] for row in server.sql("SELECT DISTINCT attributes.role::String FROM events WHERE event_name = 'tallymark_process'", key)}  # fmt: skip
        assert roles == {"serve", "web", "store", "loader", "jobs"}
    assert "own_numbers_not_recorded" not in server.log
    assert server.stop() == 0


def test_nothing_is_recorded_unless_asked_for(make_server, build_event):
    """Without a project to record in, what is sent is all there is."""
    server = make_server(loader_linger_seconds=0.05, own_seconds=1).start()
    assert server.send([build_event("alone")]).status == 200
    server.wait_loaded()
    time.sleep(2.5)  # two samples would have been taken
    assert server.wait_loaded()["totals"]["received"] == 1


def test_a_project_that_does_not_exist(make_server):
    """The server does not start, names the setting and says what to do; what is shown once has been shown."""
    server = make_server(own_project="nobody")
    server.launch()
    assert server.process.wait(60) == 1
    assert "own_project = 'nobody': there is no such project" in server.log
    assert "tallymark projects create" in server.log
    assert "at flag" in server.log
    made = server.run("projects", "create", "nobody", "--data", str(server.data))
    assert made.returncode == 0, made.stderr
    server.start()
    assert server.stop() == 0


def test_the_dashboard_of_the_demo(make_server, build_event):
    """Each metric of the demo's dashboard has figures where a server records its numbers and something is sent to it."""
    server = make_server(loader_linger_seconds=0.05, own_seconds=1, own_project="default").start()
    applied = server.run("apply", str(ROOT / "demo" / "definitions"), TALLYMARK_ADMIN_KEY=server.admin_key)
    assert applied.returncode == 0, applied.stdout + applied.stderr
    assert server.send([build_event("one")]).status == 200
    wanted = parse_yaml((ROOT / "demo/definitions/health.yaml").read_text(encoding="utf-8")).value
    shown = {name for panel in wanted["dashboards"][0]["panels"] for name in panel["metrics"]}
    assert shown == {metric["name"] for metric in wanted["metrics"]}
    now = datetime.now(UTC)
    span = {"from": (now - timedelta(hours=1)).isoformat(), "to": (now + timedelta(hours=1)).isoformat()}

    def missing():
        found = {}
        for name in shown:
            answer = server.get(f"/v1/metrics/{name}/figures?{urlencode(span)}")
            assert answer.status == 200, answer.body
            rows = answer.json["figures"]["rows"]
            found[name] = rows[0][0] if rows else None
        return {name for name, figure in found.items() if figure is None}

    without_proc = (
        set() if sys.platform == "linux" else {"tallymark_cpu", "tallymark_memory", "tallymark_restarts"}
    )
    server.wait_until(lambda: missing() <= without_proc, "every metric has a figure", pause=0.2)
    balanced = server.get(f"/v1/metrics/tallymark_balanced/figures?{urlencode(span)}").json["figures"]["rows"]
    assert balanced[0][0] == 1.0
