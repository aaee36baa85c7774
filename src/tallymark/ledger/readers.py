"""Readers of the journal beside the loader: each has a name, a cursor in every shard, limits, and lines of its own.

They stand in a database of their own, so that a reader that hangs holds up other readers at most, and never the ledger. A
cursor moves by compare-and-set: whoever opens a reader gets a new epoch, and a program that opened it earlier can move it no
more. The journal is kept for the slowest reader within its limits.
"""

from __future__ import annotations

import re
import secrets
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import msgspec

from tallymark.clock import MINUTE_US
from tallymark.errors import FormatError, TallymarkError
from tallymark.journal.verdicts import RecordVerdicts, VerdictReader

FORMAT_VERSION: Final = 1
# What `tallymark journal readers list` calls the loader.
STORE_READER: Final = "store"
DEFAULT_LIMIT_BYTES: Final = 10 * 1000**3
DEFAULT_LIMIT_SECONDS: Final = 7 * 24 * 3600
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_SCHEMA: Final = """
CREATE TABLE reader (
    name TEXT NOT NULL, shard INTEGER NOT NULL, record INTEGER NOT NULL, epoch INTEGER NOT NULL,
    moved_us INTEGER NOT NULL, limit_bytes INTEGER NOT NULL, limit_seconds INTEGER NOT NULL,
    PRIMARY KEY (name, shard)
) WITHOUT ROWID;
CREATE TABLE reader_line (
    reader TEXT NOT NULL, project TEXT NOT NULL, source TEXT NOT NULL, minute INTEGER NOT NULL,
    line TEXT NOT NULL, events INTEGER NOT NULL,
    PRIMARY KEY (reader, project, minute, source, line)
) WITHOUT ROWID;
CREATE TABLE released (shard INTEGER PRIMARY KEY, record INTEGER NOT NULL)
"""
_COLUMNS: Final = "name, shard, record, epoch, moved_us, limit_bytes, limit_seconds"

Execute = Callable[..., sqlite3.Cursor]
# (project, source, receive minute since 1970) -> events.
Counts = Counter[tuple[str, str, int]]


class ReaderLimits(msgspec.Struct, frozen=True):
    """How far a reader may fall behind before the journal is no longer kept for it: bytes and seconds; 0 for no limit."""

    bytes: int = DEFAULT_LIMIT_BYTES
    seconds: int = DEFAULT_LIMIT_SECONDS


class ReaderState(msgspec.Struct, frozen=True):
    """A reader's place in one shard: the record that it wants next. `moved_us` is in µs since 1970."""

    name: str
    shard: int
    record: int
    epoch: int
    moved_us: int
    limits: ReaderLimits


class ReaderTotals(msgspec.Struct):
    """New events that a reader passed, that were gone before it came, and that could not be read any more."""

    passed: int = 0
    lost: int = 0
    damaged: int = 0


class ReaderLag(msgspec.Struct, frozen=True):
    """How many judged records a reader has not read, and when the oldest of them was received (µs since 1970; 0 if none)."""

    name: str
    records: int
    since_us: int
    totals: ReaderTotals


