"""Events that the store refused once and that come again: after a fix they are new, not repetitions.

Their verdict is and stays `DUPLICATE`: the first event was new for every other reader. That the store refused it is the
loader's own exception. The quarantined event is marked as replayed in the commit that counts the new one.
"""

from __future__ import annotations

import numpy as np

from tallymark.journal.judged import JudgedRecord
from tallymark.journal.verdicts import Verdict
from tallymark.loader.identity import parse_identity

# (project, event id) -> id in quarantine, of events that the store refused and nobody replayed. Such an event is
# not in the store: only events judged new are ever handed to it.
Refused = dict[tuple[str, str], int]


def find_mended(judged: list[JudgedRecord], refused: Refused) -> list[int]:
    """Turn verdicts of such events to NEW, in place; return their ids in quarantine. Each is taken once."""
    if not refused:
        return []
    mended = []
    left = dict(refused)
    for item in judged:
        if item.all_new:
            continue
        lines = item.record.rows.split(b"\n")
        for position in np.flatnonzero(item.verdicts):
            event_id = parse_identity(lines[position]).event_id
            key = (item.record.heading.project, event_id)
            if key in left:
                mended.append(left.pop(key))
                item.verdicts[position] = Verdict.NEW
    return mended
