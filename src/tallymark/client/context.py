"""Who and where: attributes that go with every event of a client copy, or of everything inside a block.

Comes in: keyword arguments. Goes out: a frozen `Context` with core fields apart from attributes, already
encoded. Precedence is client < ambient < call. Ambient attributes live in a context variable, so they follow
asyncio tasks and do not leak between threads.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, Token
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec

from tallymark.client.plain import build_plain_attributes, build_text
from tallymark.client.scalars import NO_SCALAR, read_number, read_scalar
from tallymark.event import CONTEXT_FIELDS, MAX_NAME_BYTES, MAX_TEXT_BYTES, Event

_NAMES_BOOL = frozenset({"is_dev", "performer_is_logged_in", "performer_is_bot"})
_NAMES_LONG = frozenset(
    {"agent_user_agent", "page_title", "page_url", "page_referrer"},
)
MISTYPED = object()
CONTEXT_NAMES = frozenset(CONTEXT_FIELDS)
_encode = msgspec.json.Encoder().encode

if unknown := (_NAMES_BOOL | _NAMES_LONG) - CONTEXT_NAMES:  # pragma: no cover
    raise ImportError(f"event.Event lost fields that the client names: {sorted(unknown)}")
_FIELD_ORDER = {name: place for place, name in enumerate(Event.__struct_fields__)}


def _check_text(value: Any, limit: int) -> Any:
    if not isinstance(value, str | int | float | Decimal):
        # A whole number of another library is an id as much as Python's own.
        number = read_number(value)
        value = number if type(number) is int else value
    if type(value) is int or isinstance(value, UUID):
        value = str(value) if not isinstance(value, int) or value.bit_length() <= 64 else None
    if not isinstance(value, str):
        return MISTYPED
    text = build_text(value)
    return text if len(text.encode()) <= limit else MISTYPED


def check_core(name: str, value: Any) -> Any:
    """Return the value as the core field `name` takes it, None for "not given", or MISTYPED.

    Whole numbers and UUIDs are taken as text where text is wanted, since ids often are; nothing else is converted.
    """
    if value is None:
        return None
    if name in _NAMES_BOOL:
        return _check_bool(value)
    if name == "performer_groups":
        if not isinstance(value, list | tuple | set | frozenset):
            return MISTYPED
        groups = [_check_text(item, MAX_NAME_BYTES) for item in value]
        return MISTYPED if MISTYPED in groups else groups
    return _check_text(value, MAX_TEXT_BYTES if name in _NAMES_LONG else MAX_NAME_BYTES)


def _check_bool(value: Any) -> Any:
    if isinstance(value, bool):
        return value
    try:
        read = read_scalar(value)
    except Exception:  # noqa: BLE001  a class of the application's may raise anything
        return MISTYPED
    return read if isinstance(read, bool) else MISTYPED


def check_number(value: Any) -> Any:
    """Return the value as the field `value` takes it (a finite number that a 64-bit float holds), or MISTYPED."""
    if type(value) is bool:
        return MISTYPED
    if not isinstance(value, int | float):
        value = read_number(value)
        if value is NO_SCALAR:
            return MISTYPED
    try:
        number = float(value)
    except OverflowError:
        return MISTYPED
    if not math.isfinite(number):
        return MISTYPED
    return int(value) if isinstance(value, int) and abs(value) < 2**63 else number


def split_core(attributes: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Take core context fields apart from the rest; one of the wrong type stays among the rest, so none is lost."""
    core: dict[str, Any] = {}
    rest: dict[str, Any] = {}
    for name, value in attributes.items():
        checked = check_core(name, value) if name in CONTEXT_NAMES else MISTYPED
        if checked is MISTYPED:
            rest[name] = value
        else:
            core[name] = checked
    return core, rest


def render_core(core: Mapping[str, Any]) -> bytes:
    """Write checked core fields as `,"name":value` pairs in the order of `Event`."""
    ordered = sorted(((name, value) for name, value in core.items() if value is not None), key=_by_field)
    return b"," + _encode(dict(ordered))[1:-1] if ordered else b""


def _by_field(pair: tuple[str, Any]) -> int:
    return _FIELD_ORDER[pair[0]]


class Context:
    """Core fields and attributes that go with an event; never changes, cheap to share."""

    __slots__ = ("__weakref__", "_under", "attributes", "core", "core_json", "inner_json", "key", "names")

    def __init__(self, core: Mapping[str, Any], attributes: Mapping[str, Any]) -> None:
        self.core = dict(core)
        self.attributes = dict(attributes)
        self.core_json = render_core(self.core)
        # The inside of the attributes object with a comma behind it, ready to stand before the call's own.
        self.inner_json = _encode(self.attributes)[1:-1] + b"," if self.attributes else b""
        # Equal for equal contexts: counters are summed by it.
        self.key = self.core_json + b"\n" + self.inner_json
        # A call that names none of these needs no merging.
        self.names = _RESERVED | self.attributes.keys()
        self._under: dict[Context, Context] = {}

    def extended(self, attributes: Mapping[str, Any]) -> Context:
        """Return a context in which `attributes` win over what is here."""
        core, rest = split_core(attributes)
        return Context(self.core | core, self.attributes | build_plain_attributes(rest))

    def under(self, client: Context) -> Context:
        """Return the client's context with this one (ambient) over it; remembered for the next event."""
        merged = self._under.get(client)
        if merged is None:
            merged = Context(client.core | self.core, client.attributes | self.attributes)
            if len(self._under) < 16:
                self._under[client] = merged
        return merged


# Names that a call's attributes may not simply be encoded with: they have a place of their own in the event.
_RESERVED = CONTEXT_NAMES | {"value", "event_id", "event_time"}
EMPTY = Context({}, {})
AMBIENT: ContextVar[Context | None] = ContextVar("tallymark_ambient", default=None)


def _build_ambient(attributes: Mapping[str, Any]) -> Context:
    return (AMBIENT.get() or EMPTY).extended(attributes)


def set_ambient(**attributes: Any) -> Token[Context | None] | None:
    """Add attributes to every event recorded in this thread or asyncio task from now on.

    Returns a token for `reset_ambient`. Never raises.
    """
    return AMBIENT.set(_build_ambient(attributes))


def reset_ambient(token: Token[Context | None] | None) -> None:
    """Take back what `set_ambient` added. A token of another task or used before is ignored."""
    try:
        if token is not None:
            AMBIENT.reset(token)
    except (ValueError, RuntimeError, TypeError):
        return


@contextmanager
def ambient(**attributes: Any) -> Iterator[None]:
    """Add attributes to every event recorded inside the `with` block, in this thread or asyncio task."""
    token = set_ambient(**attributes)
    try:
        yield
    finally:
        reset_ambient(token)
