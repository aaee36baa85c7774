"""Fork, exit and import: the client in real processes of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROLOGUE = """
import os, sys, time
from tallymark import Client
client = Client({url!r}, "k", **{settings!r})
"""


def run(url, program, settings=None, **options):
    code = (
        PROLOGUE.format(url=url, settings={"flush_interval": 0.02, "retry_base": 0.01} | (settings or {}))
        + program
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONWARNINGS": "error"}
    environment = {name: value for name, value in environment.items() if not name.startswith("TALLYMARK_")}
    return subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **options,
    )


def names(intake):
    return sorted(event["event_name"] for event in intake.events)


def test_events_are_delivered_at_exit_without_a_word(intake):
    """A program that ends right after recording loses nothing, waits for nothing long and prints nothing."""
    ended = run(intake.url, "client.behavior('last'); client.increment('count', 3)", {"flush_interval": 60})
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    assert names(intake) == ["count", "last"]


def test_exit_takes_no_longer_than_the_close_timeout(intake):
    """With a server that never answers, the process still ends soon after its close_timeout."""
    intake.always = lambda handler, _: handler.server.released.wait(60)
    start = time.monotonic()
    ended = run(intake.url, "client.behavior('x'); time.sleep(0.2)", {"close_timeout": 0.5})
    assert (ended.returncode, ended.stderr) == (0, "")
    assert time.monotonic() - start < 30, "hang guard"


def test_recording_while_the_interpreter_exits_harms_nobody(intake):
    """record() in an atexit function and in a finalizer at shutdown neither raises nor hangs."""
    program = """
import atexit
class Late:
    def __del__(self):
        client.behavior("finalizer")
        client.increment("n")
late = Late()
atexit.register(lambda: client.behavior("early"))
client.close()
late.cycle = late
"""
    ended = run(intake.url, program)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_signal_handler_may_record(intake):
    """record() inside a signal handler that interrupts record() does not deadlock."""
    program = """
import signal
signal.signal(signal.SIGALRM, lambda *_: (client.behavior("signal"), client.increment("signals")))
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
end = time.monotonic() + 0.5
while time.monotonic() < end:
    client.behavior("x"); client.increment("n")
signal.setitimer(signal.ITIMER_REAL, 0)
client.flush(30)
stats = client.stats()
assert stats.recorded == stats.sent + sum(stats.dropped.values()) > 1000, stats
assert stats.waiting == stats.waiting_bytes == 0, stats
print("done")
"""
    ended = run(intake.url, program, {"max_buffer_events": 1000})
    assert (ended.stdout.strip(), ended.stderr) == ("done", "")


def test_after_a_fork_parent_and_child_send_their_own_once(intake):
    """What waited at the fork is sent by the parent alone; the child sends what it records, as another instance."""
    program = """
client.behavior("before"); client.increment("counted", 5); client.record_raw(0)
pid = os.fork()
if pid == 0:
    assert client.stats().recorded == 0
    client.behavior("child"); client.increment("counted", 2); client.record_raw(0)
    assert client.flush(30), client.stats()
    os._exit(0)
os.waitpid(pid, 0)
client.behavior("parent")
assert client.flush(30), client.stats()
"""
    ended = run(intake.url, program, {"flush_interval": 60})
    assert (ended.returncode, ended.stderr) == (0, "")
    assert names(intake) == ["before", "child", "counted", "counted", "parent"]
    assert sorted(event["value"] for event in intake.events if event["event_name"] == "counted") == [2, 5]
    assert len(set(intake.ids)) == 5
    assert len({report["instance"] for report in intake.reports}) == 2


def test_workers_forked_from_a_master_that_already_sent(intake):
    """Preloading servers fork after the client was used: thread, connection and locks do not survive into workers."""
    program = """
import threading
client.behavior("master")
assert client.flush(30)
held = threading.Event()
def hold():
    with client._core.sink.buffer.lock, client._core.aggregator.lock:
        held.set(); time.sleep(1)
threading.Thread(target=hold).start()
held.wait()
import warnings
warnings.simplefilter("ignore", DeprecationWarning)
pids = []
for number in range(4):
    pid = os.fork()
    if pid == 0:
        for _ in range(50):
            client.behavior("worker")
        sys.exit(0)
    pids.append(pid)
codes = [os.waitpid(pid, 0)[1] for pid in pids]
assert codes == [0] * 4, codes
client.behavior("master")
"""
    ended = run(intake.url, program)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert names(intake) == ["master"] * 2 + ["worker"] * 200
    assert len(set(intake.ids)) == 202


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing_children_deliver_at_their_end(intake, method, tmp_path):
    """A child of multiprocessing that ends without atexit still delivers what it recorded."""
    (tmp_path / "work.py").write_text(
        f"""
import sys, warnings
from tallymark import Client
client = Client({intake.url!r}, "k", flush_interval=60)
def work(): client.behavior("child")
if __name__ == "__main__":
    warnings.simplefilter("ignore", DeprecationWarning)
    import multiprocessing
    process = multiprocessing.get_context({method!r}).Process(target=work)
    client.behavior("parent")
    process.start(); process.join()
    sys.exit(process.exitcode)
