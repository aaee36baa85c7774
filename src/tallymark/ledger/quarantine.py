"""Reading the quarantine: events that failed and were kept whole, for people and for replay.

The API, the pages and the command line read here; a replay goes through the intake like any request, and the
loader marks the events replayed when it passes that record.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

import msgspec

from tallymark.ledger.tables import open_for_reading, parse_microseconds

_COLUMNS = "id, source, received_us, record, code, message, place, event_id, event_name, body, replayed_us"

# Bytes of events that one page of the quarantine holds, and that one replay takes.
PAGE_BYTES = 8 * 1024 * 1024
REPLAY_BYTES = 16 * 1024 * 1024


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


class QuarantinePage(msgspec.Struct):
    """Events, newest first. `next_before` is the id to page on with, 0 on the last page; `note` says why it is short."""

    events: list[QuarantinedEvent]
    next_before: int = 0
    note: str = ""


def list_quarantined(
    path: Path, project: str, *, code: str = "", before_id: int = 0, limit: int = 100
) -> QuarantinePage:
    """Return a page of a project's quarantined events; `before_id` is the `next_before` of the page before.

    A page ends with the event that brings it past `PAGE_BYTES`, and says so.
    """
    found, more = _select(
        path,
        "project = ? AND (? = '' OR code = ?) AND (? = 0 OR id < ?) ORDER BY id DESC",
        (project, code, code, before_id, before_id),
        limit,
        PAGE_BYTES,
    )
    if not more:
        return QuarantinePage(found)
    note = ""
    if len(found) < limit:
        note = (
            f"The page ends after {len(found)} of at most {limit} events: it holds {PAGE_BYTES >> 20} MiB. "
            f"Go on with before={found[-1].id}."
        )
    return QuarantinePage(found, found[-1].id, note)


def list_waiting(
    path: Path, project: str, code: str, limit: int, taken: Iterable[int] = ()
) -> list[QuarantinedEvent]:
    """Return the oldest events of a project (of one code, where it is given) that wait for a replay, oldest first.

    Those of `taken` are under way and are left out. The list ends with the event that brings it past `REPLAY_BYTES`.
    """
    return _select(
        path,
        "project = ? AND (? = '' OR code = ?) AND replayed_us IS NULL"
        " AND id NOT IN (SELECT value FROM json_each(?)) ORDER BY id",
        (project, code, code, json.dumps(list(taken))),
        limit,
        REPLAY_BYTES,
    )[0]


def find_quarantined(
    path: Path, project: str, ids: list[int], limit: int, taken: Iterable[int] = ()
) -> list[QuarantinedEvent]:
    """Return the named events of a project that still wait for a replay, as `list_waiting` does."""
    return _select(
        path,
        "project = ? AND replayed_us IS NULL AND id IN (SELECT value FROM json_each(?))"
        " AND id NOT IN (SELECT value FROM json_each(?)) ORDER BY id",
        (project, json.dumps(ids), json.dumps(list(taken))),
        limit,
        REPLAY_BYTES,
    )[0]


def _select(
    path: Path, condition: str, values: tuple[object, ...], limit: int, most_bytes: int
) -> tuple[list[QuarantinedEvent], bool]:
    """Return at most `limit` events, which end with the one that passes `most_bytes`, and whether there are more."""
    connection = open_for_reading(path)
    found: list[QuarantinedEvent] = []
    size = 0
    try:
        rows = connection.execute(f"SELECT {_COLUMNS} FROM quarantine WHERE {condition}", values)  # noqa: S608 - conditions are constants of this file
        for row in rows:
            if len(found) >= limit or size >= most_bytes:
                return found, True
            found.append(_parse_row(row))
            size += len(found[-1].body.encode())
    finally:
        connection.close()
    return found, False


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
