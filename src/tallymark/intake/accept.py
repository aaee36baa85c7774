"""The way of every accepted request to the disk: steps, rows, one journal record, then the answer.

All receivers end here, and so does a replay from the quarantine. What comes back is what the client is told;
by then the record is durable, unless the client said that it is in haste.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass

import msgspec
import xxhash

from tallymark.event import ClientReport, Event
from tallymark.journal.journal import JournalWriter
from tallymark.journal.record import FailedEvent, Heading, Record
from tallymark.meters import EVENTS_RECEIVED
from tallymark.pipeline.batch import Arrival, Batch
from tallymark.pipeline.run import run_steps
from tallymark.rules.privacy import PrivacyRules, redact_text, redact_value

_encoder = msgspec.json.Encoder()
# Event's first member on the wire; in the store that time is `client_time`, `event_time` is the corrected one.
_TIME_KEY = b'{"event_time":'
_ROW_KEY = b'{"client_time":'
_SKIP = len(_TIME_KEY)
MAX_NAMES = 64


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a request: events accepted and those that failed. `durable` is False in haste."""

    accepted: int
    failed: list[FailedEvent]
    durable: bool = True


class Acceptor:
    """Takes batches to the journal. `seed` keys the fingerprints of this installation."""

    def __init__(self, journal: JournalWriter, seed: int, shard: int = 0) -> None:
        self._journal = journal
        self._seed = seed
        self._shard = shard
        self._hasty: set[asyncio.Future[None]] = set()

    async def accept(
        self,
        batch: Batch,
        *,
        hasty: bool = False,
        report: ClientReport | None = None,
        replayed: list[int] | None = None,
        turned_away: dict[str, int] | None = None,
    ) -> Outcome:
        """Run the steps, write the record, and return once it is durable (at once when `hasty`).

        Raises RequestRefused when the journal cannot take it; then nothing of the request counts.
        """
        run_steps(batch)
        for item in batch.failed:
            redact_failed(item, batch.arrival.privacy, batch.scrubbed)
        record = self._build_record(batch)
        heading = record.heading
        heading.hasty = hasty
        heading.replayed = replayed or []
        heading.turned_away = turned_away or {}
        if report is not None:
            heading.client_instance, heading.client_dropped = report.instance, report.dropped
        durable = self._journal.append(record)
        if hasty:
            self._hasty.add(durable)
            durable.add_done_callback(self._forget)
        else:
            await durable
        _count(heading)
        failed = sorted((item for item in batch.failed if not item.dropped), key=lambda item: item.index)
        return Outcome(heading.accepted + sum(heading.dropped.values()), failed, durable=not hasty)

    async def drain(self) -> None:
        """Wait for the records of hasty requests."""
        if self._hasty:
            await asyncio.wait(self._hasty)

    def _forget(self, durable: asyncio.Future[None]) -> None:
        self._hasty.discard(durable)
        durable.exception()  # a hasty record that could not be written was promised nothing

    def _build_record(self, batch: Batch) -> Record:
        arrival = batch.arrival
        received_us = round(arrival.received_at.timestamp() * 1_000_000)
        heading = Heading(
            arrival.project,
            arrival.source,
            received_us,
            accepted=len(batch.events),
            failed=dict(Counter(item.code for item in batch.failed if not item.dropped)),
            dropped=dict(batch.dropped),
            scrubbed=dict(batch.scrubbed),
            names=sorted({event.event_name for event in batch.events})[:MAX_NAMES],
        )
        # From here to the journal's queue nothing may wait: numbers must reach it in order.
        number = self._journal.next_number()
        fingerprints, rows = self._render_rows(batch, number)
        return Record(heading, fingerprints, rows, batch.failed, number, self._shard)

    def _render_rows(self, batch: Batch, number: int) -> tuple[bytes, bytes]:
        """Return fingerprints and rows: each event's JSON, and behind it what the server knows of it."""
        if not batch.events:
            return b"", b""
        arrival, seed = batch.arrival, self._seed
        known = {
            "project": arrival.project,
            "source": arrival.source,
            "received_at": arrival.received_at,
            "skew_ms": batch.skew_ms,
            "journal_shard": self._shard,
            "journal_record": number,
        }
        ending = b"," + _encoder.encode(known)[1:] + b"\n"
        parts = _encoder.encode_lines(batch.events).split(b"\n")
        parts.pop()
        prefix = arrival.project.encode() + b"\0"
        identify, digest = xxhash.xxh3_128_digest, xxhash.xxh3_64_digest
        fingerprints = b"".join(
            [
                identify(prefix + event.event_id.encode(), seed) + digest(part, seed)
                for event, part in zip(batch.events, parts, strict=True)
            ]
        )
        return fingerprints, b"".join([_ROW_KEY + part[_SKIP:-1] + ending for part in parts])


def build_batch(
    arrival: Arrival,
    events: list[Event],
    indexes: list[int] | None = None,
    failed: list[FailedEvent] | None = None,
) -> Batch:
    """Make a batch of decoded events; `indexes` are their places in the request (0, 1, 2 … when not given)."""
    return Batch(
        arrival, events, indexes if indexes is not None else list(range(len(events))), failed=failed or []
    )


def redact_failed(item: FailedEvent, rules: PrivacyRules, counts: Counter[str]) -> None:
    """Redact an event on its way to the quarantine, in place."""
    item.event_name = redact_text(item.event_name, rules, counts)
    item.message = redact_text(item.message, rules, Counter())
    if item.body:
        item.body = _encoder.encode(redact_value(msgspec.json.decode(item.body), rules, counts))


def _count(heading: Heading) -> None:
    EVENTS_RECEIVED.labels("accepted").inc(heading.accepted)
    for outcome, events in (("failed", heading.failed), ("dropped", heading.dropped)):
        total = sum(events.values())
        if total:
            EVENTS_RECEIVED.labels(outcome).inc(total)
