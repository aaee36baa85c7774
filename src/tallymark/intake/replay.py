"""Sending quarantined events through the intake again, after a fix.

Each event goes through the receiver that brought it, since the quarantine may hold it in that protocol's form. A replay
is a new receipt with source `replay`, or `replay:SOURCE` for what another protocol brought. Its records name the
events in quarantine, and the loader marks them when it passes them. Until then they are in the journal's tail, where
this looks so that none is taken twice.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec

from tallymark.clock import SYSTEM_CLOCK, Clock
from tallymark.intake.accept import Acceptor, Outcome
from tallymark.intake.receivers import RECEIVERS, find_receiver
from tallymark.journal.journal import JournalReader
from tallymark.journal.record import FailedEvent, Record
from tallymark.ledger.quarantine import QuarantinedEvent, find_quarantined, list_waiting
from tallymark.ledger.report import read_cursor
from tallymark.pipeline.batch import Arrival
from tallymark.rules.privacy import PrivacyRules

MOST_EVENTS = 1000
_REPLAY = "replay"


def build_source(brought_by: str) -> str:
    """Return the source of a replay of events that a receiver (or an earlier replay) brought."""
    origin = find_receiver(find_origin(brought_by)).source
    return _REPLAY if origin == RECEIVERS[0].source else f"{_REPLAY}:{origin}"


def find_origin(source: str) -> str:
    """Return the source that first brought an event, which a replay may have brought again."""
    return source.removeprefix(f"{_REPLAY}:")


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
            by_source: dict[str, list[int]] = {}
            for place, event in enumerate(events):
                by_source.setdefault(build_source(event.source), []).append(place)
            accepted, failed = 0, list[FailedEvent]()
            for source, places in by_source.items():
                taken = [events[place] for place in places]
                outcome = await self._replay_source(project, privacy, source, taken, changes or {})
                accepted += outcome.accepted
                failed += [msgspec.structs.replace(item, index=places[item.index]) for item in outcome.failed]
            return Outcome(accepted, sorted(failed, key=lambda item: item.index)), chosen

    async def _replay_source(
        self,
        project: str,
        privacy: PrivacyRules,
        source: str,
        events: list[QuarantinedEvent],
        changes: dict[str, Any],
    ) -> Outcome:
        """Replay events that one receiver brought, as one record."""

        def work() -> Record:
            bodies = [mend(event.body.encode(), changes) for event in events]
            parsed = find_receiver(find_origin(source)).parse_kept(bodies)
            arrival = Arrival(project, source, self._clock.now(), None, privacy)
            record = self._acceptor.prepare(parsed.build_batch(arrival))
            record.heading.replayed = [event.id for event in events]
            return record

        return await self._acceptor.commit(await asyncio.to_thread(work))

    def _choose(self, project: str, ids: list[int] | None, code: str, limit: int) -> list[QuarantinedEvent]:
        if not self._ledger.exists():
            return []
        cursor = read_cursor(self._ledger)
        under_way = {taken for _, heading in self._reader.read_headings(cursor) for taken in heading.replayed}
        if ids:
            return find_quarantined(self._ledger, project, ids[:MOST_EVENTS], limit, under_way)
        return list_waiting(self._ledger, project, code, limit, under_way)
