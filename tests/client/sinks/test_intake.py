"""The intake sink against a far side that is down, slow, lying, dripping or forgetful."""

from __future__ import annotations

import json
import threading
import time

import pytest

from tallymark import Client


def status(code, content=b"{}", headers=None):
    return lambda handler, _events: handler.answer(code, content, headers)


def hang(handler, _events):
    handler.server.released.wait(60)


def reset(handler, _events):
    handler.reset()


def lose_acknowledgement(handler, events):
    handler.server.events.extend(events)
    handler.reset()


def drip(handler, _events):
    """Send one byte of an endless header at a time."""
    try:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while not handler.server.released.wait(0.02):
            handler.wfile.write(b"x")
            handler.wfile.flush()
    except OSError:
        handler.close_connection = True


def drip_body(handler, _events):
    """Announce a long body and send it one byte at a time."""
    try:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while not handler.server.released.wait(0.02):
            handler.wfile.write(b" ")
            handler.wfile.flush()
    except OSError:
        handler.close_connection = True


def lie_about_length(handler, _events):
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}")
    handler.close_connection = True


def speak_gibberish(handler, _events):
    handler.wfile.write(b"\x16\x03\x01 I am no web server\r\n\r\n")
    handler.close_connection = True


PASSING_FAULTS = [
    status(500),
    status(503, b"", {"Retry-After": "0"}),
    status(429, b"{}", {"Retry-After": "0"}),
    status(408),
    status(200, b"<html>welcome to the hotel</html>"),
    status(200, b'{"accepted": 999, "rejected": []}'),
    status(200, b""),
    status(204, b""),
    status(207, b'{"accepted": 0, "rejected": [{"index": 7, "code": "x"}]}'),
    status(200, b"[" * 100_000),
    status(200, b" " * 5_000_000),
    reset,
    lie_about_length,
    speak_gibberish,
]


@pytest.mark.parametrize("fault", PASSING_FAULTS, ids=range(len(PASSING_FAULTS)))
def test_a_fault_that_passes_costs_no_event(intake, connect, fault):
    """After an answer that is no acknowledgement the same events are sent again, with the same ids, once."""
    intake.script.extend([fault, fault])
    client = connect()
    client.behavior("a")
    client.behavior("b")
    assert client.flush(20)
    assert [event["event_name"] for event in intake.events] == ["a", "b"]
    tried = {event["event_id"] for request in intake.requests for event in request["events"]}
    assert tried == set(intake.ids)
    stats = client.stats()
    assert (stats.sent, stats.waiting, stats.retries, stats.dropped) == (2, 0, 2, {})
    assert stats.last_error


def test_a_lost_acknowledgement_sends_the_same_ids_again(intake, connect):
    """When the answer is lost the batch arrives twice with the same ids, so that the server can tell."""
    intake.script.append(lose_acknowledgement)
    client = connect()
    client.behavior("a")
    client.behavior("b")
    assert client.flush(20)
    assert len(intake.ids) == 4
    assert intake.ids[:2] == intake.ids[2:]


def test_server_down_blocks_nobody_and_everything_arrives_once_it_is_up(intake, connect, refused_port):
    """With nobody listening record() returns at once, close gives up in time, and every event is accounted for."""
    client = connect(url=f"http://127.0.0.1:{refused_port}")
    start = time.monotonic()
    for number in range(1000):
        client.behavior("x", number=number)
    recorded_in = time.monotonic() - start
    assert not client.flush(0.05)
    assert client.stats().waiting == 1000
    start = time.monotonic()
    assert not client.close(0.3)
    assert time.monotonic() - start < 30, "hang guard"
    assert recorded_in < 30, "hang guard"
    stats = client.stats()
    assert stats.dropped == {"closed": 1000}
    assert (stats.recorded, stats.waiting) == (1000, 0)
    assert "refused" in stats.last_error.lower()


@pytest.mark.parametrize("trap", [hang, drip, drip_body], ids=["hang", "drip", "drip_body"])
def test_close_honours_its_deadline_in_the_middle_of_a_request(intake, connect, trap):
    """A server that never finishes its answer holds close() no longer than the deadline."""
    intake.always = trap
    client = connect()
    client.behavior("x")
    assert intake.wait_for(lambda: intake.requests)
    start = time.monotonic()
    assert not client.close(0.2)
    assert time.monotonic() - start < 30, "hang guard"
    assert intake.wait_for(lambda: client.stats().waiting == 0)
    assert client.stats().dropped == {"closed": 1}


@pytest.mark.parametrize("trap", [hang, drip, drip_body], ids=["hang", "drip", "drip_body"])
def test_a_request_has_a_time_limit_of_its_own(intake, connect, trap):
    """A server that drips or hangs loses the request after request_timeout, and the events go out again."""
    intake.script.append(trap)
    client = connect(request_timeout=0.3)
    client.behavior("x")
    assert client.flush(20)
    assert len(intake.requests) == 2
    assert "imeout" in client.stats().last_error or "longer" in client.stats().last_error


