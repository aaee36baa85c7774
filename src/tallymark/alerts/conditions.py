"""Whether a figure meets an alert's condition, and what it was held against.

Pure. Comes in: a condition, the figure of a window and those of earlier ones. Goes out: a verdict with everything that a
message has to say about it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

import msgspec

from tallymark.metrics.figures import NOTHING, Figure
from tallymark.metrics.usual import clip_band, find_band, find_least_spread, judge_figure
from tallymark.plan.kinds.alert import Above, Against, Alert, Below, Condition, Falls, Rises, Unusual
from tallymark.plan.kinds.metric import Metric

Verdict = Literal["met", "not met", "too few", "no data", "error"]
# A change in units of the figure's own rounding: 0.8 - 0.2 is not 0.6.
_ROUNDING: Final = 1e-9


class Judged(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A window's figure and what came of it.

    `normal` is the figure that it is held against, or the middle of the band from `usual_low` to `usual_high` that `weeks`
    weeks gave. `reason` says what no number does.
    """

    verdict: Verdict
    value: float | None = None
    n: int | None = None
    low: float | None = None
    high: float | None = None
    normal: float | None = None
    usual_low: float | None = None
    usual_high: float | None = None
    weeks: int = 0
    reason: str = ""
    # Whether the figures were counted, added up or read, and are no estimates.
    exact: bool = False
    # Of a window without data: whether the whole project had no event in it, and whether there were events that make no figure.
    quiet: bool = False
    came: bool = False


def list_needed(when: Condition) -> list[tuple[Against, int]]:
    """Return the earlier windows that a condition needs: against what, and how many times over."""
    needed, _, _ = _JUDGES[type(when)]
    return needed(when)


def _need_none(_: Below | Above) -> list[tuple[Against, int]]:
    return []


def _need_one(when: Falls | Rises) -> list[tuple[Against, int]]:
    return [(when.against, 1)]


def _need_weeks(when: Unusual) -> list[tuple[Against, int]]:
    return [("last week", week) for week in range(1, when.weeks + 1)]


def judge(
    alert: Alert,
    metric: Metric,
    figure: Figure,
    earlier: Sequence[Figure],
    *,
    quiet: bool = False,
    exact: bool = False,
) -> Judged:
    """Judge a window's figure; `earlier` are those of `list_needed`, in its order.

    `quiet` says that the whole project had no event in the window: then a count of 0 is no data. `exact` says that this and the
    earlier figures are no estimates. A figure on fewer events than the minimum is no reason to wake anybody, nor to say that all is well. The
    alert's minimum, where it has one, holds instead of the metric's and of those of a formula's parts.
    """
    found = Judged(
        verdict="not met",
        value=figure.value,
        n=figure.n,
        low=figure.low,
        high=figure.high,
        exact=exact,
    )
    if figure.value is None or (quiet and not figure.n and not figure.value):
        reason = "" if quiet else metric.explain_no_figure(has_events=figure.has_events)
        return msgspec.structs.replace(found, verdict="no data", quiet=quiet, came=figure.came, reason=reason)
    lacking = _say_too_few(alert, metric, figure)
    if lacking:
        return msgspec.structs.replace(found, verdict="too few", reason=lacking)
    known = [
        one if one.value is not None and not _say_too_few(alert, metric, one) else NOTHING for one in earlier
    ]
    _, decide, _ = _JUDGES[type(alert.when)]
    changes = decide(alert.when, metric, figure, known)
    return msgspec.structs.replace(found, **changes)


def _say_too_few(alert: Alert, metric: Metric, figure: Figure) -> str:
    """Return which minimum a figure does not reach, as a sentence; '' where it reaches all that hold."""
    least = metric.minimum_sample if alert.minimum_sample is None else alert.minimum_sample
    if figure.n is not None and figure.n < least:
        # A formula's n is the smallest of its parts.
        fewer = "A part has fewer" if metric.uses() else "Fewer"
        return f"{fewer} than {least:,} {metric.counted}."
    if alert.minimum_sample is None and not figure.enough:
        return "A part has fewer events than its own minimum."
    return ""


