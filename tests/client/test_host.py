"""Host metrics: what is read, what is made of it, and in whose thread and process."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest

from tallymark import Client
from tallymark.client import FanOutSink, FileSink, LoggerSink, NoopSink, ambient
from tallymark.client.host import (
    HostSampler,
    build_cpu_percent,
    check_every,
    parse_cpu,
    parse_memory_percent,
    parse_resident_pages,
    parse_start_ticks,
)
from tallymark.testing import CaptureSink

PAGE = Path(__file__).parents[2].joinpath("docs", "client.md").read_text(encoding="utf-8")
GAUGES = ["host_cpu", "host_memory", "process_memory"]
STAT = "cpu  100 10 50 800 20 5 5 10 7 3\ncpu0 1 2 3 4 5 6 7 8 0 0\nintr 1 2 3\n"
MEMINFO = (
    "MemTotal:       1000 kB\nMemFree:         100 kB\nMemAvailable:    750 kB\nHugePages_Total:       0\n"
)
SELF_STAT = "77 (a (b) c) S " + " ".join(str(number) for number in range(4, 53))

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="reads the real /proc")


class Clock:
    """A clock that the test moves, in seconds."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def proc(tmp_path):
    """Return a folder that looks like /proc."""
    (tmp_path / "self").mkdir()
    (tmp_path / "stat").write_text(STAT)
    (tmp_path / "meminfo").write_text(MEMINFO)
    (tmp_path / "self/statm").write_text("765 424 395 5 0 123 0\n")
    (tmp_path / "self/stat").write_text(SELF_STAT)
    return tmp_path


@pytest.fixture
def client(sink):
    return Client(sink=sink, service_name="shop")


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def sampler(client, proc, clock):
    """Return a sampler that no thread polls."""
    return HostSampler(client._core, client._context, 10, proc=str(proc), clock=clock)


def write_cpu(proc, *ticks):
    (proc / "stat").write_text("cpu  " + " ".join(map(str, ticks)) + "\n")


def taken(sink):
    """Return name → value of what was captured, and forget it."""
    found = {event["event_name"]: event.get("value") for event in sink.events}
    sink.clear()
    return found


def find_sampler(client):
    """Return the only sampler that the client's own thread polls."""
    sink = client._core.sink
    sources = sink.sender.sources if hasattr(sink, "sender") else sink._sources
    (sampler,) = (each for each in sources if isinstance(each, HostSampler))
    return sampler


def hurry(client):
    """Let the next sample be due now, in the client's own thread."""
    find_sampler(client)._due = 0.0
    client._core.sink.wake()


# What is read.


def test_the_processors_are_read_from_the_first_line():
    """Eight clocks are read; the time of guests, which is part of two of them, is left out."""
    assert parse_cpu(STAT) == (100, 10, 50, 800, 20, 5, 5, 10)
    assert parse_cpu("cpu  1 2 3 4\n") == (1, 2, 3, 4, 0, 0, 0, 0), "a kernel that knows fewer"


@pytest.mark.parametrize(
    "text", ["", "\n", "cpu", "cpu  1 2 3", "cpu0 1 2 3 4 5", "cpu  1 2 x 4 5", "intr 1"]
)
def test_processors_that_make_no_sense(text):
    """No clocks are made up from a text that has none."""
    assert parse_cpu(text) is None


def test_percent_of_all_processors():
    """Idle and iowait are idle, all else is busy, time that the hypervisor took included."""
    before = (100, 10, 50, 800, 20, 5, 5, 10)
    assert build_cpu_percent(before, (110, 10, 50, 870, 40, 5, 5, 10)) == pytest.approx(10)
    assert build_cpu_percent(before, (100, 10, 50, 860, 20, 5, 5, 50)) == pytest.approx(40), "steal is busy"
    assert build_cpu_percent(before, (105, 15, 55, 800, 20, 10, 10, 15)) == 100
    assert build_cpu_percent(before, (100, 10, 50, 801, 21, 5, 5, 10)) == 0


