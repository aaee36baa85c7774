"""PostHog's capture protocol, so that PostHog's SDKs work with only their host changed.

`PostHogReceiver` takes batches and single events as JSON, compressed, or as base64 in a form; the key may stand in the
query or in the body. Routes for feature flags answer that there are none. docs/posthog.md has the table of fields.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, ClassVar, Final

import msgspec

from tallymark.clock import SYSTEM_CLOCK
from tallymark.errors import RequestRefused
from tallymark.event import MAX_EVENT_BYTES, MAX_NAME_BYTES, MAX_TEXT_BYTES, Event
from tallymark.intake.accept import Outcome
from tallymark.intake.answers import HEADERS, Answer, build_refusal, list_rejected
from tallymark.intake.elements import build_event, decode_element, describe_failed, json_type, keep_failed
from tallymark.intake.form_body import read_form, unwrap_json
from tallymark.intake.json_text import split_array
from tallymark.intake.parsed import Parsed
from tallymark.intake.receiver import Head, ReceivedRequest, Receiver, Route
from tallymark.intake.times import read_epoch, read_time
from tallymark.journal.record import FailedEvent
from tallymark.pipeline.scan import scan_text
from tallymark.pipeline.steps.correct_clock import find_skew_ms

# Bodies of so many bytes, objects and elements are parsed in the event loop.
_QUICK_BYTES: Final = 8 * 1024
_QUICK_OBJECTS: Final = 100
_QUICK_COMMAS: Final = 1000

# `event_type` by the event's name; all others are "track".
EVENT_TYPES: Final = {
    "$identify": "identify", "$set": "identify", "$set_once": "identify", "$unset": "identify",
    "$create_alias": "alias", "$merge_dangerously": "alias", "$groupidentify": "group", "$pageview": "pageview",
    "$pageleave": "pageleave", "$screen": "screen", "$exception": "exception", "$feature_flag_called": "exposure",
}  # fmt: skip
# Properties that become fields, and how many characters the field takes; what does not fit stays an attribute.
FIELDS: Final = {
    "$session_id": ("session_id", MAX_NAME_BYTES),
    "$device_id": ("device_id", MAX_NAME_BYTES),
    "$anon_distinct_id": ("install_id", MAX_NAME_BYTES),
    "$app_name": ("service_name", MAX_NAME_BYTES),
    "$app_version": ("agent_app_version", MAX_NAME_BYTES),
    "$os": ("agent_os", MAX_NAME_BYTES),
    "$browser": ("agent_browser", MAX_NAME_BYTES),
    "$browser_language": ("agent_language", MAX_NAME_BYTES),
    "$raw_user_agent": ("agent_user_agent", MAX_TEXT_BYTES),
    "$current_url": ("page_url", MAX_TEXT_BYTES),
    "$referrer": ("page_referrer", MAX_TEXT_BYTES),
    "$screen_name": ("page_title", MAX_TEXT_BYTES),
}

# Thirty years; an event that waited for longer has no offset that anybody could mean.
_LONGEST_OFFSET_MS: Final = 1e12
# An envelope up to its batch; nothing nested stands before it.
_BATCH: Final = re.compile(rb'\{(?:\s*"[^"\\]*"\s*:\s*(?:"[^"\\]*"|[\w.+-]+)\s*,)*\s*"batch"\s*:\s*\[')
# For bodies that are not JSON somewhere; elsewhere the decoder finds both.
_KEY_MEMBER: Final = re.compile(rb'"(?:api_key|token)"\s*:\s*"([^"\\]*)"')
_SENT_MEMBER: Final = re.compile(rb'"sent_?[aA]t"\s*:\s*"([^"\\]*)"')
# Members of an envelope stand within so many bytes of its ends.
_EDGE_BYTES: Final = 4096
# The key is looked for in so many elements of a list; brackets per event, on average, up to which a body is decoded at once.
_KEYED_ELEMENTS: Final = 20
_BRACKETS: Final = 16
_KEY_NAMES: Final = ("api_key", "token", "$token")
_ENVELOPE: Final = frozenset(("batch", "sent_at", "sentAt", *_KEY_NAMES))
_encoder = msgspec.json.Encoder()
_sorted_encoder = msgspec.json.Encoder(order="deterministic")
_anything = msgspec.json.Decoder()


_NOTHING: Final = msgspec.Raw(b"")


class _Outline(msgspec.Struct):
    """Of a body, an event or its properties, only what may lead to the key. The rest is not decoded."""

    api_key: msgspec.Raw = _NOTHING
    token: msgspec.Raw = _NOTHING
    old_token: msgspec.Raw = msgspec.field(default=_NOTHING, name="$token")
    properties: msgspec.Raw = _NOTHING
    batch: msgspec.Raw = _NOTHING

    def list_keys(self) -> list[str]:
        return [key for member in (self.api_key, self.token, self.old_token) if (key := _read_text(member))]


_outline = msgspec.json.Decoder(_Outline)
_text = msgspec.json.Decoder(str)


@dataclass(slots=True)
class _Envelope:
    """What stands around the events of a request: `pieces` are (offset, text, whole) where the body is not JSON as a whole."""

    events: list[Any] = field(default_factory=list)
    pieces: list[tuple[int, bytes, bool]] = field(default_factory=list)
    key: str = ""
    sent_at: datetime | None = None
    # Members beside the events, which belong to each of them.
    more: dict[str, Any] = field(default_factory=dict)


def _answer_flags(head: Head) -> Answer:
    """Answer that there are no flags, in the shapes of /flags and of every version of /decide."""
    flags: Any = {}
    if "decide" in head.path and head.query.get("v", "1") == "1":
        flags = []
    body = {
        "flags": {},
        "featureFlags": flags,
        "featureFlagPayloads": {},
        "errorsWhileComputingFlags": False,
        "requestId": str(uuid.uuid4()),
        "evaluatedAt": int(SYSTEM_CLOCK.now().timestamp() * 1000),
        "config": {"enable_collect_everything": True},
        "isAuthenticated": False,
        "supportedCompression": ["gzip", "gzip-js"],
        "sessionRecording": False,
        "toolbarParams": {},
    }
    return 200, HEADERS, _encoder.encode(body)


class PostHogReceiver(Receiver):
    """Takes what PostHog's SDKs send."""

    source: ClassVar[str] = "posthog"
    routes: ClassVar[tuple[Route, ...]] = (
        Route("/batch"),
        Route("/capture"),
        Route("/e"),
        Route("/i/v0/e"),
        Route("/track"),
        Route("/engage"),
        Route("/flags", _answer_flags, ("GET", "POST")),
        Route("/decide", _answer_flags, ("GET", "POST")),
    )
    key_in_body: ClassVar[bool] = True

    def identify(self, head: Head, text: bytes | None) -> Sequence[str]:
        """Return keys: `token` or `api_key` in the query, the form, the body, and its first events."""
        if text is None:
            return _list_keys_in(head.query)
        fields = read_form(text)
        return [*_list_keys_in(fields), *_list_keys(unwrap_json(text, fields))]

    def parse(self, request: ReceivedRequest) -> Parsed:
        """Return the events of a batch, of a list, or the single one."""
        fields = read_form(request.text)
        text = unwrap_json(request.text, fields)
        if not text:
            raise RequestRefused("empty_body")
        if "lz64" in (request.head.query.get("compression"), fields.get("compression")):
            raise RequestRefused(
                "invalid_encoding", "lz64 is not supported. Send gzip, base64 or plain JSON."
            )
        envelope = _open_envelope(text, {**request.head.query, **fields}, request.key, request.max_events)
        if len(envelope.events) + len(envelope.pieces) > request.max_events:
            message = f"More than {request.max_events} events in one request. Send smaller batches."
            raise RequestRefused("body_too_large", message)
        parsed = _parse_envelope(
            envelope, request.head.path, request.received_at, large=len(text) > MAX_EVENT_BYTES
        )
        parsed.scan = scan_text(text)
        return parsed

    def parse_quickly(self, request: ReceivedRequest) -> Parsed | None:
        """Parse a small body."""
        text = request.text
        if len(text) > _QUICK_BYTES or text.count(b"{") > _QUICK_OBJECTS or text.count(b",") > _QUICK_COMMAS:
            return None
        return self.parse(request)

    def parse_kept(self, bodies: Sequence[bytes]) -> Parsed:
        """Return quarantined events, in PostHog's form or in our own."""
        parsed = Parsed([], [])
        events: list[Event] = []
        for index, body in enumerate(bodies):
            value = decode_element(body, index, 0, whole=True)
            if isinstance(value, FailedEvent):
                parsed.failed.append(value)
                continue
            if "event_id" not in value or "event_time" not in value:
                value = translate(value, _Envelope(), "", SYSTEM_CLOCK.now())
            built = build_event(value, body, index, body)
            if isinstance(built, FailedEvent):
                parsed.failed.append(built)
            else:
                events.append(built)
                parsed.indexes.append(index)
        parsed.events = events
        return parsed

    def render(self, head: Head, outcome: Outcome) -> Answer:
        """Answer 200 where anything was accepted: the SDKs would send the whole batch again, or drop it."""
        rejected = list_rejected(outcome)
        if rejected and not outcome.accepted:
            first = rejected[0]
            refusal = RequestRefused("invalid_request", f"{first.code}: {first.message}", at=first.at)
            return self.refuse(head, refusal)
        body = {"status": 1, "rejected": rejected} if rejected else {"status": 1}
        return 200, HEADERS, _encoder.encode(body)

    def refuse(self, head: Head, refusal: RequestRefused) -> Answer:  # noqa: ARG002 - there is one form
        """Answer in PostHog's shape: `type`, `code`, `detail`, `attr`."""
        kinds = {401: "authentication_error", 403: "authentication_error", 429: "throttled_error"}
        kind = kinds.get(refusal.status, "server_error" if refusal.status >= 500 else "validation_error")
        return build_refusal(refusal, type=kind, attr=refusal.at or None)


