"""Reading whose event a line is, without decoding the rest of it.

Takes a line of a journal record or a row made of it; the loader's parts use it where a verdict has to be traced
or compared with what the store has.
"""

from __future__ import annotations

import msgspec


class Identity(msgspec.Struct):
    """An event's id and name."""

    event_id: str
    event_name: str


_decoder = msgspec.json.Decoder(Identity)


def parse_identity(line: bytes) -> Identity:
    """Return the identity of the event on `line`."""
    return _decoder.decode(line)
