"""From judged records to what the ledger says of them.

Pure: the loader hands in records, verdicts and the rows that the store refused, and commits the `Entry` that
comes out together with its cursor.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec
import numpy as np

from tallymark.journal.judged import JudgedRecord
from tallymark.journal.record import FailedEvent, Heading, Record
from tallymark.journal.verdicts import Verdict
from tallymark.ledger.book import Entry, TraceRow
from tallymark.loader.identity import parse_identity


class RefusedRow(msgspec.Struct):
    """A row that the store could not take: its record, its place in it, and the store's reason."""

    record: int
    position: int
    reason: str


_object = msgspec.json.Decoder()


def build_entry(judged: list[JudgedRecord], refused_rows: list[RefusedRow], mended: list[int]) -> Entry:
    """Count every event of the records on its line, and collect what is to be kept of those not stored.

    `mended` are quarantined events that came again and were stored now.
    """
    entry = Entry()
    refused_by_record: dict[int, list[RefusedRow]] = {}
    for refused in refused_rows:
        refused_by_record.setdefault(refused.record, []).append(refused)
    for item in judged:
        heading, number = item.record.heading, item.record.number
        refused_here = refused_by_record.get(number, [])
        entry.count(heading, "received", heading.total)
        counts = np.bincount(item.verdicts, minlength=3)
        entry.count(heading, "stored", int(counts[Verdict.NEW]) - len(refused_here))
        entry.count(heading, "duplicate", int(counts[Verdict.DUPLICATE] + counts[Verdict.CONFLICT]))
        entry.count(heading, "conflict", int(counts[Verdict.CONFLICT]))
        _count_rest(entry, heading)
        if not item.all_new:
            _trace_repeats(entry, item)
        for refused in refused_here:
            entry.failed.append((heading, number, _build_failed(item.record, refused)))
        for failed in item.record.failed:
            if failed.dropped:
                trace = TraceRow(failed.event_id, failed.event_name, "dropped", failed.code)
                entry.traces.append((heading, number, trace))
            else:
                entry.failed.append((heading, number, failed))
    entry.replayed += [(quarantine_id, judged[-1].record.heading.received_us) for quarantine_id in mended]
    return entry


def _count_rest(entry: Entry, heading: Heading) -> None:
    for reason, events in heading.dropped.items():
        entry.count(heading, "dropped", events, reason)
    for rule, times in heading.scrubbed.items():
        entry.count(heading, "scrubbed", times, rule)
    for code, requests in heading.turned_away.items():
        entry.count(heading, "turned_away", requests, code)
    if heading.hasty:
        entry.count(heading, "hasty", heading.total)
    if heading.client_instance:
        entry.clients.append(heading)
    entry.replayed.extend((quarantine_id, heading.received_us) for quarantine_id in heading.replayed)


def _trace_repeats(entry: Entry, item: JudgedRecord) -> None:
    """Remember the ids that came again, and which record was first."""
    rows = item.record.rows.split(b"\n")
    for position in np.flatnonzero(item.verdicts):
        verdict = Verdict(item.verdicts[position])
        identity = parse_identity(rows[position])
        detail = "the content differs from the first event's" if verdict is Verdict.CONFLICT else ""
        trace = TraceRow(
            identity.event_id,
            identity.event_name,
            verdict.name.lower(),
            "",
            detail,
            int(item.first_records[position]),
        )
        entry.traces.append((item.record.heading, item.record.number, trace))


def _build_failed(record: Record, refused: RefusedRow) -> FailedEvent:
    """Take the event out of its record, for the quarantine. Its time is the corrected one: a replay corrects nothing."""
    line = record.rows.split(b"\n")[refused.position]
    event = _object.decode(line)
    if record.heading.skew_ms:
        corrected = datetime.fromisoformat(event["event_time"]) + timedelta(
            milliseconds=record.heading.skew_ms
        )
        event["event_time"] = corrected.isoformat()
        line = msgspec.json.encode(event)
    return FailedEvent(
        "store_refused",
        refused.reason[:1000],
        refused.position,
        "",
        event["event_id"],
        event["event_name"],
        line,
        size=len(line),
    )
