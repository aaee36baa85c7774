"""Find out by how much the sender's clock is off, from the time at which it says that it sent the batch.

The client's own times stay as they are; the correction stands beside them and the store adds it.
"""

from __future__ import annotations

from datetime import datetime

from tallymark.pipeline.batch import Batch

# Below this the difference may as well be the network's.
TOLERANCE_MS = 60_000
# A clock that is further off says nothing at all; the events keep their times.
LIMIT_MS = 50 * 366 * 86_400_000


def correct_clock(batch: Batch) -> None:
    """Set the batch's skew: receive time minus send time, where that is more than a minute."""
    batch.skew_ms = find_skew_ms(batch.arrival.received_at, batch.arrival.sent_at)


def find_skew_ms(received_at: datetime, sent_at: datetime | None) -> int:
    """Return by how many milliseconds the sender's clock is behind; 0 where it is right, or says nothing."""
    if sent_at is None:
        return 0
    skew_ms = round((received_at - sent_at).total_seconds() * 1000)
    return skew_ms if TOLERANCE_MS < abs(skew_ms) <= LIMIT_MS else 0
