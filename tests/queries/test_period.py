"""Periods: intervals follow local time, and the engine numbers events just as Python does."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from tallymark.errors import RequestRefused
from tallymark.queries.parse import parse_question
from tallymark.queries.period import MAX_INTERVALS, build_period, parse_time

ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/St_Johns",
    "Asia/Kathmandu",
    "Pacific/Apia",
    "Australia/Lord_Howe",
    "America/Sao_Paulo",
    "Africa/Casablanca",
)
INTERVALS = ("minute", "hour", "day", "week", "month", "quarter", "year")


def local_interval(time: datetime, interval: str, zone: ZoneInfo) -> object:
    """Say by the calendar alone in which interval a time lies; a model that shares nothing with the code."""
    local = time.astimezone(zone)
    offset = local.utcoffset()
    return {
        "minute": (offset, local.replace(second=0, microsecond=0, tzinfo=None)),
        "hour": (offset, local.replace(minute=0, second=0, microsecond=0, tzinfo=None)),
        "day": local.date(),
        "week": local.isocalendar()[:2],
        "month": (local.year, local.month),
        "quarter": (local.year, (local.month - 1) // 3),
        "year": local.year,
    }[interval]


def test_hours_neither_merge_nor_vanish_when_the_clock_changes():
    """A day of 25 hours has 25 different hours, a day of 23 hours has 23, each one hour after the other."""
    for day, hours in ((date(2024, 10, 27), 25), (date(2024, 3, 31), 23), (date(2024, 6, 1), 24)):
        period = build_period(str(day), str(day + timedelta(days=1)), "hour", "Europe/Berlin")
        starts = [bucket.start for bucket in period.buckets]
        assert len(starts) == hours
        assert all(
            later.astimezone(UTC) - sooner.astimezone(UTC) == timedelta(hours=1)
            for sooner, later in pairwise(starts)
        )
        assert len({start.isoformat() for start in starts}) == hours


def test_hours_of_a_half_hour_change_stay_apart():
    """Lord Howe turns its clock by half an hour: the hour that is repeated in part is an interval of its own."""
    period = build_period("2024-04-06T14:00:00Z", "2024-04-06T17:00:00Z", "hour", "Australia/Lord_Howe")
    starts = [bucket.start.astimezone(UTC).strftime("%H:%M") for bucket in period.buckets]
    assert starts == ["14:00", "15:00", "15:30", "16:30"]
    assert len({bucket.key for bucket in period.buckets}) == 4


def test_a_date_that_a_zone_skipped_has_no_interval():
    """Apia went from 29 to 31 December 2011."""
    period = build_period("2011-12-28", "2012-01-02", "day", "Pacific/Apia")
    assert [bucket.start.day for bucket in period.buckets] == [28, 29, 31, 1]


def test_a_day_without_midnight_begins_when_it_begins():
    """In São Paulo 4 November 2018 began at one o'clock."""
    period = build_period("2018-11-03", "2018-11-06", "day", "America/Sao_Paulo")
    assert [bucket.start.isoformat() for bucket in period.buckets][1] == "2018-11-04T01:00:00-02:00"


def test_weeks_are_iso_weeks():
    """Weeks begin on Mondays, over the end of the year and before the period if need be."""
    period = build_period("2020-12-30", "2021-01-12", "week", "UTC")
    assert [bucket.start.date().isoformat() for bucket in period.buckets] == [
        "2020-12-28",
        "2021-01-04",
        "2021-01-11",
    ]
    assert period.starts_inside
    assert period.ends_inside


def test_whole_intervals_are_not_called_partial():
    """A year of months has twelve of them and none in part."""
    period = build_period("2013-01-01", "2014-01-01", "month", "Europe/Berlin")
    assert len(period.buckets) == 12
    assert not period.starts_inside
    assert not period.ends_inside


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("interval", INTERVALS)
def test_intervals_partition_the_period(zone, interval):
    """Every time of a period lies in exactly the interval that the calendar says, whatever the clock did."""
    start = datetime(2011, 12, 28, 3, 25, tzinfo=UTC)
    end = start + (timedelta(days=5) if interval == "minute" else timedelta(days=500))
    period = build_period(start.isoformat(), end.isoformat(), interval, zone)
    assert [bucket.start for bucket in period.buckets] == sorted(bucket.start for bucket in period.buckets)
    assert len({bucket.key for bucket in period.buckets}) == len(period.buckets)
    info = ZoneInfo(zone)
    wanted = {local_interval(end - timedelta(microseconds=1), interval, info)}
    step = timedelta(minutes=1) if interval == "minute" else timedelta(minutes=15)
    time = start
    while time < end:
        wanted.add(local_interval(time, interval, info))
        time += step
    got = [local_interval(max(bucket.start, start), interval, info) for bucket in period.buckets]
    assert set(got) == wanted
    assert len(got) == len(wanted)


