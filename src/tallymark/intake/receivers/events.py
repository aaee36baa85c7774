"""Our own protocol: a JSON object, an array of objects, or one object per line.

`parse_events` takes the text of a body and gives events with their places in it, and a failure for every
element that is none. Whole bodies of well-formed events take one call of the decoder; only what does not
pass it is looked at piece by piece.
"""

from __future__ import annotations

import hashlib
import re
import typing
from collections.abc import Iterator
from typing import Any, cast

import msgspec

from tallymark.errors import RequestRefused
from tallymark.event import (
    CORE_FIELDS,
    MAX_ATTRIBUTES,
    MAX_EVENT_BYTES,
    MAX_ID_BYTES,
    MAX_NAME_BYTES,
    MAX_SKETCH_COUNT,
    REQUIRED_FIELDS,
    TEXT_FIELDS,
    Event,
    EventCore,
)
from tallymark.intake.json_text import split_array, split_lines
from tallymark.intake.parsed import Parsed
from tallymark.journal.record import FailedEvent
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


class _PlainEvent(EventCore, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """An event of the usual members, whose attributes nobody has looked into. They encode to the text that they are."""

    attributes: msgspec.Raw = msgspec.Raw(b"{}")


class _QuickEvent(Event, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """The same with any member."""

    attributes: msgspec.Raw = msgspec.Raw(b"{}")  # type: ignore[assignment]


_plain_event = msgspec.json.Decoder(_PlainEvent)
_plain_events = msgspec.json.Decoder(list[_PlainEvent])
_quick_event = msgspec.json.Decoder(_QuickEvent)
_quick_events = msgspec.json.Decoder(list[_QuickEvent])
_anything = msgspec.json.Decoder()
_encoder = msgspec.json.Encoder()
_FIELD_TYPES = typing.get_type_hints(Event, include_extras=True)

_NOT_FINITE = re.compile(rb"(?<![\w\"])-?(?:NaN|Infinity|nan|inf)(?![\w\"])")
_LONG_INTEGER = re.compile(rb"(?<![\w.\"+-])-?\d{300,}(?![\d.eE])")
# The members of an object up to the first that holds others; for texts that no decoder takes.
_FLAT_MEMBERS = re.compile(rb'\{(?:\s*"[^"\\]*"\s*:\s*(?:"[^"\\]*"|[\w.+-]+)\s*,)*')
_TEXT_MEMBER = re.compile(rb'"([^"\\]*)"\s*:\s*"([^"\\]*)"')
# Where the decoder stopped; only the place is taken from its message.
_DECODER_OFFSET = re.compile(r" \(byte (\d+)\)")
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


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
            if isinstance(event, _QuickEvent)
        )
        # Only of ASCII is a text of so many characters one of so many bytes.
        or not (ascii_only or all(event.event_id.isascii() for event in events))
    ):
        return None
    return Parsed(cast("list[Event]", events), list(range(len(events))), plain=True)


def _decode_quick(text: bytes) -> list[_PlainEvent] | list[_QuickEvent]:
    """Decode with as few members as there are: those that are not there cost time, too."""
    is_list = text[:1] == b"["
    try:
        return _plain_events.decode(text) if is_list else _plain_event.decode_lines(text)
    except msgspec.ValidationError:
        return _quick_events.decode(text) if is_list else _quick_event.decode_lines(text)


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
    parsed = Parsed([], [])
    for index, (start, piece, whole) in enumerate(_split(text)):
        if index >= max_events:
            raise _too_many(max_events)
        outcome = _parse_piece(piece, index, start, whole=whole)
        if isinstance(outcome, Event):
            parsed.events.append(outcome)
            parsed.indexes.append(index)
        else:
            parsed.failed.append(outcome)
    return parsed


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


def _parse_piece(piece: bytes, index: int, start: int, *, whole: bool) -> Event | FailedEvent:
    """Decode one element; what fails gets its code, and is kept whole where it parsed."""
    if not whole:
        return _describe(piece, index, "malformed_json", "a bracket or quote does not close", f"byte {start}")
    try:
        value = _anything.decode(piece)
    except RecursionError:
        failed = _describe(piece, index, "too_deep", "nested too deeply to be read", f"byte {start}")
        return _name(failed, piece)
    except UnicodeDecodeError:
        return _describe(
            piece, index, "invalid_utf8", "the text is not UTF-8", f"byte {start + _find_bad_byte(piece)}"
        )
    except msgspec.ValidationError:
        code, message, offset = _name_too_big(piece)
        return _name(_describe(piece, index, code, message, f"byte {start + offset}"), piece)
    except msgspec.DecodeError as error:
        code, message, offset = _name_malformed(piece, str(error))
        return _describe(piece, index, code, message, f"byte {start + offset}")
    if not isinstance(value, dict):
        return _describe(
            piece, index, "not_an_object", f"expected an object, got {_json_type(value)}", f"byte {start}"
        )
    if len(piece) > MAX_EVENT_BYTES:
        message = f"the event has {len(piece)} bytes, {MAX_EVENT_BYTES} are allowed"
        return _keep(value, piece, index, "event_too_large", message, f"byte {start}")
    return _build_event(value, piece, index)


