"""Following one event by its id through the stations that the ledger and the journal know.

The web joins this with the store's row. What is found: repetitions, refusals and drops that the ledger
remembers, the quarantine, and records that still wait in the journal.
"""

from __future__ import annotations

from contextlib import closing
from datetime import datetime
from pathlib import Path

import msgspec

from tallymark.journal.reader import SegmentReader
from tallymark.journal.record import Record
from tallymark.journal.verdicts import RecordVerdicts, Verdict, VerdictReader
from tallymark.ledger.report import read_cursor
from tallymark.ledger.tables import open_for_reading, parse_microseconds


class Station(msgspec.Struct):
    """One station of an event: when, where, and what was decided there."""

    time: datetime
    station: str
    verdict: str
    reason: str = ""
    detail: str = ""
    source: str = ""
    journal_record: int | None = None
    first_record: int | None = None


def trace_event(path: Path, journal: Path, project: str, event_id: str) -> list[Station]:
    """Return the stations of `event_id` outside the store, in order of time; an empty list when unknown.

    `path` is the ledger's file, `journal` the folder of the journal.
    """
    stations = []
    connection = open_for_reading(path)
    try:
        connection.execute("BEGIN")
        for row in connection.execute(
            "SELECT source, received_us, judged_us, record, verdict, reason, detail, first_record FROM trace"
            " WHERE project = ? AND event_id = ? ORDER BY id LIMIT 100",
            (project, event_id),
        ):
            source, received_us, judged_us, record, verdict, reason, detail, first = row
            stations.append(
                Station(parse_microseconds(received_us), "journal", "received", "", "", source, record)
            )
            station = "dedup" if verdict in ("duplicate", "conflict") else "intake"
            stations.append(
                Station(
                    parse_microseconds(judged_us), station, verdict, reason, detail, source, record, first
                )
            )
        for row in connection.execute(
            "SELECT id, source, received_us, record, code, message, place, replayed_us FROM quarantine"
            " WHERE project = ? AND event_id = ? ORDER BY id LIMIT 100",
            (project, event_id),
        ):
            stations.extend(_quarantine_stations(*row))
    finally:
        connection.close()
    stations.extend(_find_in_flight(journal, read_cursor(path), project, event_id))
    return sorted(stations, key=lambda station: station.time)


def _quarantine_stations(
    identity: int,
    source: str,
    received_us: int,
    record: int,
    code: str,
    message: str,
    place: str,
    replayed_us: int | None,
) -> list[Station]:
    detail = f"quarantine {identity}: {message}" + (f" (at {place})" if place else "")
    found = [
        Station(parse_microseconds(received_us), "journal", "received", "", "", source, record),
        Station(parse_microseconds(received_us), "quarantine", "quarantined", code, detail, source, record),
    ]
    if replayed_us is not None:
        found.append(
            Station(
                parse_microseconds(replayed_us),
                "quarantine",
                "replayed",
                code,
                f"quarantine {identity}",
                source,
            )
        )
    return found


def _find_in_flight(journal: Path, cursor: int, project: str, event_id: str) -> list[Station]:
    """Scan the records that the loader has not passed; the id's encoded text is looked for before decoding."""
    needle = msgspec.json.encode(event_id)
    found: list[Station] = []
    number = cursor
    with closing(SegmentReader(journal)) as reader, closing(VerdictReader(journal)) as log:
        while records := reader.read_from(number, 16 * 1024 * 1024):
            number = records[-1].number + 1
            for record in records:
                if record.heading.project == project:
                    found += _find_in_record(record, log, event_id, needle)
    return found


def _find_in_record(record: Record, log: VerdictReader, event_id: str, needle: bytes) -> list[Station]:
    positions: list[int] = []
    if needle in record.rows:
        # Only a line feed ends a row: JSON may hold a carriage return between its parts.
        positions = [
            position
            for position, row in enumerate(record.rows.split(b"\n"))
            if needle in row and msgspec.json.decode(row)["event_id"] == event_id
        ]
    if not positions and not any(failed.event_id == event_id for failed in record.failed):
        return []
    time, source = parse_microseconds(record.heading.received_us), record.heading.source
    stations = [Station(time, "journal", "in_flight", "", "waits for the loader", source, record.number)]
    for judged in log.read(record.number, record.number + 1):
        stations += [_describe_verdict(judged, position) for position in positions]
    return stations


def _describe_verdict(judged: RecordVerdicts, position: int) -> Station:
    verdicts, first_records = judged.expand()
    verdict = Verdict(verdicts[position])
    first = None if verdict is Verdict.NEW else int(first_records[position])
    return Station(
        parse_microseconds(judged.received_us),
        "dedup",
        verdict.name.lower(),
        source=judged.source,
        journal_record=judged.number,
        first_record=first,
    )
