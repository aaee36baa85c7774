"""What is usual, by known answers and by what must always hold; and days judged by the same weekday of weeks before."""

from __future__ import annotations

import math
import random
from datetime import UTC, date, datetime, timedelta
from statistics import mean, median

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET
from msgspec.structs import replace

from tallymark.metrics.figures import Figure
from tallymark.metrics.usual import (
    LEAST_WEEKS,
    WEEKS,
    Band,
    Day,
    ask_days,
    find_band,
    find_last_day,
    find_least_spread,
    find_news,
    judge_day,
    judge_figure,
)
from tallymark.plan.kinds.metric import Average, Conversion, Count, Formula, Gauge, Rate, Sum
from tallymark.queries.kinds.ratio import wilson_interval
from tallymark.queries.question import Selection, Step
from tallymark.queries.result import Answer, Column, Cost

DAY = date(2026, 5, 11)
COUNT = Count(name="orders", event_name="order")
SHARE = Rate(name="rate", numerator=Selection(event_name="order"), denominator=Selection(event_name="visit"))
MEAN = Average(name="seconds", event_name="visit")
SUM = Sum(name="revenue", event_name="order")
GAUGE = Gauge(name="price", event_name="price")

values = st.lists(st.floats(-1e6, 1e6), min_size=LEAST_WEEKS, max_size=20)


def near(one, other):
    return math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-6)


def weeks(figures, day=DAY, minimum=0):
    """Give the days of these figures or values, a week apart, the last of them the judged day; None has no events."""
    days = {}
    for back, one in enumerate(reversed(figures)):
        figure = one if isinstance(one, Figure) else Figure(one, one)
        days[day - timedelta(weeks=back)] = Day(figure, figure.n is None or figure.n >= minimum)
    return days


# The band


def test_a_known_band():
    """Median 102.5, distances 2.5 2.5 7.5 7.5 12.5 12.5 17.5 17.5, MAD 10: 3 x 1.4826 x 1.127 x 10 on both sides."""
    band = find_band([85, 90, 95, 100, 105, 110, 115, 120])
    reach = 3 * 1.4826 * 1.127 * 10
    assert (band.middle, band.count) == (102.5, 8)
    assert near(band.low, 102.5 - reach)
    assert near(band.high, 102.5 + reach)


def test_few_figures_have_no_band():
    """Nobody knows what is usual after three weeks."""
    assert find_band([1, 2, 3]) is None
    assert find_band([]) is None
    assert find_band([1, 2, 3, 4]) is not None


def test_figures_that_never_differ_have_the_spread_of_chance():
    """Where all weeks are the same the band is not a point: it is as wide as chance alone makes it."""
    assert find_band([100] * 8, least_spread=10) == Band(100, 70, 130, 8)
    # Without chance, as of a price, only rounding is let pass.
    assert judge_figure(Figure(9.99 + 1e-12), find_band([9.99] * 8)) == "usual"
    assert judge_figure(Figure(10.0), find_band([9.99] * 8)) == "above"


@pytest.mark.parametrize("count", [4, 5, 6, 7, 8, 9, 12])
def test_the_spread_is_that_of_normal_figures(count):
    """With its correction for few values the spread is on average the standard deviation, here 1."""
    chance = random.Random(count)
    spreads = []
    for _ in range(20_000):
        band = find_band([chance.gauss(0, 1) for _ in range(count)])
        spreads.append((band.high - band.middle) / 3)
    assert abs(mean(spreads) - 1) < 0.02


@given(values, st.floats(-1e5, 1e5))
def test_shifted_figures_shift_the_band(figures, by):
    """What is added to every figure is added to the band."""
    band, moved = find_band(figures, 1.0), find_band([one + by for one in figures], 1.0)
    assert near(moved.middle, band.middle + by)
    assert near(moved.high - moved.low, band.high - band.low)


@given(values, st.floats(0.001, 1000), st.floats(0.01, 100))
def test_another_unit_is_the_same_band(figures, scale, spread):
    """Seconds or milliseconds: the band is the same one."""
    band, scaled = find_band(figures, spread), find_band([one * scale for one in figures], spread * scale)
    assert math.isclose(scaled.low, band.low * scale, rel_tol=1e-6, abs_tol=1e-6 * scale)
    assert math.isclose(scaled.high, band.high * scale, rel_tol=1e-6, abs_tol=1e-6 * scale)