"""
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run(
        [sys.executable, str(tmp_path / "work.py")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert names(intake) == ["child", "parent"]


def test_import_adds_no_handler_and_starts_nothing():
    """Importing and making a client configures no logging, starts no thread and imports no server library."""
    program = """
import logging, threading, sys
assert logging.getLogger().handlers == []
assert [type(handler).__name__ for handler in logging.getLogger("tallymark").handlers] == ["NullHandler"]
assert threading.active_count() == 1
heavy = {"litestar", "chdb", "sqlalchemy", "numpy", "structlog"} & set(sys.modules)
assert not heavy, heavy
"""
    ended = run("http://127.0.0.1:9", program)
    assert (ended.returncode, ended.stderr) == (0, "")


EARLIER = """
import atexit, os, sys, time
client = None
def last():
{body}
atexit.register(last)
from tallymark import Client
client = Client({url!r}, "k", **{settings!r})
client.behavior("before")
"""


def run_earlier(url, body, settings=None, **options):
    """Run a program whose exit handler was registered before the client was imported, and so runs after its own."""
    text = EARLIER.format(
        url=url,
        body="\n".join(f"    {line}" for line in body.strip().splitlines()),
        settings={"flush_interval": 60} | (settings or {}),
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TALLYMARK_")}
    environment |= {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONWARNINGS": "error"}
    return subprocess.run(
        [sys.executable, "-c", text],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **options,
    )


def test_exit_handlers_registered_earlier_are_heard(intake):
    """Events and counts of an exit handler that runs after the client's own are delivered, each once."""
    body = """
client.behavior("last", number=1)
client.behavior("last", number=2)
client.increment("counted", 3)
client.gauge("level", 1)
client.timing("took", 0.5)
client.with_user("u").metric("value", 4)
stats = client.stats()
assert stats.recorded == stats.sent == 7 and not stats.dropped, stats
"""
    ended = run_earlier(intake.url, body)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert names(intake) == ["before", "counted", "last", "last", "level", "took", "value"]


def test_exit_handlers_registered_earlier_wait_no_longer_than_the_close_timeout(intake):
    """With a server that never answers, late events cost one `close_timeout` more, all together, and are counted."""
    intake.always = lambda handler, _: handler.server.released.wait(60)
    body = """
start = time.monotonic()
for _ in range(50):
    client.behavior("last")
print(time.monotonic() - start)
print(client.stats().dropped, client.stats().waiting)
"""
    ended = run_earlier(intake.url, body, {"close_timeout": 0.3})
    assert (ended.returncode, ended.stderr) == (0, "")
    seconds, dropped = ended.stdout.strip().splitlines()
    assert float(seconds) < 10, "hang guard"
    assert dropped == "{'closed': 51} 0"


def test_exit_handlers_registered_earlier_reach_the_spool(refused_port, tmp_path, intake):
    """Without a server and with a spool, late events wait on disk, and the next process sends them."""
    settings = {"close_timeout": 0.3, "spool_dir": str(tmp_path)}
    ended = run_earlier(f"http://127.0.0.1:{refused_port}", 'client.behavior("last")', settings)
    assert (ended.returncode, ended.stderr) == (0, "")
    kept = b"".join(path.read_bytes() for path in sorted(tmp_path.rglob("*.ndjson")))
    assert kept.count(b'"event_name":"before"') == kept.count(b'"event_name":"last"') == 1


def test_exit_handlers_registered_earlier_write_to_files(tmp_path):
    """Late events reach a file sink too."""
    path = tmp_path / "events.ndjson"
    program = EARLIER.format(url=None, body="    client.behavior('last')", settings={})
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "TALLYMARK_SINK": f"file:{path}"}
    ended = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert path.read_text().count('"event_name":"last"') == 1


def test_a_closed_client_stays_closed_at_exit(intake):
    """A client that the application closed takes nothing in exit handlers."""
    program = (
        EARLIER.format(url=intake.url, body="    client.behavior('never')", settings={}) + "client.close()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "never" not in names(intake)


TERMINATED = (
    PROLOGUE
    + """
import signal
{recipe}
client.behavior("recorded")
print("ready", flush=True)
time.sleep(60)
"""
)
PAGE = Path(__file__).parents[2].joinpath("docs", "client.md").read_text()
RECIPE = "signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))"


@pytest.mark.parametrize(
    ("recipe", "code", "arrived"),
    [("", -signal.SIGTERM, []), (RECIPE, 128 + signal.SIGTERM, ["recorded"])],
    ids=["default", "recipe"],
)
def test_what_a_sigterm_does(intake, recipe, code, arrived):
    """Python's default for SIGTERM ends the process without exit handlers; with the page's line all is delivered."""
    assert f"`{RECIPE}`" in PAGE
    program = TERMINATED.format(url=intake.url, settings={"flush_interval": 60}, recipe=recipe)
    with subprocess.Popen(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == code
    assert names(intake) == arrived


def test_the_client_installs_no_signal_handler(intake):
    """Making and using a client leaves every signal's handling as the application has it."""
    program = """
import signal
before = {number: signal.getsignal(number) for number in signal.valid_signals()}
client.behavior("x"); client.host_metrics(); client.flush(30)
assert {number: signal.getsignal(number) for number in signal.valid_signals()} == before
"""
    ended = run(intake.url, program)
    assert (ended.returncode, ended.stderr) == (0, "")
