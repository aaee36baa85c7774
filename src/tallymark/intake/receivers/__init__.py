"""The protocols that the intake speaks, one module each: the text of a body in, events and failures out.

Adding one is a file here and a line in `RECEIVERS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tallymark.intake.parsed import Parsed
from tallymark.intake.receivers import events


@dataclass(frozen=True, slots=True)
class Receiver:
    """A protocol: its address, the source that the ledger shows, and how the text of a body is parsed.

    `parse` takes the text and the most events that one request may hold; it raises RequestRefused for a text
    that is nothing of its kind, and gives every single bad event a code instead. `parse_well_formed` does the same where
    that is quick, and returns None for all other texts.
    """

    path: str
    source: str
    parse: Callable[[bytes, int], Parsed]
    parse_well_formed: Callable[[bytes, int], Parsed | None]


RECEIVERS = (Receiver("/v1/events", "http", events.parse_events, events.parse_well_formed),)
