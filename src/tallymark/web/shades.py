"""In which times something was wrong, for charts to shade.

Comes in: what the book keeps of alerts' changes. Goes out: times, and charts with them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import msgspec

from tallymark.alerts.changes import BriefChange
from tallymark.alerts.standing import is_told
from tallymark.alerts.windows import find_day
from tallymark.plan.kinds.alert import Alert
from tallymark.plan.kinds.metric import Span
from tallymark.queries.period import Period, build_period
from tallymark.web.bells import Bell
from tallymark.web.chart import Chart
from tallymark.web.chart_specs import shade_spec
from tallymark.web.services import Services

# From when to when something was wrong, both aware.
Shade = tuple[datetime, datetime]


def find_shades(
    services: Services, project: str, bells: Mapping[str, Sequence[Bell]], span: Span
) -> dict[str, tuple[Shade, ...]]:
    """Return in which times of a span any of the alerts of a place told that something was wrong, by the places' names. Blocking."""
    alerts = {bell.alert.name: bell.alert for found in bells.values() for bell in found}
    if not alerts:
        return {}
    period = _period(span)
    last = min(period.end, services.clock.now())
    changes = services.desk.book.list_brief(project, list(alerts), period.end)
    found = {}
    for place, watching in bells.items():
        names = {bell.alert.name for bell in watching}
        its = [one for one in changes if one.alert in names]
        found[place] = tuple(build_shades(its, alerts, period.start, last))
    return found


def build_shades(
    changes: Iterable[BriefChange], alerts: Mapping[str, Alert], first: datetime, last: datetime
) -> list[Shade]:
    """Return the times of trouble between two moments, in order and joined where they touch; `changes` in their order."""
    begun: dict[tuple[str, str], datetime] = {}
    found: list[Shade] = []
    for one in changes:
        key = (one.alert, one.key)
        # A trouble whose beginning is not among the changes began before them.
        alert = alerts[one.alert]
        at = find_day(alert, one.at) or one.at
        if is_told(alert, one.before):
            found.append((begun.pop(key, first), at))
        if is_told(alert, one.after):
            begun[key] = at
    found += [(since, last) for since in begun.values()]
    inside = sorted(
        (max(begin, first), min(end, last)) for begin, end in found if end > first and begin < last
    )
    joined: list[Shade] = []
    for begin, end in inside:
        if joined and begin <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((begin, end))
    return joined


def shade_chart(chart: Chart | None, span: Span, shades: Iterable[Shade]) -> Chart | None:
    """Return a chart over time with times of trouble shaded; another one as it is."""
    if chart is None or not chart.interval:
        return chart
    zone = _period(span).zone
    marks = [
        {"x": chart.clock.place(begin.astimezone(zone)), "x2": chart.clock.place(end.astimezone(zone))}
        for begin, end in shades
    ]
    if not marks:
        return chart
    return msgspec.structs.replace(chart, spec=shade_spec(chart.spec, marks))


def _period(span: Span) -> Period:
    return build_period(span.start, span.end, "", span.timezone)
