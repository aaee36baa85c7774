"""From verdicts to states: how an alert stands, and when that changes.

Pure: a standing and a verdict in, a new standing out. All times are ends of windows, never the clock's: who judges later,
after a pause or again, comes to the same states.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, Literal

import msgspec

from tallymark.alerts.conditions import Judged, Verdict
from tallymark.plan.kinds.alert import Alert

State = Literal["ok", "pending", "firing", "no data", "error"]

# In these something is to be done.
OPEN: Final[frozenset[State]] = frozenset({"firing", "no data", "error"})
# A question may fail once in a while: the store is started again, a limit was met. It is an error once it lasts.
ERROR_SECONDS: Final = 60
_MOST_RECENT: Final = 60


class Standing(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """How one alert stands, of one value where it is broken down.

    `since` is when the state began, `seen` the end of the last window with any event. `met_since`, `empty_since` and `failed_since` are the ends of the first windows of
    unbroken rows of such verdicts. `opened` is when the present trouble began, through all states until it is ok.
    """

    state: State = "ok"
    since: datetime
    seen: datetime
    met_since: datetime | None = None
    empty_since: datetime | None = None
    failed_since: datetime | None = None
    opened: datetime | None = None
    judged: Judged = Judged(verdict="not met")
    # Verdicts of the last windows, by their ends, which may turn out otherwise once late events have come.
    recent: tuple[tuple[datetime, Verdict], ...] = ()


def advance(standing: Standing, judged: Judged, end: datetime, alert: Alert) -> Standing:
    """Return the standing after the next window, which ended at `end`."""
    streaks: dict[str, datetime | None] = {"met_since": None, "empty_since": None, "failed_since": None}
    if judged.verdict == "error":
        # Nothing is known: what was going on goes on.
        streaks |= {"met_since": standing.met_since, "empty_since": standing.empty_since}
        streaks["failed_since"] = standing.failed_since or end
    elif judged.verdict == "met":
        streaks["met_since"] = standing.met_since or end
    elif judged.verdict == "no data" or (judged.verdict == "too few" and standing.opened):
        # While something is wrong, too few events say neither that it still is nor that it is over. Then the time that is
        # allowed for no data begins with the end of the window, in which there was something.
        first = end if judged.verdict == "no data" else end + timedelta(seconds=alert.seconds)
        streaks["empty_since"] = standing.empty_since or first
        streaks["met_since"] = standing.met_since if standing.state in OPEN else None
    late = end - timedelta(seconds=alert.delay_seconds)
    recent = [one for one in standing.recent if late <= one[0] < end][-_MOST_RECENT:]
    recent.append((end, judged.verdict))
    moved = msgspec.structs.replace(standing, judged=judged, recent=tuple(recent), **streaks)
    return _settle(moved, end, alert)


def amend(standing: Standing, judged: Judged, end: datetime, newest: datetime, alert: Alert) -> Standing:
    """Return the standing after a window that ended at `end` was judged again, while `newest` is the last one judged.

    Late events may have met the condition, or show that it was not met.
    """
    if dict(standing.recent).get(end, judged.verdict) == judged.verdict:
        return standing
    since = standing.met_since
    step = timedelta(seconds=alert.step)
    if judged.verdict == "met" and (since is None or since > end):
        if since is None and alert.lasting_seconds:
            return standing
        if since is not None and since > end + step:
            return standing
        amended = msgspec.structs.replace(standing, met_since=end, empty_since=None)
    elif judged.verdict == "not met" and since is not None and since <= end:
        rest = end + step
        amended = msgspec.structs.replace(standing, met_since=rest if rest <= newest else None)
    elif (
        judged.verdict in ("met", "not met")
        and standing.empty_since is not None
        and standing.empty_since <= end
    ):
        rest = end + step
        amended = msgspec.structs.replace(standing, empty_since=rest if rest <= newest else None)
    else:
        return standing
    return _settle(amended, newest, alert)


def _settle(standing: Standing, end: datetime, alert: Alert) -> Standing:
    """Return the standing in the state that its rows of verdicts have reached at `end`."""
    state = _find_state(standing, end, alert)
    if state == standing.state:
        return standing
    opened = standing.opened
    if state in OPEN:
        opened = opened or end
    elif state == "ok" or (state == "pending" and standing.state != "error"):
        opened = None
    return msgspec.structs.replace(standing, state=state, since=end, opened=opened)


def _find_state(standing: Standing, end: datetime, alert: Alert) -> State:
    if standing.failed_since is not None:
        return "error" if _lasts(standing.failed_since, end, ERROR_SECONDS) else standing.state
    if standing.empty_since is not None:
        # Nothing came since that window began.
        if _lasts(standing.empty_since, end, alert.no_data_seconds - alert.seconds):
            return "no data"
        return standing.state if standing.state in OPEN else "ok"
    if standing.met_since is None:
        return "ok"
    if standing.state == "firing" or _lasts(standing.met_since, end, alert.lasting_seconds):
        return "firing"
    return "pending"


def _lasts(since: datetime, end: datetime, seconds: int) -> bool:
    return end - since >= timedelta(seconds=seconds)
