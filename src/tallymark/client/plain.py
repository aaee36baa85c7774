"""Turn any Python value into one that JSON can hold, whatever it is.

Comes in: attributes that the fast encoder refused or could have changed in meaning. Goes out: dictionaries,
lists, text, finite numbers, booleans, None. Never raises for a value's sake; called by `encoding`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import msgspec

from tallymark.client.scalars import NO_SCALAR, read_number, read_scalar
from tallymark.event import MAX_DEPTH, MAX_NAME_BYTES

LEAST_INTEGER = -(2**63)
LARGEST_INTEGER = 2**64 - 1
_MAX_NODES = 20_000
_MAX_REPR = 1024
# The attributes object and the event around it use up two levels of what the server allows.
_MAX_LEVELS = MAX_DEPTH - 4
_KNOWN_LEAVES = (datetime, date, time, timedelta, Decimal, UUID, bytes, bytearray, memoryview)


def build_text(value: str) -> str:
    """Return the text without NUL and without halves of surrogate pairs (which become U+FFFD)."""
    text = str.replace(value, "\0", "")
    try:
        str.encode(text)
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return str.__str__(text)


def build_repr(value: Any) -> str:
    """Return `repr(value)` cut to 1024 characters, or the type's name where even that fails."""
    try:
        text = build_text(repr(value))
    except Exception:  # noqa: BLE001  a user's __repr__ may raise anything
        return f"<{type(value).__name__}>"
    return text if len(text) <= _MAX_REPR else text[:_MAX_REPR] + "..."


def cut_bytes(text: str, limit: int) -> str:
    """Return `text` cut to at most `limit` bytes of UTF-8, between characters."""
    return text if len(text) * 4 <= limit else text.encode()[:limit].decode("utf-8", "ignore")


class _Walk:
    """One walk over a value: remembers what it is inside of, and how much it has seen."""

    def __init__(self) -> None:
        self.inside: set[int] = set()
        self.nodes = 0

    def build(self, value: Any, depth: int = 0) -> Any:
        self.nodes += 1
        if self.nodes > _MAX_NODES:
            return "..."
        try:
            if value is None or value is True or value is False:
                return value
            if isinstance(value, str | int | float) and not isinstance(value, Enum):
                return _build_scalar(value)
            return self._build_other(value, depth)
        except Exception:  # noqa: BLE001  hostile classes: __iter__, __class__ or properties that raise
            return build_repr(value)

    def _build_other(self, value: Any, depth: int) -> Any:
        if isinstance(value, Enum):
            return self.build(value.value, depth + 1) if depth < _MAX_LEVELS else build_repr(value)
        if isinstance(value, _KNOWN_LEAVES):
            return msgspec.to_builtins(value)
        children = _list_children(value)
        if children is None and (scalar := read_scalar(value)) is not NO_SCALAR:
            return self.build(scalar, depth)
        if children is None or depth >= _MAX_LEVELS or id(value) in self.inside:
            return "<self-containing>" if id(value) in self.inside else build_repr(value)
        self.inside.add(id(value))
        try:
            if isinstance(children, dict):
                return {self.build_key(key): self.build(item, depth + 1) for key, item in children.items()}
            return [self.build(item, depth + 1) for item in children]
        finally:
            self.inside.discard(id(value))

    def build_key(self, key: Any) -> str:
        if isinstance(key, Enum):
            key = key.value
        text = build_text(key) if isinstance(key, str) else build_repr(_read_key(key))
        return cut_bytes(text, MAX_NAME_BYTES) or "_"


def _read_key(key: Any) -> Any:
    """Return the number that a name stands for, so that all kinds of 5 are one name; other things as they are."""
    if isinstance(key, _KNOWN_LEAVES):
        return key
    number = read_number(key)
    return key if number is NO_SCALAR else number


def _build_scalar(value: str | float) -> Any:
    if isinstance(value, str):
        return build_text(value)
    if isinstance(value, int):
        number = int.__int__(value)
        if LEAST_INTEGER <= number <= LARGEST_INTEGER:
            return number
        # Python refuses to write integers of over 4300 digits in decimal.
        return str(number) if number.bit_length() < 10_000 else hex(number)[:_MAX_REPR]
    number_f = float.__float__(value)
    if math.isfinite(number_f):
        return number_f
    return "NaN" if math.isnan(number_f) else "Infinity" if number_f > 0 else "-Infinity"


def _list_children(value: Any) -> dict[Any, Any] | list[Any] | None:
    """Return a shallow copy of what a container holds, at most as much as fits; None for anything else."""
    if isinstance(value, Mapping):
        return dict(list(value.items())[:_MAX_NODES])
    if isinstance(value, list | tuple | set | frozenset):
        return list(value)[:_MAX_NODES]
    if isinstance(value, msgspec.Struct):
        return msgspec.structs.asdict(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return None


def build_plain(value: Any) -> Any:
    """Return `value` as JSON can hold it.

    NaN and infinities become the texts `NaN`, `Infinity`, `-Infinity`; integers beyond 64 bits become text;
    bytes become base64; times ISO 8601; sets lists; dataclasses objects; what contains itself is marked; what
    is none of these becomes its `repr`, cut to 1024 characters. NUL characters are removed.
    """
    return _Walk().build(value)


def build_plain_attributes(attributes: Mapping[Any, Any]) -> dict[str, Any]:
    """Return attributes whose names are text of 1 to 256 bytes and whose values are plain."""
    walk = _Walk()
    return {walk.build_key(key): walk.build(value, 1) for key, value in attributes.items()}
