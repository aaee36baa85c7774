"""Hours stand where they are in time: a day of 25 hours has 25 places, one of 23 has no hole, and the axis shows the clock."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark.metrics.figures import Figures
from tallymark.plan.kinds.dashboard import Panel
from tallymark.plan.kinds.metric import Count, Span
from tallymark.queries.kinds import Question
from tallymark.queries.period import build_period
from tallymark.queries.result import Answer, Column, Cost
from tallymark.web.chart_ticks import MOST_TICKS, choose_ticks
from tallymark.web.chart_times import moment_of, read_clock
from tallymark.web.chart_words import find_parts
from tallymark.web.charts import build_chart
from tallymark.web.figure_charts import Line, build_figures_chart, build_spark
from tallymark.web.panels import View
from tallymark.web.picture_specs import build_picture
from tallymark.web.pictures import render_picture
from tallymark.web.shades import shade_chart

HOUR = 3_600_000
MINUTE = 60_000
BERLIN = "Europe/Berlin"
ZONES = (BERLIN, "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo", "Africa/Casablanca", "UTC")
TAIL = (
    Column("figure", "number"), Column("n", "integer"), Column("low", "number"), Column("high", "number"),
    Column("enough", "boolean"),
)  # fmt: skip


def figures(start, end, zone, interval="hour", values=("a", "b")):
    """Return figures that are always the same, for two values of a breakdown."""
    buckets = build_period(start, end, interval, zone).buckets
    columns = (Column("time", "time"), *([Column("v", "text")] if values else []), *TAIL)
    rows = [
        [bucket.start.isoformat(), *([value] if values else []), 10, 100, None, None, True]
        for bucket in buckets
        for value in values or ("",)
    ]
    return Figures("m", "", columns, rows, [], Cost(1.0))


def chart_of(start, end, zone=BERLIN, interval="hour", mark="stacked"):
    chart = build_figures_chart([Line("m", figures(start, end, zone, interval))], interval, mark)
    assert chart is not None
    return chart


def places(chart):
    return sorted({row["x"] for row in chart.rows})


@pytest.mark.parametrize("mark", ["line", "area", "stacked", "bar"])
@pytest.mark.parametrize(
    ("start", "end", "zone", "hours"),
    [
        ("2026-10-25", "2026-10-26", BERLIN, 25),
        ("2026-03-29", "2026-03-30", BERLIN, 23),
        ("2026-11-01", "2026-11-02", "America/New_York", 25),
        ("2018-11-04", "2018-11-05", "America/Sao_Paulo", 23),
        ("2019-02-16", "2019-02-17", "America/Sao_Paulo", 25),
        ("2026-06-01", "2026-06-02", "UTC", 24),
    ],
)
def test_a_day_has_as_many_places_as_hours(start, end, zone, hours, mark):
    """Each hour of a day has its own place, each an hour after the other, and each place one figure of each value."""
    chart = chart_of(start, end, zone, mark=mark)
    found = places(chart)
    assert len(found) == hours
    assert {later - earlier for earlier, later in pairwise(found)} == {HOUR}
    assert all(sum(row["x"] == place for row in chart.rows) == 2 for place in found)


def test_minutes_of_a_repeated_hour_have_their_own_places():
    """Two hours around the change of clocks have 120 places."""
    found = places(
        chart_of("2026-10-25T02:00+02:00", "2026-10-25T03:00+01:00", interval="minute", mark="line")
    )
    assert len(found) == 120
    assert {later - earlier for earlier, later in pairwise(found)} == {MINUTE}


def test_answers_and_small_courses_stand_there_too():
    """The chart of a question, and the line beside a figure, have 25 places on the day of 25 hours."""
    asked = {
        "kind": "trend", "from": "2026-10-25", "to": "2026-10-26", "timezone": BERLIN, "interval": "hour",
        "series": [{"event_name": "a"}],
    }  # fmt: skip
    question = msgspec.convert(asked, Question)
    buckets = question.period().buckets
    rows = [[bucket.start.isoformat(), 6] for bucket in buckets]
    chart = build_chart(
        question, Answer((Column("time", "time"), Column("a", "integer")), rows, [], Cost(1.0))
    )
    assert len(places(chart)) == 25
    spark = build_spark(figures("2026-10-25", "2026-10-26", BERLIN, values=()), "hour")
    assert len(places(spark)) == 25


def test_days_stand_on_their_dates():
    """Days of 23, 24 and 25 hours are equally wide."""
    for start, end in (("2026-10-20", "2026-11-01"), ("2026-03-20", "2026-04-05")):
        found = places(chart_of(start, end, interval="day"))
        assert {later - earlier for earlier, later in pairwise(found)} == {24 * HOUR}


def test_the_axis_shows_the_clock():
    """The places after the change are an hour further than the clock shows; the labels are what it shows."""
    chart = chart_of("2026-10-25T00:00", "2026-10-25T06:00")
    labels = chart.spec["params"][0]["value"]
    assert list(labels.values()) == ["25 Oct", "01:00", "02:00", "02:00", "03:00", "04:00", "05:00"]
    spring = chart_of("2026-03-29T00:00", "2026-03-29T06:00")
    assert list(spring.spec["params"][0]["value"].values()) == ["29 Mar", "01:00", "03:00", "04:00", "05:00"]
    # Nothing is special about a day without a change.
    assert "params" not in chart_of("2026-06-01", "2026-06-02").spec


def test_what_is_said_tells_repeated_hours_apart():
    """In words, a repeated time stands with its offset."""
    found = figures("2026-10-25", "2026-10-26", BERLIN, values=())
    found.rows[2][1], found.rows[3][1] = 20, 30
    chart = build_figures_chart([Line("m", found)], "hour")
    assert "highest 30 at 2026-10-25 02:00 +01:00" in chart.text
    assert [stretch.offset for stretch in chart.clock.stretches] == ["+02:00", "+01:00"]


@given(
    zone=st.sampled_from(ZONES),
    change=st.sampled_from(["2026-03-29T01:00", "2026-10-25T01:00", "2026-04-04T15:00", "2026-10-03T15:30", "2018-11-04T03:00", "2026-02-15T02:00", "2026-11-01T06:00"]),
    before=st.integers(0, 200),
    after=st.integers(1, 200),
    interval=st.sampled_from(["minute", "hour"]),
)  # fmt: skip
def test_places_are_in_the_order_of_time_and_show_the_clock(zone, change, before, after, interval):
    """Whatever the zone does, no two times share a place, none is out of order, and the clock at each is the local time."""
    size = timedelta(minutes=1) if interval == "minute" else timedelta(hours=1)
    middle = datetime.fromisoformat(change).replace(tzinfo=UTC)
    period = build_period(
        (middle - before * size).isoformat(), (middle + after * size).isoformat(), interval, zone
    )
    begins = [bucket.start for bucket in period.buckets]
    clock = read_clock(begins, interval)
    found = [clock.place(begin) for begin in begins]
    assert len(set(found)) == len(begins)
    assert found == sorted(found)
    for begin, place in zip(begins, found, strict=True):
        assert place - found[0] == moment_of(begin) - moment_of(begins[0])
        assert clock.wall(place) == moment_of(begin.replace(tzinfo=UTC, fold=0))
    ticks = choose_ticks(found, interval, clock)
    assert set(ticks) <= set(found)
    assert ticks == sorted(set(ticks))
    assert min(len(found), 2) <= len(ticks) <= MOST_TICKS
    if clock.stretches:
        assert set(clock.label(ticks, found)) == {str(tick) for tick in ticks}


def test_shades_and_parts_stand_on_the_same_places():
    """A trouble from the second half past two of autumn is shaded there, and an hour that is counted in part is found."""
    chart = chart_of("2026-10-25", "2026-10-26", mark="line")
    span = Span(start="2026-10-25", end="2026-10-26", interval="hour", timezone=BERLIN)
    begin, end = (datetime(2026, 10, 25, hour, 30, tzinfo=UTC) for hour in (1, 3))
    shaded = shade_chart(chart, span, [(begin, end)])
    first = places(chart)[0]
    (mark,) = shaded.spec["layer"][0]["data"]["values"]
    assert (mark["x"] - first, mark["x2"] - first) == (3.5 * HOUR, 5.5 * HOUR)
    period = build_period("2026-10-25", "2026-10-25T02:30+01:00", "hour", BERLIN)
    part = build_figures_chart(
        [Line("m", figures("2026-10-25", "2026-10-25T02:30+01:00", BERLIN, values=()))], "hour", parts=find_parts(period)
    )  # fmt: skip
    assert [row["x"] - first for row in part.rows if row.get("p") is not None] == [3 * HOUR]


def test_a_picture_is_flat_over_the_change():
    """Drawn, the upper edge of two stacked values is one height over all 25 hours, and the axis reads as the clock."""
    chart = chart_of("2026-10-25", "2026-10-26")
    view = View(
        Panel(name="p", kind="stacked", metrics=("m",)), "p", [Count(name="m", event_name="e")], chart=chart
    )
    span = Span(start="2026-10-25", end="2026-10-26", interval="hour", timezone=BERLIN)
    svg = render_picture(msgspec.json.encode(build_picture(view, span, "light", 720, 300)), "svg").decode()
    areas = re.findall(r'role="graphics-symbol" aria-roledescription="area mark container".*?</g>', svg) or [
        svg
    ]
    paths = [path for path in re.findall(r'<path[^>]* d="(M[^"]+)"', "".join(areas)) if path.count("L") > 40]
    assert len(paths) == 2
    for path in paths:
        points = [tuple(map(float, pair)) for pair in re.findall(r"[ML]([\d.]+),([\d.]+)", path)]
        assert len(points) == 50
        assert len({height for _, height in points}) == 2
    assert re.findall(r">(\d\d:\d\d)<", svg)[:3] == ["02:00", "04:00", "06:00"]
