"""Reading the quarantine: events that failed and were kept whole, for people and for replay.

The API, the pages and the command line read here; a replay goes through the intake like any request, and the
loader marks the events replayed when it passes that record.
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import msgspec

from tallymark.ledger.tables import open_for_reading, parse_microseconds

_COLUMNS = "id, source, received_us, record, code, message, place, event_id, event_name, body, replayed_us"

# Bytes of events that one page of the quarantine holds, and that one replay takes.
PAGE_BYTES = 8 * 1024 * 1024
REPLAY_BYTES = 64 * 1024 * 1024


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
    path: Path, project: str, *, code: str = "", before_id: int = 0, limit: int = 100
) -> list[QuarantinedEvent]:
    """Return the newest quarantined events of a project, newest first; `before_id` pages on.

    They end with the one that brings them past `PAGE_BYTES`.
    """
    return _select(
        path,
        "project = ? AND (? = '' OR code = ?) AND (? = 0 OR id < ?) ORDER BY id DESC LIMIT ?",
        (project, code, code, before_id, before_id, limit),
        PAGE_BYTES,
    )


def list_waiting(path: Path, project: str, code: str, limit: int) -> list[QuarantinedEvent]:
    """Return the oldest events of a project (of one code, where it is given) that nobody replayed, oldest first.

    They end with the one that brings them past `REPLAY_BYTES`.
    """
    return _select(
        path,
        "project = ? AND (? = '' OR code = ?) AND replayed_us IS NULL ORDER BY id LIMIT ?",
        (project, code, code, limit),
        REPLAY_BYTES,
    )


def find_quarantined(path: Path, project: str, ids: list[int]) -> list[QuarantinedEvent]:
    """Return the named events of a project that still wait for replay, oldest first."""
    return _select(
        path,
        "project = ? AND replayed_us IS NULL AND id IN (SELECT value FROM json_each(?)) ORDER BY id",
        (project, json.dumps(ids)),
    )


def _select(
    path: Path, condition: str, values: tuple[object, ...], most_bytes: int = 0
) -> list[QuarantinedEvent]:
    """Return events; `most_bytes` of their texts and one event more, 0: all."""
    connection = open_for_reading(path)
    found: list[QuarantinedEvent] = []
    size = 0
    try:
        rows = connection.execute(f"SELECT {_COLUMNS} FROM quarantine WHERE {condition}", values)  # noqa: S608 - conditions are constants of this file
        for row in rows:
            found.append(_parse_row(row))
            size += len(found[-1].body)
            if most_bytes and size >= most_bytes:
                break
    finally:
        connection.close()
    return found


class RefusedEvent(msgspec.Struct):
    """An event that was not kept: what is known of it. `sha256` (hex) and `size` (bytes) are of the text as it came."""

    received_at: datetime
    source: str
    record: int
    code: str
    detail: str
    event_id: str
    sha256: str
    size: int


def list_refused(path: Path, project: str, limit: int = 50) -> list[RefusedEvent]:
    """Return the newest events of a project that were refused and not kept, newest first."""
    connection = open_for_reading(path)
    try:
        rows = connection.execute(
            "SELECT received_us, source, record, reason, detail, event_id, sha256, size FROM trace"
            " WHERE project = ? AND verdict = 'refused' ORDER BY id DESC LIMIT ?",
            (project, limit),
        ).fetchall()
    finally:
        connection.close()
    return [RefusedEvent(parse_microseconds(received_us), *rest) for received_us, *rest in rows]


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
    return [
        QuarantineCount(code, events, replayed, parse_microseconds(newest))
        for code, events, replayed, newest in rows
    ]


def _parse_row(
    row: tuple[int, str, int, int, str, str, str, str, str, bytes, int | None],
) -> QuarantinedEvent:
    identity, source, received_us, record, code, message, place, event_id, name, body, replayed_us = row
    replayed = None if replayed_us is None else parse_microseconds(replayed_us)
    text = body.decode("utf-8", "replace")
    return QuarantinedEvent(
        identity,
        source,
        parse_microseconds(received_us),
        record,
        code,
        message,
        place,
        event_id,
        name,
        text,
        replayed,
    )