def _name(failed: FailedEvent, piece: bytes) -> FailedEvent:
    """Put down who the event is, where its text tells, though the whole of it cannot be read: it can be traced then."""
    members = _FLAT_MEMBERS.match(piece)
    if members is not None:
        found = {name: value.decode(errors="replace") for name, value in _TEXT_MEMBER.findall(members[0])}
        failed.event_id, failed.event_name = (
            _cut_id(found.get(b"event_id")),
            _cut_name(found.get(b"event_name")),
        )
    return failed


def _cut_id(value: object) -> str:
    return value[:MAX_ID_BYTES] if isinstance(value, str) else ""


def _cut_name(value: object) -> str:
    return value[:MAX_NAME_BYTES] if isinstance(value, str) else ""


def _find_bad_byte(piece: bytes) -> int:
    try:
        piece.decode()
    except UnicodeDecodeError as error:
        return error.start
    return 0


def _name_too_big(piece: bytes) -> tuple[str, str, int]:
    """Return code, message and offset of the number that the decoder could not hold."""
    integer = _LONG_INTEGER.search(piece)
    if integer is not None:
        return "integer_out_of_range", "an integer does not fit 64 bits", integer.start()
    return "number_out_of_range", "a number does not fit a 64-bit float", 0


def _name_malformed(piece: bytes, reason: str) -> tuple[str, str, int]:
    """Return code, message and offset of what is no JSON; the offset is 0 where the decoder tells none."""
    found = _NOT_FINITE.search(piece)
    if found is not None:
        return "number_not_finite", "NaN and Infinity are not JSON", found.start()
    found = _SURROGATE.search(piece)
    if found is not None:
        return "invalid_unicode", "a string holds half of a surrogate pair", found.start()
    told = _DECODER_OFFSET.search(reason)
    return "malformed_json", _DECODER_OFFSET.sub("", reason), int(told[1]) if told else 0


def _build_event(value: dict[str, Any], piece: bytes, index: int) -> Event | FailedEvent:
    """Make an event of an object: unknown members become attributes, then every field is checked by itself."""
    attributes = value.get("attributes", {})
    if not isinstance(attributes, dict):
        message = f"attributes must be an object, got {_json_type(attributes)}"
        return _keep(value, piece, index, "wrong_type", message, "attributes")
    extra = {name: item for name, item in value.items() if name not in _FIELD_TYPES}
    for name, item in extra.items():
        # As texts: true is not 1 here.
        if name in attributes and _encoder.encode(item) != _encoder.encode(attributes[name]):
            message = (
                "a member of the event and one of its attributes have the same name, and different values"
            )
            return _keep(value, piece, index, "attribute_given_twice", message, _cut_name(name))
    for name in REQUIRED_FIELDS:
        if name not in value:
            required = ", ".join(REQUIRED_FIELDS)
            return _keep(
                value, piece, index, "missing_field", f"the event has no {name}; required: {required}", name
            )
    fields: dict[str, Any] = {"attributes": {**extra, **attributes}}
    for name in CORE_FIELDS:
        if name not in value or (value[name] is None and name not in REQUIRED_FIELDS):
            continue
        try:
            fields[name] = msgspec.convert(value[name], type=_FIELD_TYPES[name])
        except msgspec.ValidationError as error:
            return _keep(value, piece, index, *_name_invalid(name, value[name], str(error)), name)
    return Event(**fields)


def _name_invalid(name: str, value: Any, reason: str) -> tuple[str, str]:
    if name == "event_time" and isinstance(value, str):
        return "time_invalid", f"event_time {value[:40]!r} is no time that exists, in ISO 8601 with a zone"
    if isinstance(value, str) and name in TEXT_FIELDS:
        return "field_invalid", f"{name} has {len(value)} characters: {reason}"
    return "wrong_type", f"{name}: {reason}"


def _keep(
    value: dict[str, Any], piece: bytes, index: int, code: str, message: str, place: str
) -> FailedEvent:
    return FailedEvent(
        code,
        message,
        index,
        place,
        _cut_id(value.get("event_id")),
        _cut_name(value.get("event_name")),
        _encoder.encode(value),
        size=len(piece),
    )


def _describe(piece: bytes, index: int, code: str, message: str, place: str) -> FailedEvent:
    return FailedEvent(code, message, index, place, sha256=hashlib.sha256(piece).hexdigest(), size=len(piece))


def _json_type(value: Any) -> str:
    names = {dict: "object", list: "array", str: "text", int: "number", float: "number", bool: "boolean"}
    return names.get(type(value), "null")
