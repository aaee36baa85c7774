"""What the steps of the pipeline work on: the events of one request, and what became of those that fell out.

The intake makes a `Batch` of what a receiver parsed, the steps change it, the intake turns what is left into a
journal record.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from tallymark.event import Event
from tallymark.journal.record import FailedEvent
from tallymark.pipeline.forms import AnyEvent, decode_event
from tallymark.pipeline.scan import FULL_SCAN, Scan
from tallymark.rules.privacy import PrivacyRules


@dataclass(frozen=True, slots=True)
class Arrival:
    """The request that a batch came with. Times are aware, in UTC; `sent_at` is the client's own clock."""

    project: str
    source: str
    received_at: datetime
    sent_at: datetime | None = None
    privacy: PrivacyRules = field(default_factory=PrivacyRules)


class Batch:
    """Events that are still in, with their places in the request, and those that are out.

    `cores` are the events in whatever form they have: every form has ids, names and times (`EventCore`). `events` are
    the same events with decoded attributes; asking for them decodes what is not decoded yet, once and for good.
    `checked`: the receiver has checked everything but times in the events' text.
    `skew_ms` is what the steps add to client times. A step calls `refuse` or `drop`; the runner takes those events
    out before the next step.
    """

    __slots__ = (
        "_decoded", "_leaving", "arrival", "checked", "cores", "dropped", "failed", "indexes", "scan", "scrubbed", "skew_ms",
    )  # fmt: skip

    def __init__(
        self,
        arrival: Arrival,
        events: Sequence[AnyEvent],
        indexes: list[int],
        scan: Scan = FULL_SCAN,
        failed: list[FailedEvent] | None = None,
        *,
        checked: bool = False,
    ) -> None:
        self.arrival = arrival
        self.cores = events
        self.indexes = indexes
        self.scan = scan
        self.failed = failed if failed is not None else []
        self.checked = checked
        self.dropped: Counter[str] = Counter()
        self.scrubbed: Counter[str] = Counter()
        self.skew_ms = 0
        self._leaving: set[int] = set()
        # The decoded events, once somebody has asked for them; `cores` is this list then.
        self._decoded: list[Event] | None = None

    @property
    def events(self) -> list[Event]:
        """The events that are still in, decoded; a change to one of them is kept."""
        if self._decoded is None:
            self.cores = self._decoded = [decode_event(event) for event in self.cores]
        return self._decoded

    def refuse(self, position: int, code: str, message: str, place: str = "") -> None:
        """Take the event at `position` out as invalid; it is kept whole for the quarantine."""
        event = self.cores[position]
        body = msgspec.json.encode(event)
        self.failed.append(
            FailedEvent(code, message, self.indexes[position], place, event.event_id, event.event_name, body)
        )
        self._leaving.add(position)

    def drop(self, position: int, reason: str) -> None:
        """Take the event at `position` out because a rule says so; it is counted and traced, not kept."""
        event = self.cores[position]
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
        staying = [position for position in range(len(self.cores)) if position not in self._leaving]
        self.cores = [self.cores[position] for position in staying]
        self._decoded = None
        self.indexes = [self.indexes[position] for position in staying]
        self._leaving.clear()
