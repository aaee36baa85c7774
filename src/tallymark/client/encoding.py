"""An event becomes one line of JSON, in the caller's thread, so that later changes to the values do not matter.

Comes in: type, name, context, attributes. Goes out: bytes without a line break, at most 32 KB. The common case
is one call of the encoder between prepared pieces; anything else goes through `plain`. `Client` calls it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from tallymark.client.context import (
    CONTEXT_NAMES,
    EMPTY,
    MISTYPED,
    Context,
    check_core,
    check_number,
    render_core,
    split_core,
)
from tallymark.client.plain import (
    LARGEST_INTEGER,
    LEAST_INTEGER,
    build_plain,
    build_plain_attributes,
    build_text,
    cut_bytes,
)
from tallymark.client.scalars import read_scalar
from tallymark.client.stamp import (
    ID_SLICE,
    TIME_SLICE,
    build_event_id,
    build_stamp,
    now_nanoseconds,
    render_time,
)
from tallymark.event import CLIENT_EVENT_BYTES, MAX_ATTRIBUTES, MAX_DEPTH, MAX_ID_BYTES, MAX_NAME_BYTES

UNNAMED = "unnamed"
_encode = msgspec.json.Encoder().encode
# With every digit as 0, nineteen in a row show a number that may not fit 64 bits.
_DIGITS_AS_0 = bytes.maketrans(b"123456789", b"000000000")
# Fewer brackets than this cannot nest too deeply.
_MAX_BRACKETS = MAX_DEPTH - 4
_LONG_NUMBER = b"0" * 19
_MAX_PLAIN_NAME = 64  # in characters; a longer name takes the careful path, which counts bytes
_HEADS_KEPT = 2000
_heads: dict[tuple[str, str], bytes] = {}
# Types of `value` that need no look: numbers as they are, and what is none.
_NO_FOREIGN_NUMBERS = frozenset({int, float, bool, str, type(None)})


def _build_name(value: Any) -> str:
    try:
        text = build_text(value if isinstance(value, str) else "" if value is None else str(value))
    except Exception:  # noqa: BLE001  a user's __str__ may raise anything
        return UNNAMED
    return cut_bytes(text, MAX_NAME_BYTES) or UNNAMED


def _build_head(event_type: Any, event_name: Any) -> bytes:
    names = {"event_type": _build_name(event_type), "event_name": _build_name(event_name)}
    head = b'",' + _encode(names)[1:-1]
    if type(event_type) is str and type(event_name) is str and len(event_name) <= MAX_NAME_BYTES:
        if len(_heads) >= _HEADS_KEPT:
            _heads.clear()
        _heads[event_type, event_name] = head
    return head


def is_doubtful(body: bytes) -> bool:
    """Tell whether encoded text may hold what the encoder changed in meaning (NaN) or what the server refuses."""
    return (
        b"null" in body
        or b"\\u0000" in body
        or b'"":' in body
        or b"\n" in body
        or body.count(b"{") + body.count(b"[") >= _MAX_BRACKETS
        or _LONG_NUMBER in body.translate(_DIGITS_AS_0)
    )


def is_plain(attributes: Mapping[str, Any]) -> bool:
    """Tell whether the encoder writes every value as it is meant; containers and unknown types: not certain."""
    for value in attributes.values():
        kind = type(value)
        if kind is str or kind is bool or value is None:
            continue
        if kind is int:
            if not LEAST_INTEGER <= value <= LARGEST_INTEGER:
                return False
        elif (
            kind is not float or value - value != 0.0
        ):  # an infinity less itself is NaN, and NaN equals nothing
            return False
    return True


def encode_attributes(attributes: Mapping[str, Any]) -> bytes:
    """Encode attributes as a JSON object that the server takes. Never raises for a value's sake."""
    try:
        body = _encode(attributes)
        if is_plain(attributes):
            # 256 bytes in all: then no name is longer than that either.
            if (
                b"\\u0000" not in body
                and b'"":' not in body
                and (len(body) < 256 or _has_plain_names(attributes))
            ):
                return body
        elif not is_doubtful(body) and _has_plain_names(attributes):
            return body
    except Exception:  # noqa: BLE001, S110  the careful path below takes everything that the encoder refuses
        pass
    return _encode(build_plain_attributes(attributes))