def test_without_a_thread_close_still_sends_and_still_honours_its_deadline(intake, connect, monkeypatch):
    """Where no thread can start, close() delivers in the calling thread, bounded by the deadline."""
    start_thread = threading.Thread.start

    def refuse(thread):
        if thread.name == "tallymark":
            raise RuntimeError("can't start new thread")
        start_thread(thread)

    good, bad = connect(), connect()
    monkeypatch.setattr(threading.Thread, "start", refuse)
    good.behavior("a")
    assert good.stats().waiting == 1
    assert good.close(20)
    assert [event["event_name"] for event in intake.events] == ["a"]
    intake.always = hang
    start = time.monotonic()
    bad.behavior("b")
    assert not bad.close(0.3)
    assert time.monotonic() - start < 30, "hang guard"
    assert bad.stats().dropped == {"closed": 1}


def test_refused_events_are_counted_told_and_never_sent_again(intake, connect):
    """A 207 names the refused ones: they count as refused, on_drop sees one, and nothing is retried."""
    answer = {
        "accepted": 1,
        "rejected": [{"index": 1, "code": "field_invalid", "message": "no", "at": "events[1]"}],
    }
    intake.script.append(status(207, json.dumps(answer).encode()))
    told = []
    client = connect(on_drop=lambda *what: told.append(what), flush_interval=60)
    client.behavior("good")
    client.behavior("bad")
    assert not client.flush(20)
    assert client.stats().dropped == {"refused": 1}
    assert client.stats().sent == 1
    client.close(20)
    ((reason, count, sample),) = told
    assert (reason, count, sample["event_name"]) == ("refused", 1, "bad")
    assert sum(len(request["events"]) for request in intake.requests) == 2


@pytest.mark.parametrize("code", [301, 302, 307, 400, 401, 403, 404, 410, 415, 422])
def test_a_final_answer_is_not_retried(intake, connect, code):
    """Redirects are not followed and 4xx answers are final: the events count as refused after one request."""
    intake.script.append(status(code, b"{}", {"Location": intake.url + "/elsewhere"}))
    client = connect()
    client.behavior("x")
    assert not client.flush(20)
    assert client.stats().dropped == {"refused": 1}
    assert client.stats().retries == 0
    assert [request["path"] for request in intake.requests if request["events"]] == ["/v1/events"]


def test_a_batch_that_is_too_large_is_halved_until_it_fits(intake, connect):
    """After 413 the batch goes out in halves; a single event that is too large counts as refused."""

    def small_only(handler, events):
        if len(events) > 2 or any(event["event_name"] == "huge" for event in events):
            handler.answer(413, b"{}")
        else:
            handler.accept(events)

    intake.always = small_only
    client = connect(flush_interval=60)
    for number in range(9):
        client.behavior("huge" if number == 4 else "fits", number=number)
    assert not client.flush(20)
    assert client.stats().dropped == {"refused": 1}
    assert sorted(event["attributes"]["number"] for event in intake.events) == [0, 1, 2, 3, 5, 6, 7, 8]


def test_retry_after_is_honoured_even_when_flushed(intake, connect):
    """While the server asked for time, no request is made, flush or not."""
    intake.script.append(status(429, b"{}", {"Retry-After": "3600"}))
    client = connect(retry_after_cap=1000.0)
    client.behavior("x")
    assert intake.wait_for(lambda: client.stats().retries == 1)
    assert not client.flush(0.2)
    assert len(intake.requests) == 1
    assert client.stats().waiting == 1


def test_retries_end_and_are_counted(intake, connect):
    """After the last allowed attempt the batch is dropped as retries_exhausted and the next one has its turn."""
    intake.always = status(500)
    client = connect(retry_max_attempts=3)
    client.behavior("lost")
    assert intake.wait_for(lambda: client.stats().dropped == {"retries_exhausted": 1})
    assert len([request for request in intake.requests if request["events"]]) == 3
    intake.always = None
    client.behavior("kept")
    assert client.flush(20)
    assert [event["event_name"] for event in intake.events] == ["kept"]


def test_drops_are_reported_as_running_totals_until_acknowledged(intake, connect):
    """Totals go out with the next request, again when that was not acknowledged, and then no more."""
    intake.script.append(status(500))
    client = connect(flush_interval=60)
    client.record_raw(1)
    client.record_raw(2)
    client.behavior("x")
    assert client.flush(20)
    client.behavior("y")
    assert client.flush(20)
    reports = intake.reports
    assert [report["dropped"] for report in reports] == [{"unserialisable": 2}] * 2
    assert len({report["instance"] for report in reports}) == 1
    assert "Tallymark-Client-Report" not in intake.requests[-1]["headers"]


