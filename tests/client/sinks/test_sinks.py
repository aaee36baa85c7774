"""Sinks that compose: file, logger, noop, filter, fan-out."""

from __future__ import annotations

import json
import logging
import os
import threading

import pytest

from tallymark import Client
from tallymark.client import FanOutSink, FileSink, FilterSink, IntakeSink, LoggerSink, NoopSink
from tallymark.client.settings import Settings
from tallymark.testing import CaptureSink

QUICK = Settings(flush_interval=0.01, retry_base=0.005, retry_cap=0.02)


def read(path):
    return [json.loads(line)["event_name"] for line in path.read_text().splitlines()]


def test_file_sink_appends_whole_lines(tmp_path):
    """Events go to the file as NDJSON, readable by the owner alone, and a second client appends."""
    path = tmp_path / "new" / "events.ndjson"
    for name in ("a", "b"):
        with Client(sink=FileSink(path)) as client:
            client.behavior(name, text="line\nbreak")
    assert read(path) == ["a", "b"]
    assert path.stat().st_mode & 0o777 == 0o600


def test_file_sink_tries_again_while_the_path_is_unwritable(tmp_path, intake):
    """While the path cannot be written events wait; once it can, they are written."""
    path = tmp_path / "blocked" / "events.ndjson"
    path.parent.write_text("a file where a folder should be")
    client = Client(sink=FileSink(path, settings=QUICK))
    client.behavior("a")
    assert intake.wait_for(lambda: client.stats().retries > 0)
    assert client.stats().waiting == 1
    path.parent.unlink()
    assert client.flush(20)
    assert read(path) == ["a"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs the device /dev/full")  # noqa: PTH110  a device
def test_a_full_disk_harms_nobody():
    """With a full disk nothing raises, and close counts what could not be written."""
    client = Client(sink=FileSink("/dev/full", settings=QUICK))
    client.behavior("a")
    assert not client.close(0.1)
    assert client.stats().dropped == {"closed": 1}
    assert "No space" in client.stats().last_error


def test_sinks_can_be_chosen_by_the_environment(tmp_path, monkeypatch):
    """TALLYMARK_SINK chooses file, logger or noop without a change in code."""
    path = tmp_path / "events.ndjson"
    monkeypatch.setenv("TALLYMARK_SINK", f"file:{path}")
    with Client() as client:
        client.behavior("a")
    assert read(path) == ["a"]
    monkeypatch.setenv("TALLYMARK_SINK", "logger")
    assert isinstance(Client()._core.sink, LoggerSink)
    monkeypatch.setenv("TALLYMARK_SINK", "noop")
    assert isinstance(Client()._core.sink, NoopSink)


def test_logger_sink_logs_and_survives_its_handlers(caplog):
    """Events are logged as JSON; a handler that raises or records again neither raises nor loops."""
    logger = logging.getLogger("audit.test")
    client = Client(sink=LoggerSink(logger, logging.WARNING))

    class Loop(logging.Handler):
        def emit(self, _record):
            client.behavior("again")
            raise RuntimeError("of the application")

    with caplog.at_level(logging.INFO, "audit.test"):
        client.behavior("a")
        assert json.loads(caplog.messages[0])["event_name"] == "a"
        handler = Loop()
        logger.addHandler(handler)
        client.behavior("b")
        logger.removeHandler(handler)
    stats = client.stats()
    assert stats.sent == 1
    assert stats.dropped == {"internal_error": 2}


def test_filter_counts_what_it_stops_and_lets_pass_when_it_fails():
    """Stopped events count as filtered; a predicate that raises loses nothing."""
    sink = CaptureSink()

    def choose(event):
        if event["event_name"] == "odd":
            raise ValueError
        return event["event_name"] != "noise"

    client = Client(sink=FilterSink(choose, sink))
    for name in ("noise", "kept", "odd", "noise"):
        client.behavior(name)
    assert client.send_all([{"event_name": "noise"}, {"event_name": "kept"}]).sent == 1
    assert [event["event_name"] for event in sink] == ["kept", "odd", "kept"]
    assert client.stats().dropped == {"filtered": 3}


def test_fan_out_gives_to_all_and_none_delays_another(intake, tmp_path, refused_port):
    """With one sink dead the others get everything; counts are per sink and summed."""
    path = tmp_path / "events.ndjson"
    dead = IntakeSink(settings=Settings(url=f"http://127.0.0.1:{refused_port}", key="k"))
    alive = IntakeSink(settings=Settings(url=intake.url, key="k", flush_interval=0.01))
    client = Client(sink=FanOutSink(dead, alive, FileSink(path, settings=QUICK)))
    client.behavior("a")
    assert intake.wait_for(lambda: [event["event_name"] for event in intake.events] == ["a"])
    assert intake.wait_for(lambda: path.exists() and read(path) == ["a"])
    client.increment("n", 2)
    assert not client.flush(0.3)
    assert intake.wait_for(lambda: len(intake.events) == 2)
    client.close(0.2)
    parts = client.stats().parts
    assert [(part.recorded, part.sent, dict(part.dropped)) for part in parts] == [
        (2, 0, {"closed": 2}),
        (2, 2, {}),
        (2, 2, {}),
    ]
    assert client.stats().recorded == 6


def test_send_all_reaches_every_sink_of_a_fan_out(tmp_path):
    """send_all delivers to each sink and adds the counts up."""
    capture = CaptureSink()
    path = tmp_path / "events.ndjson"
    client = Client(sink=FanOutSink(capture, FileSink(path, settings=QUICK)))
    summary = client.send_all({"event_type": "t", "event_name": str(number)} for number in range(20))
    assert (summary.sent, summary.unsent, summary.error) == (40, 0, "")
    assert len(capture) == len(read(path)) == 20
    client.close(10)


def test_counters_of_a_direct_sink_are_sent_when_due(intake):
    """A sink without a sender still gets the counters at the end of their interval."""
    sink = CaptureSink()
    client = Client(sink=sink, metrics_interval=0.02)
    client.increment("n")
    assert intake.wait_for(lambda: sink._captured)
    assert sink._captured[0]["value"] == 1


def test_a_sink_of_ones_own_may_raise(warnings_said):
    """A sink that raises costs its events, not the host."""

    class Broken(CaptureSink):
        def emit(self, _line):
            raise OSError("of the application")

    client = Client(sink=Broken())
    client.behavior("a")
    client.metric("b", 1)
    client.record_raw({})
    assert sum(client.stats().dropped.values()) == 3
    assert any("Fix:" in said for said in warnings_said)


def test_direct_sinks_count_exactly_from_many_threads():
    """Counts of a direct sink agree with what was recorded by threads at once."""
    client = Client(sink=CaptureSink())
    threads = [threading.Thread(target=lambda: [client.behavior("x") for _ in range(300)]) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert client.stats().sent == client.stats().recorded == 1800
