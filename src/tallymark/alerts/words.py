"""What an alert says, as sentences: what happened, since when, how far from normal, how sure that is.

Pure. Messages, the pages and the command line say the same, in the same words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final

from tallymark.alerts.conditions import AGAINST_WORDS, Judged
from tallymark.alerts.own import OWN
from tallymark.alerts.standing import State
from tallymark.alerts.values import Values
from tallymark.alerts.windows import find_day
from tallymark.metrics.digits import EXACT, Sample, write_estimate, write_figure, write_range
from tallymark.plan.kinds.alert import Above, Alert, Below, Falls, Rises, Unusual
from tallymark.plan.kinds.metric import Metric
from tallymark.queries.period import parse_zone

NOTHING: Final = "(none)"
STATE_WORDS: Final[dict[State, str]] = {
    "ok": "ok",
    "pending": "pending",
    "firing": "firing",
    "no data": "no data",
    "error": "cannot be judged",
}


def name_values(values: Values) -> str:
    """Return a breakdown's values for people: `iOS, 2.1`."""
    return ", ".join(NOTHING if value in (None, "") else str(value) for value in values)


def name_watched(alert: Alert, metric: Metric | None) -> str:
    """Return what is watched, for people."""
    return (metric.title or metric.name) if metric else alert.title or alert.metric


def find_unit(alert: Alert, metric: Metric | None) -> str:
    """Return the unit of what is watched. Our own alerts, which have no metric, are about seconds."""
    if alert.name in OWN:
        return "s"
    return metric.figure_unit if metric else ""


def write_condition(alert: Alert, unit: str = "") -> str:
    """Return when an alert fires: `below 80 % over 15m, for 5m`."""
    say, _ = _WORDS[type(alert.when)]
    lasting = f", for {alert.lasting}" if alert.lasting else ""
    return f"{say(alert.when, unit)}, over {alert.window}{lasting}"


def _say_value(when: Below | Above, unit: str) -> str:
    return f"{'below' if isinstance(when, Below) else 'above'} {_write_limit(when.value, unit)}"


def _say_change(when: Falls | Rises, unit: str) -> str:
    much = f"{when.percent:g} %" if when.percent is not None else write_difference(when.by or 0, unit)
    word = "lower" if isinstance(when, Falls) else "higher"
    return f"at least {much} {word} than {AGAINST_WORDS[when.against]}"


def _say_usual(when: Unusual, _: str) -> str:
    side = {"both": "outside", "below": "below", "above": "above"}[when.side]
    return f"{side} what the same weekday and hour of {when.weeks} weeks gave"


def write_difference(by: float, unit: str) -> str:
    """Return a difference of two figures: of two shares in percentage points, which are no percent."""
    return f"{by * 100:g} percentage points" if unit == "ratio" else _write_limit(by, unit)


def _write_limit(value: float, unit: str) -> str:
    """Write a number that somebody chose."""
    return write_figure(value, None, None, unit, EXACT)


def write_judged(alert: Alert, judged: Judged, unit: str = "") -> str:
    """Return what was seen: `62 % (58 to 66 %, n 412), 34 % below 94 % in the same window last week`."""
    if judged.verdict == "error":
        return judged.reason
    if judged.value is None and judged.reason:
        return judged.reason.rstrip(".")
    if judged.value is None or judged.verdict == "no data":
        whose = " of the whole project" if judged.quiet else ""
        return f"no events{whose} in the last {alert.window}"
    parts = [_write_value(judged, unit)]
    held = _write_held(alert, judged, unit)
    if held:
        parts.append(held)
    if judged.reason:
        parts.append(write_clause(judged.reason))
    return ", ".join(parts)


def write_clause(sentence: str) -> str:
    """Return a sentence as the end of another one."""
    return sentence[:1].lower() + sentence[1:].rstrip(".")


def _write_value(judged: Judged, unit: str) -> str:
    figure, interval = write_estimate(
        judged.value, judged.low, judged.high, unit, _sample_of(judged), beside=judged.normal
    )
    sure = [f"95 %: {interval}"] if interval else []
    if judged.n is not None:
        sure.append(f"n {judged.n:,}")
    return f"{figure} ({', '.join(sure)})" if sure else figure


