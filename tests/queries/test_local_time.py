"""Local times become moments: never backwards, also where clocks skip or repeat an hour, and where a whole day is missing."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark.errors import RequestRefused
from tallymark.queries.local_time import (
    find_midnight,
    is_midnight,
    is_repeated,
    is_skipped,
    move_days,
    resolve_local,
    write_moment,
)
from tallymark.queries.parse import parse_question
from tallymark.queries.period import build_period
from tests.conftest import utc

ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "America/St_Johns",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "Asia/Tehran",
    "America/Sao_Paulo",
    "America/Havana",
    "Pacific/Apia",
    "UTC",
)
BERLIN = ZoneInfo("Europe/Berlin")
APIA = ZoneInfo("Pacific/Apia")
MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("local", "moment"),
    [
        ("2026-03-29T01:59", "2026-03-29T00:59"),
        ("2026-03-29T02:00", "2026-03-29T01:00"),
        ("2026-03-29T02:10", "2026-03-29T01:00"),
        ("2026-03-29T02:59:59.999999", "2026-03-29T01:00"),
        ("2026-03-29T03:00", "2026-03-29T01:00"),
        ("2026-10-25T02:30", "2026-10-25T00:30"),
        ("2026-10-25T03:00", "2026-10-25T02:00"),
    ],
)
def test_skipped_and_repeated_times(local, moment):
    """A skipped time is the moment of the change, a repeated one is the first."""
    assert resolve_local(datetime.fromisoformat(local), BERLIN) == utc(moment)


@given(
    zone=st.sampled_from(ZONES),
    start=st.datetimes(datetime.fromisoformat("1975-01-01"), datetime.fromisoformat("2037-01-01")),
    minutes=st.integers(0, 3000),
)
def test_later_local_times_are_never_earlier_moments(zone, start, minutes):
    """From a local time to a later one there is always a time, of whatever length; and what exists is read as it is."""
    local = ZoneInfo(zone)
    end = start + minutes * MINUTE
    begin, over = resolve_local(start, local), resolve_local(end, local)
    assert begin <= over
    for text, moment in ((start, begin), (end, over)):
        if not is_skipped(text, local):
            assert moment.astimezone(local).replace(tzinfo=None) == text
    if minutes:
        period = build_period(start.isoformat(), end.isoformat(), "", zone)
        assert (period.start, period.end) == (begin, over)
        assert bool(period.notes) >= period.is_empty


@given(
    zone=st.sampled_from(ZONES),
    second=st.integers(0, 2_000_000_000),
    days=st.integers(-40, 40).filter(bool),
)
def test_days_move_in_their_direction(zone, second, days):
    """So many days later is later, so many days back is before; a day's first moment becomes another's."""
    local = ZoneInfo(zone)
    moment = datetime.fromtimestamp(second, UTC)
    for one in (moment, find_midnight(moment.astimezone(local).date(), local)):
        moved = move_days(one, days, local)
        assert (moved > one) == (days > 0)
        assert moved != one
        assert abs((moved - one) - timedelta(days=days)) <= timedelta(days=1, hours=2)
        if is_midnight(one, local):
            assert is_midnight(moved, local)


def test_a_day_that_never_was_is_passed_over():
    """Samoa went from 29 to 31 December 2011: both are a day apart."""
    later = find_midnight(date(2011, 12, 31), APIA)
    earlier = find_midnight(date(2011, 12, 29), APIA)
    assert move_days(later, -1, APIA) == earlier
    assert move_days(earlier, 1, APIA) == later
    assert find_midnight(date(2011, 12, 30), APIA) == later


def test_moments_are_written_with_their_offset():
    """The two half past two of autumn are different texts."""
    texts = [write_moment(utc(text), BERLIN) for text in ("2026-10-25T00:30", "2026-10-25T01:30")]
    assert texts == ["2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00"]
    assert write_moment(utc("2026-10-25T00:30"), UTC) == "2026-10-25T00:30:00Z"
    for text, repeated in (
        ("2026-10-25T02:30", True),
        ("2026-10-25T03:00", False),
        ("2026-03-29T02:30", False),
    ):
        assert is_repeated(datetime.fromisoformat(text), BERLIN) == repeated


@pytest.mark.parametrize(
    ("start", "end", "zone"),
    [
        ("2026-03-29T02:10", "2026-03-29T02:50", "Europe/Berlin"),
        ("2026-03-29T02:00", "2026-03-29T03:00", "Europe/Berlin"),
        ("2018-11-04", "2018-11-04T01:00", "America/Sao_Paulo"),
        ("2026-10-04T02:00", "2026-10-04T02:30", "Australia/Lord_Howe"),
        ("2011-12-30", "2011-12-31", "Pacific/Apia"),
        ("2011-12-30T06:00", "2011-12-30T18:00", "Pacific/Apia"),
    ],
)
@pytest.mark.parametrize("interval", ["", "minute", "hour", "day", "month"])
def test_a_time_that_the_clock_skips_is_empty_and_says_so(start, end, zone, interval):
    """What lies wholly inside a missing hour or day is a period without a length, with a sentence that says why."""
    period = build_period(start, end, interval, zone)
    assert period.is_empty
    assert period.start == period.end
    assert period.buckets == ()
    assert "All of this time is skipped: nothing can have happened in it." in period.notes


def test_of_a_time_that_is_skipped_in_part_the_rest_is_asked():
    """From half past one to half past two on the spring day is half an hour, and that is said."""
    period = build_period("2026-03-29T01:30", "2026-03-29T02:30", "", "Europe/Berlin")
    assert period.end - period.start == timedelta(minutes=30)
    assert period.notes == (
        "The clock in Europe/Berlin skips 02:30 on 2026-03-29: it means 03:00, the moment of the change.",
    )


def test_of_a_repeated_time_the_first_is_meant_and_the_second_can_be_written():
    """The note of a repeated time gives the text of the second one, which is read as such."""
    period = build_period("2026-10-25T02:30", "2026-10-25T04:00", "", "Europe/Berlin")
    (note,) = period.notes
    assert "twice: the first one is meant" in note
    other = note.split("Write ")[1].split(" for")[0]
    assert build_period(other, "2026-10-25T04:00", "", "Europe/Berlin").start == utc("2026-10-25T01:30")


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2026-03-29T02:50", "2026-03-29T02:10"),
        ("2026-03-29T02:10", "2026-03-29T02:10"),
        ("2026-03-29T01:00Z", "2026-03-29T01:00Z"),
        ("2026-10-25T02:30+01:00", "2026-10-25T02:40+02:00"),
        ("2026-06-02", "2026-06-01"),
    ],
)
def test_what_is_backwards_is_refused(start, end):
    """An end that is not after its begin is a mistake, on a day of a change as on others."""
    with pytest.raises(RequestRefused, match="is not before"):
        build_period(start, end, "", "Europe/Berlin")


def test_offsets_of_seconds_are_read():
    """Liberia was 44 minutes and 30 seconds behind until 1972: what an answer writes is read again."""
    period = build_period("1971-06-01T00:00:00-00:44:30", "1971-06-02", "", "Africa/Monrovia")
    assert period.end - period.start == timedelta(days=1)


def test_a_question_about_a_skipped_time_is_answered(ask, insert):
    """The engine is asked, finds nothing, and the answer says why; the minute after the change is counted."""
    project = insert([{"event_time": "2026-03-29T01:00:30Z", "event_name": "a"}])
    asked = {
        "kind": "trend", "from": "2026-03-29T02:10", "to": "2026-03-29T02:50", "timezone": "Europe/Berlin",
        "series": [{"event_name": "a"}],
    }  # fmt: skip
    whole = ask(project, asked)
    assert [row[-1] for row in whole.rows] == [0]
    assert any("skips 02:10" in note for note in whole.notes)
    assert ask(project, {**asked, "interval": "minute"}).rows == []
    later = ask(project, {**asked, "to": "2026-03-29T03:01"})
    assert [row[-1] for row in later.rows] == [1]
    grouped = ask(project, {**asked, "breakdown": ["event_hour"]})
    assert grouped.rows == []


@pytest.mark.parametrize(
    "asked",
    [
        {"kind": "ratio", "numerator": {"event_name": "a"}, "denominator": {"event_name": "a"}},
        {"kind": "funnel", "by": "user_id", "window": "1h", "steps": [{"event_name": "a"}, {"event_name": "b"}]},
        {"kind": "histogram", "of": {"event_name": "a", "field": "value"}},
        {
            "kind": "change", "numerator": {"event_name": "a"}, "dimensions": ["event_hour"],
            "before": {"from": "2026-03-28T02:10", "to": "2026-03-28T02:50"},
        },
    ],
    ids=lambda one: one["kind"],
)  # fmt: skip
def test_every_kind_answers_about_a_skipped_time(ask, insert, asked):
    """No kind of question fails on a time without a length, and each says what is the matter."""
    project = insert([{"event_time": "2026-03-29T01:00:30Z", "event_name": "a"}])
    time = {"from": "2026-03-29T02:10", "to": "2026-03-29T02:50", "timezone": "Europe/Berlin"}
    parse_question(asked | time)
    answer = ask(project, asked | time)
    assert any("All of this time is skipped" in note for note in answer.notes)
