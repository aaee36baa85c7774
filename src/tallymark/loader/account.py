"""From judged records to what the ledger says of them.

Pure: the loader hands in records, verdicts and the rows that the store refused, and commits the `Entry` that
comes out together with its cursor.
"""

from __future__ import annotations

import msgspec
import numpy as np

from tallymark.dedup.judge import JudgedRecord, Verdict
from tallymark.journal.record import FailedEvent, Heading
from tallymark.ledger.book import Entry, TraceRow


class RefusedRow(msgspec.Struct):
    """A row that the store could not take, with the store's reason."""

    record: int
    row: bytes
    reason: str


class _Identity(msgspec.Struct):
    event_id: str
    event_name: str


_identity = msgspec.json.Decoder(_Identity)
_object = msgspec.json.Decoder()


def build_entry(judged: list[JudgedRecord], refused_rows: list[RefusedRow]) -> Entry:
    """Count every event of the records on its line, and collect what is to be kept of those not stored."""
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
            entry.failed.append((heading, number, _build_failed(refused)))
        for failed in item.record.failed:
            if failed.dropped:
                trace = TraceRow(failed.event_id, failed.event_name, "dropped", failed.code)
                entry.traces.append((heading, number, trace))
            else:
                entry.failed.append((heading, number, failed))
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
        identity = _identity.decode(rows[position])
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


# What the server put behind the client's members in a row; a replay must not send it again.
_SERVER_MEMBERS = ("project", "source", "received_at", "skew_ms", "journal_shard", "journal_record")


def _build_failed(refused: RefusedRow) -> FailedEvent:
    """Turn a row back into the event that it was, for the quarantine."""
    row = _object.decode(refused.row)
    event = {"event_time": row.pop("client_time"), **row}
    for member in _SERVER_MEMBERS:
        event.pop(member, None)
    return FailedEvent(
        "store_refused",
        refused.reason[:1000],
        0,
        "",
        event["event_id"],
        event["event_name"],
        msgspec.json.encode(event),
        size=len(refused.row),
    )