def _has_plain_names(attributes: Mapping[str, Any]) -> bool:
    return all(0 < len(name) <= _MAX_PLAIN_NAME for name in attributes)


def build_line(event_type: Any, event_name: Any, context: Context, attributes: Mapping[str, Any]) -> bytes:
    """Build the event as one line of JSON, stamped with the present time and a new id.

    Nearly every event is small and flat; those take the short way here, with the same checks as on the long one.
    """
    if not context.names.isdisjoint(attributes):
        return _build_merged(event_type, event_name, context, dict(attributes))
    try:
        body = _encode(attributes)
        head = _heads[event_type, event_name]
    except Exception:  # noqa: BLE001  the long way takes everything that the encoder refuses, and new names
        head = b""
    if head and len(body) < 256 and is_plain(attributes) and b"\\u0000" not in body and b'"":' not in body:
        if context.inner_json:
            body = b"{" + (context.inner_json + body[1:] if attributes else context.inner_json[:-1] + b"}")
        line = b"".join(
            (build_stamp(now_nanoseconds()), head, context.core_json, b',"attributes":', body, b"}")
        )
        if len(line) <= CLIENT_EVENT_BYTES:
            return line
    body = encode_attributes(attributes)
    return _join(event_type, event_name, context.core_json, context.inner_json, body, len(attributes))


def build_value_line(
    event_type: Any, event_name: Any, context: Context, value: Any, attributes: dict[str, Any]
) -> bytes:
    """Build an event with the core field `value`; a value that is no finite number goes into the attributes."""
    if type(value) is not int and type(value) is not float:
        return _build_merged(event_type, event_name, context, attributes | {"value": value})
    if not context.names.isdisjoint(attributes) or not -1e300 < value < 1e300:
        return _build_merged(event_type, event_name, context, attributes | {"value": value})
    core = b',"value":%b%b' % (_encode(value if type(value) is float else float(value)), context.core_json)
    body = encode_attributes(attributes)
    return _join(event_type, event_name, core, context.inner_json, body, len(attributes))


def _join(
    event_type: Any,
    event_name: Any,
    core: bytes,
    inner: bytes,
    body: bytes,
    count: int,
    event_id: str = "",
    event_time: str = "",
) -> bytes:
    stamp = build_stamp(now_nanoseconds())
    if event_id or event_time:
        time_text, id_text = event_time.encode(), event_id.encode()
        stamp = b'{"event_time":"%b","event_id":"%b' % (
            time_text or stamp[TIME_SLICE],
            id_text or stamp[ID_SLICE],
        )
    try:
        head = _heads[event_type, event_name]
    except (KeyError, TypeError):
        head = _build_head(event_type, event_name)
    if inner:
        body = b"{" + (inner + body[1:] if len(body) > 2 else inner[:-1] + b"}")
    line = b"".join((stamp, head, core, b',"attributes":', body, b"}"))
    if len(line) > CLIENT_EVENT_BYTES or count > MAX_ATTRIBUTES:
        return _build_truncated(stamp + head, core, len(line), count)
    return line


def _build_truncated(start: bytes, core: bytes, size: int, count: int) -> bytes:
    if size > CLIENT_EVENT_BYTES:
        reason = f"The event was larger than {CLIENT_EVENT_BYTES} bytes."
    else:
        reason = f"The event had {count} attributes, more than {MAX_ATTRIBUTES}."
    tail = b',"truncated":true,"attributes":' + _encode({"reason": reason, "bytes": size}) + b"}"
    line = start + core + tail
    return line if len(line) <= CLIENT_EVENT_BYTES else start + tail


def _take_identity(attributes: dict[str, Any]) -> tuple[str, str]:
    """Take `event_id` and `event_time` out of the call's attributes where they can be used as such."""
    event_id, event_time = attributes.get("event_id"), attributes.get("event_time")
    id_text = time_text = ""
    if event_id is not None:
        text = build_text(str(event_id))
        if 0 < len(text.encode()) <= MAX_ID_BYTES:
            id_text = _encode(text)[1:-1].decode()
            del attributes["event_id"]
    aware = _read_time(event_time)
    if aware is not None:
        time_text = aware.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        if len(time_text) == 27:
            del attributes["event_time"]
        else:
            time_text = ""
    return id_text, time_text


