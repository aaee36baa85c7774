"""The forms in which a batch holds events: with decoded attributes, or with attributes that are still JSON text.

A receiver that has checked events as text makes raw ones; `decode_event` turns them into `Event` for a step that
reads them. All forms encode to the same text.
"""

from __future__ import annotations

from typing import Any

import msgspec

from tallymark.event import Event, EventCore, EventFields


class RawCoreEvent(EventCore, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """An event that has the usual members only; its attributes are JSON text."""

    attributes: msgspec.Raw = msgspec.Raw(b"{}")


class RawEvent(EventFields, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """An event with any members; its attributes are JSON text."""

    attributes: msgspec.Raw = msgspec.Raw(b"{}")


AnyEvent = Event | RawEvent | RawCoreEvent

_attributes = msgspec.json.Decoder(dict[str, Any])


def decode_event(event: AnyEvent) -> Event:
    """Return the event with decoded attributes; one that has them already is returned as it is."""
    if isinstance(event, Event):
        return event
    fields = {name: getattr(event, name) for name in event.__struct_fields__ if name != "attributes"}
    return Event(**fields, attributes=_attributes.decode(event.attributes))
