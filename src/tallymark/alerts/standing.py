"""From verdicts to states: how an alert stands, and when that changes.

Pure: a standing and a verdict in, a new standing out. Times are ends of windows, and not the clock's: who judges later, after a
pause or again, comes to the same states. Only where no window ends does the clock tell: for how long one could not be judged,
how late alerts are judged, and when one was taken away.

Each window is judged twice: when it ends, and once its late events have come. The verdicts of either kind are a track of their
own. Something is wrong as soon as one of the two says so. What the first began the first ends; what late events alone have shown
is over when windows with their late events are well: else it would begin and end with every window.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, Literal

import msgspec

from tallymark.alerts.conditions import Judged, Verdict
from tallymark.alerts.values import Values
from tallymark.plan.kinds.alert import Alert

State = Literal["ok", "pending", "firing", "no data", "error"]

# In these something is to be done.
OPEN: Final[frozenset[State]] = frozenset({"firing", "no data", "error"})
# The worst first.
ORDER: Final[tuple[State, ...]] = ("firing", "error", "no data", "pending", "ok")
# A question may fail once in a while: the store is started again, a limit was met. It is an error once it lasts.
ERROR_SECONDS: Final = 60


class Track(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The state that a row of verdicts has led to.

    The times are the ends of the first windows of unbroken rows of such verdicts: met, no data, too few, error.
    """

    state: State = "ok"
    met_since: datetime | None = None
    empty_since: datetime | None = None
    few_since: datetime | None = None
    failed_since: datetime | None = None