@given(values)
def test_mirrored_figures_mirror_the_band(figures):
    """Up and down are judged alike."""
    band, mirrored = find_band(figures), find_band([-one for one in figures])
    assert near(mirrored.low, -band.high)
    assert near(mirrored.high, -band.low)


@given(st.lists(st.floats(-1000, 1000), min_size=4, max_size=11), st.floats(-1e9, 1e9))
def test_one_outlier_hardly_moves_the_band(rest, outlier):
    """However far one week lies off, the band stays about where the others are."""
    band = find_band([*rest, outlier])
    reach = 3 * 1.4826 * 1.361 * (max(rest) - min(rest)) + 1e-3
    assert min(rest) - reach <= band.low <= band.high <= max(rest) + reach


@given(values, st.floats(0, 10), st.floats(0, 10))
def test_more_chance_is_a_wider_band(figures, less, more):
    """The least spread only ever widens the band, and never moves its middle."""
    one, other = find_band(figures, min(less, more)), find_band(figures, max(less, more))
    assert other.middle == one.middle
    assert other.low <= one.low <= one.high <= other.high


@given(st.integers(-1000, 1000), st.integers(1, 1000), st.integers(LEAST_WEEKS, WEEKS))
def test_a_steady_rise_is_no_news(start, step, count):
    """A metric that grows by the same amount every week is usual in the next one."""
    figures = [start + step * week for week in range(count + 1)]
    assert judge_figure(Figure(figures[-1]), find_band(figures[:-1])) == "usual"


# One figure


@pytest.mark.parametrize(
    ("figure", "verdict"),
    [
        (Figure(100.0), "usual"),
        (Figure(70.0), "usual"),
        (Figure(130.0), "usual"),
        (Figure(69.9), "below"),
        (Figure(130.1), "above"),
        (Figure(60.0, 10, 55.0, 65.0), "below"),
        # Its own interval reaches into the band.
        (Figure(60.0, 10, 40.0, 80.0), "usual"),
        (Figure(60.0, 10, 40.0, 70.0), "usual"),
        (Figure(140.0, 10, 130.0, 150.0), "usual"),
        (Figure(140.0, 10, 131.0, 149.0), "above"),
        (Figure(None), "no data"),
    ],
)
def test_judged(figure, verdict):
    """Outside is what lies outside with its whole interval."""
    assert judge_figure(figure, Band(100, 70, 130, 8)) == verdict


@pytest.mark.parametrize(
    ("verdict", "better", "news"),
    [("below", "up", "bad"), ("above", "up", "good"), ("below", "down", "good"), ("above", "down", "bad"),
     ("above", "neither", "neither"), ("usual", "up", "neither"), ("no data", "down", "neither")],
)  # fmt: skip
def test_news(verdict, better, news):
    """Which way a metric should go says whether it is good or bad that it went there."""
    assert find_news(verdict, better) == news


def test_the_spread_of_chance():
    """A count varies like Poisson's, an estimate by its standard error, a sum by its count, a gauge not at all."""
    assert find_least_spread(COUNT, [Figure(n, n) for n in (90, 100, 120)]) == 10
    assert find_least_spread(COUNT, [Figure(0, 0)] * 8) == 1
    assert near(find_least_spread(MEAN, [Figure(5.0, 100, 5 - 1.96, 5 + 1.96)] * 4), 1.0000184)
    assert find_least_spread(SUM, [Figure(500.0, 25)] * 4) == 100
    assert find_least_spread(GAUGE, [Figure(9.99, 25)] * 4) == 0
    assert find_least_spread(SUM, []) == 0


def test_rare_events_make_no_noise():
    """Two errors after weeks without one are nothing; ten are."""
    assert judge_day(COUNT, weeks([1, 0, 0, 0, 0, 0, 0, 0, 2]), DAY).verdict == "usual"
    assert judge_day(COUNT, weeks([1, 0, 0, 0, 0, 0, 0, 0, 10]), DAY).verdict == "above"


# One day