# Reading the body


def _list_keys_in(members: Mapping[str, str]) -> list[str]:
    return [members[name] for name in _KEY_NAMES if members.get(name)]


def _read_text(member: msgspec.Raw) -> str:
    """Return a member that is a text; '' for all else."""
    return _text.decode(member) if bytes(member).startswith(b'"') else ""


def _list_keys(text: bytes) -> list[str]:
    """Return the keys of a JSON body: the envelope's, the event's, and those of its first events."""
    if text[:1] == b"[":
        return _list_keys_of_elements(text)
    try:
        outline = _outline.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        found = _find_at_edges(text, _KEY_MEMBER)
        return [found] if found else []
    return [*_list_keys_of_event(text), *_list_keys_of_elements(bytes(outline.batch))]


def _list_keys_of_elements(text: bytes) -> list[str]:
    if text[:1] != b"[":
        return []
    # One element is no larger: what lies behind is not looked at for a key.
    beginning = text[:MAX_EVENT_BYTES]
    slices = islice(split_array(beginning), _KEYED_ELEMENTS)
    return [key for start, end, _ in slices for key in _list_keys_of_event(beginning[start:end])]


def _list_keys_of_event(text: bytes) -> list[str]:
    try:
        outline = _outline.decode(text)
        properties = bytes(outline.properties)
        return [*outline.list_keys(), *(_outline.decode(properties).list_keys() if properties else ())]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return []