def test_clocks_that_go_back():
    """One clock that goes back stood still, so a percentage stays within 0 and 100; when all do, there is none."""
    before = (100, 10, 50, 800, 20, 5, 5, 10)
    assert build_cpu_percent(before, (150, 10, 50, 850, 15, 5, 5, 10)) == pytest.approx(50)
    assert build_cpu_percent(before, (200, 10, 50, 790, 20, 5, 5, 10)) == 100
    assert build_cpu_percent(before, (90, 10, 50, 900, 20, 5, 5, 10)) == 0
    assert build_cpu_percent(before, (3, 0, 1, 40, 0, 0, 0, 0)) is None, "counted anew"
    assert build_cpu_percent(before, before) is None, "no time has passed"


def test_memory_percent():
    """What is neither free nor can be freed is used; without both sizes there is no percentage."""
    assert parse_memory_percent(MEMINFO) == 25
    for text in ("", "MemTotal: 1000 kB\nMemFree: 5 kB\n", "MemTotal: 0 kB\nMemAvailable: 0 kB\n"):
        assert parse_memory_percent(text) is None
    assert parse_memory_percent(MEMINFO.replace("750", "1750")) is None, "more than there is"
    assert parse_memory_percent(MEMINFO.replace("750", "much")) is None


def test_resident_pages():
    """The second number counts; a text without one has none."""
    assert parse_resident_pages("765 424 395 5 0 123 0\n") == 424
    for text in ("", "765", "765 -4", "765 x"):
        assert parse_resident_pages(text) is None


def test_start_ticks():
    """The start is the twenty-second word, whatever brackets and blanks the program has in its name; 0 is none."""
    assert parse_start_ticks(SELF_STAT) == 22
    for text in ("", "77 (sh) S 1 2", SELF_STAT.replace(" 22 ", " 0 "), SELF_STAT.replace(" 22 ", " -1 ")):
        assert parse_start_ticks(text) is None


# What is recorded.


def test_first_sample_has_no_load(sampler, proc, sink):
    """The first sample records memory alone; the second the load of the time between them."""
    sampler.sample()
    assert taken(sink) == {"host_memory": 25, "process_memory": 424 * os.sysconf("SC_PAGE_SIZE")}
    write_cpu(proc, 125, 10, 50, 875, 20, 5, 5, 10)
    sampler.sample()
    assert taken(sink)["host_cpu"] == 25
    write_cpu(proc, 3, 0, 1, 40, 0, 0, 0, 0)
    sampler.sample()
    assert "host_cpu" not in taken(sink), "counted anew"
    write_cpu(proc, 8, 0, 1, 45, 0, 0, 0, 0)
    sampler.sample()
    assert taken(sink)["host_cpu"] == 50


def test_events_carry_unit_host_and_context(sampler, proc, sink):
    """Each gauge has its unit, the host's name and the client's context; what is ambient in the thread stays out."""
    sampler.sample()
    write_cpu(proc, 200, 10, 50, 900, 20, 5, 5, 10)
    with ambient(user_id="u-1", request="r-1"):
        sampler.sample()
    events = {event["event_name"]: event for event in sink.events}
    host = socket.gethostname()
    assert {name: event["attributes"] for name, event in events.items()} == {
        "host_cpu": {"kind": "gauge", "unit": "%", "host": host},
        "host_memory": {"kind": "gauge", "unit": "%", "host": host},
        "process_memory": {"kind": "gauge", "unit": "B", "host": host},
    }
    assert all(event["service_name"] == "shop" and "user_id" not in event for event in events.values())
    assert {event["event_type"] for event in events.values()} == {"metric"}


