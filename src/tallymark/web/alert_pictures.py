"""The chart of an alert: the figures of its windows as they are judged, with its limit, and shaded where something was wrong.

Comes in: an alert, its metric, and what answers questions. Goes out: a panel as all others, which pages show and messages bring
as a picture.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from tallymark.alerts.batches import Batch
from tallymark.alerts.changes import BriefChange, ChangeRow
from tallymark.alerts.conditions import Judged, find_limits
from tallymark.alerts.course import Point, choose_ends, judge_course
from tallymark.alerts.questions import Questions
from tallymark.alerts.standing import ORDER, Standing
from tallymark.alerts.values import Values, key_of
from tallymark.alerts.windows import find_day, find_last_end, find_window
from tallymark.alerts.words import name_values
from tallymark.plan.kinds.alert import Above, Alert, Below
from tallymark.plan.kinds.dashboard import Panel
from tallymark.plan.kinds.metric import Metric, Span
from tallymark.queries.local_time import write_moment
from tallymark.queries.period import parse_zone
from tallymark.web.chart import Chart
from tallymark.web.chart_specs import MAX_SERIES, limit_spec, limits_spec
from tallymark.web.chart_times import read_clock
from tallymark.web.charts import WINDOW, Groups, build_lines
from tallymark.web.figure_charts import weak_notes
from tallymark.web.panels import View
from tallymark.web.picture_specs import build_picture
from tallymark.web.shades import build_shades, shade_chart

# How many questions a chart may ask: on a page, and for a message, which waits for its picture for a few seconds only.
PAGE_QUESTIONS: Final = 90
# A page is waited for by somebody: on a busy machine it shows fewer windows.
_PAGE_SECONDS: Final = 10.0
_MESSAGE_QUESTIONS: Final = 36
_WIDTH, _HEIGHT = 720, 300


def build_page_chart(
    alert: Alert,
    metrics: Mapping[str, Metric],
    questions: Questions,
    standings: Mapping[Values, Standing],
    last: datetime,
    step: int,
    changes: Iterable[BriefChange],
    now: datetime,
) -> View:
    """Return the course of an alert up to the window that ended at `last`; raises RequestRefused as questions do.

    `step` is how many seconds lie between the ends that are judged. Of many values those in trouble come first.
    """
    ends = choose_ends(alert, last, step, PAGE_QUESTIONS)
    metric = metrics[alert.metric]
    points = judge_course(alert, metric, ends, questions, standings, _PAGE_SECONDS)
    shown = _choose_values(points, standings)
    view = _build_view(alert, metric, points, shown, changes, now)[0]
    if view.chart is not None and len(points) < len(ends):
        notes = [*view.chart.notes, "The store is slow now: older windows are left out."]
        view.chart = msgspec.structs.replace(view.chart, notes=notes)
    return view


def build_message_spec(
    batch: Batch,
    metrics: Mapping[str, Metric],
    questions: Questions,
    seconds: int,
    changes: Iterable[BriefChange],
    now: datetime,
) -> bytes:
    """Return the chart of what a message is about, as a specification that holds everything; raises RequestRefused as questions do.

    It is of the value that changed last; b"" where there is no such metric any more. `changes` are those of the alert, `seconds`
    the distance of rounds.
    """
    change = batch.changes[-1]
    alert = change.cause.alert
    if alert.metric not in metrics:
        return b""
    metric, step = metrics[alert.metric], max(alert.step, seconds)
    # The window that the message tells of is one of the points, also where newer ones were judged since.
    newest = find_last_end(step, alert.timezone, now)
    last = max(change.at, newest) if batch.repeats else change.at
    ends = choose_ends(alert, last, step, _MESSAGE_QUESTIONS)
    standings = {change.values: change.cause.standing}
    points = [_take_judged(one, change) for one in judge_course(alert, metric, ends, questions, standings)]
    of_value = [one for one in changes if one.key == key_of(change.values)]
    view, span = _build_view(alert, metric, points, [change.values], of_value, now)
    view.title = " · ".join(filter(None, (view.title, name_values(change.values))))
    return msgspec.json.encode(build_picture(view, span, "light", _WIDTH, _HEIGHT))


def _take_judged(point: Point, change: ChangeRow) -> Point:
    """Return a point with the figures that a change was caused by: late events may have changed them since."""
    standing = change.cause.standing
    if point.end != change.at or standing.by_late or standing.judged.verdict == "error":
        return point
    return msgspec.structs.replace(point, verdicts={**point.verdicts, change.values: standing.judged})


def _choose_values(points: Sequence[Point], standings: Mapping[Values, Standing]) -> list[Values]:
    """Return the values that are shown: those in trouble, then those with the most events in the last window."""
    last = points[-1].verdicts
    found = [values for values in last if values or len(last) == 1]

    def rank(values: Values) -> tuple[int, int, str]:
        standing = standings.get(values)
        return ORDER.index(standing.state if standing else "ok"), -(last[values].n or 0), str(values)

    return sorted(found, key=rank)[:MAX_SERIES]


def _build_view(
    alert: Alert,
    metric: Metric,
    points: Sequence[Point],
    shown: Sequence[Values],
    changes: Iterable[BriefChange],
    now: datetime,
) -> tuple[View, Span]:
    """Return the points as a panel, and the time that it is of."""
    zone = parse_zone(alert.timezone)
    first = find_window(alert, points[0].end).start
    last = points[-1].end
    span = Span(
        start=write_moment(first, zone), end=write_moment(last, zone), timezone=alert.timezone, filters=alert.filters
    )  # fmt: skip
    title = alert.title or metric.title or metric.name
    view = View(Panel(name="alert", kind="line", metrics=(metric.name,)), title, [metric], linked=False)
    chart = _build_chart(alert, metric, points, shown)
    if chart is None:
        view.problem = f"No window of {alert.window} had a figure in this time."
        return view, span
    # What was wrong at the last window still is, until the next one says otherwise.
    until = min(now, last + timedelta(seconds=alert.step))
    shades = build_shades(changes, {alert.name: alert}, points[0].end, max(until, last))
    view.chart = shade_chart(chart, span, shades)
    return view, span


def _build_chart(
    alert: Alert, metric: Metric, points: Sequence[Point], shown: Sequence[Values]
) -> Chart | None:
    """Return the figures of windows as lines; None where no window had any."""
    zone = parse_zone(alert.timezone)
    groups = Groups(field=",".join(alert.breakdown))
    for values in shown:
        groups.add(repr(list(values)), name_values(values) if values else metric.title or metric.name)
    # Whole days are told by the day, and not by the midnight after it.
    days = [find_day(alert, point.end) for point in points]
    interval = "day" if all(days) else WINDOW
    times = [(day or point.end).astimezone(zone) for day, point in zip(days, points, strict=True)]
    clock = read_clock(times, interval)
    rows: list[dict[str, Any]] = []
    limits: list[dict[str, Any]] = []
    for time, point in zip(times, points, strict=True):
        for values in shown:
            judged = point.verdicts.get(values)
            place = {"x": clock.place(time), "k": groups.key(repr(list(values)))}
            rows.append(place | _draw(judged))
            bounds = find_limits(alert.when, judged) if judged else []
            limits += [{"x": place["x"], "y": bound, "g": number} for number, bound in enumerate(bounds)]
    weak = sum(row.get("w") is not None for row in rows)
    if all(row["y"] is None for row in rows) and not weak:
        return None
    fixed = [alert.when.value] if isinstance(alert.when, Below | Above) else []
    # Every value has limits of its own: of many they would hide the figures.
    moving = limits if not fixed and len(shown) == 1 else []
    chart = build_lines(
        rows, groups, interval=interval, unit=_find_unit(metric, rows), zero=False,
        band=any(row["low"] is not None for row in rows), weak=weak > 0, clock=clock,
        limits=fixed or [one["y"] for one in moving],
        notes=[f"Each point is the figure of a window of {alert.window}, at its end.", *weak_notes(weak)],
    )  # fmt: skip
    drawn = limits_spec(chart.spec, moving) if moving else chart.spec
    return msgspec.structs.replace(chart, spec=limit_spec(drawn, fixed[0]) if fixed else drawn)


def _draw(judged: Judged | None) -> dict[str, Any]:
    """Return a window's figure as the fields of a row: of too few events as a hollow point, of no data none."""
    nothing = {"y": None, "low": None, "high": None}
    if judged is None or judged.value is None or judged.verdict == "no data":
        return nothing
    if judged.verdict == "too few":
        return nothing | {"w": judged.value, "c": judged.n}
    return {"y": judged.value, "low": judged.low, "high": judged.high, "c": judged.n}


def _find_unit(metric: Metric, rows: Sequence[Mapping[str, Any]]) -> str:
    """Return how the figures are written, as in charts of metrics."""
    if metric.figure_unit == "ratio":
        return "ratio"
    figures = [row.get(name) for row in rows for name in ("y", "w")]
    return "count" if all(one is None or isinstance(one, int) for one in figures) else "number"