def _find_at_edges(text: bytes, member: re.Pattern[bytes]) -> str:
    """Return a member of an envelope that is not JSON somewhere: what stands in its events is not taken for it."""
    batch = _BATCH.match(text)
    if batch is None:
        found = member.search(text, 0, MAX_EVENT_BYTES)
    else:
        behind = max(batch.end(), text.rfind(b"]"), len(text) - _EDGE_BYTES)
        found = member.search(text, 0, batch.end()) or member.search(text, behind)
    return found[1].decode("latin-1") if found else ""


def _open_envelope(text: bytes, fields: Mapping[str, str], key: str, max_events: int) -> _Envelope:
    """Read a body; one that is not JSON somewhere is taken apart, so that only what is broken is lost."""
    try:
        body = _decode_body(text, max_events)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pieces = list(islice(_split_broken(text), max_events + 1))
        return _Envelope(pieces=pieces, key=key, sent_at=read_time(_find_at_edges(text, _SENT_MEMBER)))
    envelope = _Envelope(key=key)
    sent_at: Any = fields.get("sent_at")
    if isinstance(body, dict):
        sent_at = body.get("sent_at") or body.get("sentAt") or sent_at
        if isinstance(body.get("batch"), list):
            envelope.events = body["batch"]
            # Some SDKs always say that a batch is no `historical_migration`.
            more = {name: value for name, value in body.items() if name not in _ENVELOPE}
            envelope.more = {
                name: value for name, value in more.items() if value is not None and value is not False
            }
        else:
            envelope.events = [
                {name: value for name, value in body.items() if name not in ("sent_at", "sentAt")}
            ]
    else:
        envelope.events = body if isinstance(body, list) else [body]
    envelope.sent_at = read_time(sent_at) or read_epoch(fields.get("_", ""))
    return envelope


