"""Named places at which a test may kill the process; in production each is one comparison.

`TALLYMARK_CRASH=name:3` kills each process with SIGKILL when it passes `name` for the third time. With
`TALLYMARK_CRASH_FILE=path` the same text is looked for in that file at every pass: a test arms a place while
the server runs, and the process that dies takes the file away, so one arming is one death.
The journal, the loader, the copy of older tables and the alerts call the places; `test_crashes.py` and `test_alerts.py` in
`tests/journeys` and `tests/store/test_copying.py` visit them all.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

POINTS = (
    "journal.after_write_before_fsync",
    "journal.after_fsync_before_answer",
    "journal.before_segment_removal",
    "journal.during_segment_removal",
    "verdicts.after_judging_before_write",
    "verdicts.after_write_before_sync",
    "verdicts.after_sync_before_publishing",
    "verdicts.after_publishing",
    "loader.before_insert",
    "loader.mid_insert",
    "loader.after_insert_before_commit",
    "ledger.during_roll_up",
    "dedup.during_flush",
    "retention.after_loss_before_removal",
    "copy.before_partition",
    "copy.after_partition",
    "copy.before_exchange",
    "copy.after_exchange",
    "copy.before_version",
    "alerts.after_judging_before_write",
    "alerts.after_write",
    "alerts.after_claim_before_send",
    "alerts.after_send_before_note",
)

_armed: dict[str, int] = {}
_file = os.environ.get("TALLYMARK_CRASH_FILE", "")


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
    if _file:
        _arm_from_file(name)
    if not _armed or name not in _armed:
        return
    _armed[name] -= 1
    if _armed[name] <= 0:
        if _file:
            Path(_file).unlink(missing_ok=True)
        os.kill(os.getpid(), signal.SIGKILL)


def _arm_from_file(name: str) -> None:
    """Arm `name` when the file says so; what was counted of it already stays counted."""
    try:
        setting = Path(_file).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        _armed.clear()
        return
    if setting.partition(":")[0] == name and name not in _armed:
        arm(setting)


arm(os.environ.get("TALLYMARK_CRASH"))
