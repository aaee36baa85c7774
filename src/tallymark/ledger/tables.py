"""The ledger's file: SQLite tables and their version.

`open_book` is for the loader, the one writer; `open_for_reading` for everyone else. All that one commit
writes (cursor, counts, quarantine, traces) is one transaction, synced before it counts.
"""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tallymark.errors import FormatError

FORMAT_VERSION = 1
# Stands where a reason does on the line of client drops, and counts reports, not events: those that claimed too much.
OVERSTATED: Final = "overstated"

_SCHEMA = """
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
"""


def open_book(path: Path) -> sqlite3.Connection:
    """Open the ledger for writing, making it first when it is not there."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=30)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    version = _check_version(connection, path)
    if version == 0:
        connection.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {FORMAT_VERSION}; COMMIT;")
    return connection


def open_for_reading(path: Path) -> sqlite3.Connection:
    """Open the ledger for reading beside its writer. One connection per thread."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None, timeout=30)
    _check_version(connection, path)
    return connection


def parse_microseconds(microseconds: float) -> datetime:
    """Turn a time as the ledger keeps it, µs since 1970, into an aware one in UTC."""
    return datetime.fromtimestamp(microseconds / 1_000_000, UTC)


def _check_version(connection: sqlite3.Connection, path: Path) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > FORMAT_VERSION:
        raise FormatError(
            f"The ledger has format {version}; this program reads up to {FORMAT_VERSION}. "
            "Start the newer program again, or restore the backup made before the upgrade.",
            at=path.name,
        )
    return int(version)
