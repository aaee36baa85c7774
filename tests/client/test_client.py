"""What applications call: shapes of events, copies, ambient attributes, precedence, the off switch."""

from __future__ import annotations

import asyncio
import threading
import uuid
from datetime import UTC, datetime, timedelta, timezone

import pytest

from tallymark import Client
from tallymark.client import ambient, reset_ambient, set_ambient
from tallymark.event import Event
from tallymark.testing import CaptureSink


def test_record_makes_an_event_the_server_can_decode(intake, connect):
    """An event carries id, time, type, name, core fields at the top and everything else under attributes."""
    client = connect(service_name="shop", service_version="1.2")
    before = datetime.now(UTC)
    client.record("behavioral", "signup", plan="pro", seats=3, user_id="u1", value=2.5)
    assert client.flush(10)
    (event,) = intake.events
    stamp = datetime.fromisoformat(event["event_time"])
    assert timedelta(milliseconds=-1) <= stamp - before <= timedelta(seconds=30)
    assert uuid.UUID(event["event_id"]).version == 7
    assert event["attributes"] == {"plan": "pro", "seats": 3}
    assert {key: event[key] for key in ("event_type", "event_name", "user_id", "value", "service_name")} == {
        "event_type": "behavioral",
        "event_name": "signup",
        "user_id": "u1",
        "value": 2.5,
        "service_name": "shop",
    }
    assert set(event) <= set(Event.__struct_fields__)


def test_request_has_key_time_and_path(intake, connect):
    """Each request goes to /v1/events with the key and the time at which it was sent."""
    connect().record("behavioral", "signup")
    assert intake.wait_for(lambda: intake.events)
    (request,) = intake.requests
    assert request["path"] == "/v1/events"
    assert request["headers"]["Authorization"] == "Bearer test-key"
    assert datetime.fromisoformat(request["headers"]["Tallymark-Sent-At"]).tzinfo is not None
    assert "Content-Encoding" not in request["headers"]


def test_kinds_of_events_have_their_types():
    """behavior, metric and log record events of the types behavioral, metric and log."""
    sink = CaptureSink()
    client = Client(sink=sink)
    client.behavior("clicked", button="buy")
    client.metric("queue_length", 7, queue="mail")
    client.log("started", level="warning", port=80)
    types = [(event["event_type"], event["event_name"]) for event in sink]
    assert types == [("behavioral", "clicked"), ("metric", "queue_length"), ("log", "started")]
    assert sink[1]["value"] == 7.0
    assert sink[1]["attributes"] == {"queue": "mail"}
    assert sink[2]["attributes"] == {"level": "warning", "port": 80}


def test_copies_do_not_change_their_parent_and_share_its_sink():
    """A with_ copy has more context, its parent has what it had, and both record into one sink."""
    sink = CaptureSink()
    parent = Client(sink=sink, service_name="shop")
    copy = (
        parent.with_user(42)
        .with_install("i1")
        .with_dev(True)
        .with_service("cart", "2", "abc")
        .with_(region="eu")
    )
    parent.behavior("a")
    copy.behavior("b", x=1)
    first, second = sink.events
    assert "user_id" not in first
    assert first["attributes"] == {}
    assert first["service_name"] == "shop"
    assert (second["user_id"], second["install_id"], second["is_dev"]) == ("42", "i1", True)
    assert (second["service_name"], second["service_version"], second["service_commit"]) == (
        "cart",
        "2",
        "abc",
    )
    assert second["attributes"] == {"region": "eu", "x": 1}


def test_call_wins_over_ambient_and_ambient_over_client():
    """For core fields and attributes alike the precedence is client < ambient < call."""
    sink = CaptureSink()
    client = Client(sink=sink, attributes={"a": "client", "b": "client", "c": "client"}).with_user("client")
    with ambient(b="ambient", c="ambient", user_id="ambient", session_id="s"):
        client.behavior("x", c="call")
        client.behavior("y", user_id="call", session_id=None)
    client.behavior("z")
    x, y, z = sink.events
    assert x["attributes"] == {"a": "client", "b": "ambient", "c": "call"}
    assert (x["user_id"], x["session_id"]) == ("ambient", "s")
    assert y["user_id"] == "call"
    assert "session_id" not in y, "None takes a field of the context back"
    assert (z["user_id"], z["attributes"]["b"]) == ("client", "client")


def test_set_ambient_can_be_taken_back_and_a_wrong_token_does_nothing():
    """reset_ambient undoes set_ambient, and never raises for a token that was used before."""
    sink = CaptureSink()
    client = Client(sink=sink)
    token = set_ambient(step="one")
    client.behavior("a")
    reset_ambient(token)
    reset_ambient(token)
    client.behavior("b")
    assert [event["attributes"] for event in sink] == [{"step": "one"}, {}]


