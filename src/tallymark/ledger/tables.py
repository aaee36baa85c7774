"""The ledger's file: SQLite tables and their version.

`open_ledger` is for the loader, the one writer; `open_for_reading` for everyone else. All that one commit writes (cursor, counts, quarantine, traces) is one transaction, synced before it counts.
"""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tallymark.errors import FormatError

FORMAT_VERSION: Final = 2
# Stands where a reason does on the line of client drops, and counts reports, not events: those that claimed too much.
OVERSTATED: Final = "overstated"

# What each version brought. A ledger is brought up to date by running what it lacks.
_VERSIONS: Final = {
    1: """
CREATE TABLE cursor (shard INTEGER PRIMARY KEY, record INTEGER NOT NULL);
CREATE TABLE line (
    project TEXT NOT NULL, source TEXT NOT NULL, minute INTEGER NOT NULL,
    line TEXT NOT NULL, reason TEXT NOT NULL, events INTEGER NOT NULL,
    PRIMARY KEY (project, minute, source, line, reason)
) WITHOUT ROWID;
CREATE TABLE client_total (
    project TEXT NOT NULL, instance TEXT NOT NULL, reason TEXT NOT NULL, total INTEGER NOT NULL,
    seen_us INTEGER NOT NULL, PRIMARY KEY (project, instance, reason)
) WITHOUT ROWID;
CREATE TABLE quarantine (
    id INTEGER PRIMARY KEY, project TEXT NOT NULL, source TEXT NOT NULL, received_us INTEGER NOT NULL,
    record INTEGER NOT NULL, position INTEGER NOT NULL, code TEXT NOT NULL, message TEXT NOT NULL,
    place TEXT NOT NULL, event_id TEXT NOT NULL, event_name TEXT NOT NULL, body BLOB NOT NULL,
    replayed_us INTEGER
);
CREATE INDEX quarantine_by_time ON quarantine (project, received_us);
CREATE INDEX quarantine_by_event ON quarantine (project, event_id);
CREATE INDEX quarantine_by_age ON quarantine (received_us);
CREATE INDEX quarantine_waiting ON quarantine (code) WHERE replayed_us IS NULL;
CREATE TABLE quarantine_size (project TEXT PRIMARY KEY, bytes INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE trace (
    id INTEGER PRIMARY KEY, project TEXT NOT NULL, event_id TEXT NOT NULL, event_name TEXT NOT NULL,
    source TEXT NOT NULL, received_us INTEGER NOT NULL, judged_us INTEGER NOT NULL, record INTEGER NOT NULL,
    verdict TEXT NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL, first_record INTEGER,
    sha256 TEXT NOT NULL, size INTEGER NOT NULL
);
CREATE INDEX trace_by_event ON trace (project, event_id);
CREATE INDEX trace_by_age ON trace (received_us);
CREATE TABLE fact (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
""",
    # Who may move the cursor, and the bounds of the batch that the loader is about to insert.
    2: """
ALTER TABLE cursor ADD COLUMN epoch INTEGER NOT NULL DEFAULT 0;
INSERT OR IGNORE INTO cursor (shard, record) VALUES (0, 0);
CREATE TABLE batch (
    shard INTEGER PRIMARY KEY, first INTEGER NOT NULL, last INTEGER NOT NULL, stored_us INTEGER NOT NULL
)
""",
}


def open_ledger(path: Path) -> sqlite3.Connection:
    """Open the ledger for writing, making it first when it is not there, or bringing it up to date."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=30)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    if _check_version(connection, path) < FORMAT_VERSION:
        _bring_up_to_date(connection, path)
    return connection


def open_for_reading(path: Path) -> sqlite3.Connection:
    """Open the ledger for reading beside its writers. One connection per thread."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None, timeout=30)
    version = _check_version(connection, path)
    if 0 < version < FORMAT_VERSION:
        # Whoever comes first after an upgrade does it.
        open_ledger(path).close()
    return connection


def parse_microseconds(microseconds: float) -> datetime:
    """Turn a time as the ledger keeps it, µs since 1970, into an aware one in UTC."""
    return datetime.fromtimestamp(microseconds / 1_000_000, UTC)


def _bring_up_to_date(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Another process may have done it while this one waited.
        version = _check_version(connection, path)
        for following in range(version + 1, FORMAT_VERSION + 1):
            for statement in _VERSIONS[following].split(";"):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {FORMAT_VERSION}")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _check_version(connection: sqlite3.Connection, path: Path) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > FORMAT_VERSION:
        raise FormatError(
            f"The ledger has format {version}; this program reads up to {FORMAT_VERSION}. "
            "Start the newer program again, or restore the backup made before the upgrade.",
            at=path.name,
        )
    return int(version)
