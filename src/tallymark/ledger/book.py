"""The writing end of the ledger: one commit per loaded batch, all or nothing.

The loader fills an `Entry` with what became of each event and commits it together with its cursor.
Nobody else writes here.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Final

from tallymark.clock import DAY_US, MINUTE_US
from tallymark.crashpoints import reach
from tallymark.errors import TallymarkError
from tallymark.journal.record import FailedEvent, Heading
from tallymark.ledger.tables import OVERSTATED, open_ledger

# A project's clients let no more go in a minute, all together: they would have to drop 160,000 events a second.
MOST_DROPPED_IN_A_MINUTE: Final = 10_000_000
# What a row takes beside the event's body, counted against the quarantine's bytes.
_ROW_BYTES = 512


@dataclass(frozen=True, slots=True)
class Limits:
    """Caps of what is kept beside the store.

    Bytes (per project) and days of quarantine; rows and days of traces of what was not stored; days after which
    a client instance that reports nothing is forgotten, and how many instances of a project are remembered.
    """

    quarantine_bytes: int = 256 * 1024 * 1024
    quarantine_days: float = 30.0
    trace_rows: int = 1_000_000
    trace_days: float = 7.0
    client_days: float = 30.0
    client_instances: int = 10_000


@dataclass(frozen=True, slots=True)
class Batch:
    """The records of one insert, both ends included, and the time that its rows get (µs since 1970)."""

    shard: int
    first: int
    last: int
    stored_us: int


@dataclass(frozen=True, slots=True)
class TraceRow:
    """What is remembered of an event that was not stored."""

    event_id: str
    event_name: str
    verdict: str
    reason: str
    detail: str = ""
    first_record: int | None = None
    sha256: str = ""
    size: int = 0


@dataclass(slots=True)
class Entry:
    """What one commit says: counts by (project, source, minute, line, reason), and rows to keep.

    `damaged`: records of the journal that had to be skipped on the way here.
    """

    counts: Counter[tuple[str, str, int, str, str]] = field(default_factory=Counter)
    failed: list[tuple[Heading, int, FailedEvent]] = field(default_factory=list)
    traces: list[tuple[Heading, int, TraceRow]] = field(default_factory=list)
    clients: list[Heading] = field(default_factory=list)
    replayed: list[tuple[int, int]] = field(default_factory=list)
    damaged: int = 0

    def count(self, heading: Heading, line: str, events: int, reason: str = "") -> None:
        """Add `events` to a line of the record's project, source and receive minute."""
        if events:
            minute = heading.received_us // MINUTE_US
            self.counts[heading.project, heading.source, minute, line, reason] += events


