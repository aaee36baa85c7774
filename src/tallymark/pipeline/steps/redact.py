"""Take out what the project may not keep about people, before anything reaches the disk.

The rules are in `rules/privacy.py`; this step applies them to every text of an event, except its id, and counts. An
event whose name, or the name of an attribute, is personal data is refused: a name is never rewritten.
"""

from __future__ import annotations

import msgspec

from tallymark.event import TEXT_FIELDS, Event
from tallymark.pipeline.batch import Batch
from tallymark.pipeline.scan import scan_text
from tallymark.rules.places import find_place
from tallymark.rules.privacy import PrivacyRules, find_name_problem, redact_text, redact_value

_encoder = msgspec.json.Encoder()
_NAMES = ("event_name", "event_type")
# The id is the event's identity towards its sender: changing it would break repetition and trace.
_TEXTS = tuple((field, find_place(field)) for field in TEXT_FIELDS if field not in (*_NAMES, "event_id"))


def redact(batch: Batch) -> None:
    """Redact the events whose text may hold something that a rule looks for."""
    rules = batch.arrival.privacy
    if not (batch.scan.people and rules.enabled & batch.scan.rules):
        return
    alone = len(batch.cores) == 1
    for position, event in enumerate(batch.events):
        possible = batch.scan.rules if alone else scan_text(_encoder.encode(event)).rules
        if rules.enabled & possible:
            _redact_event(batch, position, event, PrivacyRules(rules.enabled, rules.secret, possible))


def _redact_event(batch: Batch, position: int, event: Event, rules: PrivacyRules) -> None:
    problem = find_name_problem({field: getattr(event, field) for field in _NAMES}, event.attributes, rules)
    if problem is not None:
        where = "The name of an attribute" if problem.member == "attributes" else problem.member
        message = (
            f"{where} holds what the privacy rule {problem.rule} looks for. Names are never rewritten, so the event is not"
            " accepted; such data belongs into the value of an attribute."
        )
        batch.refuse(position, "personal_data_in_name", message, problem.member)
        return
    counts = batch.scrubbed
    for field, place in _TEXTS:
        text = getattr(event, field)
        if text:
            setattr(event, field, redact_text(text, rules, counts, place=place))
    if event.performer_groups:
        event.performer_groups = tuple(
            redact_text(group, rules, counts, key="performer_groups") for group in event.performer_groups
        )
    if event.attributes:
        event.attributes = redact_value(event.attributes, rules, counts)
