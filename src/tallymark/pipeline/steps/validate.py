"""Refuse what the decoder's types could not: impossible times, texts too long in bytes, values without bounds.

Runs on decoded events. Each finding has its own code; the event goes to the quarantine whole.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from tallymark.event import (
    CORE_FIELDS,
    MAX_ATTRIBUTES,
    MAX_DEPTH,
    MAX_ID_BYTES,
    MAX_NAME_BYTES,
    MAX_SKETCH_COUNT,
    Event,
)
from tallymark.pipeline.batch import Batch

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
AHEAD = timedelta(days=1)
_INT_MIN, _UINT_MAX = -(2**63), 2**64 - 1
_CONTAINERS = frozenset((dict, list))
# Names of so many characters fit MAX_NAME_BYTES in any script: no character has more than four bytes.
_SHORT_NAME = MAX_NAME_BYTES // 4

Problem = tuple[str, str, str]


def validate(batch: Batch) -> None:
    """Refuse every event that may not be stored as it is."""
    skew = timedelta(milliseconds=batch.skew_ms)
    earliest = EARLIEST - skew if skew < timedelta(0) else EARLIEST
    latest = batch.arrival.received_at + AHEAD - skew
    times = [event.event_time for event in batch.cores]
    if not (earliest <= min(times, default=latest) and max(times, default=latest) <= latest):
        for position, at in enumerate(times):
            if not earliest <= at <= latest:
                batch.refuse(position, "time_out_of_range", _time_message(at, skew), "event_time")
        batch.settle()
    if batch.checked:
        return
    deep_look = batch.scan.long_integers or batch.scan.escapes
    # A value without a count would break every question about its sketch, and so would counts without end.
    uneven = any(
        len(event.sketch_values) != len(event.sketch_counts) or sum(event.sketch_counts) > MAX_SKETCH_COUNT
        for event in batch.events
    )
    for position, event in enumerate(batch.events):
        problem = _find_sketch_problem(event) if uneven else None
        if problem is None:
            problem = find_attribute_problem(event.attributes, deep_look=deep_look)
        if problem is None and deep_look:
            problem = _find_text_problem(event)
        if problem is None and not event.event_id.isascii() and len(event.event_id.encode()) > MAX_ID_BYTES:
            problem = (
                "field_invalid",
                f"event_id has {len(event.event_id.encode())} bytes, {MAX_ID_BYTES} are allowed",
                "event_id",
            )
        if problem is not None:
            batch.refuse(position, *problem)


def _find_sketch_problem(event: Event) -> Problem | None:
    values, counts = len(event.sketch_values), len(event.sketch_counts)
    if values == counts:
        total = sum(event.sketch_counts)
        # A count of more than 64 bits has a code of its own.
        if total <= MAX_SKETCH_COUNT or max(event.sketch_counts) > _UINT_MAX:
            return None
        message = f"the sketch stands for {total:,} values, {MAX_SKETCH_COUNT:,} are allowed"
        return "field_invalid", message, "sketch_counts"
    return (
        "field_invalid",
        f"{values} sketch_values have {counts} sketch_counts: one for each is needed",
        "sketch_counts",
    )


def find_attribute_problem(attributes: dict[str, Any], *, deep_look: bool) -> Problem | None:
    """Return (code, message, place) of the first thing wrong with an event's attributes, or None.

    Without `deep_look` only names and containers are examined: the caller knows that no text holds an escape
    and no number has many digits.
    """
    if len(attributes) > MAX_ATTRIBUTES:
        return (
            "too_many_attributes",
            f"{len(attributes)} attributes, {MAX_ATTRIBUTES} are allowed",
            "attributes",
        )
    if not deep_look and _is_plain(attributes):
        return None
    for name, value in attributes.items():
        if (
            not name
            or len(name) > MAX_NAME_BYTES
            or not (name.isascii() or len(name.encode()) <= MAX_NAME_BYTES)
        ):
            message = f"the attribute name {name[:40]!r} has {len(name.encode())} bytes, 1 to {MAX_NAME_BYTES} are allowed"
            return "attribute_name_invalid", message, f"attributes.{name[:40]}"
        if deep_look or value.__class__ in _CONTAINERS:
            problem = _find_value_problem(value, f"attributes.{name}", 2)
            if problem is not None:
                return problem
            if deep_look and "\0" in name:
                return "nul_character", "an attribute name holds U+0000", "attributes"
    return None


def _is_plain(attributes: dict[str, Any]) -> bool:
    """Tell quickly that names are short and nothing is nested: nearly all events are like that."""
    for name, value in attributes.items():
        if value.__class__ in _CONTAINERS or not 0 < len(name) <= _SHORT_NAME:
            return False
    return True


def _find_value_problem(value: Any, place: str, depth: int) -> Problem | None:
    if depth > MAX_DEPTH:
        return "too_deep", f"nested deeper than {MAX_DEPTH} levels", place[:200]
    kind = value.__class__
    if kind is str:
        return ("nul_character", "the text holds U+0000", place) if "\0" in value else None
    if kind is int:
        if _INT_MIN <= value <= _UINT_MAX:
            return None
        return "integer_out_of_range", "the integer does not fit 64 bits", place
    if kind is dict:
        return _find_member_problem(value, place, depth)
    if kind is list:
        for index, item in enumerate(value):
            problem = _find_value_problem(item, f"{place}[{index}]", depth + 1)
            if problem is not None:
                return problem
    return None


def _find_member_problem(value: dict[str, Any], place: str, depth: int) -> Problem | None:
    for name, item in value.items():
        if len(name.encode()) > MAX_NAME_BYTES:
            return (
                "attribute_name_invalid",
                f"a name of {len(name.encode())} bytes, {MAX_NAME_BYTES} are allowed",
                place,
            )
        if "\0" in name:
            return "nul_character", "a name holds U+0000", place
        problem = _find_value_problem(item, f"{place}.{name}", depth + 1)
        if problem is not None:
            return problem
    return None


def _find_text_problem(event: Event) -> Problem | None:
    for field in CORE_FIELDS:
        value = getattr(event, field)
        if value.__class__ is str and "\0" in value:
            return "nul_character", "the text holds U+0000", field
    if any("\0" in group for group in event.performer_groups):
        return "nul_character", "the text holds U+0000", "performer_groups"
    for count in event.sketch_counts:
        if count > _UINT_MAX:
            message = f"an integer of {count.bit_length()} bits, 64 are allowed"
            return "integer_out_of_range", message, "sketch_counts"
    return None


def _time_message(at: datetime, skew: timedelta) -> str:
    corrected = f", corrected by {skew.total_seconds():.0f} s" if skew else ""
    return f"{at.isoformat()}{corrected} is before 1970 or more than a day after it was received"
