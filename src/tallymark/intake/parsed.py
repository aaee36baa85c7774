"""What every receiver makes of a request: events with their places in it, and a failure for every element that is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from tallymark.event import ClientReport
from tallymark.journal.record import FailedEvent
from tallymark.pipeline.batch import Arrival, Batch
from tallymark.pipeline.forms import AnyEvent
from tallymark.pipeline.scan import FULL_SCAN, Scan


@dataclass(slots=True)
class Parsed:
    """What a request held, and what a quick look over its text found possible.

    `checked`: the receiver has checked everything but times in the text. `sent_at` is the time of sending by the
    sender's clock, `report` what the sender had to drop. `notes` tell the sender what was ignored.
    """

    events: Sequence[AnyEvent]
    indexes: list[int]
    failed: list[FailedEvent] = field(default_factory=list)
    scan: Scan = FULL_SCAN
    checked: bool = False
    sent_at: datetime | None = None
    report: ClientReport | None = None
    notes: list[str] = field(default_factory=list)

    def build_batch(self, arrival: Arrival) -> Batch:
        """Return the batch that the steps work on."""
        return Batch(arrival, self.events, self.indexes, self.scan, self.failed, checked=self.checked)
