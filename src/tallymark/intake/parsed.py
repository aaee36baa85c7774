"""What every receiver makes of a body: events with their places in it, and a failure for every element that is none."""

from __future__ import annotations

from dataclasses import dataclass, field

from tallymark.event import Event
from tallymark.journal.record import FailedEvent
from tallymark.pipeline.scan import FULL_SCAN, Scan


@dataclass(slots=True)
class Parsed:
    """What a body held, and what a quick look over its text found possible.

    `plain`: the events were judged as text and are fine but for their times; attributes stay the text that they are
    (`msgspec.Raw`).
    """

    events: list[Event]
    indexes: list[int]
    failed: list[FailedEvent] = field(default_factory=list)
    scan: Scan = FULL_SCAN
    plain: bool = False
