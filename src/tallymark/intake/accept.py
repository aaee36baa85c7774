"""The way of every accepted request to the disk: steps, rows, one journal record, then the answer.

All receivers end here, and so does a replay from the quarantine. What comes back is what the client is told;
by then the record is durable, unless the client said that it is in haste.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
import xxhash

from tallymark.clock import to_microseconds
from tallymark.errors import EVENT_CODES
from tallymark.event import EventCore
from tallymark.journal.journal import JournalWriter
from tallymark.journal.record import FailedEvent, Heading, Record
from tallymark.meters import EVENTS_RECEIVED
from tallymark.pipeline.batch import Arrival, Batch
from tallymark.pipeline.forms import AnyEvent
from tallymark.pipeline.run import run_steps
from tallymark.pipeline.scan import FULL_SCAN, Scan
from tallymark.rules.privacy import PrivacyRules, redact_body, redact_text

_encoder = msgspec.json.Encoder()
MAX_NAMES = 64


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a request: events accepted and those that failed. `durable` is False where the sender does not wait.

    `notes` tell the sender what of its request was ignored.
    """

    accepted: int
    failed: list[FailedEvent]
    durable: bool = True
    notes: list[str] = field(default_factory=list)


class Acceptor:
    """Takes batches to the journal. `seed` keys the fingerprints of this installation."""

    def __init__(self, journal: JournalWriter, seed: int, shard: int = 0) -> None:
        self._journal = journal
        self._seed = seed
        self._shard = shard
        self._hasty: set[asyncio.Future[None]] = set()

    def prepare(self, batch: Batch) -> Record:
        """Run the steps, redact what failed, fingerprint what is left. Takes its time; may run beside the event loop."""
        run_steps(batch)
        redact_all_failed(batch)
        return self.build_record(batch)

    def submit(self, record: Record) -> asyncio.Future[None]:
        """Queue a record; what is returned is done once it is durable. Raises RequestRefused, now or through it."""
        durable = self._journal.append(record)
        if record.heading.hasty:
            self._hasty.add(durable)
            durable.add_done_callback(self._forget)
        return durable

    @staticmethod
    def conclude(record: Record, notes: Sequence[str] = ()) -> Outcome:
        """Count a record that is durable, or hasty, and say what became of its events."""
        heading = record.heading
        _count(heading)
        failed = sorted((item for item in record.failed if not item.dropped), key=lambda item: item.index)
        return Outcome(
            heading.accepted + sum(heading.dropped.values()), failed, not heading.hasty, list(notes)
        )

    async def commit(self, record: Record) -> Outcome:
        """Write a record and return once it is durable; raises RequestRefused, and then nothing of it counts."""
        await self.submit(record)
        return self.conclude(record)

    async def drain(self) -> None:
        """Wait for the records of hasty requests."""
        if self._hasty:
            await asyncio.wait(self._hasty)

    def _forget(self, durable: asyncio.Future[None]) -> None:
        self._hasty.discard(durable)
        durable.exception()  # a hasty record that could not be written was promised nothing

    def build_record(self, batch: Batch) -> Record:
        """Return the journal record of a batch: heading, a fingerprint and a row per event, what failed."""
        arrival = batch.arrival
        received_us = to_microseconds(arrival.received_at)
        heading = Heading(
            arrival.project,
            arrival.source,
            received_us,
            accepted=len(batch.cores),
            failed=_count_codes(batch.failed),
            dropped=dict(batch.dropped),
            scrubbed=dict(batch.scrubbed),
            skew_ms=batch.skew_ms,
            names=_list_names(batch.cores),
        )
        fingerprints, rows = self._render_lines(batch)
        return Record(heading, fingerprints, rows, batch.failed, shard=self._shard)

    def _render_lines(self, batch: Batch) -> tuple[bytes, bytes]:
        """Return a fingerprint and a line of JSON for each event."""
        if not batch.cores:
            return b"", b""
        seed = self._seed
        lines = _encoder.encode_lines(batch.cores)
        prefix = batch.arrival.project.encode() + b"\0"
        identify, digest = xxhash.xxh3_128_digest, xxhash.xxh3_64_digest
        fingerprints = b"".join(
            [
                identify(prefix + event.event_id.encode(), seed) + digest(line, seed)
                for event, line in zip(batch.cores, lines.split(b"\n"), strict=False)
            ]
        )
        return fingerprints, lines


def _count_codes(failed: list[FailedEvent]) -> dict[str, int]:
    return dict(Counter(item.code for item in failed if not item.dropped)) if failed else {}


def _list_names(events: Sequence[EventCore]) -> list[str]:
    """List the names by which a reader may skip the record; none where there are too many to list."""
    names = {event.event_name for event in events}
    return sorted(names) if len(names) <= MAX_NAMES else []


def build_batch(arrival: Arrival, events: Sequence[AnyEvent], scan: Scan = FULL_SCAN) -> Batch:
    """Make a batch of events that the program made itself."""
    return Batch(arrival, events, list(range(len(events))), scan)


def redact_all_failed(batch: Batch) -> None:
    """Redact the batch's failed events on their way to the quarantine, in place."""
    for item in batch.failed:
        redact_failed(item, batch.arrival.privacy, batch.scrubbed)


def redact_failed(item: FailedEvent, rules: PrivacyRules, counts: Counter[str]) -> None:
    """Redact an event on its way to the quarantine, in place; one too deep to be redacted is only described."""
    # The body tells the name again; it is counted once.
    item.event_name = redact_text(
        item.event_name, rules, Counter() if item.body else counts, key="event_name"
    )
    names = 0
    if item.body:
        try:
            body, names = redact_body(msgspec.json.decode(item.body), rules, counts)
            item.body = _encoder.encode(body)
        except RecursionError:
            item.sha256, item.size, item.body = hashlib.sha256(item.body).hexdigest(), len(item.body), b""
    if names:
        # Place and message may tell the name, or a part of it by which no rule knows it.
        item.place = item.place.partition(".")[0]
        if item.code != "personal_data_in_name":
            item.message = EVENT_CODES[item.code].meaning
    item.message = redact_text(item.message, rules, Counter())
    item.place = redact_text(item.place, rules, Counter())


def _count(heading: Heading) -> None:
    EVENTS_RECEIVED.add("accepted", heading.accepted)
    if heading.failed:
        EVENTS_RECEIVED.add("failed", sum(heading.failed.values()))
    if heading.dropped:
        EVENTS_RECEIVED.add("dropped", sum(heading.dropped.values()))