class Standing(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """How one alert stands, of one value where it is broken down.

    `since` is when the state began, `seen` the end of the last window with any event. `opened` is when the present trouble
    began, through all states until it is over; `calm_since` is since when it would be over. `judged` is what the state stands on.
    `fresh` is the track of windows as they end, `sure` that of windows whose late events have come.
    """

    state: State = "ok"
    since: datetime
    seen: datetime
    # Since when every window had events; None of what never had any (see `presence`).
    present_since: datetime | None = None
    # Whether nothing had come for `no_data.for` when the watch began, and nothing has come since, though there was data before.
    silent_before: bool = False
    opened: datetime | None = None
    calm_since: datetime | None = None
    # Up to when what late events show is part of trouble that is over, and whether they alone show the present one.
    closed_at: datetime | None = None
    by_late: bool = False
    judged: Judged = Judged(verdict="not met")
    fresh: Track = Track()
    sure: Track | None = None
    # What the last settled window gave.
    settled: Judged = Judged(verdict="not met")


def has_events(judged: Judged) -> bool:
    """Return whether there was any event in a window of what its figure is made of."""
    return bool(judged.n or judged.value or judged.came)


def had_data(values: Values, standing: Standing) -> bool:
    """Return whether there ever was an event. A value of a breakdown is known by its events alone."""
    return bool(values) or standing.present_since is not None


def find_shown(standing: Standing) -> State:
    """Return the state that people see: "no data" instead of "ok" of what has had none since the watch began.

    That is what never had any, where nothing else is known of it; and what had fallen silent before, unless a count of 0
    beside other events is its figure. It is nobody's trouble until it has lasted for the alert's `no_data.for` under
    watch, so nobody is told of it before.
    """
    if standing.state != "ok":
        return standing.state
    never = standing.present_since is None and not has_events(standing.judged)
    silent = standing.silent_before and standing.judged.verdict == "no data"
    return "no data" if never or silent else "ok"


def show_standing(standing: Standing) -> Standing:
    """Return a standing as people see it: its verdict says what its state says."""
    state = find_shown(standing)
    if state == standing.state:
        return standing
    judged = msgspec.structs.replace(standing.judged, verdict="no data")
    return msgspec.structs.replace(standing, state=state, judged=judged)


def is_quiet(standing: Standing) -> bool:
    """Return whether there is no data while the whole project has none."""
    return standing.state == "no data" and standing.judged.quiet


def is_silent(values: Values, standing: Standing) -> bool:
    """Return whether there is no data any more because the whole project fell silent: all its alerts have this one cause.

    What never had any data did not fall silent.
    """
    return is_quiet(standing) and had_data(values, standing)


def is_told(alert: Alert, state: State | None) -> bool:
    """Return whether people are told of a state: something is wrong, and not only that nothing came where that is usual."""
    return state in OPEN and (state != "no data" or alert.no_data.tell)


def is_over(before: State, after: State) -> bool:
    """Return whether something that was wrong is not any more."""
    return before in OPEN and after not in OPEN


def begin(end: datetime, alert: Alert) -> Standing:
    """Return the standing before the first window, which ends at `end`. What was empty before that is nobody's trouble."""
    track = Track(empty_since=end + timedelta(seconds=alert.seconds))
    return Standing(since=end, seen=end, fresh=track, sure=track)


def advance(standing: Standing, judged: Judged, end: datetime, alert: Alert) -> Standing:
    """Return the standing after the next window, which ended at `end`."""
    fresh = _follow(standing.fresh, judged.verdict, end, alert)
    return _combine(msgspec.structs.replace(standing, fresh=fresh), judged, end, alert)


def settle(
    standing: Standing,
    judged: Judged,
    end: datetime,
    newest: datetime,
    alert: Alert,
    *,
    is_newest: bool = False,
) -> Standing:
    """Return the standing after the window that ended at `end` was judged for good, while `newest` is the last one judged.

    `is_newest` says that it is that one, though time has gone on since.
    """
    sure = _follow(standing.sure or Track(), judged.verdict, end, alert)
    settled = msgspec.structs.replace(standing, sure=sure, settled=judged)
    if end < newest and not is_newest:
        return _combine(settled, standing.judged, newest, alert, end)
    # No window has ended since: what is known of this one now is the newest that is known.
    fresh = _follow(standing.fresh, judged.verdict, end, alert)
    return _combine(msgspec.structs.replace(settled, fresh=fresh), judged, newest, alert, end)


def step_back(standing: Standing, newest: datetime) -> Standing:
    """Return the standing after the clock was set back: nothing in it lies in the future."""

    def cut(moment: datetime | None) -> datetime | None:
        return None if moment is None else min(moment, newest)

    def cut_track(track: Track) -> Track:
        times = {name: cut(getattr(track, name)) for name in _STREAKS}
        return msgspec.structs.replace(track, **times)

    times = {name: cut(getattr(standing, name)) for name in _TIMES}
    sure = None if standing.sure is None else cut_track(standing.sure)
    return msgspec.structs.replace(standing, **times, fresh=cut_track(standing.fresh), sure=sure)


_STREAKS: Final = ("met_since", "empty_since", "few_since", "failed_since")
_TIMES: Final = ("since", "seen", "present_since", "opened", "calm_since", "closed_at")


def _combine(
    standing: Standing, judged: Judged, end: datetime, alert: Alert, settled: datetime | None = None
) -> Standing:
    """Return the standing in the state that both tracks together have reached at `end`.

    `judged` is of the last window; `settled` is the end of the window that was judged for good just now.
    """
    fresh = standing.fresh.state
    sure = standing.sure.state if standing.sure else "ok"
    was_open, by_late = standing.state in OPEN, standing.by_late
    if not was_open and fresh not in OPEN:
        closed = standing.closed_at
        by_late = settled is not None and sure in OPEN and (closed is None or settled > closed)
    state: State = "pending" if fresh == "pending" else "ok"
    if fresh in OPEN:
        # Trouble that late events showed is theirs to end, whatever the windows without them say in between.
        state, by_late = fresh, by_late and sure in OPEN
    elif by_late and sure in OPEN:
        # Its figures explain the state, and not those that may yet change.
        state, judged = sure, standing.settled
    calm_since = None
    if was_open and state not in OPEN and alert.keep_firing_seconds:
        few_since = standing.fresh.few_since
        if judged.verdict == "not met":
            calm_since = standing.calm_since or end
        # What cannot be judged is not well; but if it cannot be judged for long it is over.
        is_well = calm_since is not None and _lasts(calm_since, end, alert.keep_firing_seconds)
        if not is_well and not (few_since and _lasts(few_since, end, alert.no_data_seconds)):
            state = standing.state
    moved = msgspec.structs.replace(standing, judged=judged, calm_since=calm_since, by_late=by_late)
    if state == standing.state:
        return moved
    if state in OPEN:
        return msgspec.structs.replace(moved, state=state, since=end, opened=standing.opened or end)
    closed_at = end if was_open else standing.closed_at
    return msgspec.structs.replace(
        moved, state=state, since=end, opened=None, calm_since=None, by_late=False, closed_at=closed_at
    )


def _follow(track: Track, verdict: Verdict, end: datetime, alert: Alert) -> Track:
    """Return a track after its next verdict."""
    rows: dict[str, datetime | None] = dict.fromkeys(_STREAKS)
    if verdict == "error":
        # Nothing is known: what was going on goes on.
        rows = {name: getattr(track, name) for name in _STREAKS}
        rows["failed_since"] = track.failed_since or end
    elif verdict == "met":
        rows["met_since"] = track.met_since or end
    elif verdict == "no data":
        rows["empty_since"] = track.empty_since or end
    elif verdict == "too few":
        rows["few_since"] = track.few_since or end
    if verdict in ("no data", "too few") and track.state in OPEN:
        # These say neither that it still is nor that it is over.
        rows["met_since"] = track.met_since
    moved = msgspec.structs.replace(track, **rows)
    state = _find_state(moved, end, alert)
    if state == "ok":
        moved = msgspec.structs.replace(moved, met_since=None)
    return msgspec.structs.replace(moved, state=state)


def _find_state(track: Track, end: datetime, alert: Alert) -> State:
    """Return the state that follows from a track's rows and the state before; what is open ends when it is known to be well."""
    before = track.state
    is_open = before in OPEN
    if track.failed_since is not None:
        return "error" if _lasts(track.failed_since, end, ERROR_SECONDS) else before
    if track.empty_since is not None:
        # Nothing came since that window began.
        if _lasts(track.empty_since, end, alert.no_data_seconds - alert.seconds):
            return "no data"
        return before if is_open else "ok"
    if track.few_since is not None:
        return _find_few(track, end, alert)
    if track.met_since is None:
        return "ok"
    if before == "firing" or _lasts(track.met_since, end, alert.lasting_seconds):
        return "firing"
    return before if is_open else "pending"


def _find_few(track: Track, end: datetime, alert: Alert) -> State:
    """Return the state while there are events, and too few of them to judge: that wakes nobody, and ends what is open late."""
    if track.state not in OPEN or track.met_since is None or track.few_since is None:
        return "ok"
    return "ok" if _lasts(track.few_since, end, alert.no_data_seconds) else "firing"


def _lasts(since: datetime, end: datetime, seconds: int) -> bool:
    return end - since >= timedelta(seconds=seconds)
