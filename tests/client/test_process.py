"""Fork, exit and import: the client in real processes of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time

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
    assert time.monotonic() - start < 10, "hang guard"


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
