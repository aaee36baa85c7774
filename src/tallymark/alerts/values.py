"""The values of a breakdown, such as ("iOS",): an alert is judged for each of them. How they are kept and told apart. Pure."""

from __future__ import annotations

import hashlib

import msgspec

from tallymark.queries.result import Cell

# () is an alert without a breakdown.
Values = tuple[Cell, ...]


def key_of(values: Values) -> str:
    """Return the digest by which a value of a breakdown is kept; '' without a breakdown."""
    return hashlib.sha256(encode_values(values).encode()).hexdigest()[:32] if values else ""


def encode_values(values: Values) -> str:
    """Return a breakdown's values as JSON."""
    return msgspec.json.encode(values).decode()


def decode_values(text: str) -> Values:
    """Return a breakdown's values from JSON."""
    return tuple(msgspec.json.decode(text))