def _decode_body(text: bytes, max_events: int) -> Any:
    if text.count(b"{") + text.count(b"[") > _BRACKETS * max_events:
        raise msgspec.DecodeError("so many objects are decoded one by one")
    return _anything.decode(text)


def _split_broken(text: bytes) -> Iterator[tuple[int, bytes, bool]]:
    """Yield offset, text and whether it closes, of the elements of a batch that does not decode as a whole."""
    batch = _BATCH.match(text)
    if text[:1] != b"[" and batch is None:
        yield 0, text, True
        return
    start = batch.end() - 1 if batch is not None else 0
    for begin, end, whole in split_array(text[start:]):
        at = start + begin
        # Behind the batch stands the rest of the envelope.
        if whole or text[at - 1 : at] != b"]":
            yield at, text[at : start + end].strip(), whole


# Events


def _parse_envelope(envelope: _Envelope, path: str, received_at: datetime, *, large: bool) -> Parsed:
    events: list[Event] = []
    indexes: list[int] = []
    failed: list[FailedEvent] = []
    elements: list[Any] = envelope.events or [
        _decode_piece(piece, index, start, whole=whole)
        for index, (start, piece, whole) in enumerate(envelope.pieces)
    ]
    for index, element in enumerate(elements):
        outcome = _build(element, index, envelope, path, received_at, large=large)
        if isinstance(outcome, FailedEvent):
            failed.append(outcome)
        else:
            events.append(outcome)
            indexes.append(index)
    return Parsed(events, indexes, failed, sent_at=envelope.sent_at)


def _decode_piece(piece: bytes, index: int, start: int, *, whole: bool) -> dict[str, Any] | FailedEvent:
    """Decode one element of a body that was taken apart; a large one is not decoded, and only described."""
    if len(piece) > MAX_EVENT_BYTES:
        message = f"the event has {len(piece)} bytes, {MAX_EVENT_BYTES} are allowed"
        return describe_failed(piece, index, "event_too_large", message, f"byte {start}")
    return decode_element(piece, index, start, whole=whole)


def _build(
    element: Any, index: int, envelope: _Envelope, path: str, received_at: datetime, *, large: bool
) -> Event | FailedEvent:
    if isinstance(element, FailedEvent):
        return element
    if not isinstance(element, dict):
        message = f"expected an object, got {json_type(element)}"
        return describe_failed(_encoder.encode(element), index, "not_an_object", message, f"batch[{index}]")
    value = translate(element, envelope, path, received_at)
    if any(isinstance(key := element.get(name), str) and key != envelope.key for name in _KEY_NAMES):
        message = "the event has the key of another project than its request"
        failed = keep_failed(value, b"", index, "field_invalid", message, f"batch[{index}]")
        failed.body = _render_kept(element, value, envelope)
        return failed
    if large and len(piece := _encoder.encode(element)) > MAX_EVENT_BYTES:
        message = f"the event has {len(piece)} bytes, {MAX_EVENT_BYTES} are allowed"
        return keep_failed(value, piece, index, "event_too_large", message, f"batch[{index}]")
    try:
        return msgspec.convert(value, Event)
    except msgspec.ValidationError:
        piece = _encoder.encode(element)
        return build_event(value, piece, index, _render_kept(element, value, envelope))


def _render_kept(element: dict[str, Any], value: dict[str, Any], envelope: _Envelope) -> bytes:
    """Return a failed event as the quarantine keeps it: in PostHog's form, without the key, with id, name and time."""
    kept = {**envelope.more, **_drop_keys(element)}
    properties = kept.get("properties")
    if isinstance(properties, dict):
        kept["properties"] = _drop_key(properties, envelope.key)
    told = {"uuid": value["event_id"], "timestamp": value["event_time"], "event": value.get("event_name")}
    kept |= {name: item for name, item in told.items() if kept.get(name) is None and item is not None}
    return _encoder.encode(kept)


def _drop_keys(members: dict[str, Any]) -> dict[str, Any]:
    """Return the members of an envelope or an event without keys, whosever they are."""
    return {
        name: item for name, item in members.items() if name not in _KEY_NAMES or not isinstance(item, str)
    }


def _drop_key(members: dict[str, Any], key: str) -> dict[str, Any]:
    """Return members without the project's key: it is no data, and nobody may read it in an event."""
    return {name: item for name, item in members.items() if name not in _KEY_NAMES or item != key}


