"""Our own protocol, `POST /v1/events`: a JSON object, an array of objects, or one object per line.

`EventsReceiver` is the receiver; `parse_events` turns a body's text into events with their places in it, and a failure
for every element that is none. A body of well-formed events takes one call of the decoder; only what does not pass it
is taken apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import ClassVar

import msgspec

from tallymark.errors import RequestRefused
from tallymark.event import MAX_ATTRIBUTES, MAX_EVENT_BYTES, MAX_NAME_BYTES, MAX_SKETCH_COUNT, Event
from tallymark.intake.accept import Outcome
from tallymark.intake.answers import Answer, build_answer
from tallymark.intake.auth import parse_key
from tallymark.intake.elements import build_event, decode_element
from tallymark.intake.json_text import split_array, split_lines
from tallymark.intake.metadata import is_hasty, read_metadata
from tallymark.intake.parsed import Parsed
from tallymark.intake.receiver import Head, ReceivedRequest, Receiver, Route
from tallymark.journal.record import FailedEvent
from tallymark.pipeline.forms import RawCoreEvent, RawEvent
from tallymark.pipeline.scan import Scan, scan_text

# Objects per event, on average, up to which a body is decoded in one call.
_BRACES = 8
# Larger bodies are decoded beside the event loop anyway.
_QUICK_BYTES = 1024 * 1024
# A text of so many bytes holds no more than MAX_ATTRIBUTES: each takes six, such as `"a":1,`.
_LONG_ATTRIBUTES = 6 * MAX_ATTRIBUTES
_LONG_NAME = re.compile(rb'"[^"]{%d,}"\s*:' % (MAX_NAME_BYTES + 1))
_BOM = b"\xef\xbb\xbf"
_event = msgspec.json.Decoder(Event)
_events = msgspec.json.Decoder(list[Event])
_raw_core_event = msgspec.json.Decoder(RawCoreEvent)
_raw_core_events = msgspec.json.Decoder(list[RawCoreEvent])
_raw_event = msgspec.json.Decoder(RawEvent)
_raw_events = msgspec.json.Decoder(list[RawEvent])
_anything = msgspec.json.Decoder()
_encoder = msgspec.json.Encoder()


class EventsReceiver(Receiver):
    """Takes events of our own protocol. The key stands in the head."""

    source: ClassVar[str] = "http"
    routes: ClassVar[tuple[Route, ...]] = (Route("/v1/events", reads=True),)

    def identify(self, head: Head, text: bytes | None) -> Sequence[str]:  # noqa: ARG002 - it never stands in the body
        """Return the key: Bearer, Basic's user name or `?key=`."""
        return (parse_key(head.headers.get("authorization"), head.query),)

    def is_hasty(self, head: Head) -> bool:
        """Tell whether `?hasty=true` is said."""
        return is_hasty(head.query)

    def parse(self, request: ReceivedRequest) -> Parsed:
        """Return events and failures of a body of any kind."""
        return _add_metadata(parse_events(request.text, request.max_events), request.head)

    def parse_quickly(self, request: ReceivedRequest) -> Parsed | None:
        """Return the events of a body of nothing but well-formed events."""
        parsed = parse_well_formed(request.text, request.max_events)
        return None if parsed is None else _add_metadata(parsed, request.head)

    def parse_kept(self, bodies: Sequence[bytes]) -> Parsed:
        """Return the events of quarantined bodies."""
        return parse_events(b"\n".join(bodies), len(bodies))

    def render(self, head: Head, outcome: Outcome) -> Answer:  # noqa: ARG002 - there is one form
        """Return counts, and what was rejected."""
        return build_answer(outcome)


def _add_metadata(parsed: Parsed, head: Head) -> Parsed:
    said = read_metadata(head.headers, head.query)
    parsed.sent_at, parsed.report, parsed.notes = said.sent_at, said.report, said.notes
    return parsed


def parse_events(text: bytes, max_events: int) -> Parsed:
    """Decode the text of a body; raises RequestRefused when it is empty or holds more than `max_events`."""
    text, scan = _look_over(text)
    return _bound(
        _parse_well_formed(text, scan, max_events) or _parse_pieces(text, max_events), scan, max_events
    )


def parse_well_formed(text: bytes, max_events: int) -> Parsed | None:
    """Decode a body as `parse_events` does where one call takes it; None where its elements have to be taken apart.

    The former takes milliseconds for a quarter of a megabyte, the latter a hundred.
    """
    text, scan = _look_over(text)
    parsed = _parse_well_formed(text, scan, max_events)
    return None if parsed is None else _bound(parsed, scan, max_events)