def _sample_of(judged: Judged) -> Sample:
    """Return what limits the digits of figures without an interval, as on the metric's page."""
    return EXACT if judged.exact else judged.n


def _write_held(alert: Alert, judged: Judged, unit: str) -> str:
    """Return what a figure was held against, and how far it is from that; '' where it was held against nothing."""
    if judged.value is None or judged.normal is None:
        return ""
    _, hold = _WORDS[type(alert.when)]
    return hold(alert.when, judged, judged.value, judged.normal, unit)


def _hold_value(_: Below | Above, __: Judged, value: float, normal: float, unit: str) -> str:
    return f"{_side(value, normal)} {_write_limit(normal, unit)}"


def _hold_change(when: Falls | Rises, judged: Judged, value: float, normal: float, unit: str) -> str:
    much = (
        f"{_write_percent(abs(value - normal) / abs(normal) * 100)} % " if normal and value != normal else ""
    )
    before = write_figure(normal, judged.low, judged.high, unit, _sample_of(judged))
    return f"{much}{_side(value, normal)} {before} {AGAINST_WORDS[when.against]}"


def _write_percent(percent: float) -> str:
    """Write three digits, and of large changes whole numbers: `1,020`, never `1.02e+03`."""
    return f"{percent:,.0f}" if percent >= 999.5 else f"{percent:.3g}"


def _hold_usual(_: Unusual, judged: Judged, value: float, normal: float, unit: str) -> str:
    if judged.usual_low is None or judged.usual_high is None:
        return ""
    usual = write_range(judged.usual_low, judged.usual_high, unit)
    is_inside = judged.usual_low <= value <= judged.usual_high
    place = "usual is" if is_inside else f"{_side(value, normal)} the usual"
    return f"{place} {usual} (from {judged.weeks} weeks)"


def _side(value: float, normal: float) -> str:
    return "below" if value < normal else "above" if value > normal else "at"


def spell_moment(moment: datetime, timezone: str) -> str:
    """Return a time in the alert's zone: `8 Feb 2013 14:30 (UTC)`."""
    local = moment.astimezone(parse_zone(timezone))
    seconds = f":{local.second:02d}" if local.second else ""
    return f"{_spell_day(local)} {local:%H:%M}{seconds} ({timezone})"


def _spell_day(day: date) -> str:
    return f"{day.day} {day:%b %Y}"


def write_since(alert: Alert, moment: datetime) -> str:
    """Return since when something is so, given the end of a window: of an alert on whole days the days that were over then."""
    return write_days(alert, moment) or spell_moment(moment, alert.timezone)


def write_days(alert: Alert, moment: datetime) -> str:
    """Return the days that were over at the end of a window, of an alert on whole days: `8 Feb 2013 (UTC)`; '' of others."""
    day = find_day(alert, moment)
    if day is None:
        return ""
    zone = parse_zone(alert.timezone)
    first, last = day.astimezone(zone).date(), moment.astimezone(zone).date() - timedelta(days=1)
    begin = f"{_spell_day(first)} to " if first < last else ""
    return f"{begin}{_spell_day(last)} ({alert.timezone})"


def write_stretch(alert: Alert, start: datetime, end: datetime) -> str:
    """Return from when to when something is so, given the ends of its first and its last window."""
    begin, over = write_since(alert, start), write_since(alert, end)
    return begin if begin == over else f"{begin} to {over}"


def write_duration(length: timedelta) -> str:
    """Return a length of time in its two largest units: `2 h 5 min`."""
    seconds = max(0, round(length.total_seconds()))
    parts = []
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or "0 s"


def write_list(names: Sequence[str], most: int) -> str:
    """Return names, the first ones if there are many: `a, b and 7 more`."""
    shown = list(names[:most])
    rest = len(names) - len(shown)
    if rest:
        return f"{', '.join(shown)} and {rest} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


# Of each condition: when it is met, and what a figure was held against.
_WORDS: Final[
    dict[type, tuple[Callable[[Any, str], str], Callable[[Any, Judged, float, float, str], str]]]
] = {
    Below: (_say_value, _hold_value),
    Above: (_say_value, _hold_value),
    Falls: (_say_change, _hold_change),
    Rises: (_say_change, _hold_change),
    Unusual: (_say_usual, _hold_usual),
}
