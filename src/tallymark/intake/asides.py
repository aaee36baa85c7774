"""What a sender says beside its events: when it sent them, whether it is in haste, what it had to drop.

What makes no sense here costs no event: it is left aside, and the answer says so.
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
class Asides:
    """What a sender says beside its events, and notes on what of it made no sense."""

    sent_at: datetime | None = None
    hasty: bool = False
    report: ClientReport | None = None
    notes: list[str] = field(default_factory=list)


def read_asides(headers: Mapping[str, str], query: Mapping[str, str]) -> Asides:
    """Read what a sender says beside its events. What makes no sense costs no event: it is left aside, with a note."""
    asides = Asides()
    if text := headers.get(_SENT_AT) or query.get("sent_at"):
        asides.sent_at = parse_sent_at(text)
        if asides.sent_at is None:
            asides.notes.append(
                "sent_at was left aside: it is no ISO 8601 time, such as 2026-01-31T12:00:00Z"
            )
    if text := query.get("hasty", "").lower():
        asides.hasty = text in _YES
        if text not in (*_YES, *_NO):
            asides.notes.append(f"hasty was left aside: allowed are {', '.join((*_YES, *_NO))}")
    if text := headers.get(_REPORT):
        asides.report = parse_report(text)
        if asides.report is None:
            asides.notes.append(f"{REPORT_HEADER} was left aside: it is no report that a client could make")
    return asides


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
