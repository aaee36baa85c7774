"""Take out what the project may not keep about people, before anything reaches the disk.

The rules are in `rules/privacy.py`; this step applies them to every text of an event, except its id, and counts.
"""

from __future__ import annotations

import msgspec

from tallymark.event import TEXT_FIELDS, Event
from tallymark.pipeline.batch import Batch
from tallymark.pipeline.scan import scan_text
from tallymark.rules.privacy import PrivacyRules, redact_id, redact_text, redact_value

_encoder = msgspec.json.Encoder()
_IDS = ("session_id", "user_id", "install_id", "device_id", "performer_id", "performer_name")
# The id is the event's identity towards its sender: changing it would break repetition and trace.
_TEXTS = tuple(field for field in TEXT_FIELDS if field not in (*_IDS, "event_id"))


def redact(batch: Batch) -> None:
    """Redact the events whose text may hold something that a rule looks for."""
    rules = batch.arrival.privacy
    if not (batch.scan.people and rules.enabled):
        return
    for event in batch.events:
        if len(batch.events) == 1 or scan_text(_encoder.encode(event)).people:
            _redact_event(event, rules, batch)


def _redact_event(event: Event, rules: PrivacyRules, batch: Batch) -> None:
    counts = batch.scrubbed
    for field in _IDS:
        text = getattr(event, field)
        if text:
            setattr(event, field, redact_id(text, rules, counts))
    for field in _TEXTS:
        text = getattr(event, field)
        if text:
            setattr(event, field, redact_text(text, rules, counts, key=field))
    if event.performer_groups:
        event.performer_groups = tuple(redact_text(group, rules, counts) for group in event.performer_groups)
    if event.attributes:
        event.attributes = redact_value(event.attributes, rules, counts)
