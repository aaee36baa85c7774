"""Following the journal: every new event, whatever the store does and whoever dies, and a place that is kept."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from tallymark.ledger.readers import Readers

pytestmark = pytest.mark.store

ROUNDS = int(os.environ.get("TALLYMARK_FOLLOWING_ROUNDS", "100"))
SEED = int(os.environ.get("TALLYMARK_TORTURE_SEED", "1"))
# What is promised of a reader while the store is away, in seconds; a test that hangs is ended at five times that.
LAG_SECONDS = 2.0


@dataclass
class SqliteReader:
    """The reader of `tests/sqlite_reader.py`, as a process that can be killed."""

    data: Path
    database: Path
    process: subprocess.Popen[bytes] | None = field(default=None)

    def start(self) -> SqliteReader:
        command = [sys.executable, "-m", "tests.sqlite_reader", str(self.data), str(self.database)]
        self.process = subprocess.Popen(command, cwd=Path(__file__).parents[2])
        return self

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def rows(self) -> list[tuple[float, int, int, int, int, str]]:
        if not self.database.exists():
            return []
        with closing(sqlite3.connect(self.database, timeout=30)) as connection:
            try:
                return connection.execute("SELECT * FROM event ORDER BY shard, record, position").fetchall()
            except sqlite3.OperationalError:  # the reader has not made its tables yet
                return []

    def has(self, event_id: str) -> bool:
        return any(row[5] == event_id for row in self.rows())

    def ids(self) -> list[str]:
        return sorted(row[5] for row in self.rows())


@pytest.fixture
def make_reader(tmp_path):
    """Give a maker of readers of a server's journal; they end with the test."""
    made = []

    def make(server) -> SqliteReader:
        made.append(SqliteReader(server.data, tmp_path / f"reader-{len(made)}.sqlite"))
        return made[-1]

    yield make
    for reader in made:
        reader.kill()


def _stored(server) -> list[str]:
    return sorted(row[0] for row in server.sql("SELECT event_id FROM events"))


def _follow(server, *arguments) -> list[dict]:
    done = server.run("journal", "follow", "--data", "data", "--once", *arguments)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def _list_readers(server) -> dict[str, list[str]]:
    done = server.run("journal", "readers", "list", "--data", "data")
    assert done.returncode == 0, done.stderr
    return {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines()[1:]}


def test_following_on_the_command_line(server, build_event):
    """`journal follow` prints each new event once with its place, goes on where it stopped, and tells repetitions apart."""
    first = [build_event(f"follow-{number}", attributes={"n": number}) for number in range(3)]
    assert server.send([*first, first[0]]).status == 200
    server.wait_loaded()
    lines = [
        line
        for line in _follow(server, "--reader", "printer")
        if line["event"]["event_id"] in {"follow-0", "follow-1", "follow-2"}
    ]
    assert [line["event"]["event_id"] for line in lines] == ["follow-0", "follow-1", "follow-2"]
    assert [line["position"]["index"] for line in lines] == [0, 1, 2]
    assert lines[2]["event"]["attributes"] == {"n": 2}
    assert {(line["project"], line["source"]) for line in lines} == {("default", "http")}
    assert _follow(server, "--reader", "printer") == []
    assert server.send([build_event("follow-3"), first[1]]).status == 200
    server.wait_loaded()
    (line,) = _follow(server, "--reader", "printer")
    assert line["event"]["event_id"] == "follow-3"
    record, passed, *others = _list_readers(server)["printer"][:5]
    assert int(record) > line["position"]["record"]
    assert others == ["0", "0", "0"], "lost, damaged, in flight"
    assert _list_readers(server)["store"][4] == "0"
    assert int(passed.replace(",", "")) == len(_stored(server))


def test_beginning_and_removing(server, build_event):
    """A reader may begin with what comes next; removed, it is forgotten, and a reader of its name begins anew."""
    server.send([build_event("begin-1")])
    server.wait_loaded()
    assert _follow(server, "--reader", "late", "--from", "latest") == []
    server.send([build_event("begin-2")])
    server.wait_loaded()
    assert [line["event"]["event_id"] for line in _follow(server, "--reader", "late")] == ["begin-2"]
    done = server.run("journal", "readers", "remove", "late", "--data", "data")
    assert done.returncode == 0, done.stderr
    assert "late" not in _list_readers(server)
    assert "begin-1" in [line["event"]["event_id"] for line in _follow(server, "--reader", "late")]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("journal", "follow", "--reader", "store", "--once"), "invalid_reader_name"),
        (("journal", "follow", "--reader", "A B", "--once"), "invalid_reader_name"),
        (("journal", "readers", "remove", "nobody"), "unknown_reader"),
        (("journal", "readers", "remove", "store"), "unknown_reader"),
    ],
)
def test_refusals(server, arguments, said):
    """A name that is none, and a reader that is not there, are refused by code."""
    done = server.run(*arguments, "--data", "data")
    assert done.returncode == 1
    assert said in done.stderr


