"""Events: pages from the newest on that neither repeat nor skip, and one event whole."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from tallymark.errors import RequestRefused
from tallymark.queries import events
from tallymark.queries.events import Present, find_event, find_present, list_events
from tallymark.queries.question import Filter

pytestmark = pytest.mark.store


@pytest.fixture(scope="module")
def project(insert):
    return insert(
        [
            {
                "event_name": "ab"[n % 2],
                "event_time": f"2024-01-01T00:00:{n // 4:02d}Z",
                "attributes": {"n": n},
            }
            for n in range(40)
        ]
    )


def walk(store, project, **words):
    pages, cursor = [], None
    while True:
        page = list_events(store, project, cursor=cursor, **words)
        pages.append([event["attributes"]["n"] for event in page.events])
        cursor = page.next_cursor
        if cursor is None:
            return pages


def test_pages_hold_every_event_once(store, project):
    """Paging over events of equal times gives each once, newest first, and ends."""
    for limit in (7, 10, 40, 500):
        pages = walk(store, project, limit=limit)
        assert [n for page in pages for n in page] == list(reversed(range(40)))
        assert all(len(page) == limit for page in pages[:-1])


def test_events_are_searched_by_name_field_and_time(store, project):
    """Name, filters and times narrow the pages; `end` is exclusive."""
    filters = [Filter("n", "lt", 20)]
    words = {
        "event_name": "a",
        "filters": filters,
        "start": "2024-01-01T00:00:02Z",
        "end": "2024-01-01T00:00:04Z",
    }
    assert walk(store, project, limit=3, **words) == [[14, 12, 10], [8]]


def test_what_came_in_a_time_is_told_by_its_names(store, insert, monkeypatch):
    """The end is exclusive, another project's events are not there, and what is tallymark's own is no traffic."""
    start = datetime(2024, 1, 1, tzinfo=UTC)

    def look(project, minutes):
        return find_present(store, project, start, start + timedelta(minutes=minutes))

    project = insert(
        [
            {"event_name": "up", "source": "own", "event_time": "2024-01-01T00:00:00Z"},
            {"event_name": "paid", "event_time": "2024-01-01T00:01:00Z"},
            {"event_name": "up", "event_time": "2024-01-01T00:02:00Z"},
        ]
    )
    assert look(project, 1) == Present({"up": 1}, quiet=True)
    assert look(project, 2) == Present({"up": 1, "paid": 1}, quiet=False)
    assert look(project, 3) == Present({"up": 2, "paid": 1}, quiet=False)
    assert look("nobody", 3) == Present({}, quiet=True)
    monkeypatch.setattr(events, "_MOST_NAMES", 1)
    assert look(project, 2) == Present(None, quiet=False)


def test_an_event_is_shown_with_what_it_has(store, insert):
    """One event whole: given fields, false and 0 where they mean something, attributes as they were sent."""
    project = insert(
        [
            {
                "event_id": "the one",
                "user_id": "u",
                "value": 0,
                "performer_is_bot": False,
                "skew_ms": 250,
                "attributes": {"a.b": [1, "x"], "deep": {"er": "<b>"}},
            }
        ]
    )
    assert find_event(store, project, "the one") == {
        "event_time": "2024-01-01T00:00:00.250000Z",
        "client_time": "2024-01-01T00:00:00.000000Z",
        "received_at": "2026-01-01T00:00:00.000000Z",
        "event_id": "the one",
        "event_type": "behavior",
        "event_name": "seen",
        "value": 0,
        "user_id": "u",
        "performer_is_bot": False,
        "source": "http",
        "streams": ["default"],
        "skew_ms": 250,
        "attributes": {"a.b": [1, "x"], "deep": {"er": "<b>"}},
    }


def test_another_projects_event_is_not_found(store, insert):
    """An id is looked for in its own project only."""
    insert([{"event_id": "private"}])
    assert find_event(store, insert([{}]), "private") is None


def cursor_of(text):
    return base64.urlsafe_b64encode(text).decode()


@pytest.mark.parametrize(
    ("words", "at"),
    [
        ({"cursor": "?"}, "cursor"),
        ({"cursor": "é"}, "cursor"),
        ({"cursor": cursor_of(b"[]")}, "cursor"),
        ({"cursor": cursor_of(b'["now","x"]')}, "cursor"),
        ({"cursor": cursor_of(b'["2024-01-01T00:00:00","x"]')}, "cursor"),
        ({"limit": 0}, "limit"),
        ({"limit": 501}, "limit"),
        ({"start": "soon"}, "start"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"filters": [Filter("attributes.", "exists")]}, "filters[0].field"),
    ],
)
def test_what_cannot_be_searched_is_refused_with_its_place(store, words, at):
    """A cursor made up by hand, a page too large, a time that is none: each says where."""
    with pytest.raises(RequestRefused) as caught:
        list_events(store, "any", **words)
    assert caught.value.at == at


def test_page_of_large_events_ends_by_its_bytes(store, insert, monkeypatch):
    """A page holds so many bytes and says where it goes on: large events come whole, each once, on more pages."""
    monkeypatch.setattr(events, "PAGE_BYTES", 100_000)
    many = [
        {
            "event_name": "large",
            "event_time": "2024-01-01T00:00:00Z",
            "attributes": {"n": n, "text": "x" * 30_000},
        }
        for n in range(10)
    ]
    project = insert(many)
    page = list_events(store, project, limit=500)
    assert 3 <= len(page.events) <= 5
    assert page.next_cursor
    assert f"after {len(page.events)} of 500" in page.note
    pages = walk(store, project, limit=500)
    assert sorted(n for found in pages for n in found) == list(range(10))
    assert len(pages) <= 4
    monkeypatch.setattr(events, "PAGE_BYTES", 1)
    assert [len(found) for found in walk(store, project, limit=500)] == [1] * 10


def test_page_of_small_events_says_nothing(store, project):
    """Where all fit there is no note."""
    assert list_events(store, project, limit=7).note is msgspec.UNSET
    assert list_events(store, project, limit=500).note is msgspec.UNSET
