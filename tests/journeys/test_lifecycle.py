"""A server's life: it starts once on a folder, drains, dies whole, and refuses what a newer one wrote."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import threading

import msgspec
import psutil
import pytest

from tallymark.journal.files import SegmentHeader, render_header

pytestmark = pytest.mark.store


@pytest.fixture(scope="module")
def running(make_server, build_event):
    """Start a server with a stored and a quarantined event in it."""
    server = make_server(loader_linger_seconds=0.05).start()
    server.send([build_event("life-1"), {"event_id": "life-2"}])
    server.wait_loaded()
    return server


def test_second_server_is_refused_and_told_who_has_the_folder(running):
    """A second server on the folder ends at once, names the holder and disturbs nothing."""
    second = running.run("serve", "--data", str(running.data), "--port", "0")
    assert second.returncode == 1
    assert f"process {running.process.pid}" in second.stderr
    assert running.url in second.stderr
    assert running.get("/readyz").status == 200


def test_no_deleted_file_lets_a_second_server_in(running, build_event):
    """With every lock file deleted, a second server still ends at once; the first goes on and loses nothing."""
    for name in ("server.lock", "journal/0000/lock"):
        (running.data / name).unlink()
    before = running.wait_loaded()["totals"]["stored"]
    second = running.run("serve", "--data", str(running.data), "--port", "0")
    assert second.returncode == 1
    assert "is in use" in second.stderr
    assert running.send([build_event("life-after")]).status == 200
    report = running.wait_loaded()
    assert report["balanced"]
    assert report["totals"]["stored"] == before + 1
    assert running.run("journal", "verify", "--data", "data").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("keys", "list", "--data", "data"), 0, "default"),
        (("projects", "list", "--data", "data"), 0, "default"),
        (("journal", "verify", "--data", "data"), 0, "sound"),
        (("journal", "verify", "--data", "nowhere"), 1, "There is no"),
        (("keys", "list", "--data", "nowhere"), 1, "There is no data folder"),
        (("keys", "create", "owner", "--data", "data"), 1, "There is no scope 'owner'"),
        (("keys", "revoke", "999", "--data", "data"), 1, "There is no key 999"),
        (("projects", "create", "Bad Name", "--data", "data"), 1, "no project name"),
        (("projects", "set", "default", "--privacy-off", "nonsense", "--data", "data"), 1, "There is no privacy rule"),
        (("ledger",), 0, "balanced"),
        (("trace", "life-1"), 0, "stored"),
        (("trace", "life-2"), 0, "quarantined"),
        (("trace", "no-such-event"), 1, "unknown"),
        (("sql", "SELECT count() AS events FROM events"), 0, "events"),
        (("sql", "SELECT nonsense"), 1, "nonsense"),
        (("quarantine",), 0, "missing_field"),
        (("query", '{"kind":"nonsense"}'), 1, "trend"),
        (("config",), 0, "loader_linger_seconds"),
        (("--version",), 0, "tallymark 0."),
        (("quarantine", "--code", "bogus"), 1, "There is no code 'bogus'"),
        (("config", "--set", "quarantine_days=inf"), 1, "not a finite number"),
        (("config", "--set", "port=x"), 1, "port"),
        (("config", "--set", "prot=1"), 1, "There is no setting 'prot'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)  # fmt: skip
def test_commands(running, arguments, code, said):
    """Each command says what it should and ends with the right code, in one line where it fails, without a traceback."""
    done = running.run(*arguments)
    assert done.returncode == code, done.stderr
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_replay_by_command(running):
    """A replay tells how many were accepted and what failed again, in words or as JSON."""
    admin = {"TALLYMARK_ADMIN_KEY": running.make_key("admin")}
    done = running.run("quarantine", "--replay", "--code", "missing_field", **admin)
    assert done.returncode == 0, done.stderr
    assert "0 accepted, 1 failed again" in done.stdout
    assert "missing_field" in done.stdout
    running.wait_loaded()
    done = running.run("quarantine", "--replay", "--code", "nul_character", "--json", **admin)
    assert json.loads(done.stdout) == {"accepted": 0, "rejected": []}
    bogus = running.run("quarantine", "--replay", "--code", "bogus", **admin)
    assert (bogus.returncode, "There is no code" in bogus.stderr) == (1, True)


def test_misspelt_variables_are_told(make_server):
    """A TALLYMARK_ variable that means nothing is named in the log; one that means something is not."""
    server = make_server(environment={"TALLYMARK_PROT": "1", "TALLYMARK_LOG_LEVEL": "warning"}).start()
    server.stop()
    assert '"TALLYMARK_PROT"' in server.log
    assert "TALLYMARK_LOG_LEVEL" not in server.log


def test_key_made_and_revoked_by_command(running, build_event):
    """A key made on the command line is taken by the running server, and refused once it is revoked there."""
    key = running.run("keys", "create", "write", "--data", "data", "--name", "shop").stdout.strip()
    running.wait_until(lambda: running.send(build_event("cli-1"), key=key).status == 200, "the key works")
    listed = running.run("keys", "list", "--data", "data").stdout
    assert key not in listed
    (line,) = [line for line in listed.splitlines() if "shop" in line]
    assert running.run("keys", "revoke", line.split()[0], "--data", "data").returncode == 0
    running.wait_until(
        lambda: running.send(build_event("cli-1"), key=key).status == 401, "the key is refused"
    )


def test_query_by_command(running):
    """A question is answered as a table, JSON or CSV."""
    question = {"kind": "trend", "from": "2026-01-01T00:00:00Z", "to": "2026-02-01T00:00:00Z",
                "series": [{"name": "clicks", "event_name": "clicked", "measure": {"op": "count"}}]}  # fmt: skip
    answer = running.run("query", json.dumps(question), "--format", "json")
    assert json.loads(answer.stdout)["rows"][0][-1] >= 1
    assert "clicks" in running.run("query", json.dumps(question)).stdout


def test_no_server_is_a_sentence(running):
    """Without a server the command says so and what to do."""
    done = running.run("ledger", TALLYMARK_URL="http://127.0.0.1:9")
    assert done.returncode == 2
    assert "tallymark serve" in done.stderr


def test_precedence_of_settings(tmp_path, running):
    """Flags win over variables, these over the file, that over the defaults; the table tells which it was."""
    (running.folder / "tallymark.toml").write_text("trace_days = 3\nquarantine_days = 3\ndedup_days = 3\n")
    try:
        done = running.run(
            "config", "--set", "trace_days=1", TALLYMARK_TRACE_DAYS="2", TALLYMARK_QUARANTINE_DAYS="2"
        )
    finally:
        (running.folder / "tallymark.toml").unlink()
    said = {line.split()[0]: line.split()[1:3] for line in done.stdout.splitlines() if line.strip()}
    assert said["trace_days"] == ["1.0", "flag"]
    assert said["quarantine_days"] == ["2.0", "environment"]
    assert said["dedup_days"] == ["3.0", "tallymark.toml"]
    assert said["body_bytes"] == ["4194304", "default"]


def test_port_zero_takes_a_free_one(make_server):
    """Port 0 is a free port, which the server names, and which a restarted web process keeps."""
    server = make_server(restart_pause_seconds=0.2)
    server.port = 0
    server.launch()
    line = server.wait_until(lambda: "serves at http" in server.log and server.log, "the address is told")
    server.port = int(line.partition("http://127.0.0.1:")[2].split()[0])
    server.wait_ready()
    before = server.signal("web")
    server.wait_until(lambda: server.pids().get("web", before) != before, "web is started again")
    server.wait_ready()
    assert server.stop() == 0


def test_kill_while_starting(make_server):
    """A process that is killed before the server is ready is started again, and does not take the server along."""
    server = make_server(restart_pause_seconds=0.2)
    server.launch()
    for role in ("web", "loader", "jobs", "store"):
        server.signal(role)
    server.wait_ready()
    assert server.stop() == 0


def test_end_in_order_drains(make_server, build_event):
    """SIGTERM under load: every answered event is stored at once or at the next start, and the exit code is 0."""
    server = make_server(loader_linger_seconds=0.05).start()
    acknowledged: list[str] = []
    told = threading.Event()

    def send(client: int) -> None:
        number = 0
        while True:
            number += 1
            event_id = f"drain-{client}-{number}"
            try:
                status = server.send(build_event(event_id)).status
            except OSError:
                return
            if status != 200:
                return
            acknowledged.append(event_id)
            if len(acknowledged) > 100:
                told.set()

    threads = [threading.Thread(target=send, args=(client,)) for client in range(3)]
    for thread in threads:
        thread.start()
    assert told.wait(90)
    children = list(server.pids().values())
    assert server.stop() == 0
    for thread in threads:
        thread.join(90)
    assert not any(psutil.pid_exists(pid) for pid in children)
    server.start()
    server.wait_loaded()
    stored = {row[0] for row in server.sql("SELECT event_id FROM events")}
    assert set(acknowledged) <= stored
    assert server.stop() == 0


def test_supervisor_that_dies_takes_everything_along(make_server, build_event):
    """After kill -9 of the supervisor its children end, the folder is free, and the next server has every event."""
    server = make_server().start()
    assert server.send(build_event("orphan-1")).status == 200
    children = [psutil.Process(pid) for pid in server.pids().values()]
    assert len(children) == 4
    server.process.send_signal(signal.SIGKILL)
    server.process.wait()
    assert psutil.wait_procs(children, timeout=90)[1] == []
    server.start()
    server.wait_until(lambda: server.trace("orphan-1")["verdict"] == "stored", "the event is stored")
    server.stop()


@pytest.fixture(scope="module")
def old_folder(make_server, build_event):
    """Leave the folder of a server that was stopped with events in it."""
    server = make_server(loader_linger_seconds=0.05).start()
    server.send([build_event(f"old-{number}") for number in range(5)])
    server.wait_loaded()
    server.stop()
    return server


def _age_journal(data) -> None:
    path = data / "journal" / "0000" / f"segment-{99:020d}.log"
    raw = bytearray(render_header(SegmentHeader(0, 99, 99, 0)))
    import google_crc32c  # noqa: PLC0415 - only here

    raw[8:12] = (99).to_bytes(4, "little")
    raw[40:44] = google_crc32c.value(bytes(raw[:40])).to_bytes(4, "little")
    path.write_bytes(raw)


def _age_dedup(data) -> None:
    path = data / "dedup" / "manifest.json"
    path.write_bytes(msgspec.json.encode(json.loads(path.read_bytes()) | {"version": 99}))


def _age_ledger(data) -> None:
    with sqlite3.connect(data / "ledger.sqlite") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()


def _age_catalog(data) -> None:
    with sqlite3.connect(data / "catalog.sqlite") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()


@pytest.mark.parametrize(
    ("age", "said"),
    [
        (_age_journal, "format 99"),
        (_age_dedup, "format 99"),
        (_age_ledger, "format 99"),
        (_age_catalog, "9999"),
    ],
    ids=["journal", "dedup", "ledger", "catalog"],
)
def test_newer_formats_are_refused(old_folder, make_server, age, said):
    """Each format on disk that a newer program wrote is refused with a sentence that says so; nothing is changed (F43)."""
    server = make_server(restart_pause_seconds=0.2)
    shutil.copytree(old_folder.data, server.data, symlinks=True)
    age(server.data)
    server.launch()
    server.wait_until(lambda: said in server.log, "the refusal is told")
    refusal = next(line for line in server.log.splitlines() if said in line)
    assert "newer" in server.log, refusal


def test_old_folder_goes_on(old_folder, make_server, build_event):
    """A copy of the folder is a working backup: it starts, has its events and takes more."""
    server = make_server(loader_linger_seconds=0.05)
    shutil.copytree(old_folder.data, server.data, symlinks=True)
    server.start()
    assert server.send([build_event("old-0"), build_event("new-0")]).status == 200
    totals = server.wait_loaded()["totals"]
    assert (totals["stored"], totals["duplicate"]) == (6, 1)
