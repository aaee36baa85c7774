"""tallymark watches itself: that events are stored, that alerts are judged in time, and that people can be told.

Pure. These alerts stand in no file. They go the way of all others: kept, told, shown, with a state and a history.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec

from tallymark.alerts.changes import Change, Kept, Outcome, Watch
from tallymark.alerts.conditions import Judged, Verdict
from tallymark.alerts.standing import Standing, advance
from tallymark.alerts.values import Values
from tallymark.catalog.receivers import Receiver
from tallymark.loader.state import NO_STALL, STALLED_SECONDS, Stall
from tallymark.plan.kinds.alert import OWN_PREFIX, Above, Alert

LATE_SECONDS: Final = 60
FAILING_SECONDS: Final = 600
JUDGING: Final = Alert(
    name=f"{OWN_PREFIX}judging", metric=f"{OWN_PREFIX}judging", when=Above(value=LATE_SECONDS), window="1m", severity="page", keep_firing="5m",
    title="Alerts are judged late",
    description="Nothing can be said about the time since: events wait for the store, questions fail, or judging takes too long.",
    runbook="Look at the server's log and at /readyz: the store, the disk, the load.",
)  # fmt: skip
TELLING: Final = Alert(
    name=f"{OWN_PREFIX}telling", metric=f"{OWN_PREFIX}telling", when=Above(value=FAILING_SECONDS), window="1m", severity="page",
    title="A receiver cannot be told", breakdown=("receiver",),
    description="Messages to this receiver have failed for ten minutes. They are tried again.",
    runbook="Look at the receiver's last error on the page of alerts.",
)  # fmt: skip
LOADING: Final = Alert(
    name=f"{OWN_PREFIX}loading", metric=f"{OWN_PREFIX}loading", when=Above(value=STALLED_SECONDS), window="1m", severity="page", keep_firing="5m",
    title="Events are not stored",
    description="Events are accepted and safe in the journal, but none of them reaches the store: questions and alerts do not see them.",
    runbook="Look at the loader's last error at /readyz and in the server's log, and at the disk.",
)  # fmt: skip

OWN: Final = {one.name: one for one in (JUDGING, TELLING, LOADING)}


def build_loading(limit: float) -> Alert:
    """Return the alert on the loader with the installation's own limit in seconds."""
    return msgspec.structs.replace(LOADING, when=Above(value=limit))


def judge_own(
    kept: Mapping[str, Kept],
    receivers: Sequence[Receiver],
    now: datetime,
    lag: float,
    missed: int,
    stall: Stall = NO_STALL,
) -> list[Outcome]:
    """Return what is to be said about judging, telling and loading; nothing where nothing changed.

    `lag` is how many seconds the oldest window that should have been judged has waited, `missed` how many windows were left
    out in this round and never will be, `stall` how long the loader has stood still.
    """
    late = _judge(lag, LATE_SECONDS, "")
    if missed:
        # That judging is in time again says nothing of these.
        reason = f"{missed:,} windows were left out and never will be judged."
        late = (
            Judged(verdict="met", reason=reason)
            if late.verdict != "met"
            else msgspec.structs.replace(late, reason=reason)
        )
    judging: dict[Values, Judged] = {(): late}
    telling: dict[Values, Judged] = {
        (one.name,): _judge(_failing(one, now), FAILING_SECONDS, one.error) for one in receivers
    }
    loading: dict[Values, Judged] = {(): _judge(stall.seconds, stall.limit, stall.reason)}
    found = [
        _run(JUDGING, kept.get(JUDGING.name), judging, now),
        _run(TELLING, kept.get(TELLING.name), telling, now),
        _run(build_loading(stall.limit), kept.get(LOADING.name), loading, now),
    ]
    return [one for one in found if one is not None]


def _failing(receiver: Receiver, now: datetime) -> float:
    return max(0.0, (now - receiver.failing_since).total_seconds()) if receiver.failing_since else 0.0


def _judge(seconds: float, most: float, reason: str) -> Judged:
    verdict: Verdict = "met" if seconds > most else "not met"
    return Judged(verdict=verdict, value=seconds, normal=float(most), reason=reason)


def _run(alert: Alert, kept: Kept | None, verdicts: Mapping[Values, Judged], now: datetime) -> Outcome | None:
    standings = dict(kept.standings) if kept else {}
    gone = [values for values in standings if values not in verdicts]
    changes, moved = [], False
    for values, judged in {**verdicts, **dict.fromkeys(gone, Judged(verdict="not met"))}.items():
        before = standings.get(values) or Standing(since=now, seen=now)
        after = advance(before, judged, now, alert)
        standings[values] = after
        # How long it has been well must be known in the next round.
        moved |= after.calm_since != before.calm_since
        if after.state != before.state:
            changes.append(Change(values, before, after, now))
    if not changes and not moved:
        return None
    for values in gone:
        del standings[values]
    watch = kept.watch if kept else Watch(digest="", judged_until=now, settled_until=now)
    return Outcome(alert, watch, standings, forgotten=gone, changes=changes)
