"""Bells: which alerts watch a metric and how they stand, and in which times something was wrong, for wherever it is shown.

Comes in: what the book keeps, and the definitions of alerts. Goes out: bells by metric, and stretches to be shaded. Blocking.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from tallymark.alerts.book import Turn
from tallymark.alerts.standing import ORDER, State, is_told
from tallymark.plan.kinds.alert import Alert
from tallymark.plan.kinds.metric import Span
from tallymark.plan.lengths import DAY
from tallymark.plan.objects import decode_object
from tallymark.queries.period import Period, build_period
from tallymark.web.chart_specs import shade_spec
from tallymark.web.chart_words import wall_time
from tallymark.web.charts import Chart
from tallymark.web.services import Services

# From when to when something was wrong, both aware.
Stretch = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class Bell:
    """An alert that watches a metric, with its worst state; None before it was judged."""

    alert: Alert
    state: State | None

    @property
    def rings(self) -> bool:
        """Whether something is wrong that people are told of."""
        return is_told(self.alert, self.state)


def list_bells(services: Services, project: str) -> dict[str, list[Bell]]:
    """Return the alerts by the metric that they watch, those in trouble first."""
    alerts = [decode_object("alert", one.body) for one in services.definitions.list(project, "alert")]
    states = services.desk.book.list_states(project) if alerts else {}
    bells: dict[str, list[Bell]] = defaultdict(list)
    for alert in alerts:
        state = min(states.get(alert.name, ()), key=ORDER.index, default=None)
        bells[alert.metric].append(Bell(alert, state))
    for found in bells.values():
        found.sort(key=lambda one: (not one.rings, one.alert.severity != "page", one.alert.name))
    return dict(bells)


def find_stretches(
    services: Services, project: str, bells: Mapping[str, Sequence[Bell]], span: Span
) -> dict[str, tuple[Stretch, ...]]:
    """Return in which times of a span any of the alerts of a place told that something was wrong, by the places' names."""
    alerts = {bell.alert.name: bell.alert for found in bells.values() for bell in found}
    if not alerts:
        return {}
    period = _period(span)
    last = min(period.end, services.clock.now())
    turns = services.desk.book.list_turns(project, list(alerts), period.end)
    found = {}
    for place, watching in bells.items():
        names = {bell.alert.name for bell in watching}
        its = [one for one in turns if one.alert in names]
        found[place] = tuple(build_stretches(its, alerts, period.start, last))
    return found


def build_stretches(
    turns: Iterable[Turn], alerts: Mapping[str, Alert], first: datetime, last: datetime
) -> list[Stretch]:
    """Return the stretches of trouble between two times, in order and joined where they touch; `turns` in their order."""
    begun: dict[tuple[str, str], datetime] = {}
    found: list[Stretch] = []
    for one in turns:
        key = (one.alert, one.key)
        # A trouble whose beginning is not among the turns began before them.
        alert = alerts[one.alert]
        # A day is known when it is over: what it says is of the day, and not of the next.
        at = one.at - timedelta(seconds=alert.seconds if alert.step % DAY == 0 else 0)
        if is_told(alert, one.before):
            found.append((begun.pop(key, first), at))
        if is_told(alert, one.after):
            begun[key] = at
    found += [(since, last) for since in begun.values()]
    inside = sorted(
        (max(begin, first), min(end, last)) for begin, end in found if end > first and begin < last
    )
    joined: list[Stretch] = []
    for begin, end in inside:
        if joined and begin <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((begin, end))
    return joined


def shade_chart(chart: Chart | None, span: Span, stretches: Iterable[Stretch]) -> Chart | None:
    """Return a chart over time with stretches shaded; another one as it is."""
    shades = [{"x": _wall(begin, span), "x2": _wall(end, span)} for begin, end in stretches]
    if chart is None or not shades or not chart.interval:
        return chart
    return msgspec.structs.replace(chart, spec=shade_spec(chart.spec, shades))


def _period(span: Span) -> Period:
    return build_period(span.start, span.end, "", span.timezone)


def _wall(moment: datetime, span: Span) -> int:
    return wall_time(moment.astimezone(_period(span).zone).isoformat())
