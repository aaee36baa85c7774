"""What an alert saw at the ends of its windows, for charts: the figures that were judged and what they were held against.

Comes in: an alert, its metric, and what answers questions. Goes out: points, judged by the functions that rounds and replays
judge by. A chart of anything else, such as the metric by minutes, would show figures that were never judged.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from tallymark.alerts.conditions import Judged, list_needed
from tallymark.alerts.questions import Questions
from tallymark.alerts.standing import Standing
from tallymark.alerts.values import Values
from tallymark.alerts.verdicts import find_verdicts
from tallymark.alerts.windows import move_end
from tallymark.plan.kinds.alert import Alert
from tallymark.plan.kinds.metric import Metric
from tallymark.plan.lengths import DAY

# Of windows up to so many seconds, the seconds that a course goes back; of longer ones the last.
_BACK: Final = ((1_800, 3 * 3_600), (DAY - 1, 3 * DAY))
_LONGEST_BACK: Final = 30 * DAY
# A course goes back over so many windows at the least, and has so many points, however much has to be asked for each.
_FEWEST_WINDOWS: Final = 6
_FEWEST_POINTS: Final = 6


class Point(msgspec.Struct, frozen=True):
    """What the window that ended at `end` gave, for each value of the breakdown (() without one)."""

    end: datetime
    verdicts: Mapping[Values, Judged]


def choose_ends(alert: Alert, last: datetime, step: int, questions: int) -> list[datetime]:
    """Return ends of windows up to `last`, in order, that about so many questions can answer.

    `step` is how many seconds lie between the ends that are judged, `last` one of them: so all of them are.
    """
    back = next((back for most, back in _BACK if alert.seconds <= most), _LONGEST_BACK)
    back = max(back, _FEWEST_WINDOWS * alert.seconds)
    points = max(_FEWEST_POINTS, questions // (1 + len(list_needed(alert.when))))
    pause = -(-back // points // step) * step
    ends = [last]
    while len(ends) < points and last - ends[-1] < timedelta(seconds=back - pause):
        ends.append(move_end(ends[-1], -pause, alert.timezone))
    return ends[::-1]


def judge_course(
    alert: Alert,
    metric: Metric,
    ends: Sequence[datetime],
    questions: Questions,
    standings: Mapping[Values, Standing],
    seconds: float = math.inf,
) -> list[Point]:
    """Judge the windows that ended at these times, in order; `standings` are the values that are known.

    When `seconds` have passed the oldest windows are left out, all but a few. Raises RequestRefused as questions do.
    """
    begun = time.monotonic()
    points: list[Point] = []
    for end in reversed(ends):
        points.append(Point(end, find_verdicts(questions, alert, metric, end, standings)))
        if len(points) >= _FEWEST_POINTS and time.monotonic() - begun >= seconds:
            break
    return points[::-1]
