"""What is kept of an event in quarantine, found by the event's own id.

Comes in: the ledger's file, a project, an event's id. Goes out: the newest events in quarantine with that id. The page
of one event calls it; blocking.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Final

from tallymark.ledger.quarantine import QuarantinedEvent, list_quarantined
from tallymark.ledger.tables import open_for_reading

# An id may have failed any number of times; these are shown, the quarantine has all.
MOST: Final = 5
_IDS: Final = "SELECT id FROM quarantine WHERE project = ? AND event_id = ? ORDER BY id DESC LIMIT ?"


def find_kept(path: Path, project: str, event_id: str) -> list[QuarantinedEvent]:
    """Return at most `MOST` events in quarantine with that id, the newest first."""
    if not path.exists():
        return []
    with closing(open_for_reading(path)) as connection:
        ids = [identity for (identity,) in connection.execute(_IDS, (project, event_id, MOST))]
    found = [
        event for one in ids for event in list_quarantined(path, project, before_id=one + 1, limit=1).events
    ]
    # One that was cleared away between the two reads would give its neighbour.
    return [event for event in found if event.event_id == event_id]
