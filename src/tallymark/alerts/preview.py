"""Replaying an alert over the past: when it would have fired, before anybody is woken by it.

Comes in: an alert that need not be saved, its metric, a time, and who asks. Goes out: the stretches in which something would have
been wrong. The same verdicts and states as in a round; only the windows may lie further apart.
"""

from __future__ import annotations

from concurrent.futures import Executor
from datetime import datetime
from typing import Final

import msgspec

from tallymark.alerts.conditions import Judged
from tallymark.alerts.presence import advance_all, forget_values
from tallymark.alerts.questions import Questions
from tallymark.alerts.standing import OPEN, Standing, State, is_told
from tallymark.alerts.values import Values
from tallymark.alerts.verdicts import begin_watch, find_verdicts, list_wanted
from tallymark.alerts.windows import list_ends
from tallymark.errors import RequestRefused
from tallymark.plan.kinds.alert import Alert
from tallymark.plan.kinds.metric import Metric
from tallymark.plan.lengths import DAY

# A replay is to take seconds: of more windows than this it looks at every second, fifth, ... one, and says so.
MOST_WINDOWS: Final = 400
_COARSER: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 720, 1440)


class Stretch(msgspec.Struct, frozen=True, kw_only=True):
    """A time in which an alert, of one value, would have been in a state; `judged` is what began it."""

    values: Values
    state: State
    start: datetime
    end: datetime
    judged: Judged


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """What a replay found: the stretches in which something would have been wrong, over so many windows `step` seconds apart.

    `told` is how often people would have been told that something is wrong.
    """

    start: datetime
    end: datetime
    windows: int
    step: int
    told: int
    stretches: list[Stretch]
    notes: list[str] = []


def replay(
    alert: Alert,
    metric: Metric,
    start: datetime,
    end: datetime,
    questions: Questions,
    pool: Executor,
    most: int = MOST_WINDOWS,
) -> Preview:
    """Replay an alert from a time to another; raises RequestRefused as questions do, and for a time without a window."""
    step = _choose_step(alert, start, end, most)
    ends = list_ends(step, alert.timezone, start, end)
    if not ends:
        message = f"No window of the alert ends in this time; the next ones are {step} s apart."
        raise RequestRefused("invalid_request", message, at="from")
    for error in questions.find_all((want for one in ends for want in list_wanted(alert, one)), pool):
        raise error
    # Pending takes as long as it takes: with coarser windows, one that is met lasts until the next.
    standings: dict[Values, Standing] = {}
    history: dict[Values, list[Stretch]] = {}
    told = 0
    for one in ends:
        was_told = any(is_told(alert, standing.state) for standing in standings.values())
        verdicts = find_verdicts(questions, alert, metric, one, standings)
        first = verdicts.get(())
        if first is not None and () not in standings:
            standings[()] = begin_watch(questions, alert, first, one)
        for values, _, after in advance_all(standings, verdicts, one, alert):
            standings[values] = after
            _extend(history.setdefault(values, []), values, after, one)
        told += not was_told and any(is_told(alert, standing.state) for standing in standings.values())
        let_go, _ = forget_values(standings, alert, one)
        for values, (_, after) in let_go.items():
            _extend(history[values], values, after, one)
    wrong = [one for found in history.values() for one in found if one.state in OPEN]
    notes = []
    if step > alert.step:
        notes.append(f"Judged every {step} s; live it is every {alert.step} s.")
    return Preview(
        start=start, end=end, windows=len(ends), step=step, told=told, notes=notes,
        stretches=sorted(wrong, key=lambda one: (one.start, str(one.values))),
    )  # fmt: skip


def _choose_step(alert: Alert, start: datetime, end: datetime, most: int) -> int:
    """Return seconds between windows' ends: the alert's own, or so much more that they are not too many.

    For windows of whole days that may be a day: of a year that is what there is to learn.
    """
    seconds = (end - start).total_seconds()
    own = alert.step
    if seconds / own <= most:
        return own
    steps = {own * times for times in _COARSER}
    if alert.seconds % DAY == 0 and own < DAY:
        steps.add(DAY)
    return next((step for step in sorted(steps) if seconds / step <= most), max(steps))


def _extend(stretches: list[Stretch], values: Values, standing: Standing, end: datetime) -> None:
    if stretches and stretches[-1].state == standing.state:
        stretches[-1] = msgspec.structs.replace(stretches[-1], end=end)
        return
    stretches.append(Stretch(values=values, state=standing.state, start=end, end=end, judged=standing.judged))
