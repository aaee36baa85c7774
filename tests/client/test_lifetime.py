"""What a client holds ends with it: threads, sockets and files of clients that are closed, or that nobody holds any more."""

from __future__ import annotations

import gc
import json
import logging
import threading
import time
import weakref

import pytest

from tallymark import Client
from tallymark.client import FanOutSink, FileSink, FilterSink, IntakeSink, LoggerSink
from tallymark.testing import CaptureSink, capture

from .test_process import names, run

HANG_GUARD = 30.0
# In a process of its own, where nobody else opens anything.
COUNT = """
import gc, threading
def held():
    gc.collect()
    return threading.active_count(), len(os.listdir("/proc/self/fd"))
def wait_until_free(before, seconds=30):
    end = time.monotonic() + seconds
    while any(now > then for now, then in zip(held(), before)) and time.monotonic() < end:
        time.sleep(0.02)
    return held()
client.close()
before = held()
"""


def wait_for(done):
    end = time.monotonic() + HANG_GUARD
    while not done():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True


def threads():
    return {thread for thread in threading.enumerate() if thread.name.startswith("tallymark")}


@pytest.fixture
def before():
    gc.collect()
    return threads()


@pytest.mark.parametrize("end", ["del one", "one.close()"], ids=["dropped", "closed"])
def test_a_hundred_clients_leave_nothing(intake, end):
    """Of 100 clients that recorded and were dropped or closed, no thread and no descriptor stays; all events arrive."""
    program = COUNT + (
        f"""
for number in range(100):
    one = Client({intake.url!r}, "k", flush_interval=60)
    one.behavior("event"); one.increment("count"); one.gauge("level", 1)
    {end}
print(before, wait_until_free(before))
"""
    )
    ended = run(intake.url, program)
    assert (ended.returncode, ended.stderr) == (0, "")
    then, now = ended.stdout.strip().split(") (")
    assert now.rstrip(")") == then.lstrip("(")
    assert names(intake) == ["count"] * 100 + ["event"] * 100 + ["level"] * 100


def test_a_dropped_client_delivers_at_once(intake, connect, before):
    """Events, counts and drops of a client that nobody holds are delivered without waiting for intervals."""
    client = connect(flush_interval=60, metrics_interval=60)
    client.behavior("event")
    client.increment("count", 3)
    client.record_raw(0)
    del client
    assert wait_for(lambda: names(intake) == ["count", "event"])
    assert wait_for(lambda: intake.reports)
    assert wait_for(lambda: threads() <= before)


def test_copies_and_timers_hold_the_client(intake, connect, before):
    """As long as a copy, a timer or a decorated function lives, the client goes on; the last one ends it."""
    copy = connect().with_user("u").with_service("shop")
    copy.behavior("by copy")
    timer = copy.timer("block")
    decorated = timer(lambda: 1)
    del copy, timer
    gc.collect()
    decorated()
    assert wait_for(lambda: "by copy" in names(intake))
    assert not threads() <= before
    del decorated
    assert wait_for(lambda: "block" in names(intake))
    assert wait_for(lambda: threads() <= before)


def test_a_callback_that_holds_the_client_does_not_keep_it(intake, connect, before):
    """`on_drop` as a method of the object that holds the client: the two end together."""

    class Metrics:
        def __init__(self):
            self.told = []
            self.client = connect(on_drop=self.dropped)

        def dropped(self, reason, events, _):
            self.told.append((reason, events))

    metrics = Metrics()
    told = metrics.told
    metrics.client.behavior("event")
    metrics.client.record_raw(0)
    assert wait_for(lambda: told == [("unserialisable", 1)])
    gone = weakref.ref(metrics)
    del metrics
    gc.collect()
    assert gone() is None
    assert wait_for(lambda: threads() <= before)
    assert names(intake) == ["event"]


def test_host_metrics_end_with_the_client(intake, connect, before):
    """A sampler does not keep a client that nobody holds, and its last sample arrives."""
    client = connect(metrics_interval=60)
    client.host_metrics(every=60)
    aggregator = client._core.aggregator
    assert wait_for(lambda: aggregator.due() is not None)
    del client
    assert wait_for(lambda: threads() <= before)
    assert "process_start" in names(intake)


def test_a_dropped_client_gives_up_in_time(intake, connect, before):
    """With a server that never answers, a dropped client tries for `request_timeout` and ends, its events counted."""
    intake.always = lambda handler, _: handler.server.released.wait(HANG_GUARD)
    sink = IntakeSink(settings=connect(request_timeout=0.3)._core.settings)
    drops = sink.drops
    Client(sink=sink).behavior("event")
    del sink
    assert wait_for(lambda: threads() <= before)
    assert drops.totals == {"closed": 1}


def test_a_dropped_client_leaves_the_rest_in_the_spool(refused_port, connect, before, tmp_path):
    """What a dropped client with a spool cannot deliver waits on disk, for whoever comes next."""
    client = connect(url=f"http://127.0.0.1:{refused_port}", spool_dir=str(tmp_path), request_timeout=0.3)
    client.behavior("kept")
    del client
    assert wait_for(lambda: threads() <= before)
    (kept,) = tmp_path.rglob("*.ndjson")
    assert json.loads(kept.read_bytes())["event_name"] == "kept"


