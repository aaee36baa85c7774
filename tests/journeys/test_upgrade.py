"""A folder that an earlier program wrote still opens: its keys work, its backlog is stored, what is new can be used."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import sqlalchemy as sa

from tallymark.catalog.tables import METADATA
from tests.fixtures.build_folder import SHOP_READ
from tests.fixtures.store_version_2 import CREATE_EVENTS_2

pytestmark = pytest.mark.store

FIXTURES = Path(__file__).parents[1] / "fixtures"
# The folders may be opened long after they were made: nothing in them is too old.
PATIENT = {"dedup_days": 36500, "quarantine_days": 36500, "trace_days": 36500, "alert_inward": "127.0.0.1"}

# The tables that each version of the catalog brought; the first had all others.
BROUGHT = {
    "0002": ("definition", "embed", "asked"),
    "0003": ("colour", "follow"),
    "0004": ("notice", "standing", "alert_change", "receiver", "silence"),
}


def _take_back(server, version):
    """Make the catalog what the program of that version left."""
    with server.open_catalog() as catalog, catalog.engine.begin() as connection:
        for name, tables in BROUGHT.items():
            for table in tables if name > version else ():
                connection.execute(sa.text(f"DROP TABLE {table}"))
        connection.execute(sa.text("UPDATE alembic_version SET version_num = :version"), {"version": version})


@pytest.mark.parametrize("version", ["0001", "0002", "0003"])
def test_a_folder_of_an_earlier_program_opens(make_server, build_event, version):
    """Started on it, with events that the store does not have yet, the server has lost nothing and can do what is new."""
    server = make_server().start()
    server.signal("loader")
    sent = [build_event(f"old-{number}", event_name="bought", agent_os="iOS") for number in range(50)]
    assert server.send(sent).status == 200
    server.kill_all()
    _take_back(server, version)
    server.start()
    totals = server.wait_loaded()["totals"]
    assert (totals["received"], totals["stored"]) == (50, 50)
    made = server.request(
        "PUT",
        "/v1/metrics/bought",
        json.dumps({"kind": "count", "event_name": "bought"}),
        key=server.admin_key,
    )
    assert made.status == 200, made.body
    assert server.trace("old-7")["verdict"] == "stored"
    with server.open_catalog() as catalog:
        assert set(sa.inspect(catalog.engine).get_table_names()) == {*METADATA.tables, "alembic_version"}


def _make_store_of_version_2(server):
    """Give the store of a server that was killed the table, and the version, of the program before."""
    statements = [
        CREATE_EVENTS_2.replace("tallymark.events", "tallymark.older"),
        "INSERT INTO tallymark.older SELECT * FROM tallymark.events",
        "DROP TABLE tallymark.events SYNC",
        "RENAME TABLE tallymark.older TO tallymark.events",
        "DELETE FROM tallymark.migrations WHERE version > 2",
    ]
    program = "import sys, chdb.session as s; c = s.Session(sys.argv[1]); [c.query(q) for q in sys.argv[2:]]"
    command = [sys.executable, "-c", program, str(server.data / "store"), *statements]
    subprocess.run(command, check=True, capture_output=True, timeout=90)


@pytest.mark.parametrize("point", ["copy.before_partition", "copy.after_partition", "copy.after_exchange"])
def test_a_store_with_older_partitions(make_server, build_event, tmp_path, point):
    """Started on it, with a backlog and a death in the middle of the copy, the server has every event once."""
    crash = tmp_path / "crash-point"
    server = make_server(
        loader_linger_seconds=0.05,
        restart_pause_seconds=0.2,
        environment={"TALLYMARK_CRASH_FILE": str(crash)},
    ).start()
    server.make_project("other")
    other = {scope: server.make_key(scope, "other") for scope in ("write", "read")}
    stored = [build_event(f"stored-{number}", attributes={"a": {"b": number}}) for number in range(300)]
    for key in (server.write_key, other["write"]):
        assert server.send(stored, key=key).status == 200
    server.wait_loaded()
    server.wait_loaded(other["read"])
    server.signal("loader", signal.SIGSTOP)
    backlog = [build_event(f"backlog-{number}") for number in range(300)]
    assert server.send(backlog + stored[:50]).status == 200
    server.kill_all()
    _make_store_of_version_2(server)
    crash.write_text(point)
    server.launch()
    server.wait_until(lambda: not crash.exists(), "the loader dies in the middle of the copy")
    # The intake went on meanwhile.
    server.wait_until(lambda: server.send(build_event("meanwhile")).status == 200, "the intake answers")
    totals = server.wait_loaded()["totals"]
    assert (totals["received"], totals["stored"], totals["duplicate"]) == (651, 601, 50)
    assert server.sql("SELECT count(), uniqExact(event_id) FROM events") == [["601", "601"]]
    assert server.sql("SELECT count(), sum(attributes.a.b::Int64) FROM events", other["read"]) == [
        ["300", str(sum(range(300)))]
    ]
    assert "copying_events" in server.log
    server.stop()
    shown = _read_store(
        server,
        "SELECT name, partition_key FROM system.tables WHERE database = 'tallymark' AND name LIKE 'events%'",
    )
    assert shown == "events\t(toMonday(received_at), xxHash64(project) % 8)\n"


def _read_store(server, statement):
    program = "import sys, chdb.session as s; print(s.Session(sys.argv[1]).query(sys.argv[2], 'TSV'), end='')"
    command = [sys.executable, "-c", program, str(server.data / "store"), statement]
    return subprocess.run(command, check=True, capture_output=True, timeout=90, text=True).stdout


def test_every_table_is_in_a_version():
    """A table that a later version brings is taken back by this test too."""
    first = {"project", "api_key", "person", "session", "fact"}
    brought = {table for tables in BROUGHT.values() for table in tables}
    assert set(METADATA.tables) - brought == first


@pytest.fixture(scope="module", params=sorted(path.stem for path in FIXTURES.glob("*.json")))
def opened(request, make_server):
    """Start the server of today on a folder that an earlier program left; also give what it held."""
    server = make_server(**PATIENT)
    server.folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(FIXTURES / f"{request.param}.tar.gz") as archive:
        archive.extractall(server.folder, filter="data")
    held = json.loads((FIXTURES / f"{request.param}.json").read_text())
    server.admin_key = held["admin_key"]
    return server.start(), held


def test_the_backlog_of_an_earlier_program_is_loaded(opened):
    """Of 90 events in its journal 80 are new, 9 are known and one is invalid, judged by what that program remembered."""
    server, held = opened
    before, report = held["totals"], server.wait_loaded()
    totals = report["totals"]
    assert report["balanced"]
    assert totals["received"] == before["received"]
    assert totals["stored"] == before["stored"] + 80
    assert totals["duplicate"] == before["duplicate"] + 9
    assert totals["quarantined"] == {"time_invalid": 1, "wrong_type": 1}
    assert server.wait_loaded(SHOP_READ)["totals"]["stored"] == 27
    rows = server.sql("SELECT count(), uniqExact(event_id) FROM events")
    assert rows == [[str(totals["stored"])] * 2]
    assert server.trace("backlog-7")["verdict"] == "stored"
    assert server.trace("bad-1")["verdict"] == "quarantined"
    assert server.run("journal", "verify", "--data", "data").returncode == 0


def test_what_an_earlier_program_knew_is_known(opened, build_event):
    """A repetition of an event that it stored, and of one that waited, is a duplicate; a new one is stored."""
    server, _ = opened
    before = server.wait_loaded()["totals"]
    again = [build_event("old-cart-1"), build_event("backlog-3"), build_event("brand-new")]
    assert server.send(again).status == 200
    totals = server.wait_loaded()["totals"]
    assert (totals["stored"], totals["duplicate"]) == (before["stored"] + 1, before["duplicate"] + 2)


def test_definitions_of_an_earlier_program_answer(opened):
    """Its metrics have their figures, its dashboard and its embed are there, its quarantine lists what failed."""
    server, _ = opened
    server.wait_loaded()
    span = "from=2026-01-01&to=2027-01-01"
    figures = server.get(f"/v1/metrics/orders/figures?{span}")
    assert figures.status == 200, figures.body
    assert json.loads(figures.body)["figures"]["rows"][0][0] == 125
    for metric in ("verified", "order_value", "checkout"):
        assert server.get(f"/v1/metrics/{metric}/figures?{span}").status == 200
    assert [panel["name"] for panel in server.get("/v1/dashboards/shop").json["object"]["panels"]] == [
        "orders", "verified", "checkout",
    ]  # fmt: skip
    assert len(server.get("/v1/embeds", server.admin_key).json["embeds"]) == 1
    kept = server.get("/v1/quarantine").json["events"]
    assert sorted((one["code"], one["event_id"]) for one in kept) == [
        ("time_invalid", "bad-1"), ("wrong_type", "bad-2"),
    ]  # fmt: skip


def test_an_incident_of_an_earlier_program_goes_on(opened):
    """It is still open under its number, and its receiver is still there to hear of its end."""
    server, held = opened
    found = server.wait_until(
        lambda: next(
            (one for one in server.get("/v1/alerting").json["alerts"] if one["alert"] == "code_fails"), None
        ),
        "the alert is known",
    )
    assert found["incident"] == held["incident"]
    assert next(one["state"] for one in found["values"] if one["name"] == "iOS") in ("firing", "no data")
    changes = server.get("/v1/alerting/history").json["changes"]
    assert held["fired_at"] in [one["at"] for one in changes if one["incident"] == held["incident"]]
    names = [one["name"] for one in server.get("/v1/receivers", server.admin_key).json["receivers"]]
    assert names == ["hook"]