def translate(event: dict[str, Any], envelope: _Envelope, path: str, received_at: datetime) -> dict[str, Any]:
    """Return an event of PostHog's as the members of one of ours. What no field is for becomes an attribute."""
    rest = _drop_keys(event)
    properties = rest.pop("properties", None)
    # What is no object stays as it is, and is refused like any event whose attributes are none.
    attributes: Any = {} if properties is None else properties
    if isinstance(attributes, dict):
        attributes = _drop_key(attributes, envelope.key)
    value: dict[str, Any] = {
        "event_time": _take_time(rest, envelope.sent_at, received_at),
        "event_id": _take_id(event, rest, attributes if isinstance(attributes, dict) else {}),
    }
    name = rest.pop("event", None)
    if name is None and path.startswith("/engage"):
        name = "$identify"
    if name is not None:
        value["event_name"] = name
    value["event_type"] = EVENT_TYPES.get(name, "track") if isinstance(name, str) else "track"
    value["attributes"] = attributes
    if isinstance(attributes, dict):
        _take_person(value, rest, attributes)
        _take_fields(value, attributes)
        _take_groups(value, attributes)
        _add_rest(attributes, {**envelope.more, **rest})
    return value


def _take_time(rest: dict[str, Any], sent_at: datetime | None, received_at: datetime) -> Any:
    """Return the event's time by the sender's clock; what is no time stays as it is, and is refused."""
    timestamp = rest.pop("timestamp", None)
    if timestamp is not None:
        return read_time(timestamp) or timestamp
    now = received_at - timedelta(milliseconds=find_skew_ms(received_at, sent_at))
    offset = rest.get("offset")
    if isinstance(offset, int | float) and not isinstance(offset, bool) and 0 <= offset < _LONGEST_OFFSET_MS:
        del rest["offset"]
        return now - timedelta(milliseconds=offset)
    return now


def _take_id(event: dict[str, Any], rest: dict[str, Any], attributes: dict[str, Any]) -> Any:
    """Return the event's id; without one, a hash of its content, so that a retry has the same.

    An event without a time as well is another one each time it is sent.
    """
    found = rest.pop("uuid", None) or attributes.pop("$insert_id", None)
    if found:
        return found
    if event.get("timestamp") is None:
        return str(uuid.uuid4())
    return f"posthog-{hashlib.blake2b(_sorted_encoder.encode(event), digest_size=16).hexdigest()}"


def _take_person(value: dict[str, Any], rest: dict[str, Any], attributes: dict[str, Any]) -> None:
    """Put the distinct id where it belongs: an anonymous one is an installation's, all others are a person's."""
    name = next((one for one in ("distinct_id", "$distinct_id") if rest.get(one) is not None), "")
    found = rest.get(name) if name else attributes.get("distinct_id")
    if isinstance(found, int) and not isinstance(found, bool):
        found = str(found)
    if not isinstance(found, str) or not 0 < len(found) <= MAX_NAME_BYTES:
        return
    rest.pop(name, None)
    if attributes.get("distinct_id") == found:
        del attributes["distinct_id"]
    anonymous = (
        attributes.get("$process_person_profile") is False
        or attributes.get("$is_identified") is False
        or attributes.get("$device_id") == found
    )
    value["install_id" if anonymous else "user_id"] = found


def _take_fields(value: dict[str, Any], attributes: dict[str, Any]) -> None:
    for name, (member, longest) in FIELDS.items():
        item = attributes.get(name)
        if isinstance(item, str) and 0 < len(item) <= longest and member not in value:
            value[member] = item
            del attributes[name]


def _take_groups(value: dict[str, Any], attributes: dict[str, Any]) -> None:
    """Turn `$groups` into texts of the form "type:key", where that loses nothing."""
    groups = attributes.get("$groups")
    if not isinstance(groups, dict) or not groups:
        return
    found = [f"{kind}:{key}" for kind, key in groups.items() if isinstance(key, str) and ":" not in kind]
    if len(found) == len(groups) and all(len(group) <= MAX_NAME_BYTES for group in found):
        value["performer_groups"] = found
        del attributes["$groups"]


def _add_rest(attributes: dict[str, Any], rest: dict[str, Any]) -> None:
    """Keep members that stand beside the properties, under a name of their own where a property has theirs."""
    for name, item in rest.items():
        if name in attributes and attributes[name] != item:
            attributes[f"event.{name}"] = item
        else:
            attributes[name] = item
