"""A backup that is made while events arrive starts, balances, and holds everything that was acknowledged before it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from pathlib import Path

import pytest

from tallymark.errors import TallymarkError
from tallymark.server.backup import _copy_store, back_up

pytestmark = pytest.mark.store


def test_backup_under_load(make_server, make_traffic):
    """Two copies on the disk of the original, which goes on: each starts beside it and has all that was acknowledged."""
    server = make_server(loader_linger_seconds=0.05).start()
    traffic = make_traffic(server).start()
    promised = []
    for _ in range(2):
        enough = len(traffic.acknowledged) + 2000
        server.wait_until(lambda enough=enough: len(traffic.acknowledged) > enough, "events are acknowledged")
        before = set(traffic.acknowledged)
        restored = make_server(loader_linger_seconds=0.05)
        done = server.run("backup", str(restored.data), "--data", "data")
        assert done.returncode == 0, done.stderr
        promised.append((restored, before))
    traffic.stop()
    assert traffic.audit()["lost"] == 0

    for restored, before in promised:
        restored.start()
        report = restored.wait_loaded()
        assert report["balanced"]
        rows = restored.sql("SELECT event_id, count() FROM events GROUP BY event_id")
        times = {event_id: int(count) for event_id, count in rows}
        assert before <= times.keys()
        assert set(times.values()) == {1}
        assert report["totals"]["stored"] == len(times)
        again = [traffic._build(event_id) for event_id in sorted(before)[::7]]
        assert restored.send(again).status == 200
        totals = restored.wait_loaded()["totals"]
        assert totals["stored"] == len(times)
        assert totals["duplicate"] == report["totals"]["duplicate"] + len(again)
        assert restored.run("journal", "verify", "--data", "data").returncode == 0
        restored.close()
    server.kill_all()
    server.start()
    traffic.audit()


def test_readers_go_on_with_the_copy(make_server, make_traffic):
    """A copy has the readers' places and the verdicts: on it they go on where they stood, and miss and repeat nothing."""
    server = make_server(loader_linger_seconds=0.05).start()
    traffic = make_traffic(server).start()
    server.wait_until(lambda: len(traffic.acknowledged) > 500, "events are acknowledged")
    follow = ("journal", "follow", "--reader", "exports", "--once", "--data", "data")
    first = server.run(*follow)
    assert first.returncode == 0, first.stderr
    enough = len(traffic.acknowledged) + 1000
    server.wait_until(lambda: len(traffic.acknowledged) > enough, "more events are acknowledged")
    restored = make_server(loader_linger_seconds=0.05)
    done = server.run("backup", str(restored.data), "--data", "data")
    assert done.returncode == 0, done.stderr
    traffic.stop()

    restored.start()
    totals = restored.wait_loaded()["totals"]
    second = restored.run(*follow)
    assert second.returncode == 0, second.stderr
    lines = [json.loads(line) for line in (first.stdout + second.stdout).splitlines()]
    followed = [line["event"]["event_id"] for line in lines]
    assert sorted(followed) == sorted(row[0] for row in restored.sql("SELECT event_id FROM events"))
    assert len(followed) == totals["stored"]
    assert restored.run("journal", "verify", "--data", "data").returncode == 0


def test_what_is_linked(server, make_server, build_event):
    """Of a copy on the same disk only files of parts are links, and a server on the copy changes none of them."""
    server.send([build_event("linked-1")])
    server.wait_loaded()
    copied = make_server(loader_linger_seconds=0.05)
    done = server.run("backup", str(copied.data), "--data", "data")
    assert done.returncode == 0, done.stderr

    files = {path: path.stat() for path in copied.data.rglob("*") if path.is_file()}
    linked = {path: (stat.st_size, stat.st_mtime_ns) for path, stat in files.items() if stat.st_nlink > 1}
    assert linked
    assert {path.parent.name.count("_") for path in linked} == {3}, "PARTITION_MIN_MAX_LEVEL"
    assert not {path.name for path in linked} & {"metadata_version.txt", "txn_version.txt"}
    assert not list(copied.data.rglob("status")), "the lock of the engine that runs"
    key = copied.data / "sealing.key"
    assert key.read_bytes() == (server.data / "sealing.key").read_bytes()
    assert key.stat().st_mode & 0o077 == 0

    copied.start()
    copied.send([build_event("linked-1"), build_event("linked-2")])
    totals = copied.wait_loaded()["totals"]
    assert (totals["stored"], totals["duplicate"]) == (2, 1)
    now = {path: path.stat() for path in linked if path.exists()}
    assert {path: (stat.st_size, stat.st_mtime_ns) for path, stat in now.items()}.items() <= linked.items()
    assert server.sql("SELECT event_id FROM events") == [["linked-1"]]