class Readers:
    """The cursors of all readers, open for reading and writing. One thread; any number of processes.

    `timeout` is how long it waits for others that write, in seconds; then sqlite3.OperationalError is raised.
    """

    def __init__(self, path: Path, timeout: float = 30.0) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, timeout=timeout)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._prepare(path)

    def list_states(self, shard: int | None = None) -> list[ReaderState]:
        """Return all readers, or those of one shard, by name."""
        rows = self._connection.execute(
            f"SELECT {_COLUMNS} FROM reader WHERE shard = coalesce(?, shard) ORDER BY name, shard",  # noqa: S608 - constant
            (shard,),
        )
        return [_build_state(*row) for row in rows]

    def open(
        self,
        name: str,
        shard: int,
        begin: Callable[[], int],
        now_us: int,
        limits: ReaderLimits | None = None,
    ) -> ReaderState:
        """Take a reader over, making it where there is none: it begins with the record of `begin()`, or goes on.

        Raises TallymarkError: invalid_reader_name.
        """
        if name == STORE_READER or not _NAME.fullmatch(name):
            raise TallymarkError(
                "invalid_reader_name",
                f"A reader cannot be called {name!r}. Allowed are up to 64 of a-z, 0-9, '.', '_' and '-', beginning with a"
                f" letter or digit; {STORE_READER!r} is the loader.",
            )
        with self._write() as run:
            # Never the same twice, also when a reader is removed and made again.
            epoch = secrets.randbits(62)
            row = run("SELECT record FROM released WHERE shard = ?", (shard,)).fetchone()
            first = max(begin(), row[0] if row else 0)
            run(
                "INSERT INTO reader VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (name, shard) DO UPDATE SET epoch = excluded.epoch",
                (name, shard, first, epoch, now_us, *msgspec.structs.astuple(limits or ReaderLimits())),
            )
            if limits is not None:
                run(
                    "UPDATE reader SET limit_bytes = ?, limit_seconds = ? WHERE name = ?",
                    (*msgspec.structs.astuple(limits), name),
                )
            row = run(f"SELECT {_COLUMNS} FROM reader WHERE name = ? AND shard = ?", (name, shard)).fetchone()  # noqa: S608 - constant
        return _build_state(*row)

    def move(
        self, state: ReaderState, record: int, passed: Counts, damaged: Counts, now_us: int
    ) -> ReaderState:
        """Move a cursor to `record` and count what it passed and what was damaged, durably and as one.

        Raises TallymarkError: reader_superseded when another program opened this reader, it fell behind its limits and was
        moved, or it was removed.
        """
        with self._write():
            return self._move(state, record, {"passed": passed, "damaged": damaged}, now_us)

    def release(self, shard: int, first: int, count_lost: Callable[[ReaderState], Counts]) -> None:
        """Note, durably, that the records before `first` are going, and move the cursors that are there beyond them.

        `count_lost` returns the new events that a reader has not read before `first`. They are on its line afterwards.
        """
        with self._write() as run:
            run("INSERT OR REPLACE INTO released VALUES (?, ?)", (shard, first))
            for state in self.list_states(shard):
                if state.record < first:
                    self._move(state, first, {"lost": count_lost(state)}, state.moved_us)

    def remove(self, name: str) -> None:
        """Forget a reader and its lines. Raises TallymarkError: unknown_reader."""
        with self._write() as run:
            removed = run("DELETE FROM reader WHERE name = ?", (name,)).rowcount
            run("DELETE FROM reader_line WHERE reader = ?", (name,))
        if not removed:
            raise TallymarkError(
                "unknown_reader",
                f"No reader that could be removed is called {name!r}. `tallymark journal readers list` shows them.",
            )

    def count_totals(self, project: str = "") -> dict[str, ReaderTotals]:
        """Return by reader what it passed and lost, of one project or of all."""
        totals: dict[str, ReaderTotals] = {}
        rows = self._connection.execute(
            "SELECT reader, line, sum(events) FROM reader_line WHERE ? IN ('', project) GROUP BY reader, line",
            (project,),
        )
        for reader, line, events in rows:
            setattr(totals.setdefault(reader, ReaderTotals()), line, events)
        return totals

    @contextmanager
    def _write(self) -> Iterator[Execute]:
        """Keep all others from changing anything until this ends; what is done in it is done as one."""
        run = self._connection.execute
        run("BEGIN IMMEDIATE")
        try:
            yield run
        except BaseException:
            run("ROLLBACK")
            raise
        run("COMMIT")

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _move(self, state: ReaderState, record: int, lines: dict[str, Counts], moved_us: int) -> ReaderState:
        moved = self._connection.execute(
            "UPDATE reader SET record = ?, moved_us = ? WHERE name = ? AND shard = ? AND record = ? AND epoch = ?",
            (record, moved_us, state.name, state.shard, state.record, state.epoch),
        ).rowcount
        if not moved:
            raise TallymarkError(
                "reader_superseded",
                f"The reader {state.name!r} is no longer at record {state.record}: another program reads under this name,"
                " it fell behind its limits, or it was removed. Start again to go on where it is now.",
            )
        self._connection.executemany(
            "INSERT INTO reader_line (reader, project, source, minute, line, events) VALUES (?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (reader, project, minute, source, line) DO UPDATE SET events = events + excluded.events",
            [
                (state.name, *key, line, events)
                for line, counts in lines.items()
                for key, events in counts.items()
            ],
        )
        return msgspec.structs.replace(state, record=record, moved_us=moved_us)

    def _prepare(self, path: Path) -> None:
        with self._write() as run:
            (version,) = run("PRAGMA user_version").fetchone()
            if version > FORMAT_VERSION:
                raise FormatError(
                    f"The readers of the journal have format {version}; this program reads up to {FORMAT_VERSION}. "
                    "Start the newer program again, or restore the backup made before the upgrade.",
                    at=path.name,
                )
            if version == 0:
                for statement in _SCHEMA.split(";"):
                    run(statement)
                run(f"PRAGMA user_version = {FORMAT_VERSION}")


def read_lags(path: Path, journal: Path) -> list[ReaderLag]:
    """Return how far each reader is behind, beside everybody who writes; none where nobody follows the journal."""
    if not path.exists():
        return []
    with closing(Readers(path, timeout=1.0)) as readers, closing(VerdictReader(journal)) as log:
        totals = readers.count_totals()
        found = []
        for state in readers.list_states():
            waits = next(log.read(state.record), None)
            records = max(0, log.end() - state.record)
            since_us = waits.received_us if waits is not None else 0
            found.append(ReaderLag(state.name, records, since_us, totals.get(state.name, ReaderTotals())))
        return found


def count_new(verdicts: Iterable[RecordVerdicts]) -> Counts:
    """Count the new events of records by project, source and minute of receipt."""
    counts: Counts = Counter()
    for found in verdicts:
        if found.new:
            counts[found.project, found.source, found.received_us // MINUTE_US] += found.new
    return counts


def _build_state(
    name: str, shard: int, record: int, epoch: int, moved_us: int, limit_bytes: int, limit_seconds: int
) -> ReaderState:
    return ReaderState(name, shard, record, epoch, moved_us, ReaderLimits(limit_bytes, limit_seconds))
