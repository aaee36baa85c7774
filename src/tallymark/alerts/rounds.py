"""A round: every alert's windows that have ended are judged, in order, and again once late events have come.

After a long pause some of them are. Values that have gone are forgotten. What changed is written at once.
Comes in: the alerts and metrics of a project, and until when its data is complete. Goes out: outcomes, which the book writes
in one transaction: a crash before it means that the round is done again, with the same result.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import msgspec
import structlog

from tallymark.alerts.changes import Change, Outcome, Watch
from tallymark.alerts.conditions import Judged
from tallymark.alerts.presence import advance_all, forget_values, note_presence
from tallymark.alerts.questions import Questions, Wanted
from tallymark.alerts.standing import Standing, advance, begin, settle, step_back
from tallymark.alerts.values import Values
from tallymark.alerts.verdicts import begin_watch, find_verdicts, list_wanted
from tallymark.alerts.windows import find_last_end, list_ends
from tallymark.errors import RequestRefused, TallymarkError
from tallymark.plan.kinds.alert import Alert
from tallymark.plan.kinds.metric import Metric

log = structlog.get_logger("tallymark.alerts")

# After a pause so many windows of an alert are judged, evenly spread, the last one among them; the others are marked.
MOST_CAUGHT_UP: Final = 30
# Characters of the reason why something cannot be judged: the engine's can be long, and goes into messages.
_MOST_REASON: Final = 240
# The data is never complete until later than it was, unless the clock was set back.
_STEPPED_BACK: Final = timedelta(minutes=1)
# For so long after its delay a window that could not be judged is tried again.
_TRY_AGAIN: Final = timedelta(hours=1)
# Stretches that were never judged, of which the last ones are kept.
_MOST_GAPS: Final = 10


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
    # What one alert knows for good another still waits for: a window is remembered once nobody does.
    delay = max((work.one.alert.delay_seconds for work in works), default=0)
    works = [one for one in works if one.is_due]
    # All at once, and what several alerts need only once; what each alert then does with it is quick.
    wanted = dict.fromkeys(want for work in works for want in work.list_wanted())
    questions.find_all(wanted, pool)
    outcomes = [work.run(questions) for work in works]
    over = complete - timedelta(seconds=delay)
    questions.forget({want for want in wanted if want.window.end <= over})
    return outcomes


# A window's end, with the ends before it that are left out.
_Due = tuple[datetime, list[datetime]]


@dataclass(frozen=True, slots=True)
class _Work:
    """The windows of one alert that a round judges: `ends` the new ones, `again` those whose delay has passed."""

    one: Watched
    watch: Watch
    standings: Mapping[Values, Standing]
    ends: list[_Due]
    again: list[_Due]
    complete: datetime

    @classmethod
    def plan(cls, one: Watched, complete: datetime, seconds: int) -> _Work:
        """Find the windows that are due."""
        alert, standings = one.alert, one.standings
        step = max(alert.step, seconds)
        newest = find_last_end(step, alert.timezone, complete)
        watch, before = one.watch, newest - timedelta(microseconds=1)
        if watch is None:
            watch = Watch(
                digest=one.digest, judged_until=before, settled_until=before, breakdown=alert.breakdown,
                since=complete,
            )  # fmt: skip
        elif watch.digest != one.digest:
            # By another definition other windows end. Those of the old one are over.
            watch = msgspec.structs.replace(
                watch, judged_until=before, settled_until=before, since=complete, is_stuck=False
            )
        elif watch.judged_until > complete + _STEPPED_BACK:
            # The clock was ahead. What it judged then is not waited for.
            watch = msgspec.structs.replace(watch, judged_until=before, settled_until=before)
            standings = {values: step_back(standing, newest) for values, standing in standings.items()}
        watch = msgspec.structs.replace(watch, step=step)
        ends = list_ends(step, alert.timezone, watch.judged_until, newest)
        over = min(complete - timedelta(seconds=alert.delay_seconds), watch.judged_until)
        again = list_ends(step, alert.timezone, watch.settled_until, over)
        if watch.is_stuck:
            again = again[:1]
        return cls(one, watch, standings, _spread(ends), _spread(again), complete)

    @property
    def is_due(self) -> bool:
        """Whether there is anything to judge."""
        return bool(self.ends or self.again)

    def list_wanted(self) -> list[Wanted]:
        """Return what has to be asked for all of its windows."""
        ends = [end for end, _ in (*self.again, *self.ends)]
        return [want for end in ends for want in list_wanted(self.one.alert, end)]

    def run(self, questions: Questions) -> Outcome:
        """Judge the windows, each kind in order."""
        one = self.one
        watch = msgspec.structs.replace(self.watch, digest=one.digest)
        outcome = Outcome(one.alert, watch, dict(self.standings))
        try:
            for end, left_out in self.ends:
                self._judge(questions, end, outcome)
                outcome.watch = _note_judged(outcome.watch, end, left_out, self.watch.judged_until)
            for end, _ in self.again:
                if not self._settle(questions, end, outcome):
                    break
        except RequestRefused as refusal:
            # It may go well the next time. What was judged so far holds.
            outcome.problem = refusal.message
        _forget_values(outcome)
        return outcome

    def _judge(self, questions: Questions, end: datetime, outcome: Outcome) -> None:
        """Judge the window that ended at `end` for all values; raises RequestRefused for what passes."""
        verdicts = self._find_verdicts(questions, end, outcome)
        first = verdicts.get(())
        if first is not None and () not in outcome.standings:
            outcome.standings[()] = begin_watch(questions, self.one.alert, first, end)
        for values, before, after in advance_all(outcome.standings, verdicts, end, self.one.alert):
            _change(outcome, values, before, after, end)

    def _settle(self, questions: Questions, end: datetime, outcome: Outcome) -> bool:
        """Judge the window that ended at `end` for good; false where that has to wait. Raises RequestRefused for what passes."""
        alert, newest = self.one.alert, outcome.watch.judged_until
        verdicts = self._find_verdicts(questions, end, outcome)
        failed = any(judged.verdict == "error" for judged in verdicts.values())
        if failed and self.complete - end < timedelta(seconds=alert.delay_seconds) + _TRY_AGAIN:
            if end == newest:
                # Nothing is judged until the next window ends, which may be long: how long it fails the clock tells.
                for values, judged in verdicts.items():
                    before = outcome.standings.get(values) or begin(end, alert)
                    _change(
                        outcome, values, before, advance(before, judged, self.complete, alert), self.complete
                    )
            outcome.watch = msgspec.structs.replace(outcome.watch, is_stuck=True)
            return False
        for values in verdicts:
            before = outcome.standings.get(values) or begin(end, alert)
            _, judged = note_presence(before, values, verdicts, end, alert)
            # While it could not be judged the clock told the time.
            at = max(newest, before.since) if end == newest else newest
            _change(
                outcome, values, before, settle(before, judged, end, at, alert, is_newest=end == newest), at
            )
        outcome.watch = msgspec.structs.replace(outcome.watch, settled_until=end, is_stuck=False)
        return True

    def _find_verdicts(self, questions: Questions, end: datetime, outcome: Outcome) -> dict[Values, Judged]:
        """Judge a window for all values; raises RequestRefused for what passes. Whatever else goes wrong is a verdict."""
        alert = self.one.alert
        try:
            return find_verdicts(questions, alert, self.one.metric, end, outcome.standings)
        except TallymarkError as error:
            if isinstance(error, RequestRefused) and error.retry_after is not None:
                raise
            reason = error.message[:_MOST_REASON]
        except Exception as error:
            log.exception(
                "alert_not_judged", alert=alert.name, fix="this is a fault of ours: please report it"
            )
            reason = f"A fault of ours ({type(error).__name__}): the server's log says more."
        failed = Judged(verdict="error", reason=reason)
        return dict.fromkeys(list(outcome.standings) or [()], failed)


def _change(outcome: Outcome, values: Values, before: Standing, after: Standing, at: datetime) -> None:
    """Note how a value stands now, and the change where it is one."""
    outcome.standings[values] = after
    if after.state != before.state:
        outcome.changes.append(Change(values, before, after, at))


def _note_judged(watch: Watch, end: datetime, left_out: list[datetime], since: datetime) -> Watch:
    """Note that a window was judged, and those before it never will be; what is left out of one pause, since then, is one gap."""
    gaps = watch.gaps
    if left_out and gaps and gaps[-1][0] > since:
        gaps = (*gaps[:-1], (gaps[-1][0], left_out[-1]))
    elif left_out:
        gaps = (*gaps, (left_out[0], left_out[-1]))
    return msgspec.structs.replace(
        watch, judged_until=end, missed=watch.missed + len(left_out), gaps=gaps[-_MOST_GAPS:]
    )


def _forget_values(outcome: Outcome) -> None:
    """Forget values that have gone; of those that were waited for that is a change."""
    until = outcome.watch.judged_until
    let_go, forgotten = forget_values(outcome.standings, outcome.alert, until)
    outcome.changes += [Change(values, before, after, until) for values, (before, after) in let_go.items()]
    outcome.forgotten += forgotten


def _spread(ends: list[datetime]) -> list[_Due]:
    """Return so many of the ends as one round may judge, evenly spread, the last among them; each with those left out before it."""
    if len(ends) <= MOST_CAUGHT_UP:
        return [(end, []) for end in ends]
    places = [(number + 1) * len(ends) // MOST_CAUGHT_UP - 1 for number in range(MOST_CAUGHT_UP)]
    return [
        (ends[place], ends[before + 1 : place])
        for before, place in zip([-1, *places[:-1]], places, strict=True)
    ]
