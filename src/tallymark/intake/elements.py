"""From one JSON element of a body to an event, or to a failure with a code.

Receivers call `decode_element` where a body has to be taken apart, and `build_event` for an object that has the members
of an event. What parsed is kept whole for the quarantine; what did not is only described.
"""

from __future__ import annotations

import hashlib
import re
import typing
from typing import Any

import msgspec

from tallymark.event import (
    CORE_FIELDS,
    MAX_EVENT_BYTES,
    MAX_ID_BYTES,
    MAX_NAME_BYTES,
    REQUIRED_FIELDS,
    TEXT_FIELDS,
    Event,
)
from tallymark.journal.record import FailedEvent

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


def decode_element(piece: bytes, index: int, start: int, *, whole: bool) -> dict[str, Any] | FailedEvent:
    """Decode the text of one element, which must be an object; what fails gets its code, and is kept whole where it parsed.

    `start` is where in the body the element begins, `whole` tells that its brackets close.
    """
    if not whole:
        return describe_failed(
            piece, index, "malformed_json", "a bracket or quote does not close", f"byte {start}"
        )
    try:
        value = _anything.decode(piece)
    except RecursionError:
        failed = describe_failed(piece, index, "too_deep", "nested too deeply to be read", f"byte {start}")
        return _name(failed, piece)
    except UnicodeDecodeError:
        return describe_failed(
            piece, index, "invalid_utf8", "the text is not UTF-8", f"byte {start + _find_bad_byte(piece)}"
        )
    except msgspec.ValidationError:
        code, message, offset = _name_too_big(piece)
        return _name(describe_failed(piece, index, code, message, f"byte {start + offset}"), piece)
    except msgspec.DecodeError as error:
        code, message, offset = _name_malformed(piece, str(error))
        return describe_failed(piece, index, code, message, f"byte {start + offset}")
    if not isinstance(value, dict):
        return describe_failed(
            piece, index, "not_an_object", f"expected an object, got {json_type(value)}", f"byte {start}"
        )
    if len(piece) > MAX_EVENT_BYTES:
        message = f"the event has {len(piece)} bytes, {MAX_EVENT_BYTES} are allowed"
        return keep_failed(value, piece, index, "event_too_large", message, f"byte {start}")
    return value


def _name(failed: FailedEvent, piece: bytes) -> FailedEvent:
    """Put down who the event is, where its text tells, though the whole of it cannot be read: it can be traced then."""
    members = _FLAT_MEMBERS.match(piece)
    if members is not None:
        found = {name: value.decode(errors="replace") for name, value in _TEXT_MEMBER.findall(members[0])}
        failed.event_id, failed.event_name = (
            cut_id(found.get(b"event_id")),
            cut_name(found.get(b"event_name")),
        )
    return failed


def cut_id(value: object) -> str:
    """Return an event's id as far as a failure may name it; '' for what is no text."""
    return value[:MAX_ID_BYTES] if isinstance(value, str) else ""


def cut_name(value: object) -> str:
    """Return a name as far as a failure may name it; '' for what is no text."""
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


def build_event(value: dict[str, Any], piece: bytes, index: int, kept: bytes = b"") -> Event | FailedEvent:
    """Make an event of an object: unknown members become attributes, then every field is checked by itself.

    `piece` is the element's text. `kept` (JSON) is what the quarantine keeps of an event that fails, where that is not
    the object itself.
    """
    built = _build_event(value, piece, index)
    if kept and isinstance(built, FailedEvent):
        built.body = kept
    return built


def _build_event(value: dict[str, Any], piece: bytes, index: int) -> Event | FailedEvent:
    attributes = value.get("attributes", {})
    if not isinstance(attributes, dict):
        message = f"attributes must be an object, got {json_type(attributes)}"
        return keep_failed(value, piece, index, "wrong_type", message, "attributes")
    extra = {name: item for name, item in value.items() if name not in _FIELD_TYPES}
    for name, item in extra.items():
        # As texts: true is not 1 here.
        if name in attributes and _encoder.encode(item) != _encoder.encode(attributes[name]):
            message = (
                "a member of the event and one of its attributes have the same name, and different values"
            )
            return keep_failed(value, piece, index, "attribute_given_twice", message, cut_name(name))
    for name in REQUIRED_FIELDS:
        if name not in value:
            required = ", ".join(REQUIRED_FIELDS)
            return keep_failed(
                value, piece, index, "missing_field", f"the event has no {name}; required: {required}", name
            )
    fields: dict[str, Any] = {"attributes": {**extra, **attributes}}
    for name in CORE_FIELDS:
        if name not in value or (value[name] is None and name not in REQUIRED_FIELDS):
            continue
        try:
            fields[name] = msgspec.convert(value[name], type=_FIELD_TYPES[name])
        except msgspec.ValidationError as error:
            return keep_failed(value, piece, index, *_name_invalid(name, value[name], str(error)), name)
    return Event(**fields)


def _name_invalid(name: str, value: Any, reason: str) -> tuple[str, str]:
    if name == "event_time" and isinstance(value, str):
        return "time_invalid", f"event_time {value[:40]!r} is no time that exists, in ISO 8601 with a zone"
    if isinstance(value, str) and name in TEXT_FIELDS:
        return "field_invalid", f"{name} has {len(value)} characters: {reason}"
    return "wrong_type", f"{name}: {reason}"


def keep_failed(
    value: dict[str, Any], piece: bytes, index: int, code: str, message: str, place: str
) -> FailedEvent:
    """Return the failure of an element that is an object: it is kept whole."""
    return FailedEvent(
        code,
        message,
        index,
        place,
        cut_id(value.get("event_id")),
        cut_name(value.get("event_name")),
        _encoder.encode(value),
        size=len(piece),
    )


def describe_failed(piece: bytes, index: int, code: str, message: str, place: str) -> FailedEvent:
    """Return the failure of an element that did not parse: only its hash and size are kept."""
    return FailedEvent(code, message, index, place, sha256=hashlib.sha256(piece).hexdigest(), size=len(piece))


def json_type(value: Any) -> str:
    """Return JSON's word for a value's type."""
    names = {dict: "object", list: "array", str: "text", int: "number", float: "number", bool: "boolean"}
    return names.get(type(value), "null")
