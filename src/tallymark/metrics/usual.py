"""What is usual for a metric, learnt from the same weekday of the weeks before; and whether one day lies outside.

Comes in: a metric, a day and who asks. Goes out: a band and a verdict. The band is the median of the days before, and on
both sides of it three times their robust spread: so one day of an outage, or of a campaign, hardly moves it.

Source of the spread: P. J. Rousseeuw and C. Croux (1993), "Alternatives to the Median Absolute Deviation", Journal of the
American Statistical Association 88, 1273-1283.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from statistics import median
from typing import Final, Literal

from tallymark.metrics.figures import NOTHING, Ask, Figure, find_figures, is_enough
from tallymark.plan.kinds.metric import Conversion, Count, Gauge, Metric, Rate, Span, Unique
from tallymark.queries.measures import Z
from tallymark.queries.period import parse_zone

Verdict = Literal["below", "above", "usual", "no data", "too little history"]
News = Literal["bad", "good", "neither"]

# So many of the same weekday are looked at before the day that is judged, and so many of them are needed.
WEEKS: Final = 8
LEAST_WEEKS: Final = 4
REACH: Final = 3.0
# Makes the median absolute deviation of normal values their standard deviation.
_TO_DEVIATION: Final = 1.4826
# Of a few values it comes out too small on average, by these factors (normal values, simulated). C. Croux and P. J.
# Rousseeuw (1992), "Time-efficient algorithms for two highly robust estimators of scale", Computational Statistics 1,
# 411-428; of more than nine values by n / (n - 0.8).
_SMALL_SAMPLE: Final = {4: 1.361, 5: 1.218, 6: 1.188, 7: 1.139, 8: 1.127, 9: 1.1}
_SMALL_SAMPLE_LATER: Final = 0.8
# Sums of the same values in another order differ by less.
_ROUNDING: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Band:
    """Where figures usually lie: from `low` to `high` around the median `middle` of `count` figures."""

    middle: float
    low: float
    high: float
    count: int


@dataclass(frozen=True, slots=True)
class Day:
    """A metric's figure of one day, whether enough events stand behind it to rely on it, and whether it is no estimate."""

    figure: Figure
    enough: bool = True
    exact: bool = False

    @property
    def is_known(self) -> bool:
        """Whether there is a figure to rely on. Of counts and sums 0 is one, of other metrics there is none."""
        return self.figure.value is not None and self.enough

    @property
    def has_events(self) -> bool:
        """Whether anything happened. A formula has the smallest n of its parts, which may be 0 while others are not."""
        return self.figure.has_events


@dataclass(frozen=True, slots=True)
class Judged:
    """A day and what is to be said about it.

    `band` is there where the verdict is below, above or usual, `weeks` are the days that it was learnt from. `last` is
    the last day with events, None where there was none in all of these weeks.
    """

    verdict: Verdict
    day: date
    of_day: Day
    weeks: int
    last: date | None
    band: Band | None = None


# Bands and verdicts


def find_band(values: Sequence[float], least_spread: float = 0.0, deviations: float = REACH) -> Band | None:
    """Return the band of figures that belong together; None of fewer than `LEAST_WEEKS`.

    It is the median ± 3 x 1.4826 x b x MAD, where MAD is the median distance from the median and b the correction for few
    values. Of ordinary (normal) days it leaves 5 in 100 outside when it was learnt from eight, 11 in 100 from four.
    A line that rises or falls steadily stays inside. `least_spread` is a standard deviation that chance alone gives
    (`find_least_spread`): figures that were closer together than that, in the extreme all the same, were so by luck.
    """
    if len(values) < LEAST_WEEKS:
        return None
    middle = median(values)
    distance = median(abs(value - middle) for value in values)
    spread = max(_TO_DEVIATION * _correct(len(values)) * distance, least_spread)
    reach = max(deviations * spread, _ROUNDING * abs(middle))
    return Band(middle, middle - reach, middle + reach, len(values))


def _correct(count: int) -> float:
    return _SMALL_SAMPLE.get(count) or count / (count - _SMALL_SAMPLE_LATER)


def judge_figure(figure: Figure, band: Band) -> Verdict:
    """Judge a figure; one whose own 95 % interval reaches into the band is usual: it may well lie there."""
    value = figure.value
    if value is None:
        return "no data"
    if min(value, value if figure.low is None else figure.low) > band.high:
        return "above"
    if max(value, value if figure.high is None else figure.high) < band.low:
        return "below"
    return "usual"


