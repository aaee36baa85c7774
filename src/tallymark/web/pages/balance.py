"""The ledger as people read it: terms of the equation, sums by reason, and gapless buckets for the picture.

Comes in: a `LedgerReport`. Goes out: plain shapes for the template. Pure; the home page calls it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from tallymark.errors import CLIENT_DROP_REASONS, DROP_REASONS, EVENT_CODES, REQUEST_CODES, Code
from tallymark.ledger.book import MOST_DROPPED_IN_A_MINUTE
from tallymark.ledger.report import LedgerReport, Lines
from tallymark.web.charts import BALANCE_LINES


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time that can be chosen: its name, length, bucket, and how often the page asks again."""

    name: str
    title: str
    length: timedelta
    interval: str
    bucket: timedelta
    every_seconds: int


SPANS: Final = (
    Span("hour", "Last hour", timedelta(hours=1), "minute", timedelta(minutes=1), 2),
    Span("day", "Last day", timedelta(days=1), "hour", timedelta(hours=1), 5),
    Span("month", "Last 30 days", timedelta(days=30), "day", timedelta(days=1), 30),
)


@dataclass(frozen=True, slots=True)
class Term:
    """One term of the equation; `reasons` say where its events come from, most first."""

    line: str
    label: str
    meaning: str
    events: int
    reasons: list[tuple[str, int, str]]


_MEANINGS: Final = {
    "received": "events on disk",
    "stored": "in the store",
    "duplicate": "seen before",
    "dropped": "a rule said so",
    "refused": "not kept",
    "quarantined": "kept for replay",
    "in_flight": "on their way",
}


def choose_span(name: str) -> Span:
    """Return the span of that name, the shortest where none is named."""
    return next((span for span in SPANS if span.name == name), SPANS[0])


def find_bounds(span: Span, now: datetime) -> tuple[datetime, datetime]:
    """Return the whole buckets that cover the span up to now."""
    size = span.bucket.total_seconds()
    last = int(now.timestamp() // size) + 1
    count = round(span.length / span.bucket)
    return _time((last - count) * size), _time(last * size)


def build_terms(totals: Lines) -> list[Term]:
    """Return the terms in the order of the equation, `received` first."""
    terms = []
    for line in BALANCE_LINES:
        value = getattr(totals, line)
        reasons: list[tuple[str, int, str]] = []
        if isinstance(value, dict):
            meanings = DROP_REASONS if line == "dropped" else EVENT_CODES
            reasons = build_reasons(value, meanings)
            value = sum(value.values())
        terms.append(Term(line, line.replace("_", " "), _MEANINGS[line], value, reasons))
    return terms


def build_reasons(counts: dict[str, int], meanings: dict[str, Code]) -> list[tuple[str, int, str]]:
    """Return (reason, number, meaning), most first."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [
        (reason, number, meanings[reason].meaning if reason in meanings else "") for reason, number in ordered
    ]


def build_outside(report: LedgerReport) -> list[tuple[str, list[tuple[str, int, str]]]]:
    """Return what stands beside the equation, by heading; headings without anything are left out."""
    outside = report.outside
    scrubbed = [(rule, number, "") for rule, number in sorted(outside.scrubbed.items())]
    sections = [
        ("Requests turned away", build_reasons(outside.requests_turned_away, REQUEST_CODES)),
        ("Dropped by clients", build_reasons(outside.client_dropped, CLIENT_DROP_REASONS)),
        ("Scrubbed by privacy rules", scrubbed),
    ]
    if outside.client_reports_capped:
        meaning = f"They claimed more than clients can drop: of all reports in a minute {MOST_DROPPED_IN_A_MINUTE:,} events count."
        sections.append(
            ("Implausible reports of clients", [("reports", outside.client_reports_capped, meaning)])
        )
    if outside.hasty_acknowledged:
        sections.append(
            ("Acknowledged in haste", [("events", outside.hasty_acknowledged, "Before they were on disk.")])
        )
    if outside.conflicts:
        meaning = "The same id came again with other content; the first one stays."
        sections.append(("Conflicts", [("events", outside.conflicts, meaning)]))
    if outside.damaged_records:
        meaning = "What they held is not known; tallymark journal verify names them."
        sections.append(("Damaged in the journal", [("records", outside.damaged_records, meaning)]))
    return [(title, reasons) for title, reasons in sections if reasons]


def build_buckets(
    report: LedgerReport, span: Span, start: datetime, end: datetime
) -> list[tuple[datetime, datetime, dict[str, int]]]:
    """Return (begin, end, events by line) for every bucket of the span, over all sources."""
    found: dict[datetime, dict[str, int]] = {}
    for row in report.rows:
        lines = found.setdefault(row["time"], {})
        for line in BALANCE_LINES:
            lines[line] = lines.get(line, 0) + _sum(row[line])
    buckets = []
    begin = start
    while begin < end:
        buckets.append((begin, begin + span.bucket, found.get(begin, {})))
        begin += span.bucket
    return buckets


def _sum(value: Any) -> int:
    return sum(value.values()) if isinstance(value, dict) else int(value)


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
