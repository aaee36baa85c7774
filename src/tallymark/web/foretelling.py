"""Before an alert is saved: how often it would have told people last week. One that cries wolf says so first.

Comes in: an alert that need not be saved. Goes out: a sentence, '' where there is nothing to say. Blocking.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from tallymark.alerts.conditions import list_needed
from tallymark.alerts.preview import MOST_WINDOWS, Preview
from tallymark.alerts.standing import is_told
from tallymark.alerts.windows import find_last_end
from tallymark.errors import TallymarkError
from tallymark.plan.kinds.alert import Alert
from tallymark.plan.kinds.metric import Metric
from tallymark.web.previews import LAST_WEEK, preview_alert
from tallymark.web.services import Services

# More often than once a day is more than anybody answers.
MOST_TOLD: Final = 7
# Who saves waits for it. A band looks at many weeks for each window, so it gets fewer windows.
_PATIENCE_SECONDS: Final = 5.0
_FEWEST_WINDOWS: Final = 42
_MOST_QUESTIONS: Final = 600
_TRIAL_WINDOWS: Final = 3


def foretell(
    services: Services,
    project: str,
    alert: Alert,
    metrics: Mapping[str, Metric],
    patience: float = _PATIENCE_SECONDS,
) -> str:
    """Say how often an alert would have told people in the last seven days, where that is too often; in about so many seconds."""
    now = services.clock.now()
    try:
        preview = _replay(services, project, alert, metrics, now, patience)
    except TallymarkError:
        # A week without a window, or a question that fails: the first round says it better.
        return ""
    if preview is None:
        return ""
    times = estimate_told(alert, preview)
    if times <= MOST_TOLD:
        return ""
    wrong = sum(((one.end - one.start).total_seconds() for one in preview.stretches), 0.0) / 3600
    if times > preview.told:
        looked = preview.step // alert.step
        return (
            f"In the last {LAST_WEEK.days} days {alert.name} would have told about {times:,} times that something is wrong: {preview.told:,}"
            f" times in one of {looked:,} windows, which were looked at."
        )
    looked_at = "".join(f" {note}" for note in preview.notes)
    return (
        f"In the last {LAST_WEEK.days} days {alert.name} would have told {preview.told:,} times that something is wrong,"
        f" for {wrong:,.1f} hours in all.{looked_at}"
    )


def estimate_told(alert: Alert, preview: Preview) -> int:
    """Return how often an alert would have told, from a replay that may have looked at every hundredth window.

    A trouble that was seen in one window alone stands for as many as would fit between two of those, each as long as a trouble
    is seen: its window, and how long it has to last.
    """
    troubles: list[tuple[datetime, datetime]] = []
    for one in preview.stretches:
        if not is_told(alert, one.state):
            continue
        if troubles and one.start <= troubles[-1][1]:
            troubles[-1] = (troubles[-1][0], max(troubles[-1][1], one.end))
        else:
            troubles.append((one.start, one.end))
    alone = max(1.0, preview.step / (2 * alert.seconds + alert.lasting_seconds))
    short = sum(1 for begin, end in troubles if begin == end)
    return max(preview.told, round(len(troubles) - short + short * alone))


def foretell_all(
    services: Services, project: str, alerts: Sequence[Alert], metrics: Mapping[str, Metric]
) -> list[str]:
    """Say the same of several alerts, as many as can be looked at in time."""
    until = services.clock.monotonic() + 2 * _PATIENCE_SECONDS
    patience = _PATIENCE_SECONDS / max(1, len(alerts))
    said = []
    for number, alert in enumerate(alerts):
        if services.clock.monotonic() > until:
            rest = ", ".join(one.name for one in alerts[number:])
            said.append(f"Not replayed, for want of time: {rest}. 'tallymark alerts preview NAME' does it.")
            break
        said.append(foretell(services, project, alert, metrics, patience))
    return [one for one in said if one]


def _replay(
    services: Services,
    project: str,
    alert: Alert,
    metrics: Mapping[str, Metric],
    now: datetime,
    patience: float,
) -> Preview | None:
    """Replay the week over as many windows as there is time for; None where not even a few of them can be."""
    if _FEWEST_WINDOWS * (1 + len(list_needed(alert.when))) > _MOST_QUESTIONS:
        return None
    last = find_last_end(alert.step, alert.timezone, now)
    # The first question reads from the disk what the others find in memory.
    for windows in (1, _TRIAL_WINDOWS):
        begun = services.clock.monotonic()
        tried = last - timedelta(seconds=alert.step * windows)
        preview_alert(services, project, alert, metrics, tried, now)
    seconds = max(1e-3, (services.clock.monotonic() - begun) / _TRIAL_WINDOWS)
    most = int(min(MOST_WINDOWS, max(_FEWEST_WINDOWS, patience / seconds)))
    return preview_alert(services, project, alert, metrics, now - LAST_WEEK, now, most=most)
