"""A reader of the journal that keeps its events and its cursor in one SQLite transaction, as a program of its own.

`python -m tests.sqlite_reader DATA DATABASE` follows the data folder until it is ended. Table `event` has a row for each new
event: when it was kept (s since 1970), when it was received, where it stands, and its id. No two rows have the same place.
"""

from __future__ import annotations

import sqlite3
import sys
import time
from contextlib import closing

import msgspec

from tallymark.journal.judged import JudgedRecord
from tallymark.ledger.following import JournalFollower, Position
from tallymark.server.orders import find_paths

_SCHEMA = """
CREATE TABLE IF NOT EXISTS event (
    kept_at REAL, received_us INTEGER, shard INTEGER, record INTEGER, position INTEGER, event_id TEXT,
    PRIMARY KEY (shard, record, position)
);
CREATE TABLE IF NOT EXISTS cursor (shard INTEGER PRIMARY KEY, record INTEGER, checksum INTEGER);
"""


def _build_rows(item: JudgedRecord) -> list[tuple[float, int, int, int, int, str]]:
    lines = item.record.rows.split(b"\n")
    return [
        (time.time(), item.record.heading.received_us, item.record.shard, item.record.number, position, msgspec.json.decode(lines[position])["event_id"])
        for position, verdict in enumerate(item.verdicts)
        if verdict == 0
    ]  # fmt: skip


def follow(data: str, database: str) -> None:
    """Follow the journal until the process is ended."""
    paths = find_paths(data)
    connection = sqlite3.connect(database, isolation_level=None)
    connection.executescript(_SCHEMA)
    with closing(JournalFollower(paths.journal, paths.readers, "sqlite")) as follower:
        for row in connection.execute("SELECT shard, record, checksum FROM cursor").fetchall():
            follower.seek(Position(*row))
        while True:
            before = follower.position
            judged = follower.read(1 << 20)
            if judged:
                connection.execute("BEGIN")
                rows = [row for item in judged for row in _build_rows(item)]
                connection.executemany("INSERT INTO event VALUES (?, ?, ?, ?, ?, ?)", rows)
                connection.execute(
                    "INSERT OR REPLACE INTO cursor VALUES (?, ?, ?)",
                    msgspec.structs.astuple(follower.position),
                )
                connection.execute("COMMIT")
            follower.commit()
            if follower.position == before:
                time.sleep(0.05)


if __name__ == "__main__":
    follow(*sys.argv[1:])
