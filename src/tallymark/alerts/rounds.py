"""A round: every alert's windows that have ended are judged, in order, and what changed is written at once.

Comes in: the alerts and metrics of a project, and until when its data is complete. Goes out: outcomes, which the book writes
in one transaction: a crash before it means that the round is done again, with the same result.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import msgspec

from tallymark.alerts.conditions import Judged, judge, list_needed
from tallymark.alerts.questions import Found, Questions, Values, Wanted, build_wanted
from tallymark.alerts.standing import Standing, advance, amend
from tallymark.alerts.windows import Window, find_last_end, find_window, list_ends, shift_window
from tallymark.errors import RequestRefused, TallymarkError
from tallymark.metrics.figures import NOTHING, Figure
from tallymark.plan.kinds.alert import Alert
from tallymark.plan.kinds.metric import Metric

# After a pause so many windows of an alert are judged, evenly spread, the last one among them; the others are marked.
MOST_CAUGHT_UP: Final = 30
# Characters of the reason why something cannot be judged: the engine's can be long, and goes into messages.
_MOST_REASON: Final = 240
# The data is never complete until later than it was, unless the clock was set back.
_STEPPED_BACK: Final = timedelta(minutes=1)
# A value that had no event for so long, and about which nothing is wrong, is forgotten.
_FORGET: Final = timedelta(days=8)


class Watch(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of an alert besides its values.

    `digest` tells its definition, `judged_until` is the end of the last window that was judged, `settled_until` of the last
    that was judged after its delay. `missed` windows were never judged. `incident` is the present trouble, 0 of none.
    """

    digest: str
    judged_until: datetime
    settled_until: datetime
    missed: int = 0
    incident: int = 0
    breakdown: tuple[str, ...] = ()
    # Whether it is one of tallymark's own, which stand in no file.
    is_own: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """An alert, of one value, went from one state to another, because of the window that ended at `at`."""

    values: Values
    before: Standing
    after: Standing
    at: datetime


@dataclass(slots=True)
class Outcome:
    """What a round found about one alert. `problem` says why it could not be judged now; it will be tried again."""

    alert: Alert
    watch: Watch
    standings: dict[Values, Standing]
    forgotten: list[Values] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    missed: list[tuple[datetime, datetime]] = field(default_factory=list)
    problem: str = ""
    # Whether all receivers are told, but those that it is about.
    to_all: bool = False
    not_to: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Watched:
    """An alert with what is known of it before a round; `watch` is None of a new one."""

    alert: Alert
    metric: Metric | None
    digest: str
    watch: Watch | None
    standings: Mapping[Values, Standing]


def run_round(
    watched: Iterable[Watched], questions: Questions, complete: datetime, seconds: int, pool: Executor
) -> list[Outcome]:
    """Judge what is due. `complete` is the time up to which all events are in the store, `seconds` the rounds' distance."""
    works = [_Work.plan(one, complete, seconds) for one in watched]
    works = [one for one in works if one.is_due]
    # All at once, and what several alerts need only once; what each alert then does with it is quick.
    wanted = dict.fromkeys(want for work in works for want in work.list_wanted())
    for _ in pool.map(lambda want: _try(questions, want), wanted):
        pass
    outcomes = [work.run(questions) for work in works]
    questions.forget({want for work in works for want in work.list_lasting()})
    return outcomes


def _try(questions: Questions, wanted: Wanted) -> None:
    """Ask ahead; who needs it hears what went wrong."""
    try:
        questions.find(wanted)
    except TallymarkError:
        return


