"""Every change of every zone's clock: intervals neither overlap nor leave gaps, and the engine numbers events as Python does."""

from __future__ import annotations

import json
from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest

from tallymark.queries.parse import parse_question
from tallymark.queries.period import Period, build_period

INTERVALS = ("minute", "hour", "day", "week", "month", "quarter", "year")
DAY = 86_400
# From 1970 to the end of 2037; the rules of later years are those of 2037.
LAST = 2_145_916_800
STEP = 3 * DAY
# Seconds from a change at which moments are looked at: close to it, within hours of it, and a day or two away.
NEAR = sorted({*range(-4 * 3600, 4 * 3600, 600), -61, -1, 0, 1, 59, 61, 3540, 3599, 3601, -DAY - 1, -DAY, DAY - 1, DAY, 30 * 3600})  # fmt: skip


@dataclass(frozen=True)
class Change:
    """One change of a clock: the Unix second and the offsets before and after it, in seconds."""

    zone: str
    at: int
    before: int
    after: int

    @property
    def goes_back_over_midnight(self) -> bool:
        """Whether a date that had begun is shown as the day before again."""
        return self.after < self.before and (self.at - 1 + self.before) // DAY > (self.at + self.after) // DAY

    @property
    def shape(self) -> object:
        """Return what tells changes apart for a period around them."""
        first = date.fromordinal(719_163 + (self.at + self.after) // DAY)
        own = self.at if self.goes_back_over_midnight else 0
        return self.before, self.after, (self.at + self.after) % DAY, first.day == 1, own

    def period(self, interval: str, start: int = -2 * DAY, end: int = 2 * DAY) -> Period:
        if interval == "minute":
            start, end = max(start, -5 * 3600), min(end, 5 * 3600)
        return build_period(_text(self.at + start), _text(self.at + end), interval, self.zone)


def _text(second: int) -> str:
    return datetime.fromtimestamp(max(second, 0), UTC).isoformat()


def _offset(second: int, zone: ZoneInfo) -> int:
    return int(datetime.fromtimestamp(second, zone).utcoffset().total_seconds())


def _find_changes(name: str) -> list[Change]:
    zone = ZoneInfo(name)
    found = []
    before = _offset(0, zone)
    for second in range(STEP, LAST, STEP):
        after = _offset(second, zone)
        if after != before:
            low, high = second - STEP, second
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if _offset(middle, zone) == before else (low, middle)
            found.append(Change(name, high, before, _offset(high, zone)))
            before = after
    return found


@pytest.fixture(scope="module")
def changes() -> list[Change]:
    """All changes of all zones, one of each shape."""
    # Zones of two names have the same offsets month by month: they are looked through once.
    names = {
        tuple(_offset(second, ZoneInfo(name)) for second in range(0, LAST, 20 * DAY)): name
        for name in sorted(available_timezones())
    }
    every = [one for name in names.values() for one in _find_changes(name)]
    assert len(every) > 10_000
    return list({one.shape: one for one in every}.values())


def _calendar(change: Change, second: int, interval: str) -> object:
    """Say by the calendar alone in which interval a moment lies. A date that has begun does not end again."""
    offset = change.after if second >= change.at else change.before
    if interval in ("minute", "hour"):
        return offset, (second + offset) // (60 if interval == "minute" else 3600)
    number = (second + offset) // DAY
    if second >= change.at:
        number = max(number, (change.at - 1 + change.before) // DAY)
    day = date.fromordinal(719_163 + number)
    return {
        "day": day,
        "week": day.isocalendar()[:2],
        "month": (day.year, day.month),
        "quarter": (day.year, (day.month - 1) // 3),
        "year": day.year,
    }[interval]


def _moments(change: Change, period: Period) -> list[int]:
    first, last = period.start.timestamp(), period.end.timestamp()
    return [change.at + near for near in NEAR if first <= change.at + near < last]


def _is_alone(change: Change) -> bool:
    """Whether no other change lies in the period, which the model knows nothing of."""
    zone = ZoneInfo(change.zone)
    return all(
        _offset(change.at + near, zone) == (change.before if near < 0 else change.after)
        for near in (*NEAR, -2 * DAY, 2 * DAY)
    )


def test_the_known_changes_are_among_them(changes):
    """Clocks that change within an hour, by half an hour, and just after midnight are looked at."""
    lord_howe = _find_changes("Australia/Lord_Howe")
    assert {abs(one.after - one.before) for one in lord_howe} >= {1800}
    assert any(one.goes_back_over_midnight for one in changes)
    assert any((one.at + one.after) % 3600 == 2700 for one in changes)


@pytest.mark.parametrize("interval", INTERVALS)
def test_intervals_are_disjoint_and_without_gaps(changes, interval):
    """Around each change, and from and up to within it, intervals follow each other, each with a number of its own."""
    for change in changes:
        for start, end in ((-2 * DAY, 2 * DAY), (0, DAY), (600, DAY), (-DAY, 0), (-DAY, 600)):
            period = change.period(interval, start, end)
            buckets, where = period.buckets, (change, start, end)
            assert buckets[0].start <= period.start, where
            assert buckets[-1].start < period.end, where
            assert all(one.start < other.start.astimezone(UTC) for one, other in pairwise(buckets)), where
            assert all(one.key < other.key for one, other in pairwise(buckets)), where
            assert len({one.start.isoformat() for one in buckets}) == len(buckets), where


@pytest.mark.parametrize("interval", INTERVALS)
def test_each_moment_lies_in_the_interval_of_the_calendar(changes, interval):
    """Moments are in one interval just where the calendar and the clock, as people read them, say the same of them."""
    for change in filter(_is_alone, changes):
        period = change.period(interval)
        starts = [int(one.start.timestamp()) for one in period.buckets]
        seen: dict[int, object] = {}
        for moment in _moments(change, period):
            place = bisect_right(starts, moment) - 1
            own = _calendar(change, moment, interval)
            assert seen.setdefault(place, own) == own, (change, moment - change.at)
        assert len(set(seen.values())) == len(seen), change


def test_a_question_of_a_part_has_the_intervals_of_the_whole(changes):
    """Where a question begins makes no difference to the number of an interval or to where the next one begins."""
    for change in changes:
        for interval in ("hour", "day"):
            whole = change.period(interval).buckets
            for start in (-600, 0, 1, 600, 3000):
                part = change.period(interval, start, DAY).buckets
                assert part == whole[whole.index(part[0]) :][: len(part)], (change, interval, start)


@pytest.mark.store
def test_the_engine_gives_each_moment_the_same_number(changes, store):
    """Events of any moment around any change get the number of the interval that Python says, whatever the interval."""
    for change in changes:
        for group in (("minute",), INTERVALS[1:]):
            periods = [change.period(interval) for interval in group]
            moments = _moments(change, periods[0])
            keys = ", ".join(period.key_sql() for period in periods)
            sql = f"SELECT {keys} FROM (SELECT toDateTime64(arrayJoin({moments}), 6, 'UTC') AS event_time)"
            body = store.query_raw(sql, {}, "JSONCompact", {"output_format_json_quote_64bit_integers": "0"})
            rows = json.loads(body)["data"]
            for place, period in enumerate(periods):
                buckets = period.buckets
                starts = [int(one.start.timestamp()) for one in buckets]
                wanted = [buckets[bisect_right(starts, one) - 1].key for one in moments]
                assert [row[place] for row in rows] == wanted, (change, period.interval)


@pytest.mark.store
@pytest.mark.parametrize(
    ("zone", "first", "hours"),
    [
        ("Pacific/Chatham", "2026-04-04T11:00:00+00:00", [("03:00+13:45", 3), ("02:45+12:45", 1)]),
        ("Australia/Lord_Howe", "2026-04-04T12:00:00+00:00", [("01:00+11:00", 4), ("01:30+10:30", 2)]),
        ("America/St_Johns", "2010-11-07T00:00:00+00:00", [("00:00-02:30", 1), ("23:01-03:30", 3)]),
    ],
)
def test_the_hours_of_a_change_add_up_to_the_whole(insert, ask, zone, first, hours):
    """Events every quarter of an hour: those of the hour before and after the change are counted once."""
    begin = datetime.fromisoformat(first)
    times = [begin + timedelta(minutes=15 * number) for number in range(28)]
    project = insert([{"event_time": one.isoformat()} for one in times])
    question = {
        "kind": "trend", "from": first, "to": (times[-1] + timedelta(minutes=1)).isoformat(), "timezone": zone,
        "series": [{"event_name": "seen"}],
    }  # fmt: skip
    rows = ask(project, question, interval="hour").rows
    assert sum(count for _, count in rows) == 28 == ask(project, question).rows[0][0]
    found = {time[11:16] + time[19:]: count for time, count in rows}
    assert [(hour, found[hour]) for hour, _ in hours] == hours


@pytest.mark.store
def test_a_day_is_what_lies_between_its_midnights(insert, ask):
    """St. John's turned back from 00:01 to 23:01: rows by day are what questions about these days alone answer."""
    begin = datetime(2010, 11, 6, tzinfo=UTC)
    project = insert([{"event_time": (begin + timedelta(minutes=10 * n)).isoformat()} for n in range(600)])
    question = {
        "kind": "trend", "from": "2010-11-05", "to": "2010-11-11", "timezone": "America/St_Johns",
        "series": [{"event_name": "seen"}],
    }  # fmt: skip
    rows = ask(project, question, interval="day").rows
    assert sum(count for _, count in rows) == 600
    for time, count in rows:
        day = date.fromisoformat(time[:10])
        alone = {"from": str(day), "to": str(day + timedelta(days=1))}
        assert ask(project, {**question, **alone}).rows == [[count]], day
        assert ask(project, {**question, **alone}, interval="day").rows == [[time, count]], day


def test_the_first_hour_of_1970_has_a_number_in_every_zone():
    """Where an hour began before 1970 its number is none that the engine cannot hold."""
    question = {
        "kind": "trend",
        "from": "1970-01-01T00:00:00Z",
        "to": "1970-01-01T05:00:00Z",
        "interval": "hour",
    }
    for zone in sorted(available_timezones()):
        parsed = parse_question({**question, "timezone": zone, "series": [{"event_name": "seen"}]})
        assert parsed.period().buckets[0].key >= 0, zone