def test_files_that_vanish(tmp_path, monkeypatch):
    """A part that the engine deletes while it is copied is left out whole; what stands beside the parts stays."""
    store = tmp_path / "store"
    table = store / "store" / "abc" / "abc-table"
    for part in ("all_1_1_0", "all_2_2_0", "all_3_3_0"):
        (table / part).mkdir(parents=True)
        (table / part / "data.bin").write_bytes(b"rows")
    (table / "all_3_3_0" / "data.bin").unlink()
    for name in ("format_version.txt", "mutation_3.txt"):
        (table / name).write_text("1")
    walk = os.walk

    def walk_while_deleting(folder):
        for each in walk(folder):
            if Path(each[0]).name == "abc-table":
                (table / "mutation_3.txt").unlink()
            if Path(each[0]).name in ("all_2_2_0", "all_3_3_0"):
                Path(each[0]).rename(table / f"delete_tmp_{Path(each[0]).name}")
            yield each

    monkeypatch.setattr("os.walk", walk_while_deleting)
    _copy_store(store, tmp_path / "copy", tmp_path / "links")

    copied = {str(path.relative_to(tmp_path / "copy")) for path in (tmp_path / "copy").rglob("*.*")}
    assert copied == {f"store/abc/abc-table/{name}" for name in ("all_1_1_0/data.bin", "format_version.txt")}
    assert {path.name for path in (tmp_path / "copy/store/abc/abc-table").iterdir()} == {
        "all_1_1_0",
        "format_version.txt",
    }


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("there", "--data", "data"), "exists already"),
        (("new", "--data", "nowhere"), "no journal"),
        (("data/inner", "--data", "data"), "Name a folder outside it"),
        (("data/journal/../deep/inner", "--data", "data"), "Name a folder outside it"),
        (("way/inner", "--data", "data"), "Name a folder outside it"),
        (("data/inner", "--data", "way"), "Name a folder outside it"),
    ],
)
def test_refusals(server, arguments, said):
    """A target that exists or lies in the data folder, and a folder that is none, are refused, and nothing is left."""
    (server.folder / "there").mkdir(exist_ok=True)
    with contextlib.suppress(FileExistsError):
        (server.folder / "way").symlink_to("data")
    done = server.run("backup", *arguments)
    assert done.returncode == 1
    assert said in done.stderr
    assert not list(server.folder.rglob("*.incomplete"))


@pytest.mark.parametrize("data", ["copy.incomplete", "copy.incomplete/data"])
def test_draft_over_the_data(tmp_path, data):
    """A data folder that has, or lies under, the name of the unfinished copy is refused before that is cleared."""
    journal = tmp_path / data / "journal" / "0000"
    journal.mkdir(parents=True)
    with pytest.raises(TallymarkError, match="Name a folder outside it"):
        back_up(tmp_path / data, tmp_path / "copy")
    assert journal.exists()


def test_tables_that_change_names(tmp_path, monkeypatch):
    """When a new table takes an older one's place while they are copied, the copy has the new one, whole."""
    store = tmp_path / "store"
    description = store / "store" / "000" / "000-database" / "events.sql"
    for name in ("older", "newer"):
        part = store / "store" / name[:3] / f"{name}-table" / "20260105-1_1_1_0"
        part.mkdir(parents=True)
        (part / "data.bin").write_bytes(name.encode())
    description.parent.mkdir(parents=True)
    description.write_text("older-table")
    walk, walks = os.walk, []

    def walk_while_changing(folder):
        walks.append(folder)
        for each in walk(folder):
            if len(walks) == 1 and Path(each[0]).name == "older-table":
                description.write_text("newer-table")
                shutil.rmtree(each[0])
            yield each

    monkeypatch.setattr("os.walk", walk_while_changing)
    _copy_store(store, tmp_path / "copy", tmp_path / "links")

    copied = tmp_path / "copy" / "store"
    assert (copied / "000" / "000-database" / "events.sql").read_text() == "newer-table"
    assert [path.read_text() for path in copied.rglob("data.bin")] == ["newer"]