@pytest.mark.parametrize("name", ["stat", "meminfo", "self/statm"])
@pytest.mark.parametrize("fault", ["missing", "folder", "empty", "binary"])
def test_what_cannot_be_read_is_not_recorded(sampler, proc, sink, warnings_said, name, fault):
    """A file of /proc that is missing, unreadable or senseless costs its own gauge and nothing else."""
    file = proc / name
    file.unlink()
    if fault == "folder":
        file.mkdir()
    elif fault != "missing":
        file.write_bytes(b"" if fault == "empty" else bytes(range(256)) * 40)
    for _ in range(2):
        sampler._due = 0.0
        sampler.poll()
        if name != "stat":
            write_cpu(proc, 200, 10, 50, 900, 20, 5, 5, 10)
    missing = {"stat": "host_cpu", "meminfo": "host_memory", "self/statm": "process_memory"}[name]
    assert sorted(taken(sink)) == [gauge for gauge in GAUGES if gauge != missing]
    assert warnings_said == []


def test_load_over_a_gap(sampler, proc, sink):
    """A reading that failed costs nothing: the next load is that of the whole time since the last good one."""
    sampler.sample()
    (proc / "stat").unlink()
    sampler.sample()
    assert "host_cpu" not in taken(sink)
    write_cpu(proc, 175, 10, 50, 825, 20, 5, 5, 10)
    sampler.sample()
    assert taken(sink)["host_cpu"] == 75


def test_start_that_cannot_be_told(sampler, proc):
    """Without the file, with a start of 0, or one in the future there is no start-up time."""
    for text in (None, SELF_STAT.replace(" 22 ", " 0 "), SELF_STAT.replace(" 22 ", f" {10**15} ")):
        (proc / "self/stat").unlink(missing_ok=True)
        if text is not None:
            (proc / "self/stat").write_text(text)
        assert sampler.measure_start() is None


@on_linux
def test_the_real_host(client, sink):
    """On a real host the figures agree with those of psutil, and the start-up time is the age of this process."""
    sampler = HostSampler(client._core, client._context, 10)
    first, before = sampler._read("stat"), psutil.cpu_times()
    sampler._cpu = parse_cpu(first)
    # Not by sleeping: the clocks have to move, and this moves them.
    while build_cpu_percent(sampler._cpu, parse_cpu(sampler._read("stat"))) is None:
        sum(range(10_000))
    sampler.sample()
    found = taken(sink)
    assert sorted(found) == GAUGES
    assert 0 <= found["host_cpu"] <= 100
    assert found["host_memory"] == pytest.approx(psutil.virtual_memory().percent, abs=10)
    assert found["process_memory"] == pytest.approx(psutil.Process().memory_info().rss, rel=0.2)
    assert parse_cpu(first)[0] == pytest.approx(before.user * os.sysconf("SC_CLK_TCK"), rel=0.01, abs=200)
    age = time.time() - psutil.Process().create_time()
    assert sampler.measure_start() == pytest.approx(age, abs=5)


# When, and in whose thread.


def test_samples_are_taken_when_it_is_time(sampler, clock, sink):
    """Whoever polls, a sample is taken at the start and then once in `every` seconds."""
    assert sampler.due() == 1000
    for _ in range(3):
        sampler.poll()
    assert sampler.due() == 1010
    assert sorted(taken(sink)) == GAUGES[1:]
    clock.now = 1009.9
    sampler.poll()
    assert taken(sink) == {}
    clock.now = 1010
    sampler.poll()
    assert sorted(taken(sink)) == GAUGES[1:], "no tick has passed in this /proc"
    assert sampler.due() == 1020


def test_two_threads_do_not_sample_twice(sampler, proc, sink, monkeypatch):
    """A poll in the middle of another one leaves the sample to it."""
    count = []
    sample = sampler.sample

    def sample_slowly():
        count.append(1)
        sampler.poll()
        sample()

    monkeypatch.setattr(sampler, "sample", sample_slowly)
    sampler.poll()
    assert count == [1]


def test_a_fault_of_the_sampler_ends_nothing(sampler, clock, monkeypatch, warnings_said):
    """A fault is logged, not raised, and the next sample comes at its time."""

    def fail():
        raise RuntimeError("mine")

    monkeypatch.setattr(sampler, "sample", fail)
    sampler.poll()
    assert sampler.due() == 1010
    assert ["host_metrics failed" in text for text in warnings_said] == [True]