def find_news(verdict: Verdict, better: str) -> News:
    """Return whether a verdict is bad or good for a metric that should go `up`, `down` or neither way."""
    if verdict not in ("below", "above") or better == "neither":
        return "neither"
    return "good" if (verdict == "above") == (better == "up") else "bad"


def find_least_spread(metric: Metric, figures: Sequence[Figure]) -> float:
    """Return the standard deviation that a metric's figures have by chance alone, at the least.

    A count varies like Poisson's distribution, √median, whose variance is its mean; of rare events, where the median is 0,
    as much as around 1. A figure with an interval varies by that interval's standard error. Any other is taken for a sum
    of n values, which varies by |figure| / √n or more, since the mean of squares is never below the square of the mean.
    A gauge is read and not counted: it may stay the same for ever, and then any change is news.
    """
    values = [one.value for one in figures if one.value is not None]
    if not values or isinstance(metric, Gauge):
        return 0.0
    if isinstance(metric, Count | Unique):
        return math.sqrt(max(median(values), 1.0))
    errors = [(one.high - one.low) / 2 / Z for one in figures if one.low is not None and one.high is not None]
    if errors:
        return median(errors)
    return median(abs(one.value) / math.sqrt(max(one.n or 0, 1)) for one in figures if one.value is not None)


def judge_day(metric: Metric, days: Mapping[date, Day], day: date, *, quiet: bool = False) -> Judged:
    """Judge a day against the same weekday of the weeks before.

    Days before the metric's first event are not its history, nor are days with too few events or without a figure.
    `quiet` says that the whole project had no event on that day: then a count of 0 is not low, it is no data.
    """
    active = [one for one, found in sorted(days.items()) if found.has_events and one <= day]
    last = active[-1] if active else None
    present = days.get(day, Day(NOTHING))
    before = [day - timedelta(weeks=week) for week in range(1, WEEKS + 1)]
    history = [
        days[one].figure
        for one in before
        if active and one >= active[0] and one in days and days[one].is_known
    ]
    judged = Judged("no data", day, present, len(history), last)
    if last is None or not present.is_known or (quiet and not present.has_events):
        return judged
    values = [float(one.value) for one in history if one.value is not None]
    band = find_band(values, find_least_spread(metric, history))
    if band is None:
        return replace(judged, verdict="too little history")
    band = clip_band(metric, band, values)
    return replace(judged, verdict=judge_figure(present.figure, band), band=band)


def clip_band(metric: Metric, band: Band, values: Sequence[float]) -> Band:
    """Return the band without what the metric cannot be: fewer than none, or more than all."""
    is_share = isinstance(metric, Conversion) or (isinstance(metric, Rate) and metric.is_share)
    if not is_share and not isinstance(metric, Count | Unique):
        return band
    high = min(band.high, 1.0) if is_share and max(values) <= 1 else band.high
    return replace(band, low=max(band.low, 0.0), high=high)


# The question


def find_last_day(now: datetime, timezone: str) -> date:
    """Return the last day that is over in a time zone."""
    return now.astimezone(parse_zone(timezone)).date() - timedelta(days=1)


def find_first_day(day: date) -> date:
    """Return the first of the days that a day is judged by."""
    return day - timedelta(weeks=WEEKS)


def ask_days(
    metric: Metric, day: date, timezone: str, ask: Ask, others: Mapping[str, Metric]
) -> dict[date, Day]:
    """Return a metric's figures by local day, up to and with `day`: of all days, of a funnel of the same weekday only.

    A funnel is not cut into intervals: each of its nine days is a question, of that day alone.
    Raises RequestRefused as `ask_metric` does.
    """
    first = find_first_day(day)
    if not isinstance(metric, Conversion):
        figures, exact = find_figures(metric, _span(first, day, timezone), ask, others)
        return {
            date.fromisoformat(str(time)[:10]): _read(metric, figure, exact=exact)
            for (time,), figure in figures.items()
        }
    found = {}
    for week in range(WEEKS + 1):
        one = first + timedelta(weeks=week)
        figures, exact = find_figures(metric, _span(one, one, timezone), ask, others)
        found[one] = _read(metric, figures.get((), NOTHING), exact=exact)
    return found


def _span(first: date, last: date, timezone: str) -> Span:
    end = last + timedelta(days=1)
    interval: Literal["day"] | None = None if first == last else "day"
    return Span(start=first.isoformat(), end=end.isoformat(), interval=interval, timezone=timezone)


def _read(metric: Metric, figure: Figure, *, exact: bool) -> Day:
    return Day(figure, is_enough(metric, figure), exact)