class Book:
    """The ledger, open for writing. One process, one thread."""

    def __init__(self, path: Path, limits: Limits | None = None) -> None:
        self._connection = open_ledger(path)
        self._limits = limits or Limits()
        # By shard: the epoch and the record under which this loader may move the cursor.
        self._claims: dict[int, tuple[int, int]] = {}

    def claim(self, shard: int) -> int:
        """Take over the loader's cursor and return it: the number of the record that is wanted next.

        A loader that claimed it before can move it no more.
        """
        epoch, record = self._connection.execute(
            "INSERT INTO cursor (shard, record, epoch) VALUES (?, 0, 1)"
            " ON CONFLICT (shard) DO UPDATE SET epoch = epoch + 1 RETURNING epoch, record",
            (shard,),
        ).fetchone()
        self._claims[shard] = (epoch, record)
        return int(record)

    def begin_batch(self, batch: Batch) -> None:
        """Note, durably, which records the next insert takes, so that a repetition after a crash takes the same ones."""
        self._connection.execute("INSERT OR REPLACE INTO batch VALUES (?, ?, ?, ?)", astuple(batch))

    def find_batch(self, shard: int) -> Batch | None:
        """Return the batch that was begun and perhaps not committed; None before the first."""
        row = self._connection.execute("SELECT * FROM batch WHERE shard = ?", (shard,)).fetchone()
        return Batch(*row) if row else None

    def commit(self, entry: Entry, shard: int, record: int, now_us: int) -> None:
        """Write an entry and move the cursor to `record`, durably and as one.

        Failed events that were kept whole become `quarantined` as long as the project's quarantine has room,
        else `refused`; which of them is decided here, in the same transaction that counts it. Raises TallymarkError:
        reader_superseded when another loader has claimed the cursor.
        """
        if shard not in self._claims:
            self.claim(shard)
        run = self._connection.execute
        run("BEGIN IMMEDIATE")
        try:
            for heading, number, failed in entry.failed:
                self._settle_failed(entry, heading, number, failed, now_us)
            self._settle_clients(entry)
            self._write_counts(entry)
            reach("ledger.during_roll_up")
            self._write_traces(entry, now_us)
            for quarantine_id, received_us in entry.replayed:
                run("UPDATE quarantine SET replayed_us = ? WHERE id = ?", (received_us, quarantine_id))
            if entry.damaged:
                run(
                    "INSERT INTO fact VALUES ('damaged_records', ?)"
                    " ON CONFLICT (name) DO UPDATE SET value = value + excluded.value",
                    (entry.damaged,),
                )
            self._move_cursor(shard, record)
            run("COMMIT")
        except BaseException:
            run("ROLLBACK")
            raise
        self._claims[shard] = (self._claims[shard][0], record)

    def _move_cursor(self, shard: int, record: int) -> None:
        """Move the loader's cursor, unless another loader has claimed it."""
        epoch, before = self._claims[shard]
        moved = self._connection.execute(
            "UPDATE cursor SET record = ? WHERE shard = ? AND epoch = ? AND record = ?",
            (record, shard, epoch, before),
        ).rowcount
        if not moved:
            raise TallymarkError(
                "reader_superseded",
                "Another loader writes to this ledger. Only one server may use a data folder.",
            )

    def prune(self, now_us: int) -> None:
        """Remove quarantined events and traces past their age or number. Their counts stay."""
        run = self._connection.execute
        run("BEGIN IMMEDIATE")
        oldest = now_us - int(self._limits.quarantine_days * DAY_US)
        run("DELETE FROM quarantine WHERE received_us < ?", (oldest,))
        run("DELETE FROM quarantine_size")
        run(
            "INSERT INTO quarantine_size SELECT project, sum(length(body) + ?) FROM quarantine GROUP BY project",
            (_ROW_BYTES,),
        )
        run("DELETE FROM client_total WHERE seen_us < ?", (now_us - int(self._limits.client_days * DAY_US),))
        run("DELETE FROM trace WHERE received_us < ?", (now_us - int(self._limits.trace_days * DAY_US),))
        run(
            "DELETE FROM trace WHERE id <= (SELECT max(id) FROM trace) - ?",
            (self._limits.trace_rows,),
        )
        run("COMMIT")

    def refused_by_store(self) -> dict[tuple[str, str], int]:
        """Return (project, event id) -> id of the events in quarantine that the store refused and nobody replayed."""
        rows = self._connection.execute(
            "SELECT project, event_id, id FROM quarantine WHERE code = 'store_refused' AND replayed_us IS NULL"
        )
        return {(project, event_id): identity for project, event_id, identity in rows}

    def note(self, name: str, value: int) -> None:
        """Keep one number that the pages show, such as the dedup horizon."""
        self._connection.execute("INSERT OR REPLACE INTO fact VALUES (?, ?)", (name, value))

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _settle_failed(
        self, entry: Entry, heading: Heading, number: int, failed: FailedEvent, now_us: int
    ) -> None:
        run = self._connection.execute
        size = len(failed.body) + _ROW_BYTES
        row = run("SELECT bytes FROM quarantine_size WHERE project = ?", (heading.project,)).fetchone()
        used = row[0] if row else 0
        old = heading.received_us < now_us - int(self._limits.quarantine_days * DAY_US)
        if not failed.kept or old or used + size > self._limits.quarantine_bytes:
            entry.count(heading, "refused", 1, failed.code)
            trace = TraceRow(
                failed.event_id,
                failed.event_name,
                "refused",
                failed.code,
                _detail(failed),
                None,
                failed.sha256,
                failed.size,
            )
            entry.traces.append((heading, number, trace))
            return
        entry.count(heading, "quarantined", 1, failed.code)
        run(
            "INSERT INTO quarantine (project, source, received_us, record, position, code, message, place, event_id,"
            " event_name, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                heading.project,
                heading.source,
                heading.received_us,
                number,
                failed.index,
                failed.code,
                failed.message,
                failed.place,
                failed.event_id,
                failed.event_name,
                failed.body,
            ),
        )
        run(
            "INSERT INTO quarantine_size VALUES (?, ?) ON CONFLICT (project) DO UPDATE SET bytes = bytes + excluded.bytes",
            (heading.project, size),
        )

    def _settle_clients(self, entry: Entry) -> None:
        """Count what clients reported, no more of a project and a receive minute than its clients can have dropped."""
        left: dict[tuple[str, int], int] = {}
        for heading in entry.clients:
            minute = (heading.project, heading.received_us // MINUTE_US)
            if minute not in left:
                left[minute] = max(0, MOST_DROPPED_IN_A_MINUTE - self._count_client_drops(*minute))
            left[minute] -= self._raise_client_totals(entry, heading, left[minute])
        for project in {heading.project for heading in entry.clients}:
            self._forget_clients(project)

    def _count_client_drops(self, project: str, minute: int) -> int:
        row = self._connection.execute(
            "SELECT coalesce(sum(events), 0) FROM line"
            " WHERE project = ? AND minute = ? AND line = 'client_dropped' AND reason <> ?",
            (project, minute, OVERSTATED),
        ).fetchone()
        return int(row[0])

    def _raise_client_totals(self, entry: Entry, heading: Heading, most: int) -> int:
        """Keep the maximum of each running total; what it rose by, up to `most`, belongs to this record's minute.

        Returns what was counted. A report that claims more is marked.
        """
        run = self._connection.execute
        counted, claimed = 0, 0
        for reason, total in heading.client_dropped.items():
            if not total:
                continue
            key = (heading.project, heading.client_instance, reason)
            row = run(
                "SELECT total FROM client_total WHERE project = ? AND instance = ? AND reason = ?", key
            ).fetchone()
            rise = max(0, total - (row[0] if row else 0))
            counts = min(rise, most - counted)
            claimed += rise
            counted += counts
            entry.count(heading, "client_dropped", counts, reason)
            run(
                "INSERT INTO client_total VALUES (?, ?, ?, ?, ?) ON CONFLICT (project, instance, reason)"
                " DO UPDATE SET total = max(total, excluded.total), seen_us = max(seen_us, excluded.seen_us)",
                (*key, total, heading.received_us),
            )
        if counted < claimed:
            entry.count(heading, "client_dropped", 1, OVERSTATED)
        return counted

    def _forget_clients(self, project: str) -> None:
        """Forget a project's instances past the bound, those first that reported longest ago."""
        most = self._limits.client_instances
        run = self._connection.execute
        (instances,) = run(
            "SELECT count(DISTINCT instance) FROM client_total WHERE project = ?", (project,)
        ).fetchone()
        if instances > most:
            run(
                "DELETE FROM client_total WHERE project = ? AND instance IN (SELECT instance FROM client_total"
                " WHERE project = ? GROUP BY instance ORDER BY max(seen_us) DESC, instance LIMIT -1 OFFSET ?)",
                (project, project, most),
            )

    def _write_counts(self, entry: Entry) -> None:
        self._connection.executemany(
            "INSERT INTO line (project, source, minute, line, reason, events) VALUES (?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (project, minute, source, line, reason) DO UPDATE SET events = events + excluded.events",
            [(*key, events) for key, events in entry.counts.items()],
        )

    def _write_traces(self, entry: Entry, now_us: int) -> None:
        self._connection.executemany(
            "INSERT INTO trace (project, event_id, event_name, source, received_us, judged_us, record, verdict, reason,"
            " detail, first_record, sha256, size) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    heading.project,
                    row.event_id,
                    row.event_name,
                    heading.source,
                    heading.received_us,
                    now_us,
                    number,
                    row.verdict,
                    row.reason,
                    row.detail,
                    row.first_record,
                    row.sha256,
                    row.size,
                )
                for heading, number, row in entry.traces
            ],
        )


def _detail(failed: FailedEvent) -> str:
    return f"{failed.message} (at {failed.place})" if failed.place else failed.message