@on_linux
def test_started_once(client, sink):
    """However often it is asked for, by copies too, there is one sampler, one start-up time and one thread."""
    before = set(threading.enumerate())
    client.host_metrics()
    client.host_metrics(3)
    client.with_(region="eu").host_metrics()
    client.with_user("u-1").host_metrics(every=60)
    assert find_sampler(client).every == 10
    assert len(set(threading.enumerate()) - before) == 1
    (event,) = sink.named("process_start")
    assert event["attributes"]["count"] == 1
    assert event["attributes"]["host"] == socket.gethostname()
    assert (event["attributes"]["kind"], event["attributes"]["unit"]) == ("timing", "s")
    assert 0 < event["attributes"]["sum"] < time.clock_gettime(time.CLOCK_BOOTTIME)


@on_linux
def test_the_clients_thread_samples(intake, connect):
    """Without another call the gauges arrive, sampled by the thread that delivers events; close ends both."""
    client = connect(metrics_interval=0.02)
    client.host_metrics()
    sampler = find_sampler(client)

    def arrived():
        hurry(client)
        return {"process_start", *GAUGES} <= {event["event_name"] for event in intake.events}

    assert intake.wait_for(arrived)
    assert all(0 <= event["value"] <= 100 for event in intake.events if event["event_name"] == "host_cpu")
    worker = client._core.sink.sender.worker
    assert client.close(20)
    assert intake.wait_for(lambda: not worker.is_alive)
    sampler._due = 0.0
    sampler.poll()
    assert sampler.due() is None
    stats = client.stats()
    assert (stats.waiting, stats.dropped) == (0, {})


@on_linux
@pytest.mark.parametrize("kind", ["fan-out", "logger"])
def test_other_sinks(tmp_path, caplog, kind):
    """The thread of whatever sink there is does it."""
    file = tmp_path / "events.ndjson"
    sink = FanOutSink(FileSink(file), LoggerSink()) if kind == "fan-out" else LoggerSink()
    client = Client(sink=sink, metrics_interval=0.02)
    with caplog.at_level("INFO"):
        client.host_metrics()
        end = time.monotonic() + 30
        while "host_memory" not in caplog.text:
            assert time.monotonic() < end, "hang guard"
            time.sleep(0.005)
        assert client.close(20)
    assert "process_start" in caplog.text
    assert client.stats().dropped == {}


@pytest.mark.parametrize("how", ["disabled", "no key", "noop", "closed", "other system"])
def test_where_there_is_nothing_to_do(how, monkeypatch, warnings_said):
    """A client that sends nothing or is closed starts nothing, and off Linux nothing is recorded."""
    before = set(threading.enumerate())
    clients = {
        "disabled": lambda: Client("http://127.0.0.1:9", "k", disabled=True),
        "no key": Client,
        "noop": lambda: Client(sink=NoopSink()),
    }
    sink = CaptureSink()
    client = clients.get(how, lambda: Client(sink=sink))()
    if how == "closed":
        client.close()
    if how == "other system":
        monkeypatch.setattr("tallymark.client.host.sys.platform", "darwin")
    client.host_metrics()
    assert client._core.sink.stats().recorded == 0
    assert set(threading.enumerate()) <= before
    assert sink.events == []
    assert client.close()
    assert [text for text in warnings_said if "host_metrics" in text] == []


@pytest.mark.parametrize(
    ("given", "every"),
    [
        *((10, 10), (1, 1), ("5", 5), (0.2, 1), (0, 1), (-3, 1), (10**9, 86_400)),
        *((given, 10) for given in (float("nan"), float("inf"), None, True, "soon", 10**400)),
    ],
)
def test_time_between_samples(given, every, warnings_said):
    """What is too short or too long is moved to the limit, what is no number gives 10 s; a warning says the limits."""
    assert check_every(given) == every
    told = [text for text in warnings_said if "from 1 to 86400" in text]
    assert len(told) == (given not in (10, "5") and (given, every) != (1, 1))