def test_a_drop_is_reported_even_when_no_event_waits(intake, connect):
    """With nothing else to send, an empty batch carries the report, once."""
    client = connect()
    client.record_raw(1)
    assert intake.wait_for(lambda: intake.requests)
    assert client.close(20)
    (request,) = intake.requests
    assert request["events"] == []
    assert json.loads(request["headers"]["Tallymark-Client-Report"])["dropped"] == {"unserialisable": 1}


def test_a_refused_report_is_not_sent_over_and_over(intake, connect):
    """When the server turns the report away, the client does not ask again at once."""
    intake.always = status(401)
    client = connect(retry_cap=1000.0)
    client.behavior("x")
    assert intake.wait_for(lambda: len(intake.requests) == 2)
    assert intake.wait_for(lambda: client._core.sink.sender._report_not_before > 0)
    client._core.sink.sender.worker.wake()
    assert client._core.sink.sender.step() > 100
    assert [len(request["events"]) for request in intake.requests] == [1, 0]


def test_batches_are_bounded_by_count_and_bytes_and_large_ones_compressed(intake, connect):
    """No batch has more than batch_events events or batch_bytes bytes, and one over 1 KB is gzipped."""
    client = connect(batch_events=50, batch_bytes=20_000, flush_interval=60)
    for number in range(500):
        client.behavior("x", number=number, text="y" * (1000 if number % 2 else 10))
    assert client.flush(20)
    assert [event["attributes"]["number"] for event in intake.events] == list(range(500)), (
        "in order, all of them"
    )
    assert max(len(request["events"]) for request in intake.requests) <= 50
    assert all(request["headers"].get("Content-Encoding") == "gzip" for request in intake.requests)
    assert sum(request["size"] for request in intake.requests) == client.stats().bytes < 100_000


def test_memory_is_bounded_and_the_oldest_make_room(connect, refused_port):
    """With the server down, waiting events never exceed the limit in bytes; the newest are kept, the rest counted."""
    client = connect(
        url=f"http://127.0.0.1:{refused_port}", max_buffer_bytes=50_000, retry_base=100.0, retry_cap=100.0
    )
    told = []
    for number in range(5000):
        client.behavior("x", number=number)
        told.append(client.stats().waiting_bytes)
    assert max(told) <= 50_000
    stats = client.stats()
    assert stats.recorded == 5000 == stats.waiting + stats.dropped["queue_full"]
    assert stats.waiting > 100
    kept = [json.loads(line)["attributes"]["number"] for line in client._core.sink.buffer.take(10_000, 10**9)]
    assert kept[-1] == 4999
    assert kept == sorted(kept)


def test_threads_record_at_once_and_nothing_is_lost_or_doubled(intake, connect):
    """Events of many threads arrive exactly once each, and the counts agree."""
    client = connect(batch_events=100)

    def work(name):
        for number in range(500):
            client.behavior("x", name=name, number=number)
            client.increment("calls", thread=name)

    threads = [threading.Thread(target=work, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert client.flush(30)
    events = [event for event in intake.events if event["event_name"] == "x"]
    assert (
        len({(event["attributes"]["name"], event["attributes"]["number"]) for event in events})
        == 4000
        == len(events)
    )
    totals = [event["value"] for event in intake.events if event["event_name"] == "calls"]
    assert sum(totals) == 4000
    stats = client.stats()
    assert stats.recorded == stats.sent == len(intake.events)


def test_on_drop_may_raise(intake, connect, warnings_said):
    """A callback that raises neither stops the sender nor the host, and is logged with the fix."""

    def broken(*_):
        raise ValueError("of the application")

    intake.script.append(status(400))
    client = connect(on_drop=broken)
    client.behavior("refused")
    assert not client.flush(20)
    client.behavior("fine")
    assert client.close(20)
    assert any("on_drop raised" in said and "Fix:" in said for said in warnings_said)


def test_a_drop_is_logged_at_most_once_a_minute(intake, connect, warnings_said):
    """However many events are dropped for a reason, it is said once a minute, with the fix."""
    client = connect()
    for _ in range(5):
        client.record_raw(None)
        client.flush(20)
    assert client.close(20)
    said = [text for text in warnings_said if "unserialisable" in text]
    assert len(said) == 1
    assert "Fix:" in said[0]


def test_flush_is_true_only_when_what_was_recorded_is_acknowledged(intake, connect):
    """flush() is False while the server says no and True once it took everything."""
    intake.always = status(500)
    client = connect()
    client.behavior("x")
    assert not client.flush(0.1)
    intake.always = None
    assert client.flush(20)
    assert Client(intake.url, "k").flush(0), "nothing recorded is nothing to wait for"
