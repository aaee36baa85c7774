"""The protocols that the intake speaks, one module each; `intake/receiver.py` is their contract.

Adding one is a file here and a line in `RECEIVERS`.
"""

from __future__ import annotations

from tallymark.intake.receiver import Receiver
from tallymark.intake.receivers.events import EventsReceiver
from tallymark.intake.receivers.posthog import PostHogReceiver

RECEIVERS: tuple[Receiver, ...] = (
    EventsReceiver(),
    PostHogReceiver(),
)


def find_receiver(source: str) -> Receiver:
    """Return the receiver whose events have this source; our own protocol's for what no receiver brought."""
    return next((receiver for receiver in RECEIVERS if receiver.source == source), RECEIVERS[0])