def test_ambient_attributes_stay_in_their_thread_and_task():
    """Threads and asyncio tasks that run at the same time do not see each other's ambient attributes."""
    sink = CaptureSink()
    client = Client(sink=sink)
    barrier = threading.Barrier(2)

    def work(number):
        with ambient(number=number):
            barrier.wait(30)
            client.behavior("thread", expected=number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    async def task(number):
        with ambient(number=number):
            await asyncio.sleep(0)
            client.behavior("task", expected=number)

    async def main():
        await asyncio.gather(*(task(number) for number in range(20)))

    asyncio.run(main())
    attributes = [event["attributes"] for event in sink]
    assert len(attributes) == 22
    assert all(each["number"] == each["expected"] for each in attributes)


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("value", "abc", "abc"),
        ("value", True, True),
        ("value", float("nan"), "NaN"),
        ("value", 10**400, str(10**400)),
        ("user_id", 1.5, 1.5),
        ("user_id", "x" * 300, "x" * 300),
        ("is_dev", "yes", "yes"),
        ("performer_groups", "admins", "admins"),
        ("event_type", "mine", "mine"),
        ("sketch_values", [1], [1]),
        ("truncated", 1, 1),
        ("event_time", "yesterday", "yesterday"),
    ],
)
def test_a_mistyped_core_field_becomes_an_attribute(name, value, kept):
    """A value that does not fit its core field is kept among the attributes, and the event is not lost."""
    sink = CaptureSink()
    Client(sink=sink).record("behavioral", "x", **{name: value})
    assert sink[0]["attributes"] == {name: kept}


def test_event_id_and_time_of_the_caller_are_used():
    """record() takes event_id and event_time given as attributes; a time without a zone is UTC."""
    sink = CaptureSink()
    client = Client(sink=sink)
    client.behavior("a", event_id='my "id"', event_time=datetime(2020, 1, 2, 3, 4, 5, 6))  # noqa: DTZ001  the case
    client.behavior("b", event_time=datetime(2020, 1, 2, 3, tzinfo=timezone(timedelta(hours=2))))
    assert sink[0]["event_id"] == 'my "id"'
    assert sink[0]["event_time"] == "2020-01-02T03:04:05.000006Z"
    assert sink[1]["event_time"] == "2020-01-02T01:00:00.000000Z"
    assert uuid.UUID(sink[1]["event_id"])


def test_record_raw_adds_nothing_but_missing_identity():
    """A proxied event keeps its id and gets no context; only a missing id or time is made."""
    sink = CaptureSink()
    client = Client(sink=sink, service_name="proxy").with_user("me")
    whole = {
        "event_id": "e1",
        "event_time": "2026-01-01T00:00:00Z",
        "event_type": "t",
        "event_name": "n",
        "odd": 1,
    }
    with ambient(region="eu"):
        client.record_raw(whole)
        client.record_raw({"event_type": "t", "event_name": "n"})
        client.record_raw("no object")
    assert sink[0] == whole
    assert set(sink[1]) == {"event_id", "event_time", "event_type", "event_name"}
    assert client.stats().dropped == {"unserialisable": 1}


def test_values_may_change_after_the_call():
    """An event holds the values as they were when it was recorded."""
    sink = CaptureSink()
    items = [1]
    Client(sink=sink).behavior("x", items=items)
    items.append(2)
    assert sink[0]["attributes"] == {"items": [1]}


def test_off_switch_makes_everything_do_nothing(monkeypatch, intake):
    """With TALLYMARK_DISABLED nothing is sent, nothing is counted, no thread starts, and every call works."""
    monkeypatch.setenv("TALLYMARK_DISABLED", "1")
    threads = threading.active_count()
    client = Client(intake.url, "k")
    client.behavior("a")
    client.metric("b", 1)
    client.increment("c")
    client.gauge("d", 1)
    client.timing("e", 1)
    client.record_raw({})
    assert client.flush(1)
    assert client.send_all([{"event_name": "x"}]).sent == 1
    assert client.close()
    assert threading.active_count() == threads
    assert intake.requests == []


def test_without_a_key_nothing_is_sent_and_one_warning_says_how_to_mend_it(intake, warnings_said):
    """A client without a key is a no-op that warns once, with the fix."""
    Client(intake.url).behavior("a")
    Client(intake.url).behavior("b")
    (said,) = warnings_said
    assert "Fix: set TALLYMARK_WRITE_KEY" in said
    assert intake.requests == []


def test_timer_measures_blocks_functions_and_coroutines():
    """timer() is a context manager and a decorator, for functions and coroutine functions, also when they raise."""
    sink = CaptureSink()
    client = Client(sink=sink)

    @client.timer("work", part="function")
    def double(x):
        return 2 * x

    @client.timer("work", part="coroutine")
    async def triple(x):
        return 3 * x

    with client.timer("work", part="block") as timer, timer:
        pass
    assert timer.seconds >= 0
    with pytest.raises(KeyError), client.timer("work", part="raises"):
        raise KeyError("of the application")
    assert (double(2), asyncio.run(triple(2))) == (4, 6)
    assert double.__name__ == "double"
    counts = {event["attributes"]["part"]: event["attributes"]["count"] for event in sink.named("work")}
    assert counts == {"block": 2, "raises": 1, "function": 1, "coroutine": 1}


def test_client_closes_at_the_end_of_a_with_block(intake, connect):
    """`with Client(...)` delivers what was recorded; recording afterwards counts as closed."""
    with connect(flush_interval=60) as client:
        client.behavior("a")
    client.behavior("late")
    client.increment("late")
    assert [event["event_name"] for event in intake.events] == ["a"]
    assert client.stats().dropped == {"closed": 2}
    assert client.stats().recorded == 3
