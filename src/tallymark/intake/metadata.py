"""What a sender of our own protocol says beside its events: when it sent them, whether it waits, what it had to drop.

Comes in: headers and query. Goes out: `RequestMetadata`. What makes no sense costs no event: it is ignored, and a
note in the answer says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec

from tallymark.errors import CLIENT_DROP_REASONS
from tallymark.event import REPORT_HEADER, SENT_AT_HEADER, ClientReport

# As they arrive: ASGI gives names in small letters.
_SENT_AT, _REPORT = SENT_AT_HEADER.lower(), REPORT_HEADER.lower()
_YES, _NO = ("1", "true", "yes"), ("0", "false", "no")
_MOST_DROPPED = 10**12
_report = msgspec.json.Decoder(ClientReport)


@dataclass(slots=True)
class RequestMetadata:
    """What a sender says beside its events, and notes on what of it was ignored."""

    sent_at: datetime | None = None
    report: ClientReport | None = None
    notes: list[str] = field(default_factory=list)


def read_metadata(headers: Mapping[str, str], query: Mapping[str, str]) -> RequestMetadata:
    """Read what a sender says beside its events; what makes no sense is ignored, with a note."""
    found = RequestMetadata()
    if text := headers.get(_SENT_AT) or query.get("sent_at"):
        found.sent_at = parse_sent_at(text)
        if found.sent_at is None:
            found.notes.append("sent_at was left aside: it is no ISO 8601 time, such as 2026-01-31T12:00:00Z")
    if (text := query.get("hasty", "").lower()) and text not in (*_YES, *_NO):
        found.notes.append(f"hasty was left aside: allowed are {', '.join((*_YES, *_NO))}")
    if text := headers.get(_REPORT):
        found.report = parse_report(text)
        if found.report is None:
            found.notes.append(f"{REPORT_HEADER} was left aside: it is no report that a client could make")
    return found


def is_hasty(query: Mapping[str, str]) -> bool:
    """Tell whether the sender does not wait until its events are durable."""
    return query.get("hasty", "").lower() in _YES


def parse_sent_at(text: str) -> datetime | None:
    """Read the time at which the client says that it sent the batch; None when it says nothing sensible."""
    try:
        sent_at = msgspec.convert(text.replace(" ", "+"), type=datetime)
    except msgspec.ValidationError:
        return None
    return sent_at if sent_at.tzinfo else sent_at.replace(tzinfo=UTC)


def parse_report(text: str) -> ClientReport | None:
    """Read a client's report of what it dropped; None when it cannot be read or says nothing."""
    try:
        report = _report.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    # The reasons are a closed list, and no client lets so many go: what is beyond either is no report.
    report.dropped = {
        reason: total
        for reason, total in report.dropped.items()
        if reason in CLIENT_DROP_REASONS and total <= _MOST_DROPPED
    }
    return report if report.dropped else None