@dataclass(frozen=True, slots=True)
class _Work:
    """The windows of one alert that a round judges: `again` those whose delay has passed, `ends` the new ones."""

    one: Watched
    watch: Watch
    ends: list[datetime]
    again: list[datetime]
    missed: list[tuple[datetime, datetime]]
    dropped: int
    complete: datetime

    @classmethod
    def plan(cls, one: Watched, complete: datetime, seconds: int) -> _Work:
        """Find the windows that are due."""
        alert = one.alert
        step = max(alert.step, seconds)
        newest = find_last_end(step, alert.timezone, complete)
        watch = one.watch
        if watch is None:
            before = newest - timedelta(microseconds=1)
            watch = Watch(
                digest=one.digest, judged_until=before, settled_until=before, breakdown=alert.breakdown
            )
        elif watch.judged_until > complete + _STEPPED_BACK:
            # The clock was ahead. What it judged then is not waited for.
            before = newest - timedelta(microseconds=1)
            watch = msgspec.structs.replace(watch, judged_until=before, settled_until=before)
        ends = list_ends(step, alert.timezone, watch.judged_until, newest)
        kept = _spread(ends)
        settled = complete - timedelta(seconds=alert.delay_seconds)
        again = list_ends(step, alert.timezone, watch.settled_until, min(settled, watch.judged_until))
        return cls(one, watch, kept, _spread(again), _gaps(ends, kept), len(ends) - len(kept), complete)

    @property
    def is_due(self) -> bool:
        """Whether there is anything to judge."""
        return bool(self.ends or self.again)

    def list_wanted(self) -> list[Wanted]:
        """Return what has to be asked for all of its windows."""
        return [
            build_wanted(self.one.alert, window)
            for end in (*self.again, *self.ends)
            for window in list_windows(self.one.alert, end)
        ]

    def list_lasting(self) -> set[Wanted]:
        """Return what of that may be remembered: windows that were over before the delay began."""
        over = self.complete - timedelta(seconds=self.one.alert.delay_seconds)
        return {want for want in self.list_wanted() if want.window.end <= over}

    def run(self, questions: Questions) -> Outcome:
        """Judge the windows in order."""
        one = self.one
        outcome = Outcome(one.alert, self.watch, dict(one.standings), missed=self.missed)
        try:
            for end in self.again:
                self._judge(questions, end, outcome, newest=self.watch.judged_until)
            for end in self.ends:
                self._judge(questions, end, outcome, newest=None)
        except RequestRefused as refusal:
            # It may go well the next time. What was judged so far holds.
            outcome.problem = refusal.message
        self._forget_values(outcome)
        missed = outcome.watch.missed + self.dropped
        outcome.watch = msgspec.structs.replace(outcome.watch, digest=one.digest, missed=missed)
        return outcome

    def _judge(self, questions: Questions, end: datetime, outcome: Outcome, newest: datetime | None) -> None:
        """Judge the window that ended at `end` for all values; raises RequestRefused for what passes."""
        alert = self.one.alert
        try:
            verdicts = find_verdicts(questions, alert, self.one.metric, end, outcome.standings)
        except TallymarkError as error:
            if isinstance(error, RequestRefused) and error.retry_after is not None:
                raise
            failed = Judged(verdict="error", reason=error.message[:_MOST_REASON])
            verdicts = dict.fromkeys(list(outcome.standings) or [()], failed)
        for values, judged in verdicts.items():
            before = outcome.standings.get(values) or Standing(since=end, seen=end)
            if newest is None:
                after = advance(before, judged, end, alert)
            else:
                after = amend(before, judged, end, newest, alert)
            if judged.n or judged.value:
                after = msgspec.structs.replace(after, seen=max(after.seen, end))
            outcome.standings[values] = after
            if after.state != before.state:
                outcome.changes.append(Change(values, before, after, newest or end))
        settled = (
            max(outcome.watch.settled_until, end) if self._is_settled(end) else outcome.watch.settled_until
        )
        judged_until = max(outcome.watch.judged_until, end)
        outcome.watch = msgspec.structs.replace(
            outcome.watch, judged_until=judged_until, settled_until=settled
        )

    def _is_settled(self, end: datetime) -> bool:
        return end <= self.complete - timedelta(seconds=self.one.alert.delay_seconds)

    def _forget_values(self, outcome: Outcome) -> None:
        if not self.one.alert.breakdown:
            return
        until = outcome.watch.judged_until - _FORGET
        outcome.forgotten = [
            values
            for values, one in outcome.standings.items()
            if one.state == "ok" and (one.seen < until or (not values and len(outcome.standings) > 1))
        ]
        for values in outcome.forgotten:
            del outcome.standings[values]


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
    windows = list_windows(alert, end)
    own = questions.find(build_wanted(alert, windows[0]))
    values: list[Values] = list(dict.fromkeys([*own.figures, *standings])) if alert.breakdown else [()]
    verdicts: dict[Values, Judged] = {}
    if alert.breakdown and () in values:
        # Before anything arrived there was no value yet that could have been missed.
        values.remove(())
        verdicts[()] = Judged(verdict="not met")
    if not values:
        return {(): Judged(verdict="no data")}
    found, *before = [_find_all(questions, alert, window, values) for window in windows]
    for one in values:
        earlier = [_earlier(past, one, metric) for past in before]
        verdicts[one] = judge(alert, metric, found.of(one, metric), earlier, quiet=found.quiet)
    return verdicts


def list_windows(alert: Alert, end: datetime) -> list[Window]:
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
    return Found({**found.figures, **rest.figures}, found.quiet)


def _earlier(found: Found, values: Values, metric: Metric) -> Figure:
    """Return the figure of an earlier window; when nothing at all happened there was no figure."""
    return NOTHING if found.quiet else found.of(values, metric)


def _spread(ends: list[datetime]) -> list[datetime]:
    """Return so many of the ends as one round may judge, evenly spread, the last among them."""
    if len(ends) <= MOST_CAUGHT_UP:
        return ends
    return [ends[(number + 1) * len(ends) // MOST_CAUGHT_UP - 1] for number in range(MOST_CAUGHT_UP)]


def _gaps(ends: list[datetime], kept: list[datetime]) -> list[tuple[datetime, datetime]]:
    """Return first and last of the ends that are not judged, for each stretch of them."""
    chosen = set(kept)
    gaps: list[tuple[datetime, datetime]] = []
    open_since: datetime | None = None
    for end in ends:
        if end in chosen:
            open_since = None
        elif open_since is None:
            open_since = end
            gaps.append((end, end))
        else:
            gaps[-1] = (gaps[-1][0], end)
    return gaps
