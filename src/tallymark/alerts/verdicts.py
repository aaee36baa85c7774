"""From a window to verdicts: what an alert's condition says of it, for every value of its breakdown.

Comes in: an alert, its metric, a window's end, and what answers questions. Goes out: a verdict with its figures for each value.
Rounds and replays judge by these alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

import msgspec

from tallymark.alerts.conditions import Judged, judge, list_needed
from tallymark.alerts.presence import KEPT_VALUES
from tallymark.alerts.questions import Found, Questions, Wanted, build_wanted
from tallymark.alerts.standing import OPEN, Standing, begin, has_events
from tallymark.alerts.values import Values
from tallymark.alerts.windows import Window, find_window, shift_window
from tallymark.errors import RequestRefused
from tallymark.metrics.figures import NOTHING, Figure
from tallymark.plan.kinds.alert import Alert
from tallymark.plan.kinds.metric import Metric

# So far back it is looked whether the metric of a new alert ever had data.
_LOOK_BACK: Final = timedelta(days=56)


def find_verdicts(
    questions: Questions,
    alert: Alert,
    metric: Metric | None,
    end: datetime,
    standings: Mapping[Values, Standing],
) -> dict[Values, Judged]:
    """Judge the window that ended at a time, for all values of the alert; raises TallymarkError where that cannot be asked."""
    if metric is None:
        raise RequestRefused("not_found", f"There is no metric {alert.metric!r}.", at="metric")
    windows = _list_windows(alert, end)
    own = questions.find(build_wanted(alert, windows[0]))
    values: list[Values] = [()]
    if alert.breakdown:
        # Of values in trouble none is dropped for new ones.
        wrong = sum(one.state in OPEN for one in standings.values())
        room = max(0, alert.limit * KEPT_VALUES - wrong)
        new = [one for one in own.figures if one not in standings]
        values = [*standings, *new[:room]]
    verdicts: dict[Values, Judged] = {}
    if alert.breakdown and () in values:
        # Before anything arrived there was no value yet that could have been missed.
        values.remove(())
        verdicts[()] = Judged(verdict="not met")
    if not values:
        return {(): Judged(verdict="no data", quiet=own.quiet)}
    found, *before = [_find_all(questions, alert, window, values) for window in windows]
    exact = all(one.exact for one in (found, *before))
    for one in values:
        earlier = [_earlier(past, one) for past in before]
        verdicts[one] = judge(alert, metric, found.of(one), earlier, quiet=found.quiet, exact=exact)
    return verdicts


def begin_watch(questions: Questions, alert: Alert, first: Judged, end: datetime) -> Standing:
    """Return how an alert stands before its first window, which gave `first`.

    Of one without an event in that window it is looked up whether its metric had any before, and whether that is longer
    ago than `no_data.for`.
    """
    standing = begin(end, alert)
    if first.verdict == "error" or has_events(first):
        # What cannot be asked says nothing of its data.
        return standing
    if not _had_data(questions, alert, end, _LOOK_BACK):
        return standing
    patience = timedelta(seconds=alert.no_data_seconds)
    # The window itself is known to be empty.
    recent = alert.no_data_seconds > alert.seconds and _had_data(questions, alert, end, patience)
    return msgspec.structs.replace(standing, present_since=end, silent_before=not recent)


def _had_data(questions: Questions, alert: Alert, end: datetime, back: timedelta) -> bool:
    """Return whether an alert's metric had any event in so long a time up to `end`."""
    try:
        figures = questions.find(
            Wanted(alert.metric, Window(end - back, end), alert.filters)
        ).figures.values()
    except RequestRefused:
        # Much was to be read: there is data.
        return True
    return any(one.has_events for one in figures)


def list_wanted(alert: Alert, end: datetime) -> list[Wanted]:
    """Return what has to be asked for the window that ends at a time."""
    return [build_wanted(alert, window) for window in _list_windows(alert, end)]


def _list_windows(alert: Alert, end: datetime) -> list[Window]:
    """Return the window that ends at a time, and the earlier ones that the condition needs."""
    window = find_window(alert, end)
    return [window, *(shift_window(alert, window, *needed) for needed in list_needed(alert.when))]


def _find_all(questions: Questions, alert: Alert, window: Window, values: list[Values]) -> Found:
    """Return the figures of these values. Those that are not among the largest may be there all the same."""
    found = questions.find(build_wanted(alert, window))
    missing = [one for one in values if one not in found.figures]
    if not alert.breakdown or not missing or len(found.figures) < alert.limit:
        return found
    rest = questions.find(build_wanted(alert, window, missing))
    figures = {**found.figures, **rest.figures}
    return replace(found, figures=figures, exact=found.exact and rest.exact)


def _earlier(found: Found, values: Values) -> Figure:
    """Return the figure of an earlier window; when nothing at all happened there was no figure."""
    return NOTHING if found.quiet else found.of(values)