def test_a_day_below_and_above():
    """A day is held against eight of its weekday; the band is given along."""
    history = [100, 104, 98, 101, 97, 103, 99, 102]
    low, high = (judge_day(COUNT, weeks([*history, today]), DAY) for today in (60, 140))
    assert (low.verdict, high.verdict, low.weeks) == ("below", "above", 8)
    assert low.band.low <= min(history) <= max(history) <= low.band.high
    assert judge_day(COUNT, weeks([*history, 85]), DAY).verdict == "usual"


def test_other_weekdays_do_not_count():
    """A quiet Sunday is held against Sundays, whatever happens on the days between."""
    days = weeks([5, 6, 4, 5, 6, 5, 4, 5, 5])
    days |= {DAY - timedelta(days=n): Day(Figure(1000, 1000)) for n in range(1, 57) if n % 7}
    assert judge_day(COUNT, days, DAY).verdict == "usual"


def test_a_count_of_nothing_is_a_figure():
    """No orders where there always are some is low; no average is no data."""
    assert judge_day(COUNT, weeks([50] * 8 + [0]), DAY).verdict == "below"
    judged = judge_day(MEAN, weeks([Figure(5.0, 9, 4.0, 6.0)] * 8 + [Figure(None, 0)]), DAY)
    assert (judged.verdict, judged.last) == ("no data", DAY - timedelta(weeks=1))


def test_a_quiet_project_is_not_low():
    """Where the whole project had no event, none of its counts is judged by that."""
    judged = judge_day(COUNT, weeks([50] * 8 + [0]), DAY, quiet=True)
    assert (judged.verdict, judged.last) == ("no data", DAY - timedelta(weeks=1))
    assert judge_day(COUNT, weeks([50] * 8 + [50]), DAY, quiet=True).verdict == "usual"


def test_too_little_history():
    """Three weeks are too few; what was before the first event is no history of zeros."""
    judged = judge_day(COUNT, weeks([0, 0, 0, 0, 0, 100, 100, 100, 500]), DAY)
    assert (judged.verdict, judged.weeks, judged.band) == ("too little history", 3, None)
    assert judge_day(COUNT, weeks([0, 0, 0, 0, 100, 100, 100, 100, 500]), DAY).verdict == "above"


def test_silent():
    """A metric without an event in all of the weeks has no last day."""
    judged = judge_day(COUNT, weeks([0] * 9), DAY)
    assert (judged.verdict, judged.last, judged.weeks) == ("no data", None, 0)
    assert judge_day(MEAN, {}, DAY).last is None


def test_days_with_too_few_events_are_left_out():
    """Below the minimum sample a day is neither history nor judged."""
    figures = [Figure(0.5, 200, 0.43, 0.57)] * 5 + [Figure(0.0, 3, 0.0, 0.6)] * 3
    judged = judge_day(
        SHARE, weeks([*figures, Figure(0.2, 200, *wilson_interval(40, 200))], minimum=100), DAY
    )
    assert (judged.verdict, judged.weeks) == ("below", 5)
    judged = judge_day(SHARE, weeks([*figures, Figure(0.0, 3, 0.0, 0.6)], minimum=100), DAY)
    assert (judged.verdict, judged.of_day.enough, judged.last) == ("no data", False, DAY)


def test_bands_end_where_the_metric_does():
    """No band promises fewer than no events, or more than all."""
    assert judge_day(COUNT, weeks([1, 9, 2, 8, 3, 7, 4, 6, 5]), DAY).band.low == 0
    shares = [Figure(share, 50, *wilson_interval(round(50 * share), 50)) for share in (0.9, 1.0) * 4]
    band = judge_day(SHARE, weeks([*shares, shares[0]]), DAY).band
    assert band.high == 1
    assert judge_day(SUM, weeks([1, 9, 2, 8, 3, 7, 4, 6, 5]), DAY).band.low < 0


# The question


def test_the_last_day_is_a_local_one():
    """Just after midnight in Berlin yesterday is another day than in London; so it is when clocks change."""
    assert find_last_day(datetime(2026, 5, 11, 22, 30, tzinfo=UTC), "Europe/Berlin") == date(2026, 5, 11)
    assert find_last_day(datetime(2026, 5, 11, 22, 30, tzinfo=UTC), "Europe/London") == date(2026, 5, 10)
    assert find_last_day(datetime(2026, 3, 29, 22, 0, tzinfo=UTC), "Europe/Berlin") == date(2026, 3, 29)
    assert find_last_day(datetime(2026, 3, 29, 21, 59, tzinfo=UTC), "Europe/Berlin") == date(2026, 3, 28)


