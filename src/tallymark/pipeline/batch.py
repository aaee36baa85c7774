"""What the steps of the pipeline work on: the events of one request, and what became of those that fell out.

A receiver makes a `Batch`, the steps change it, the intake turns what is left into a journal record.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from tallymark.event import Event
from tallymark.journal.record import FailedEvent
from tallymark.pipeline.scan import Scan
from tallymark.rules.privacy import PrivacyRules


@dataclass(frozen=True, slots=True)
class Arrival:
    """The request that a batch came with. Times are aware, in UTC; `sent_at` is the client's own clock."""

    project: str
    source: str
    received_at: datetime
    sent_at: datetime | None = None
    privacy: PrivacyRules = field(default_factory=PrivacyRules)


@dataclass(slots=True)
class Batch:
    """Events that are still in, with their places in the request, and those that are out.

    `plain`: attributes were judged as text and are `msgspec.Raw`; nobody needs to look into them again. The events are
    then perhaps only `EventCore`s.
    `skew_ms` is what the steps add to client times. A step calls `refuse` or `drop`; the runner takes those
    events out before the next step.
    """

    arrival: Arrival
    events: list[Event]
    indexes: list[int]
    scan: Scan = field(default_factory=Scan)
    failed: list[FailedEvent] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    scrubbed: Counter[str] = field(default_factory=Counter)
    plain: bool = False
    skew_ms: int = 0
    _leaving: set[int] = field(default_factory=set)

    def refuse(self, position: int, code: str, message: str, place: str = "") -> None:
        """Take the event at `position` out as invalid; it is kept whole for the quarantine."""
        event = self.events[position]
        body = msgspec.json.encode(event)
        self.failed.append(
            FailedEvent(code, message, self.indexes[position], place, event.event_id, event.event_name, body)
        )
        self._leaving.add(position)

    def drop(self, position: int, reason: str) -> None:
        """Take the event at `position` out because a rule says so; it is counted and traced, not kept."""
        event = self.events[position]
        self.dropped[reason] += 1
        self.failed.append(
            FailedEvent(
                reason, "", self.indexes[position], "", event.event_id, event.event_name, dropped=True
            )
        )
        self._leaving.add(position)

    def settle(self) -> None:
        """Let go of the events that left during a step."""
        if not self._leaving:
            return
        staying = [position for position in range(len(self.events)) if position not in self._leaving]
        self.events = [self.events[position] for position in staying]
        self.indexes = [self.indexes[position] for position in staying]
        self._leaving.clear()