def test_it_never_raises(client, monkeypatch, warnings_said):
    """A fault while it starts is logged and not raised."""

    def fail():
        raise OSError("no name")

    monkeypatch.setattr("tallymark.client.host.socket.gethostname", fail)
    monkeypatch.setattr("tallymark.client.host.sys.platform", "linux")
    client.host_metrics()
    assert ["host_metrics failed" in text for text in warnings_said] == [True]


# Forks.


def test_a_child_begins_anew(sampler, proc, clock, sink, monkeypatch):
    """A new process samples at once, and its first load needs two samples of its own."""
    sampler.poll()
    taken(sink)
    write_cpu(proc, 125, 10, 50, 875, 20, 5, 5, 10)
    monkeypatch.setattr("tallymark.client.host.os.getpid", lambda: -1)
    assert sampler.due() == 0
    sampler.poll()
    assert sorted(taken(sink)) == GAUGES[1:]
    assert sampler.due() == 1010
    write_cpu(proc, 225, 10, 50, 875, 20, 5, 5, 10)
    clock.now = 1010
    sampler.poll()
    assert taken(sink)["host_cpu"] == 100


@on_linux
def test_after_a_fork_both_sample(intake):
    """Parent and child each record their own memory; the start-up time is the parent's alone."""
    program = f"""
import os, time
from tallymark import Client
client = Client({intake.url!r}, "k", flush_interval=60, metrics_interval=60)
client.host_metrics(3600)
def wait_for_sample():
    end = time.monotonic() + 30
    while ("gauge", "process_memory", "B") not in client._core.aggregator._series:
        assert time.monotonic() < end, "hang guard"
        time.sleep(0.005)
wait_for_sample()
pid = os.fork()
if pid == 0:
    kept = b"x" * 50_000_000
    assert not client._core.sink.sender.worker.is_alive
    client.behavior("child")
    wait_for_sample()
    client.host_metrics()
    assert client.flush(30), client.stats()
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
assert client.flush(30), client.stats()
"""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TALLYMARK_")}
    environment |= {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONWARNINGS": "ignore::DeprecationWarning"}
    options = {"env": environment, "capture_output": True, "text": True, "timeout": 60}
    ended = subprocess.run([sys.executable, "-c", program], check=False, **options)
    assert (ended.returncode, ended.stderr) == (0, "")
    named = {}
    for event in intake.events:
        named.setdefault(event["event_name"], []).append(event.get("value"))
    assert {name: len(values) for name, values in named.items()} == {
        "child": 1,
        "process_start": 1,
        "host_memory": 2,
        "process_memory": 2,
    }
    child, parent = named["process_memory"]
    assert child - parent > 30_000_000


# The page.


@pytest.mark.store
@on_linux
def test_metrics_of_the_page(server, tmp_path):
    """The metrics of docs/client.md are applied as they stand there and have figures of what the client sends."""
    (text,) = re.findall(r"```yaml\n(metrics:.*?)```", PAGE, re.DOTALL)
    (tmp_path / "host.yaml").write_text(text)
    done = server.run("apply", str(tmp_path), "--origin", "host", TALLYMARK_ADMIN_KEY=server.admin_key)
    assert done.returncode == 0, done.stdout + done.stderr
    client = Client(server.url, server.write_key, flush_interval=0.05, metrics_interval=0.05)
    client.host_metrics()
    stored = "SELECT DISTINCT event_name FROM events"

    def arrived():
        hurry(client)
        return {"process_start", *GAUGES} <= {row[0] for row in server.sql(stored)}

    server.wait_until(arrived, "all events are stored")
    assert client.close(20)
    names = re.findall(r"^  - name: (\w+)", text, re.MULTILINE)
    assert len(names) >= 3
    today, day = datetime.now(UTC), timedelta(days=1)
    for name in names:
        answer = server.get(
            f"/v1/metrics/{name}/figures?from={today - day:%Y-%m-%d}&to={today + day:%Y-%m-%d}"
        )
        assert answer.status == 200, answer.body
        figures = [row[-5] for row in json.loads(answer.body)["figures"]["rows"]]
        assert any(figure is not None for figure in figures), (name, answer.body)