def _read_time(value: Any) -> datetime | None:
    """Return a moment in UTC; None for what is none. Without a zone it is taken as UTC: the server takes none without."""
    try:
        moment = value if value is None or isinstance(value, datetime | str) else read_scalar(value)
        if not isinstance(moment, datetime):
            return None
        aware = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
        # What pandas calls "not a time" is a datetime by its class, and has no year.
        return aware if type(aware.year) is int else None
    except Exception:  # noqa: BLE001  a class of the application's may raise anything
        return None


def _build_merged(event_type: Any, event_name: Any, context: Context, attributes: dict[str, Any]) -> bytes:
    """Build an event whose call names core fields, or attributes that the context has too."""
    event_id, event_time = _take_identity(attributes)
    core, rest = split_core(attributes)
    front = b""
    if "value" in rest:
        number = check_number(rest["value"])
        if number is not MISTYPED or rest["value"] is None:
            del rest["value"]
            front = b"" if number is MISTYPED else b',"value":' + _encode(number)
    merged = context.attributes | rest
    core_json = front + render_core(context.core | core)
    body = encode_attributes(merged)
    return _join(event_type, event_name, core_json, b"", body, len(merged), event_id, event_time)


def build_raw_line(event: Any) -> bytes | None:
    """Encode an event that somebody else made, adding nothing but a missing id or time; None when it is no object.

    What is wrong with it otherwise is the server's to judge and to keep.
    """
    if not isinstance(event, Mapping):
        return None
    if not (event.get("event_id") and event.get("event_time")) or type(event["event_time"]) is not str:
        event = _complete(event)
    if type(value := event.get("value")) not in _NO_FOREIGN_NUMBERS:
        number = check_number(value)
        event = event if number is MISTYPED else {**event, "value": number}
    try:
        line = _encode(event)
        doubtful = is_doubtful(line)
    except Exception:  # noqa: BLE001  the careful path takes everything that the encoder refuses
        line, doubtful = b"", True
    if doubtful:
        line = _encode({name: _build_raw_value(name, value) for name, value in event.items()})
    if len(line) > CLIENT_EVENT_BYTES:
        return _cut_raw(event, len(line))
    return line


def _build_raw_value(name: Any, value: Any) -> Any:
    if name == "attributes" and isinstance(value, Mapping):
        return build_plain_attributes(value)
    return build_plain(value)


def _complete(event: Mapping[str, Any]) -> dict[str, Any]:
    now = now_nanoseconds()
    completed = dict(event)
    given = completed.pop("event_time", None)
    moment = _read_time(given)
    if moment is not None:
        given = moment.isoformat()
    first = {"event_time": given or render_time(now)}
    completed["event_id"] = completed.get("event_id") or build_event_id(now)
    return first | completed


def _cut_raw(event: Mapping[str, Any], size: int) -> bytes:
    now = now_nanoseconds()
    event_id = event.get("event_id")
    event_time = event.get("event_time")
    id_text = _encode(cut_bytes(build_text(str(event_id)), MAX_ID_BYTES))[1:-1].decode()
    time_text = event_time if isinstance(event_time, str) and len(event_time) < 64 else render_time(now)
    stamp = b'{"event_time":%b,"event_id":"%b' % (_encode(build_text(time_text)), id_text.encode())
    core: dict[str, Any] = {}
    for name in CONTEXT_NAMES & event.keys():
        checked = check_core(name, event[name])
        if checked is not MISTYPED:
            core[name] = checked
    head = _build_head(event.get("event_type"), event.get("event_name"))
    number = check_number(event.get("value"))
    front = b"" if number is MISTYPED else b',"value":' + _encode(number)
    return _build_truncated(stamp + head, front + render_core(core), size, 0)


def build_metric_line(
    event_name: str, context: Context, core: Mapping[str, Any], attributes: Mapping[str, Any]
) -> bytes:
    """Build the `metric` event of one series and interval: `core` holds value or sketch, ready to be encoded."""
    front = b"," + _encode(core)[1:-1] if core else b""
    body = encode_attributes({**context.attributes, **attributes})
    return _join("metric", event_name, front + context.core_json, b"", body, 0)


__all__ = [
    "EMPTY",
    "build_line",
    "build_metric_line",
    "build_raw_line",
    "build_value_line",
    "encode_attributes",
    "is_plain",
]