def answer_days(question):
    """Answer a question by day with the hours of each day, as a count of one event an hour would be."""
    starts = [bucket.start for bucket in question.period().buckets]
    ends = [*starts[1:], question.period().end]
    rows = [
        [start.isoformat(), round((end.astimezone(UTC) - start.astimezone(UTC)) / timedelta(hours=1))]
        for start, end in zip(starts, ends, strict=True)
    ]
    columns = (Column("time", "time"), Column("figure", "integer", exact=True))
    return Answer(columns, rows, [], Cost(1.0))


@pytest.mark.parametrize("day", [date(2026, 3, 29), date(2026, 4, 5), date(2026, 10, 25), date(2026, 11, 1)])
def test_weeks_in_which_clocks_change(day):
    """57 local days are asked, also where one of them has 23 or 25 hours, and Sundays are held against Sundays."""
    asked = []

    def ask(question):
        asked.append(question)
        return answer_days(question)

    days = ask_days(COUNT, day, "Europe/Berlin", ask, {})
    assert sorted(days) == [day - timedelta(days=back) for back in range(56, -1, -1)]
    assert {found.figure.value for found in days.values()} >= {24}
    assert sorted(found.figure.value for found in days.values())[0 if day.month < 6 else -1] in (23, 25)
    assert len(asked) == 1
    judged = judge_day(COUNT, days, day)
    assert (judged.verdict, judged.weeks) == ("usual", 8)


def test_a_formula_is_asked_through_its_parts():
    """One question for each part; their figures meet day by day."""
    asked = []

    def ask(question):
        asked.append(question)
        return answer_days(question)

    double = Formula(name="double", expression="orders + orders")
    days = ask_days(double, DAY, "UTC", ask, {"orders": COUNT})
    assert len(asked) == 1
    assert days[DAY].figure == Figure(48.0, 24)


@pytest.mark.parametrize(("mark", "exact"), [(True, True), (False, True), (UNSET, False)])
def test_a_day_knows_whether_its_figure_was_only_estimated(mark, exact):
    """Unique values of very many events are approximate, though those of others are counted."""

    def ask(question):
        answer = answer_days(question)
        return replace(answer, columns=(answer.columns[0], replace(answer.columns[1], exact=mark)))

    for metric in (COUNT, Formula(name="double", expression="orders + orders")):
        assert {one.exact for one in ask_days(metric, DAY, "UTC", ask, {"orders": COUNT}).values()} == {exact}


def test_days_without_a_figure_may_have_had_events():
    """Orders came and no visits to divide them by: there is no figure, and the metric is not one that never had an event."""

    def ask(question):
        answer = answer_days(question)
        is_none = question.series[0].event_name == "visit"
        return replace(answer, rows=[[row[0], 0 if is_none else row[1]] for row in answer.rows])

    others = {"orders": COUNT, "visits": Count(name="visits", event_name="visit")}
    metric = Formula(name="per_visit", expression="orders / visits")
    judged = judge_day(metric, ask_days(metric, DAY, "UTC", ask, others), DAY)
    assert (judged.verdict, judged.of_day.figure.value, judged.last) == ("no data", None, DAY)


def test_a_funnel_is_asked_for_nine_days():
    """A funnel is not cut into days: each of the nine is a question of its own."""
    asked = []

    def ask(question):
        asked.append((question.start, question.end))
        columns = (Column("step", "integer"), Column("name", "text"), Column("reached", "integer"))
        return Answer(columns, [[1, "a", 10], [2, "b", 4]], [], Cost(1.0))

    steps = (Step(event_name="a"), Step(event_name="b"))
    funnel = Conversion(name="signed_up", by="session_id", window="1h", steps=steps)
    days = ask_days(funnel, DAY, "UTC", ask, {})
    assert asked[-1] == ("2026-05-11", "2026-05-12")
    assert [date.fromisoformat(start) for start, _ in asked] == sorted(days)
    assert len(days) == 9
    assert median(found.figure.value for found in days.values()) == 0.4
    assert judge_day(funnel, days, DAY).verdict == "usual"
