"""Reading the quarantine: events that failed and were kept whole, for people and for replay.

The API, the pages and the command line read here; a replay goes through the intake like any request, and the
loader marks the events replayed when it passes that record.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec

from tallymark.ledger.tables import open_for_reading

_COLUMNS = "id, source, received_us, record, code, message, place, event_id, event_name, body, replayed_us"


class QuarantinedEvent(msgspec.Struct):
    """One event in quarantine. `body` is its JSON text after redaction, `place` where it failed."""

    id: int
    source: str
    received_at: datetime
    record: int
    code: str
    message: str
    place: str
    event_id: str
    event_name: str
    body: str
    replayed_at: datetime | None


class QuarantineCount(msgspec.Struct):
    """How many events wait in quarantine under one code, and how many of those were replayed."""

    code: str
    events: int
    replayed: int
    newest: datetime


def list_quarantined(
    path: Path,
    project: str,
    *,
    code: str = "",
    before_id: int = 0,
    waiting_only: bool = False,
    limit: int = 100,
) -> list[QuarantinedEvent]:
    """Return the newest quarantined events of a project, newest first; `before_id` pages on."""
    where, values = ["project = ?"], [project]
    if code:
        where.append("code = ?")
        values.append(code)
    if before_id:
        where.append("id < ?")
        values.append(str(before_id))
    if waiting_only:
        where.append("replayed_us IS NULL")
    connection = open_for_reading(path)
    try:
        rows = connection.execute(
            f"SELECT {_COLUMNS} FROM quarantine WHERE {' AND '.join(where)} ORDER BY id DESC LIMIT ?",  # noqa: S608 - constant texts
            (*values, limit),
        ).fetchall()
    finally:
        connection.close()
    return [_parse_row(row) for row in rows]


def find_quarantined(path: Path, project: str, ids: list[int]) -> list[QuarantinedEvent]:
    """Return the named events of a project that still wait for replay, oldest first."""
    connection = open_for_reading(path)
    try:
        found = []
        for quarantine_id in sorted(set(ids)):
            row = connection.execute(
                f"SELECT {_COLUMNS} FROM quarantine WHERE project = ? AND id = ? AND replayed_us IS NULL",  # noqa: S608 - constant text
                (project, quarantine_id),
            ).fetchone()
            if row:
                found.append(_parse_row(row))
    finally:
        connection.close()
    return found


def count_quarantined(path: Path, project: str) -> list[QuarantineCount]:
    """Return the quarantine's contents by code, most events first."""
    connection = open_for_reading(path)
    try:
        rows = connection.execute(
            "SELECT code, count(*), count(replayed_us), max(received_us) FROM quarantine WHERE project = ?"
            " GROUP BY code ORDER BY count(*) DESC",
            (project,),
        ).fetchall()
    finally:
        connection.close()
    return [QuarantineCount(code, events, replayed, _time(newest)) for code, events, replayed, newest in rows]


def _parse_row(
    row: tuple[int, str, int, int, str, str, str, str, str, bytes, int | None],
) -> QuarantinedEvent:
    identity, source, received_us, record, code, message, place, event_id, name, body, replayed_us = row
    replayed = None if replayed_us is None else _time(replayed_us)
    text = body.decode("utf-8", "replace")
    return QuarantinedEvent(
        identity, source, _time(received_us), record, code, message, place, event_id, name, text, replayed
    )


def _time(microseconds: int) -> datetime:
    return datetime.fromtimestamp(microseconds / 1_000_000, UTC)
