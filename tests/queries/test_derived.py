"""The hour and the weekday of an event, in the question's time zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from tallymark.errors import RequestRefused
from tallymark.queries.events import list_events
from tallymark.queries.names import list_fields, list_values
from tallymark.queries.parse import parse_question
from tallymark.queries.question import Filter

pytestmark = pytest.mark.store

SEEN = [{"event_name": "seen", "name": "n"}]
# Half hours, changes of half an hour, and one whose rules were announced late.
ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
)


@pytest.fixture(scope="module")
def every_hour(insert):
    """Return a project with one event every 50 minutes of the year 2026."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    times = [start + timedelta(minutes=50 * number) for number in range(365 * 24 * 60 // 50)]
    return insert([{"event_time": time.strftime("%Y-%m-%dT%H:%M:%SZ")} for time in times]), times


@pytest.mark.parametrize("zone", ZONES)
def test_hours_and_weekdays_are_local(ask, every_hour, zone):
    """Each event counts in the hour and weekday that a clock on that wall showed, over both changes of the clock."""
    project, times = every_hour
    answer = ask(
        project,
        {"kind": "trend", "from": "2026-01-01T00:00:00Z", "to": "2027-01-01T00:00:00Z", "timezone": zone},
        series=SEEN,
        breakdown=["event_weekday", "event_hour"],
        limit=1000,
    )
    wanted: dict[tuple[str, int], int] = {}
    for time in times:
        local = time.astimezone(ZoneInfo(zone))
        key = (local.strftime("%a"), local.hour)
        wanted[key] = wanted.get(key, 0) + 1
    assert {(row[0], row[1]): row[2] for row in answer.rows} == wanted


def test_filters_and_events_know_them(ask, store, every_hour):
    """A filter on hour and weekday keeps the same events in a question and in the search."""
    project, times = every_hour
    filters = [
        {"field": "event_hour", "op": "gte", "value": 22},
        {"field": "event_weekday", "op": "in", "value": ["Sat", "Sun"]},
    ]
    zone = ZoneInfo("Europe/Berlin")
    local = [time.astimezone(zone) for time in times]
    wanted = [time for time in local if time.hour >= 22 and time.weekday() >= 5 and time.month == 3]
    span = {"from": "2026-03-01", "to": "2026-04-01", "timezone": "Europe/Berlin"}
    answer = ask(project, {"kind": "trend", **span}, series=SEEN, filters=filters)
    assert answer.rows == [[len(wanted)]]
    page = list_events(
        store, project, filters=[Filter(**one) for one in filters], start="2026-03-01", end="2026-04-01",
        timezone="Europe/Berlin", limit=500,
    )  # fmt: skip
    assert len(page.events) == len(wanted)
    everything = list_events(
        store, project, filters=[Filter(**filters[0])], timezone="Europe/Berlin", limit=500
    )
    assert all(
        datetime.fromisoformat(one["event_time"]).astimezone(zone).hour >= 22 for one in everything.events
    )


def test_they_are_offered_and_have_values(store, every_hour):
    """Lists of fields name them, lists of values have them, and an empty project is offered nothing."""
    project, _ = every_hour
    types = {field.name: field.types for field in list_fields(store, project)}
    assert types["event_hour"] == ["number"]
    assert types["event_weekday"] == ["text"]
    assert {value.value for value in list_values(store, project, "seen", "event_weekday")} == {
        "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun",
    }  # fmt: skip
    assert list_fields(store, "nobody", "seen") == []


def test_an_attribute_of_that_name_is_still_reached(insert, ask):
    """`attributes.event_hour` is what the sender said."""
    project = insert([{"attributes": {"event_hour": 99, "``local``": 7}}])
    for field, value in (("attributes.event_hour", "99"), ("attributes.``local``", "7"), ("event_hour", 0)):
        answer = ask(
            project,
            {"kind": "trend", "from": "2024-01-01", "to": "2024-01-02"},
            series=SEEN,
            breakdown=[field],
        )
        assert answer.rows == [[value, 1]]


def test_a_time_far_away_is_no_long_look(ask, every_hour):
    """A question from the year 1 on is answered: no event lies where clocks are not known."""
    project, times = every_hour
    answer = ask(
        project,
        {"kind": "trend", "from": "0001-01-02", "to": "9999-01-01", "timezone": "Europe/Berlin"},
        series=SEEN,
        breakdown=["event_hour"],
    )
    assert sum(row[1] for row in answer.rows) == len(times)


def test_what_they_cannot_do_is_refused():
    """An hour is a number and a weekday a text."""
    for wrong in (
        {"field": "event_hour", "op": "eq", "value": "noon"},
        {"field": "event_weekday", "op": "eq", "value": 1},
    ):
        with pytest.raises(RequestRefused) as caught:
            parse_question(
                {
                    "kind": "trend",
                    "from": "2024-01-01",
                    "to": "2024-01-02",
                    "series": SEEN,
                    "filters": [wrong],
                }
            )
        assert caught.value.at == "filters[0].value"
