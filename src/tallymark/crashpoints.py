"""Named places at which a test may kill the process; in production each is one comparison.

`TALLYMARK_CRASH=name:3` kills the process with SIGKILL when it passes `name` for the third time.
The places are called by the journal and the loader; `tests/journeys/test_crashes.py` visits them all.
"""

from __future__ import annotations

import os
import signal

POINTS = (
    "journal.after_write_before_fsync",
    "journal.after_fsync_before_answer",
    "journal.before_segment_removal",
    "journal.during_segment_removal",
    "loader.after_judging_before_insert",
    "loader.mid_insert",
    "loader.after_insert_before_commit",
    "ledger.during_roll_up",
    "dedup.during_flush",
)

_armed: dict[str, int] = {}


def arm(setting: str | None) -> None:
    """Arm the place that `setting` ("name:count") names; raises ValueError for a name not in `POINTS`."""
    _armed.clear()
    if not setting:
        return
    name, _, count = setting.partition(":")
    if name not in POINTS:
        raise ValueError(f"unknown crash point {name!r}; allowed: {', '.join(POINTS)}")
    _armed[name] = int(count or "1")


def reach(name: str) -> None:
    """Pass the place `name`: end here and now when a test asked for it."""
    if not _armed or name not in _armed:
        return
    _armed[name] -= 1
    if _armed[name] <= 0:
        os.kill(os.getpid(), signal.SIGKILL)


arm(os.environ.get("TALLYMARK_CRASH"))
