"""From a batch to a record: rows and fingerprints depend on the event and its project, on nothing else."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark.event import Event
from tallymark.intake.accept import Acceptor, build_batch
from tallymark.journal.record import FINGERPRINT_BYTES, FailedEvent, render_rows
from tallymark.pipeline.batch import Arrival, Batch

RECEIVED = datetime(2026, 1, 31, 12, 0, 0, 123457, tzinfo=UTC)
_TEXT = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), max_size=6)
_EVENTS = st.lists(
    st.builds(
        Event,
        event_time=st.datetimes(datetime(1971, 1, 1), datetime(2026, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - hypothesis adds the zone
        event_id=st.text('abcäöü/"\\', min_size=1, max_size=5),
        event_type=st.just("t"),
        event_name=st.just("n"),
        value=st.none() | st.floats(allow_nan=False, allow_infinity=False),
        attributes=st.dictionaries(_TEXT.filter(bool), st.none() | st.integers(-9, 9) | _TEXT, max_size=3),
    ),
    min_size=1,
    max_size=6,
)  # fmt: skip


def _prepare(events, project="p", seed=1, **arrival):
    copies = msgspec.convert(msgspec.to_builtins(events), list[Event])
    batch = build_batch(Arrival(project, "http", RECEIVED, **arrival), copies)
    return Acceptor(journal=None, seed=seed).prepare(batch)


def _fingerprints(record) -> list[bytes]:
    raw = record.fingerprints
    return [raw[at : at + FINGERPRINT_BYTES] for at in range(0, len(raw), FINGERPRINT_BYTES)]


@given(events=_EVENTS, cut=st.integers(0, 6))
def test_batching_does_not_change_an_event(events, cut):
    """In whatever company an event comes, its fingerprint and its line are the same."""
    whole = _prepare(events)
    parts = [_prepare(part) for part in (events[:cut], events[cut:]) if part]
    assert _fingerprints(whole) == [one for part in parts for one in _fingerprints(part)]
    assert whole.rows == b"".join(part.rows for part in parts)


@given(events=_EVENTS)
def test_rows_hold_the_event_and_what_the_server_knows(events):
    """A row for the store is the event with its time renamed, and behind it project, source, times and position."""
    record = _prepare(events)
    record.number = 17
    rows = [json.loads(row) for row in render_rows(record, 0)]
    assert [row["event_id"] for row in rows] == [event.event_id for event in events]
    for row in rows:
        assert (row["project"], row["source"], row["journal_record"], row["skew_ms"]) == ("p", "http", 17, 0)
        assert row["received_at"] == "2026-01-31T12:00:00.123457Z"
        assert "event_time" not in row
        assert datetime.fromisoformat(row["client_time"]).tzinfo
    assert record.heading.accepted == len(rows) == len(_fingerprints(record))


def test_identity_is_of_project_id_and_installation():
    """Another project, id or installation is another identity; other content changes the content's hash alone."""
    event = Event(RECEIVED, "id", "t", "n", value=1.0)
    (first,) = _fingerprints(_prepare([event]))
    (other_content,) = _fingerprints(_prepare([msgspec.structs.replace(event, value=2.0)]))
    assert first[:16] == other_content[:16]
    assert first[16:] != other_content[16:]
    for changed in (
        _prepare([event], project="q"),
        _prepare([event], seed=2),
        _prepare([msgspec.structs.replace(event, event_id="di")]),
    ):
        assert _fingerprints(changed)[0][:16] != first[:16]


def test_project_and_id_cannot_be_mixed_up():
    """Project and id that read the same when put together are different events."""
    (one,) = _fingerprints(_prepare([Event(RECEIVED, "bc", "t", "n")], project="a"))
    (two,) = _fingerprints(_prepare([Event(RECEIVED, "c", "t", "n")], project="ab"))
    assert one[:16] != two[:16]


@pytest.mark.parametrize("depth", [10, 400, 900])
def test_failed_event_of_any_depth_is_redacted_or_only_described(depth):
    """An event too deep to be redacted does not pass unredacted, and does not stop the request."""
    body = b'{"a":' * depth + b'"ada@example.org"' + b"}" * depth
    failed = FailedEvent("too_deep", "deep", 0, "attributes", "e", "n", body)
    batch = Batch(Arrival("p", "http", RECEIVED), [], [], failed=[failed])
    record = Acceptor(journal=None, seed=1).prepare(batch)
    (kept,) = record.failed
    assert b"ada@" not in kept.body
    assert kept.body or (kept.sha256 and kept.size == len(body))
    assert record.heading.failed == {"too_deep": 1}


def test_times_are_corrected_by_the_senders_clock():
    """The heading carries the skew, the row both times: the client's own stays as it was."""
    event = Event(datetime(2016, 1, 1, tzinfo=UTC), "id", "t", "n")
    record = _prepare([event], sent_at=datetime(2016, 1, 1, 0, 0, 5, tzinfo=UTC))
    record.number = 0
    (row,) = (json.loads(row) for row in render_rows(record, 0))
    assert row["client_time"].startswith("2016-01-01T00:00:00")
    assert record.heading.skew_ms == row["skew_ms"] > 9 * 365 * 86_400_000
