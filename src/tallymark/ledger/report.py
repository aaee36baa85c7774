"""The reading end of the ledger: totals and rows for a stretch of time, with what is still in flight.

The API, the command line and the pages use it. Cursor and counts come from one snapshot, and what the
journal holds beyond that cursor is in flight: so the equation holds at any moment, also while events arrive.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from tallymark.clock import MINUTE_US
from tallymark.ledger.tables import OVERSTATED, open_for_reading, parse_microseconds
from tallymark.ledger.tail import Tail

INTERVAL_MINUTES = {"minute": 1, "hour": 60, "day": 1440}

Key = tuple[str, int]


class Lines(msgspec.Struct):
    """The lines of the equation; by reason where there are reasons. All are numbers of events."""

    received: int = 0
    stored: int = 0
    duplicate: int = 0
    dropped: dict[str, int] = {}
    refused: dict[str, int] = {}
    quarantined: dict[str, int] = {}
    in_flight: int = 0
    removed: dict[str, int] = {}

    @property
    def balanced(self) -> bool:
        """Whether every received event is on exactly one of the other lines."""
        reasons = (self.dropped, self.refused, self.quarantined)
        accounted = sum(sum(line.values()) for line in reasons)
        return self.received == self.stored + self.duplicate + accounted + self.in_flight


class Outside(msgspec.Struct):
    """Counts beside the equation, best effort: see docs/ledger.md.

    `client_reports_capped` are reports that claimed more drops than clients can have, and were counted in part or not at all.
    """

    requests_turned_away: dict[str, int] = {}
    hasty_acknowledged: int = 0
    client_dropped: dict[str, int] = {}
    client_reports_capped: int = 0
    conflicts: int = 0
    damaged_records: int = 0
    scrubbed: dict[str, int] = {}


class LedgerReport(msgspec.Struct):
    """What `GET /v1/ledger` answers. `dedup_horizon`: repetitions of what is older count as new."""

    project: str
    totals: Lines
    balanced: bool
    rows: list[dict[str, Any]]
    outside: Outside
    dedup_horizon: datetime | None = None


def build_report(
    path: Path, tail: Tail, project: str, start: datetime, end: datetime, interval: str = "minute"
) -> LedgerReport:
    """Return the ledger of `project` from `start` to before `end`, in rows of one `interval` and source."""
    first, last, minutes = _minute(start), _minute_up(end), INTERVAL_MINUTES[interval]
    with tail.lock:
        connection = open_for_reading(path)
        try:
            connection.execute("BEGIN")
            counts = _read_counts(connection, project, first, last, minutes)
            cursor = _read_cursor(connection)
            facts: dict[str, int] = dict(connection.execute("SELECT name, value FROM fact").fetchall())
        finally:
            connection.close()
        waiting = tail.read(cursor)
    for record in waiting:
        if record.project == project and first <= record.minute < last:
            begin = record.minute // minutes * minutes
            counts[record.source, begin, "received", ""] += record.events
            counts[record.source, begin, "in_flight", ""] += record.events
    horizon = facts.get("dedup_oldest_us")
    report = _build(project, counts, parse_microseconds(horizon) if horizon else None)
    report.outside.damaged_records = facts.get("damaged_records", 0)
    return report


def count_lag(path: Path, tail: Tail) -> tuple[int, int]:
    """Return how many events wait for the loader, and since when the oldest does (µs since 1970; 0 if none)."""
    with tail.lock:
        waiting = tail.read(read_cursor(path))
    return sum(record.events for record in waiting), waiting[0].received_us if waiting else 0


def read_cursor(path: Path) -> int:
    """Return the number of the record that the loader wants next; 0 before there is a ledger."""
    if not path.exists():
        return 0
    connection = open_for_reading(path)
    try:
        return _read_cursor(connection)
    except sqlite3.OperationalError:  # made, but not yet filled by the loader
        return 0
    finally:
        connection.close()


def _read_cursor(connection: sqlite3.Connection) -> int:
    row = connection.execute("SELECT record FROM cursor WHERE shard = 0").fetchone()
    return int(row[0]) if row else 0


def _read_counts(
    connection: sqlite3.Connection, project: str, first: int, last: int, minutes: int
) -> Counter[tuple[str, int, str, str]]:
    """Return events by source, first minute of the interval, line and reason. A year of minutes is added up by SQLite."""
    counts: Counter[tuple[str, int, str, str]] = Counter()
    rows = connection.execute(
        # Requests whose key is unknown belong to no project; everybody sees their number.
        "SELECT source, minute / ? * ? AS begin, line, reason, SUM(events) FROM line"
        " WHERE (project = ? OR (project = '' AND line = 'turned_away')) AND minute >= ? AND minute < ?"
        " GROUP BY source, begin, line, reason",
        (minutes, minutes, project, first, last),
    )
    for source, begin, line, reason, events in rows:
        counts[source, begin, line, reason] = events
    return counts


def _build(
    project: str, counts: Counter[tuple[str, int, str, str]], horizon: datetime | None
) -> LedgerReport:
    totals, outside = Lines(), Outside()
    rows: dict[Key, Lines] = {}
    for (source, begin, line, reason), events in sorted(counts.items()):
        if _count_outside(outside, line, reason, events):
            continue
        for lines in (totals, rows.setdefault((source, begin), Lines())):
            _count(lines, line, reason, events)
    listed = [
        {
            "time": parse_microseconds(begin * MINUTE_US),
            "source": source,
            **msgspec.structs.asdict(lines),
            "balanced": lines.balanced,
        }
        for (source, begin), lines in sorted(rows.items(), key=lambda item: (item[0][1], item[0][0]))
    ]
    balanced = totals.balanced and all(lines.balanced for lines in rows.values())
    return LedgerReport(project, totals, balanced, listed, outside, horizon)


def _count(lines: Lines, line: str, reason: str, events: int) -> None:
    if reason:
        by_reason = getattr(lines, line)
        by_reason[reason] = by_reason.get(reason, 0) + events
    else:
        setattr(lines, line, getattr(lines, line) + events)


def _count_outside(outside: Outside, line: str, reason: str, events: int) -> bool:
    if line == "hasty":
        outside.hasty_acknowledged += events
    elif line == "conflict":
        outside.conflicts += events
    elif line == "client_dropped" and reason == OVERSTATED:
        outside.client_reports_capped += events
    elif line in ("turned_away", "client_dropped", "scrubbed"):
        name = "requests_turned_away" if line == "turned_away" else line
        by_reason = getattr(outside, name)
        by_reason[reason] = by_reason.get(reason, 0) + events
    else:
        return False
    return True


def _minute(time: datetime) -> int:
    return int(time.timestamp()) // 60


def _minute_up(time: datetime) -> int:
    return -(-int(time.timestamp()) // 60)