def test_one_project(server, build_event):
    """Only events of the project that is asked for are printed."""
    server.make_project("followed")
    key = server.make_key("write", "followed")
    server.wait_until(
        lambda: server.send([build_event("theirs-1")], key=key).status == 200, "the key is known"
    )
    server.send([build_event("ours-1")])
    server.wait_loaded()
    found = _follow(server, "--reader", "of-one", "--project", "followed")
    assert [line["event"]["event_id"] for line in found] == ["theirs-1"]


@pytest.mark.parametrize("seconds", [8, pytest.param(300, marks=pytest.mark.long)])
def test_a_reader_while_the_store_is_away(make_server, make_reader, make_traffic, build_event, seconds):
    """With the store stopped a reader gets each new event within seconds; afterwards both have the same events."""
    server = make_server(loader_linger_seconds=0.05).start()
    reader = make_reader(server).start()
    server.send([build_event("before")])
    server.wait_until(lambda: reader.ids() == ["before"], "the reader has the first event")
    server.signal("store", signal.SIGSTOP)
    traffic = make_traffic(server, clients=1, largest_batch=20, pause=0.05).start()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        mark = build_event(f"mark-{time.monotonic_ns()}")
        assert server.send(mark).status == 200
        server.wait_until(
            partial(reader.has, mark["event_id"]), "the event reaches the reader", seconds=5 * LAG_SECONDS
        )
    traffic.stop()
    lags = sorted(kept_at - received_us / 1e6 for kept_at, received_us, *_ in reader.rows())
    print(
        f"\n{len(lags)} events; lag p50 {lags[len(lags) // 2]:.2f}, p95 {lags[int(0.95 * len(lags))]:.2f}, worst {lags[-1]:.2f} s"
    )
    server.signal("store", signal.SIGCONT)
    server.wait_loaded()
    server.wait_until(lambda: len(reader.ids()) == len(_stored(server)), "the reader has all")
    assert reader.ids() == _stored(server)


@pytest.mark.parametrize("rounds", [6, pytest.param(ROUNDS, marks=pytest.mark.long)])
def test_a_reader_through_any_death(make_saboteur, make_traffic, make_reader, rounds):
    """Whoever dies wherever, the reader's database has each new event once: what the store has, in the journal's order."""
    dice = random.Random(SEED)
    saboteur = make_saboteur()
    server = saboteur.server
    reader = make_reader(server).start()
    points = [
        "verdicts.after_judging_before_write", "verdicts.after_write_before_sync",
        "verdicts.after_sync_before_publishing", "verdicts.after_publishing", "loader.before_insert",
        "loader.after_insert_before_commit", "dedup.during_flush",
    ]  # fmt: skip
    traffic = make_traffic(server, clients=2, largest_batch=60, pause=0.02, seed=SEED).start()

    def restart_reader() -> None:
        reader.kill()
        saboteur.deaths["kill reader"] += 1
        reader.start()

    for _ in range(rounds):
        dice.choice((
            lambda: saboteur.crash_at(dice.choice(points), dice.randint(1, 3)),
            lambda: saboteur.kill("loader"),
            saboteur.kill_everything,
            restart_reader,
        ))()  # fmt: skip
        time.sleep(dice.random() * 0.3)  # the moment of the next death, not a wait for anything
    traffic.stop()
    traffic.audit()
    if reader.process is None or reader.process.poll() is not None:
        reader.start()
    server.wait_until(lambda: len(reader.ids()) >= len(_stored(server)), "the reader has all")
    assert reader.ids() == _stored(server)
    rows = reader.rows()
    assert [row[2:5] for row in rows] == sorted({row[2:5] for row in rows})
    with closing(Readers(server.data / "readers.sqlite")) as readers:
        server.wait_until(
            lambda: readers.count_totals()["sqlite"].passed == len(rows), "its lines in the ledger add up"
        )
        assert readers.count_totals()["sqlite"].lost == 0
    print(f"\n{rounds} rounds: {dict(saboteur.deaths)}")


def test_a_reader_that_falls_behind(make_server, build_event):
    """Beyond its limits a reader loses what the journal no longer keeps: it is counted, and reading goes on behind it."""
    server = make_server(
        loader_linger_seconds=0.05, journal_keep_seconds=0, journal_segment_bytes=65536
    ).start()
    server.send([build_event("early")])
    server.wait_loaded()
    assert len(_follow(server, "--reader", "slow", "--limit-gb", "0.0001", "--limit-days", "0")) == 1
    for turn in range(12):
        padded = [build_event(f"slow-{turn}-{n}", attributes={"padding": "x" * 900}) for n in range(50)]
        assert server.send(padded).status == 200
    total = int(server.wait_loaded()["totals"]["stored"])

    def has_lost() -> bool:
        # The index is written, and segments go, when the loader ends and begins.
        server.signal("loader", signal.SIGTERM)
        return _list_readers(server)["slow"][2] != "0"

    server.wait_until(has_lost, "the journal is no longer kept for it", pause=2)
    left = _follow(server, "--reader", "slow")
    _, passed, lost, damaged, waiting = (text.replace(",", "") for text in _list_readers(server)["slow"][:5])
    assert (int(passed), damaged, waiting) == (1 + len(left), "0", "0")
    assert int(passed) + int(lost) == total
    assert left[-1]["event"]["event_id"] == "slow-11-49"