@pytest.mark.parametrize("kind", ["file", "logger", "fan-out", "filter", "capture"])
def test_other_sinks_end_too(kind, intake, tmp_path, before):
    """Counts of a dropped client arrive and no thread stays, whatever its sink is."""
    path = tmp_path / "events.ndjson"
    said = []
    logger = logging.getLogger(f"lifetime-{kind}")
    logger.propagate = False
    logger.setLevel(logging.INFO)
    logger.addHandler(type("Handler", (logging.Handler,), {"emit": lambda _, one: said.append(one)})())
    build = {
        "file": lambda: FileSink(path),
        "logger": lambda: LoggerSink(logger),
        "fan-out": lambda: FanOutSink(FileSink(path), IntakeSink(intake.url, "k")),
        "filter": lambda: FilterSink(lambda _: True, FileSink(path)),
        "capture": CaptureSink,
    }[kind]
    client = Client(sink=build(), flush_interval=60, metrics_interval=60)
    client.increment("count")
    client.behavior("event")
    del client
    gc.collect()
    assert wait_for(lambda: threads() <= before)
    if kind == "logger":
        assert len(said) == 2
    elif kind != "capture":
        assert len(path.read_text().splitlines()) == 2
    assert names(intake) == (["count", "event"] if kind == "fan-out" else [])


def test_a_sink_of_the_application_outlives_its_client(before):
    """A sink that the application holds goes on for the next client; the counts of the first are in it."""
    sink = CaptureSink()
    client = Client(sink=sink)
    client.increment("first")
    del client
    gc.collect()
    assert wait_for(lambda: threads() <= before)
    Client(sink=sink).behavior("second")
    assert [event["event_name"] for event in sink.events] == ["first", "second"]


def test_capture_leaves_no_thread(before):
    """After a `capture` block in which counts were made, nobody waits for more of them."""
    client = Client(disabled=True)
    for _ in range(3):
        with capture(client) as events:
            client.increment("n")
        assert len(events) == 1
    assert wait_for(lambda: threads() <= before)
    with capture(client) as events:
        client.increment("n")
    assert len(events) == 1


def test_an_interrupted_import_leaves_no_thread(intake, connect):
    """Whoever interrupts `send_all` does not leave its threads and connections behind."""

    def source():
        yield {"event_type": "t", "event_name": "first"}
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        connect(batch_events=1).send_all(source())
    assert wait_for(lambda: not [one for one in threading.enumerate() if one.name == "tallymark-import"])


def test_clients_in_cycles_end_in_the_middle_of_anything(intake):
    """Clients that the garbage collector finds while another records, in any thread, harm nobody and lose nothing."""
    program = f"""
import gc, threading
gc.set_threshold(10, 1, 1)
class Holder: pass
def work():
    for _ in range(30):
        holder = Holder(); holder.me = holder
        holder.client = Client({intake.url!r}, "k", flush_interval=60, close_timeout=60)
        holder.client.behavior("cycle"); holder.client.increment("n")
        del holder
        client.behavior("steady", text="x" * 50, many=[1, 2, 3])
threads = [threading.Thread(target=work) for _ in range(3)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
gc.collect()
"""
    ended = run(intake.url, program, {"close_timeout": 60})
    assert (ended.returncode, ended.stderr) == (0, "")
    assert names(intake) == ["cycle"] * 90 + ["n"] * 90 + ["steady"] * 90


def test_a_client_dropped_just_before_the_end_delivers(intake):
    """A process that drops its client and ends waits for it as for one that is open."""
    program = (
        f"Client({intake.url!r}, 'k', flush_interval=60).behavior('last'); client.increment('n'); del client"
    )
    ended = run(intake.url, program, {"flush_interval": 60})
    assert (ended.returncode, ended.stderr) == (0, "")
    assert names(intake) == ["last", "n"]


def test_a_forked_child_does_not_deliver_for_dropped_clients(intake):
    """What a dropped client still delivers at a fork is delivered by the parent alone."""
    program = """
import gc
url = client._core.settings.url
client.behavior("before")
del client
pid = os.fork()
if pid == 0:
    gc.collect()
    child = Client(url, "k"); child.behavior("child")
    sys.exit(0)
assert os.waitpid(pid, 0)[1] == 0
"""
    ended = run(intake.url, program, {"flush_interval": 60})
    assert (ended.returncode, ended.stderr) == (0, "")
    assert names(intake) == ["before", "child"]


def test_a_signal_handler_may_drop_a_client(intake):
    """A client that ends inside a signal handler, in the middle of another's record, does not hang."""
    program = f"""
import signal
def handler(*_):
    Client({intake.url!r}, "k").behavior("signal")
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.005, 0.005)
end = time.monotonic() + 0.5
while time.monotonic() < end:
    client.behavior("x")
signal.setitimer(signal.ITIMER_REAL, 0)
assert client.flush(30)
print("done")
"""
    ended = run(intake.url, program, {"max_buffer_events": 100_000})
    assert (ended.stdout.strip(), ended.stderr) == ("done", "")
    assert "signal" in names(intake)


def test_nothing_is_held_by_a_client_that_never_recorded():
    """A client that is made and dropped starts nothing and opens nothing."""
    ended = run("http://127.0.0.1:9", COUNT + "[Client('http://127.0.0.1:9', 'k') for _ in range(100)]; print(before == held())")  # fmt: skip
    assert (ended.stdout.strip(), ended.stderr) == ("True", "")
