"""Sending quarantined events through the intake again, after a fix.

A replay is a new receipt with source `replay`; its record names the events in quarantine, and the loader marks
them when it passes it. Until then they are in the journal's tail, where this looks so that none is taken twice.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec

from tallymark.clock import SYSTEM_CLOCK, Clock
from tallymark.intake.accept import Acceptor, Outcome, build_batch
from tallymark.intake.receivers.events import parse_events
from tallymark.journal.journal import JournalReader
from tallymark.journal.record import Record
from tallymark.ledger.quarantine import QuarantinedEvent, find_quarantined, list_waiting
from tallymark.ledger.report import read_cursor
from tallymark.pipeline.batch import Arrival
from tallymark.rules.privacy import PrivacyRules

MOST_EVENTS = 1000


def mend(body: bytes, changes: dict[str, Any]) -> bytes:
    """Return an event's JSON with a merge patch (RFC 7396) applied."""
    if not changes:
        return body
    return msgspec.json.encode(_merge(msgspec.json.decode(body), changes))


def _merge(value: Any, changes: Any) -> Any:
    if not isinstance(changes, dict):
        return changes
    merged = dict(value) if isinstance(value, dict) else {}
    for name, change in changes.items():
        if change is None:
            merged.pop(name, None)
        else:
            merged[name] = _merge(merged.get(name), change)
    return merged


class Replayer:
    """Replays for all projects, one request after the other."""

    def __init__(
        self, acceptor: Acceptor, ledger: Path, reader: JournalReader, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._acceptor = acceptor
        self._ledger = ledger
        self._reader = reader
        self._clock = clock
        self._turn = asyncio.Lock()

    async def replay(
        self,
        project: str,
        privacy: PrivacyRules,
        *,
        ids: list[int] | None = None,
        code: str = "",
        limit: int = MOST_EVENTS,
        changes: dict[str, Any] | None = None,
    ) -> tuple[Outcome, list[int]]:
        """Replay the named events, or the oldest waiting ones (of one code); at most 1000 and about 16 MiB at once.

        `changes` mends each of them first: a JSON merge patch (RFC 7396), in which null takes a member away.
        Returns what became of them and their ids in quarantine: a failure's index is a place in that list. What
        fails again goes to the quarantine again. Raises RequestRefused when the journal cannot be written.
        """
        async with self._turn:
            events = await asyncio.to_thread(self._choose, project, ids, code, min(limit, MOST_EVENTS))
            if not events:
                return Outcome(0, []), []
            chosen = [event.id for event in events]

            def work() -> Record:
                bodies = [mend(event.body.encode(), changes or {}) for event in events]
                parsed = parse_events(b"\n".join(bodies), MOST_EVENTS)
                arrival = Arrival(project, "replay", self._clock.now(), None, privacy)
                record = self._acceptor.prepare(
                    build_batch(
                        arrival, parsed.events, parsed.indexes, parsed.failed, parsed.scan, plain=parsed.plain
                    )
                )
                record.heading.replayed = chosen
                return record

            return await self._acceptor.commit(await asyncio.to_thread(work)), chosen

    def _choose(self, project: str, ids: list[int] | None, code: str, limit: int) -> list[QuarantinedEvent]:
        if not self._ledger.exists():
            return []
        cursor = read_cursor(self._ledger)
        under_way = {taken for _, heading in self._reader.read_headings(cursor) for taken in heading.replayed}
        if ids:
            return find_quarantined(self._ledger, project, ids[:MOST_EVENTS], limit, under_way)
        return list_waiting(self._ledger, project, code, limit, under_way)
