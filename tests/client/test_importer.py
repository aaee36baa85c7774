"""send_all: blocks instead of dropping, and says what became of each event."""

from __future__ import annotations

import json
import threading
import time

import pytest


def events(count, name="x"):
    for number in range(count):
        yield {
            "event_id": f"{name}-{number}",
            "event_time": "2026-01-01T00:00:00Z",
            "event_type": "t",
            "event_name": name,
            "attributes": {"number": number},
        }


def fail(code, headers=None):
    return lambda handler, _: handler.answer(code, b"{}", headers)


def test_everything_arrives_once_through_faults(intake, connect):
    """Failing answers are tried again: each event is acknowledged once, in spite of errors and resets."""
    intake.script.extend([fail(500), fail(503, {"Retry-After": "0"}), lambda handler, _: handler.reset()])
    client = connect(batch_events=100)
    summary = client.send_all(events(2050))
    assert (summary.sent, summary.refused, summary.unsent, summary.error) == (2050, 0, 0, "")
    assert len(set(intake.ids)) == len(intake.ids) == 2050
    stats = client.stats()
    assert (stats.recorded, stats.sent, stats.waiting, stats.retries) == (2050, 2050, 0, 3)


def test_more_than_the_buffer_holds_drops_nothing(intake, connect):
    """An import far larger than the buffer loses nothing, and events recorded meanwhile are not pushed out."""
    client = connect(max_buffer_events=10, max_buffer_bytes=4096, flush_interval=60)
    client.behavior("recorded")
    assert client.send_all(events(3000)).sent == 3000
    assert client.flush(20)
    assert client.stats().dropped == {}
    assert len(intake.events) == 3001


def test_only_a_handful_of_batches_is_read_ahead(intake, connect):
    """While the server does not answer, no more of the iterable is read than a few batches."""
    read = []

    def source():
        for event in events(10_000):
            read.append(1)
            yield event

    intake.always = lambda handler, _: handler.server.released.wait(60)
    client = connect(batch_events=10, request_timeout=60.0)
    summary = client.send_all(source(), timeout=0.5)
    assert len(read) <= 100
    assert summary.sent == 0
    assert summary.unsent > 0
    assert "0.5 s" in summary.error or summary.error
    assert client.stats().recorded == summary.unsent == client.stats().dropped["retries_exhausted"]


def test_timeout_is_honoured_while_the_server_is_down(connect, refused_port):
    """With nobody listening send_all returns after its timeout and says why."""
    client = connect(url=f"http://127.0.0.1:{refused_port}")
    start = time.monotonic()
    summary = client.send_all(events(10), timeout=0.3)
    assert time.monotonic() - start < 30, "hang guard"
    assert (summary.sent, summary.unsent) == (0, 10)
    assert "refused" in summary.error.lower()


def test_refused_events_are_counted_and_the_rest_goes_on(intake, connect):
    """Events judged invalid are in the summary; the others of their batch are sent."""

    def refuse_sevens(handler, batch):
        bad = [place for place, event in enumerate(batch) if event["attributes"]["number"] % 7 == 0]
        rejected = [{"index": place, "code": "field_invalid", "message": "seven", "at": ""} for place in bad]
        handler.answer(207 if bad else 200, {"accepted": len(batch) - len(bad), "rejected": rejected})

    intake.always = refuse_sevens
    client = connect(batch_events=50)
    summary = client.send_all(events(700))
    assert (summary.sent, summary.refused, summary.unsent) == (600, 100, 0)
    assert client.stats().dropped == {"refused": 100}


@pytest.mark.parametrize("code", [401, 403, 404])
def test_a_wrong_key_or_address_ends_the_import_at_once(intake, connect, code):
    """An answer that would meet every batch ends the import instead of burning through it."""
    intake.always = fail(code)
    summary = connect(batch_events=10).send_all(events(100_000))
    assert summary.sent == 0
    assert summary.error.startswith(str(code))
    assert len(intake.requests) < 20


def test_a_batch_too_large_is_halved(intake, connect):
    """413 leads to smaller batches; an event too large by itself counts as refused."""

    def small_only(handler, batch):
        if len(batch) > 3 or any(event["attributes"]["number"] == 5 for event in batch):
            handler.answer(413, b"{}")
        else:
            handler.accept(batch)

    intake.always = small_only
    summary = connect(batch_events=16).send_all(events(6), timeout=20)
    assert (summary.sent, summary.refused) == (5, 1)


def test_what_the_iterable_raises_is_raised_after_what_came_before_was_sent(intake, connect):
    """A fault in the caller's own generator reaches the caller; events before it are delivered."""

    def source():
        yield from events(25)
        raise LookupError("of the caller")

    client = connect(batch_events=10)
    with pytest.raises(LookupError):
        client.send_all(source())
    assert len(intake.events) == 25
    stats = client.stats()
    assert stats.waiting == 0
    assert stats.sent == len(intake.events)


def test_events_that_are_no_objects_are_counted(intake, connect):
    """What is no object is dropped as unserialisable and the rest is sent."""
    client = connect()
    summary = client.send_all([*events(2), None, 5, "x"])
    assert summary.sent == 2
    assert client.stats().dropped == {"unserialisable": 3}


def test_two_imports_at_once_keep_their_own_counts(intake, connect):
    """Each call's summary counts its own events only."""
    client = connect(batch_events=20)
    summaries = {}

    def work(name, count):
        summaries[name] = client.send_all(events(count, name))

    threads = [threading.Thread(target=work, args=("a", 300)), threading.Thread(target=work, args=("b", 500))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (summaries["a"].sent, summaries["b"].sent) == (300, 500)
    assert client.stats().sent == 800


def test_events_are_sent_as_they_were_given(intake, connect):
    """A premade event arrives unchanged."""
    (event,) = events(1)
    connect().send_all([event])
    assert json.dumps(intake.events[0], sort_keys=True) == json.dumps(event, sort_keys=True)
