"""Which values of a breakdown are there, which are missed, and which are forgotten. Pure.

Values come and go: not every one that sends nothing is in trouble. Rounds and replays go by these alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Final

import msgspec

from tallymark.alerts.conditions import Judged
from tallymark.alerts.standing import OPEN, Standing, advance, begin, had_data, has_events
from tallymark.alerts.values import Values
from tallymark.plan.kinds.alert import Alert

# A value that had no event for so long is forgotten: one about which nothing is wrong, and one that is missed.
_FORGET: Final = timedelta(days=8)
_FORGET_MISSED: Final = timedelta(days=1)
# A value is missed when it was there for so many windows' length without a break; others come and go.
_REGULAR_WINDOWS: Final = 10
# So many values are kept for each that may be shown: the largest change from window to window.
KEPT_VALUES: Final = 2


def advance_all(
    standings: Mapping[Values, Standing], verdicts: Mapping[Values, Judged], end: datetime, alert: Alert
) -> Iterator[tuple[Values, Standing, Standing]]:
    """Yield each value of the window that ended at `end` with how it stood before and how it stands after it."""
    for values in verdicts:
        before = standings.get(values) or begin(end, alert)
        noted, judged = note_presence(before, values, verdicts, end, alert)
        yield values, before, advance(noted, judged, end, alert)


def note_presence(
    standing: Standing, values: Values, verdicts: Mapping[Values, Judged], end: datetime, alert: Alert
) -> tuple[Standing, Judged]:
    """Note whether a value had events; one that comes and goes is not missed when it is not there and others are.

    What never had any, also while the project had some, does not fall silent with the project: it stands as it stood.
    """
    judged = verdicts[values]
    # A value of a breakdown is known by events that make a figure: one that has but others comes and goes.
    if has_events(judged) and not (values and judged.came):
        present = standing.present_since or end
        noted = msgspec.structs.replace(
            standing, seen=max(standing.seen, end), present_since=present, silent_before=False
        )
        return noted, judged
    if judged.quiet and not had_data(values, standing) and _was_judged(standing):
        return standing, standing.judged
    is_wrong = standing.state in OPEN and (
        standing.state != "no data" or standing.fresh.met_since is not None
    )
    if not values or judged.verdict == "error" or is_wrong or not any(map(has_events, verdicts.values())):
        return standing, judged
    since = standing.present_since
    if since is not None and standing.seen - since >= timedelta(seconds=alert.seconds * _REGULAR_WINDOWS):
        return standing, judged
    absent = Judged(verdict="not met", reason="No events; it was not there for long before.")
    return msgspec.structs.replace(standing, present_since=None), absent


def _was_judged(standing: Standing) -> bool:
    """Return whether the last window had a verdict on its figure."""
    return standing.fresh.empty_since is None and standing.judged.verdict != "error"


def forget_values(
    standings: dict[Values, Standing], alert: Alert, until: datetime
) -> tuple[dict[Values, tuple[Standing, Standing]], list[Values]]:
    """Take out values that have gone, and of too many those about which nothing is wrong that were not seen for longest.

    Returns those that were waited for, as they stood and as they are let go, and all that were taken out.
    """
    if not alert.breakdown:
        return {}, []
    let_go = _let_go(standings, alert, until)
    rest = {values: one for values, one in standings.items() if values not in let_go}
    calm = sorted(
        (values for values, one in rest.items() if one.state not in OPEN), key=lambda one: rest[one].seen
    )
    gone = [
        values
        for values in calm
        if rest[values].state == "ok"
        and (rest[values].seen < until - _FORGET or (not values and len(standings) > 1))
    ]
    many = max(0, len(rest) - len(gone) - alert.limit * KEPT_VALUES)
    forgotten = [*let_go, *gone, *[values for values in calm if values not in gone][:many]]
    for values in forgotten:
        del standings[values]
    return let_go, forgotten


def _let_go(
    standings: Mapping[Values, Standing], alert: Alert, until: datetime
) -> dict[Values, tuple[Standing, Standing]]:
    """Return the values that are not waited for any more. Who is silent beside others is let go; where all are, nobody is."""
    others = max((one.seen for one in standings.values()), default=until)
    if others <= until - _FORGET_MISSED:
        return {}
    long = max(_FORGET_MISSED, timedelta(seconds=alert.no_data_seconds))
    why = Judged(verdict="not met", reason="Nothing came for long: it is not waited for any more.")
    return {
        values: (one, msgspec.structs.replace(one, state="ok", since=until, judged=why))
        for values, one in standings.items()
        if values and one.state in ("firing", "no data") and one.seen < until - long and one.since < until - _FORGET_MISSED
    }  # fmt: skip