def _judge_value(when: Below | Above, _: Metric, figure: Figure, __: Sequence[Figure]) -> dict[str, Any]:
    value = figure.value or 0.0
    met = value < when.value if isinstance(when, Below) else value > when.value
    return {"verdict": "met" if met else "not met", "normal": when.value}


def _judge_change(
    when: Falls | Rises, _: Metric, figure: Figure, earlier: Sequence[Figure]
) -> dict[str, Any]:
    """Compare with an earlier window. What chance gives is no change."""
    base = earlier[0] if earlier else NOTHING
    if base.value is None:
        return {
            "verdict": "not met",
            "reason": f"There is no figure {AGAINST_WORDS[when.against]} to compare with.",
        }
    value, normal = figure.value or 0.0, base.value
    change = normal - value if isinstance(when, Falls) else value - normal
    wanted = _find_wanted(when, normal)
    found = {"verdict": "not met", "normal": normal}
    if when.percent is not None and not normal:
        return found | {"reason": "No percentage of 0 can be told."}
    if change <= 0 or change < wanted * (1 - _ROUNDING):
        return found
    if change < math.hypot(_half_width(figure), _half_width(base)):
        return found | {"reason": "The change is no larger than chance gives (95 % intervals)."}
    return found | {"verdict": "met"}


def find_limits(when: Condition, judged: Judged) -> list[float]:
    """Return the figures beyond which a window would have met the condition: one or two; none where nothing was held against."""
    if judged.normal is None:
        return []
    _, _, limits = _JUDGES[type(when)]
    return limits(when, judged)


def _limit_value(when: Below | Above, _: Judged) -> list[float]:
    return [when.value]


def _limit_change(when: Falls | Rises, judged: Judged) -> list[float]:
    normal = judged.normal or 0.0
    return [normal + _find_wanted(when, normal) * (-1 if isinstance(when, Falls) else 1)]


def _limit_usual(when: Unusual, judged: Judged) -> list[float]:
    ends = {"below": judged.usual_low, "above": judged.usual_high}
    return [end for side, end in ends.items() if end is not None and when.side in ("both", side)]


def _find_wanted(when: Falls | Rises, normal: float) -> float:
    """Return by how much a figure has to differ from that of the earlier window."""
    return when.by if when.by is not None else abs(normal) * (when.percent or 0.0) / 100


def _half_width(figure: Figure) -> float:
    """Return by how much chance moves a figure; 0 of what was counted. Two independent ones differ by the root of both squares."""
    return 0.0 if figure.low is None or figure.high is None else (figure.high - figure.low) / 2


def _judge_usual(when: Unusual, metric: Metric, figure: Figure, earlier: Sequence[Figure]) -> dict[str, Any]:
    history = [one for one in earlier if one.value is not None]
    values = [float(one.value) for one in history if one.value is not None]
    band = find_band(values, find_least_spread(metric, history), when.deviations)
    if band is None:
        return {
            "weeks": len(values),
            "reason": f"Only {len(values)} of the weeks before have a figure: too few to know what is usual.",
        }
    band = clip_band(metric, band, values)
    verdict = judge_figure(figure, band)
    met = verdict in ("below", "above") and when.side in ("both", verdict)
    ends = {"normal": band.middle, "usual_low": band.low, "usual_high": band.high, "weeks": band.count}
    return {"verdict": "met" if met else "not met", **ends}


AGAINST_WORDS: Final[dict[Against, str]] = {
    "previous": "in the window before",
    "yesterday": "in the same window yesterday",
    "last week": "in the same window last week",
}
_Need = Callable[[Any], list[tuple[Against, int]]]
_Judge = Callable[[Any, Metric, Figure, Sequence[Figure]], dict[str, Any]]
_Limit = Callable[[Any, Judged], list[float]]
# Of each condition: the earlier windows that it needs, whether a figure meets it, and from which figure on one would.
_JUDGES: Final[dict[type, tuple[_Need, _Judge, _Limit]]] = {
    Below: (_need_none, _judge_value, _limit_value),
    Above: (_need_none, _judge_value, _limit_value),
    Falls: (_need_one, _judge_change, _limit_change),
    Rises: (_need_one, _judge_change, _limit_change),
    Unusual: (_need_weeks, _judge_usual, _limit_usual),
}