@pytest.mark.store
@pytest.mark.parametrize("zone", ZONES)
def test_the_engine_counts_each_event_in_its_interval(zone, insert, ask):
    """Events every 15 minutes around two changes of the clock are counted in the local interval that holds them."""
    info = ZoneInfo(zone)
    times = [
        datetime.fromisoformat(first).replace(tzinfo=UTC) + timedelta(minutes=15 * number)
        for first in (
            "2011-12-29 00:00",
            "2018-11-03 00:00",
            "2024-03-30 00:00",
            "2024-04-06 00:00",
            "2024-10-26 00:00",
        )
        for number in range(300)
    ]
    times.append(datetime(1970, 1, 1, tzinfo=UTC))
    project = insert([{"event_time": time.isoformat()} for time in times])
    for interval in INTERVALS[1:]:
        for start in ("2011-12-20T10:20:00Z", "2024-03-01T00:00:00Z"):
            end = (
                "2012-01-10T00:00:00Z"
                if interval == "hour" and start.startswith("2011")
                else "2025-01-01T00:00:00Z"
            )
            question = {"kind": "trend", "from": start, "to": end, "interval": interval, "timezone": zone}
            answer = ask(project, question, series=[{"event_name": "seen"}])
            wanted: dict[object, int] = {}
            for time in times:
                if datetime.fromisoformat(start) <= time < datetime.fromisoformat(end):
                    key = local_interval(time, interval, info)
                    wanted[key] = wanted.get(key, 0) + 1
            first = datetime.fromisoformat(start)
            got = {
                local_interval(max(datetime.fromisoformat(row[0]), first), interval, info): row[1]
                for row in answer.rows
                if row[1]
            }
            assert got == wanted, (zone, interval, start)


@pytest.mark.store
def test_the_first_second_of_1970_has_a_day_in_the_west(insert, ask):
    """An event at the epoch lies in the local year 1969 and is neither lost nor moved."""
    project = insert([{"event_time": "1970-01-01T00:00:00Z"}])
    question = {
        "kind": "trend",
        "from": "1970-01-01T00:00:00Z",
        "to": "1970-01-03",
        "timezone": "America/New_York",
    }
    for interval, first in (
        ("day", "1969-12-31"),
        ("month", "1969-12-01"),
        ("week", "1969-12-29"),
        ("year", "1969-01-01"),
    ):
        answer = ask(project, question, interval=interval, series=[{"event_name": "seen"}])
        assert answer.rows[0] == [f"{first}T00:00:00-05:00", 1]


@pytest.mark.parametrize(
    ("words", "at"),
    [
        ({"from": "yesterday"}, "from"),
        ({"to": "2024-13-01"}, "to"),
        ({"from": "2024-02-01", "to": "2024-02-01"}, "to"),
        ({"timezone": "Europe/Berln"}, "timezone"),
        ({"timezone": "../../etc/passwd"}, "timezone"),
        ({"timezone": "a\0b"}, "timezone"),
        ({"from": "1900-01-01"}, "from"),
        ({"to": "2500-01-01"}, "to"),
        ({"from": "2000-01-01", "interval": "minute"}, "interval"),
        ({"from": "0001-01-01T00:00:00+14:00"}, "from"),
    ],
)
def test_times_that_cannot_be_are_refused_with_their_place(words, at):
    """What is no time, no zone, an empty or an endless period is refused, and the answer says where."""
    question = {
        "kind": "trend",
        "from": "2024-01-01",
        "to": "2024-02-01",
        "interval": "day",
        "series": [{"event_name": "seen"}],
        **words,
    }
    with pytest.raises(RequestRefused) as caught:
        parse_question(question)
    assert caught.value.code == "invalid_question"
    assert caught.value.at == at


def test_a_misspelt_zone_is_answered_with_near_names():
    """Somebody who mistypes a zone is told the one that was meant."""
    with pytest.raises(RequestRefused, match="Europe/Berlin"):
        build_period("2024-01-01", "2024-02-01", "", "Europe/Berln")


def test_the_number_of_intervals_is_limited_exactly():
    """50,000 minutes are answered, one more is refused."""
    start = datetime(2024, 1, 1, tzinfo=UTC)
    end = start + timedelta(minutes=MAX_INTERVALS)
    assert len(build_period(start.isoformat(), end.isoformat(), "minute", "UTC").buckets) == MAX_INTERVALS
    with pytest.raises(RequestRefused):
        build_period(start.isoformat(), (end + timedelta(minutes=1)).isoformat(), "minute", "UTC")


def test_a_time_without_an_offset_is_local():
    """A date alone is midnight in the question's zone, a time with an offset is what it says."""
    zone = ZoneInfo("Asia/Kathmandu")
    assert parse_time("2024-01-01", zone, "from") == datetime(2023, 12, 31, 18, 15, tzinfo=UTC)
    assert parse_time("2024-01-01T00:00:00", zone, "from") == datetime(2023, 12, 31, 18, 15, tzinfo=UTC)
    assert parse_time("2024-01-01T00:00:00Z", zone, "from") == datetime(2024, 1, 1, tzinfo=UTC)