def _look_over(text: bytes) -> tuple[bytes, Scan]:
    text = text.removeprefix(_BOM)
    if text[:1] not in (b"{", b"["):
        text = text.lstrip()
    if not text:
        raise RequestRefused("empty_body")
    return text, scan_text(text)


def _parse_well_formed(text: bytes, scan: Scan, max_events: int) -> Parsed | None:
    parsed = _parse_quick(text, scan)
    # An event has an opening brace or more: what could hold far too many is not decoded in one go.
    if parsed is None and text.count(b"{") <= _BRACES * max_events:
        parsed = _parse_whole(text)
    return parsed


def _bound(parsed: Parsed, scan: Scan, max_events: int) -> Parsed:
    if len(parsed.events) + len(parsed.failed) > max_events:
        raise _too_many(max_events)
    parsed.scan = scan
    return parsed


def _parse_quick(text: bytes, scan: Scan) -> Parsed | None:
    """Decode a body of nothing but well-formed and simple events, leaving attributes the text that they are.

    None where that would let something pass that a full decoder, or a later step, has to judge.
    """
    if scan.people or scan.escapes or scan.long_integers or scan.odd or len(text) > _QUICK_BYTES:
        return None
    try:
        ascii_only = text.isascii()
        if not ascii_only:
            text.decode()
        events = _decode_quick(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    pieces = [event.attributes for event in events]
    attributes = b"".join(pieces)
    # Nothing is nested, no name is too long, and each event becomes one line.
    if (
        attributes.count(b"{") != len(events)
        or (longest := max(map(len, pieces), default=0)) > _LONG_ATTRIBUTES
        or (longest > MAX_NAME_BYTES and _LONG_NAME.search(attributes) is not None)
        or b"[" in attributes
        or b"\n" in attributes
        or any(
            len(event.sketch_values) != len(event.sketch_counts)
            or sum(event.sketch_counts) > MAX_SKETCH_COUNT
            for event in events
            if isinstance(event, RawEvent)
        )
        # Only of ASCII is a text of so many characters one of so many bytes.
        or not (ascii_only or all(event.event_id.isascii() for event in events))
    ):
        return None
    return Parsed(events, list(range(len(events))), checked=True)


def _decode_quick(text: bytes) -> list[RawCoreEvent] | list[RawEvent]:
    """Decode with as few members as there are: those that are not there cost time, too."""
    is_list = text[:1] == b"["
    try:
        return _raw_core_events.decode(text) if is_list else _raw_core_event.decode_lines(text)
    except msgspec.ValidationError:
        return _raw_events.decode(text) if is_list else _raw_event.decode_lines(text)


def _parse_whole(text: bytes) -> Parsed | None:
    """Decode a body of nothing but well-formed events in one call; None when it is not that."""
    try:
        events = _events.decode(text) if text[:1] == b"[" else _event.decode_lines(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if len(text) > MAX_EVENT_BYTES and any(len(_encoder.encode(event)) > MAX_EVENT_BYTES for event in events):
        return None
    return Parsed(events, list(range(len(events))))


def _parse_pieces(text: bytes, max_events: int) -> Parsed:
    events: list[Event] = []
    indexes: list[int] = []
    failed: list[FailedEvent] = []
    for index, (start, piece, whole) in enumerate(_split(text)):
        if index >= max_events:
            raise _too_many(max_events)
        element = decode_element(piece, index, start, whole=whole)
        outcome = element if isinstance(element, FailedEvent) else build_event(element, piece, index)
        if isinstance(outcome, FailedEvent):
            failed.append(outcome)
        else:
            events.append(outcome)
            indexes.append(index)
    return Parsed(events, indexes, failed)


def _too_many(max_events: int) -> RequestRefused:
    return RequestRefused(
        "body_too_large", f"More than {max_events} events in one request. Send smaller batches."
    )


def _split(text: bytes) -> Iterator[tuple[int, bytes, bool]]:
    if text[:1] == b"[":
        slices = split_array(text)
    elif _is_one_value(text):
        slices = iter([(0, len(text), True)])
    else:
        slices = split_lines(text)
    for start, end, whole in slices:
        piece = text[start:end]
        yield start + len(piece) - len(piece.lstrip()), piece.strip(), whole


def _is_one_value(text: bytes) -> bool:
    """Tell an object that was spread over several lines from one object per line."""
    if b"\n" not in text:
        return True
    try:
        _anything.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return True
