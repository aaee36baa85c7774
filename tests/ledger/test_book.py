"""The ledger's writing end: a commit is whole or not at all, caps decide what is kept, and counts always add up."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallymark.errors import FormatError, TallymarkError
from tallymark.journal.record import FailedEvent, Heading
from tallymark.ledger.book import MOST_DROPPED_IN_A_MINUTE, Batch, Book, Entry, Limits, TraceRow
from tallymark.ledger.quarantine import count_quarantined, find_quarantined, list_quarantined
from tallymark.ledger.report import build_report, read_cursor
from tallymark.ledger.tables import open_for_reading
from tallymark.ledger.tail import Tail
from tallymark.web.pages.balance import build_outside

NOW_US = 1_800_000_000_000_000
DAY_US = 86_400_000_000
BEGIN, END = datetime(2020, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.sqlite"


@pytest.fixture
def open_book(path):
    made = []

    def make(**limits) -> Book:
        made.append(Book(path, Limits(**limits)))
        return made[-1]

    yield make
    for book in made:
        book.close()


def _heading(project="p", received_us=NOW_US, **fields) -> Heading:
    return Heading(project, "http", received_us, **fields)


def _failed(event_id="e", body=b'{"a":1}', code="wrong_type") -> FailedEvent:
    return FailedEvent(code, "wrong", 0, "value", event_id, "n", body)


def _entry(heading: Heading, **lines: int) -> Entry:
    entry = Entry()
    for line, events in lines.items():
        entry.count(heading, line, events)
    return entry


def _totals(path, project="p"):
    return build_report(path, Tail(path.parent), project, BEGIN, END)


def test_commit_moves_cursor_and_counts_together(open_book, path):
    """Cursor and counts appear in one step and add up over commits."""
    book = open_book()
    assert book.claim(0) == read_cursor(path) == 0
    book.commit(_entry(_heading(), received=3, stored=3), 0, 5, NOW_US)
    book.commit(_entry(_heading(), received=2, stored=1, duplicate=1), 0, 6, NOW_US)
    assert read_cursor(path) == 6
    totals = _totals(path).totals
    assert (totals.received, totals.stored, totals.duplicate) == (5, 4, 1)


def test_a_second_loader_ends_the_first(open_book, path):
    """Whoever claims the cursor last may move it alone: the loader before it commits nothing any more."""
    first, second = open_book(), open_book()
    assert first.claim(0) == 0
    first.commit(_entry(_heading(), received=3), 0, 4, NOW_US)
    assert second.claim(0) == 4
    with pytest.raises(TallymarkError, match="reader_superseded"):
        first.commit(_entry(_heading(), received=9), 0, 9, NOW_US)
    second.commit(_entry(_heading(), received=2), 0, 5, NOW_US)
    assert (read_cursor(path), _totals(path).totals.received) == (5, 5)


def test_a_begun_batch_is_known_to_the_next_loader(open_book):
    """The bounds of an insert are there after a crash, until the next insert has its own."""
    book = open_book()
    assert book.find_batch(0) is None
    for batch in (Batch(0, 3, 9, 17), Batch(0, 10, 12, 18)):
        book.begin_batch(batch)
        assert open_book().find_batch(0) == batch


@pytest.mark.parametrize("fault", [KeyboardInterrupt, ValueError])
def test_interrupted_commit_changes_nothing(open_book, path, monkeypatch, fault):
    """A commit that dies half way leaves cursor, counts, quarantine and traces as they were, and can be done again."""
    book = open_book()
    entry = _entry(_heading(), received=2, stored=1)
    entry.failed.append((_heading(), 1, _failed()))

    def die(_) -> None:
        raise fault

    with monkeypatch.context() as patch:
        patch.setattr("tallymark.ledger.book.reach", die)
        with pytest.raises(fault):
            book.commit(entry, 0, 5, NOW_US)
    assert read_cursor(path) == 0
    assert _totals(path).totals.received == 0
    assert list_quarantined(path, "p").events == []
    again = _entry(_heading(), received=2, stored=1)
    again.failed.append((_heading(), 1, _failed()))
    book.commit(again, 0, 5, NOW_US)
    report = _totals(path)
    assert report.balanced
    assert report.totals.quarantined == {"wrong_type": 1}


def test_failed_events_are_quarantined_as_long_as_there_is_room(open_book, path):
    """Past a project's cap failures are counted as refused, another project's still fit, and room comes back."""
    book = open_book(quarantine_bytes=20_000, quarantine_days=30)
    for number in range(10):
        entry = _entry(_heading(), received=1)
        entry.failed.append((_heading(), number, _failed(f"e{number}", b"x" * 5000)))
        book.commit(entry, 0, number, NOW_US)
    other = _entry(_heading("q"), received=1)
    other.failed.append((_heading("q"), 11, _failed()))
    book.commit(other, 0, 12, NOW_US)
    report = _totals(path)
    kept = report.totals.quarantined["wrong_type"]
    assert 2 <= kept <= 4
    assert report.totals.refused == {"wrong_type": 10 - kept}
    assert report.balanced
    assert _totals(path, "q").totals.quarantined == {"wrong_type": 1}
    assert len(list_quarantined(path, "p").events) == kept
    book.prune(NOW_US + 31 * DAY_US)
    assert list_quarantined(path, "p").events == []
    assert _totals(path).totals.quarantined["wrong_type"] == kept
    late = _entry(_heading(received_us=NOW_US + 31 * DAY_US), received=1)
    late.failed.append((_heading(received_us=NOW_US + 31 * DAY_US), 13, _failed("late", b"x" * 5000)))
    book.commit(late, 0, 14, NOW_US + 31 * DAY_US)
    assert [event.event_id for event in list_quarantined(path, "p").events] == ["late"]


def test_what_did_not_parse_is_refused_and_described(open_book, path):
    """Without a body nothing is kept but hash, size and place."""
    book = open_book()
    entry = _entry(_heading(), received=1)
    entry.failed.append(
        (_heading(), 1, FailedEvent("malformed_json", "no", 0, "byte 3", sha256="ab", size=9))
    )
    book.commit(entry, 0, 1, NOW_US)
    assert _totals(path).totals.refused == {"malformed_json": 1}
    connection = open_for_reading(path)
    assert connection.execute("SELECT sha256, size, detail FROM trace").fetchall() == [
        ("ab", 9, "no (at byte 3)")
    ]
    connection.close()


@settings(max_examples=60, deadline=None)
@given(reports=st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 50)), max_size=20))
def test_client_totals_are_maxima(tmp_path_factory, reports):
    """In any order of running totals, the ledger's sum is the sum of each client's maximum."""
    path = tmp_path_factory.mktemp("book") / "ledger.sqlite"
    book = Book(path)
    for number, (instance, total) in enumerate(reports):
        entry = Entry()
        entry.clients.append(_heading(client_instance=instance, client_dropped={"queue_full": total}))
        book.commit(entry, 0, number, NOW_US)
    book.close()
    highest: Counter[str] = Counter()
    for instance, total in reports:
        highest[instance] = max(highest[instance], total)
    dropped = _totals(path).outside.client_dropped
    assert dropped.get("queue_full", 0) == highest.total()


def _report(book: Book, number: int, instance: str, received_us: int = NOW_US, **dropped: int) -> None:
    entry = Entry()
    entry.clients.append(_heading(received_us=received_us, client_instance=instance, client_dropped=dropped))
    book.commit(entry, 0, number, received_us)


def test_a_report_that_claims_too_much_is_capped_and_marked(open_book, path):
    """10¹² drops count as what clients can have dropped, all reasons together, and are told; later rises are ordinary."""
    book = open_book()
    _report(book, 1, "a", queue_full=10**12, closed=5)
    for number in (2, 3):
        _report(book, number, "a", NOW_US + 60_000_000, queue_full=10**12 + 7)
    outside = _totals(path).outside
    assert sum(outside.client_dropped.values()) == MOST_DROPPED_IN_A_MINUTE + 7
    assert outside.client_reports_capped == 1
    titles = [title for title, _ in build_outside(_totals(path))]
    assert titles == ["Dropped by clients", "Implausible reports of clients"]


@pytest.mark.parametrize("together", [True, False])
def test_many_clients_claim_no_more_than_one(open_book, path, together):
    """300 clients that claim the bound in one minute count as it once, in one commit and in many; 299 are marked."""
    book = open_book()
    headings = [
        _heading(client_instance=f"c{number}", client_dropped={"queue_full": MOST_DROPPED_IN_A_MINUTE})
        for number in range(300)
    ]
    for number, some in enumerate([headings] if together else [[heading] for heading in headings]):
        entry = Entry()
        entry.clients += some
        book.commit(entry, 0, number, NOW_US)
    outside = _totals(path).outside
    assert outside.client_dropped == {"queue_full": MOST_DROPPED_IN_A_MINUTE}
    assert outside.client_reports_capped == 299


def test_a_report_of_the_bound_is_believed(open_book, path):
    """Exactly as many as can be are counted and not marked, again in the next minute, and in another project."""
    book = open_book()
    _report(book, 1, "a", queue_full=MOST_DROPPED_IN_A_MINUTE)
    _report(book, 2, "b", NOW_US + 60_000_000, queue_full=MOST_DROPPED_IN_A_MINUTE)
    entry = Entry()
    entry.clients.append(_heading("q", client_instance="a", client_dropped={"closed": 5}))
    book.commit(entry, 0, 3, NOW_US)
    outside = _totals(path).outside
    assert outside.client_dropped == {"queue_full": 2 * MOST_DROPPED_IN_A_MINUTE}
    assert outside.client_reports_capped == 0
    assert _totals(path, "q").outside.client_dropped == {"closed": 5}


def test_few_clients_of_a_project_are_remembered(open_book, path):
    """Of a project's clients those stay that reported last, also with what they said before; another's stay as they are."""
    book = open_book(client_instances=3)
    entry = Entry()
    entry.clients.append(_heading("q", client_instance="other", client_dropped={"closed": 5}))
    book.commit(entry, 0, 0, NOW_US)
    for number, instance in enumerate("abcade"):
        _report(book, number + 1, instance, NOW_US + number, queue_full=10, closed=1)
    connection = open_for_reading(path)
    kept = connection.execute("SELECT DISTINCT project, instance FROM client_total").fetchall()
    connection.close()
    assert sorted(kept) == [("p", "a"), ("p", "d"), ("p", "e"), ("q", "other")]
    _report(book, 9, "a", NOW_US + 9, queue_full=11, closed=1)
    assert _totals(path).outside.client_dropped == {"queue_full": 51, "closed": 5}


def test_traces_are_capped_by_age_and_number(open_book, path):
    """Traces of what was not stored go by age and by number; counts stay."""
    book = open_book(trace_rows=3, trace_days=7)
    entry = _entry(_heading(), received=5, duplicate=5)
    for number in range(5):
        entry.traces.append((_heading(), number, TraceRow(f"e{number}", "n", "duplicate", "")))
    book.commit(entry, 0, 1, NOW_US)
    book.prune(NOW_US)
    connection = open_for_reading(path)
    rows = connection.execute("SELECT event_id FROM trace ORDER BY id").fetchall()
    assert rows == [("e2",), ("e3",), ("e4",)]
    book.prune(NOW_US + 8 * DAY_US)
    assert connection.execute("SELECT count(*) FROM trace").fetchone() == (0,)
    connection.close()
    assert _totals(path).totals.duplicate == 5


def test_quarantine_is_read_by_project_code_and_page(open_book, path):
    """Listing is newest first and pages on; finding gives what waits; replayed events are marked, not gone."""
    book = open_book()
    entry = _entry(_heading(), received=6)
    for number in range(6):
        code = "wrong_type" if number % 2 else "too_deep"
        entry.failed.append((_heading(), number, _failed(f"e{number}", code=code)))
    book.commit(entry, 0, 1, NOW_US)
    newest = list_quarantined(path, "p", limit=4).events
    assert [event.event_id for event in newest] == ["e5", "e4", "e3", "e2"]
    assert [event.event_id for event in list_quarantined(path, "p", before_id=newest[-1].id).events] == [
        "e1",
        "e0",
    ]
    assert [event.event_id for event in list_quarantined(path, "p", code="too_deep").events] == [
        "e4",
        "e2",
        "e0",
    ]
    assert list_quarantined(path, "other").events == []
    done = Entry()
    done.replayed.append((newest[0].id, NOW_US + 5))
    book.commit(done, 0, 2, NOW_US)
    assert [event.event_id for event in find_quarantined(path, "p", [newest[0].id, newest[1].id], 10)] == [
        "e4"
    ]
    assert find_quarantined(path, "other", [newest[1].id], 10) == []
    counts = {count.code: (count.events, count.replayed) for count in count_quarantined(path, "p")}
    assert counts == {"wrong_type": (3, 1), "too_deep": (3, 0)}


def test_rows_are_by_interval_and_source(open_book, path):
    """A report's rows hold one interval of one source each, and are balanced one by one."""
    book = open_book()
    for minute in (0, 1, 61):
        for source in ("http", "replay"):
            heading = Heading("p", source, NOW_US + minute * 60_000_000)
            book.commit(_entry(heading, received=2, stored=2), 0, minute, NOW_US)
    for interval, rows in (("minute", 6), ("hour", 4), ("day", 2)):
        report = build_report(path, Tail(path.parent), "p", BEGIN, END, interval)
        assert len(report.rows) == rows
        assert sum(row["received"] for row in report.rows) == 12
        assert all(row["balanced"] for row in report.rows)


def test_missing_event_unbalances_the_report(open_book, path):
    """A received event on no other line is told as it is: not balanced."""
    open_book().commit(_entry(_heading(), received=3, stored=2), 0, 1, NOW_US)
    report = _totals(path)
    assert not report.balanced
    assert not report.rows[0]["balanced"]


def test_newer_format_is_refused(open_book, path):
    """A ledger that a newer program wrote is refused by name, for writing and for reading."""
    book = open_book()
    book._connection.execute("PRAGMA user_version = 99")
    with pytest.raises(FormatError, match="format 99"):
        Book(path)
    with pytest.raises(FormatError, match="format 99"):
        open_for_reading(path)
