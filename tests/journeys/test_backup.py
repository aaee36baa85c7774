"""A backup that is made while events arrive starts, balances, and holds everything that was acknowledged before it."""

from __future__ import annotations

import shutil

import pytest

pytestmark = [pytest.mark.store]


def test_backup_under_load(make_server, make_traffic):
    """Two copies under load: each starts by itself with what was acknowledged before it, stored once, and knows it again."""
    server = make_server(loader_linger_seconds=0.05).start()
    traffic = make_traffic(server).start()
    promised = []
    for name in ("one", "two"):
        enough = len(traffic.acknowledged) + 2000
        server.wait_until(lambda enough=enough: len(traffic.acknowledged) > enough, "events are acknowledged")
        before = set(traffic.acknowledged)
        done = server.run("backup", str(server.folder / name), "--data", "data")
        assert done.returncode == 0, done.stderr
        promised.append((server.folder / name, before))
    traffic.stop()
    assert traffic.audit()["lost"] == 0

    for folder, before in promised:
        restored = make_server(loader_linger_seconds=0.05)
        restored.folder.mkdir(exist_ok=True)
        shutil.copytree(folder, restored.data, symlinks=True)
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


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("there", "--data", "data"), "exists already"),
        (("new", "--data", "nowhere"), "no journal"),
    ],
)
def test_refusals(server, arguments, said):
    """A target that exists and a folder that is none are refused in a sentence, and nothing is left behind."""
    (server.folder / "there").mkdir(exist_ok=True)
    done = server.run("backup", *arguments)
    assert done.returncode == 1
    assert said in done.stderr
    assert not list(server.folder.glob("*.incomplete"))
