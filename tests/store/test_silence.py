"""A store that does not answer, before a question or in the middle of it, and one that is only busy."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from uuid import uuid4

import pytest

from tallymark.clock import FixedClock
from tallymark.store import client as client_module
from tallymark.store.client import StoreClient
from tallymark.store.errors import StoreError, StoreUnavailable
from tallymark.store.heartbeat import watch_store
from tallymark.store.schema import EVENTS_TABLE

DEADLINE = 60.0


class Silence(ThreadingHTTPServer):
    """A store that hears everything, says nothing and remembers what it was asked; a ping it may answer."""

    daemon_threads = True

    def __init__(self, *, answers_pings: bool) -> None:
        self.asked: list[str] = []
        self.answers_pings = answers_pings
        self.over = threading.Event()
        super().__init__(("127.0.0.1", 0), _Handler)
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append("ping" if self.path == "/ping" else "question")
        if self.path != "/ping" or not self.server.answers_pings:
            self.server.over.wait(DEADLINE)
            return
        self.send_response(200)
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(b"Ok.\n")

    do_POST = do_GET  # noqa: N815 - the base class names it so

    def log_message(self, format, *args):  # noqa: A002 - the base class names it so
        pass


@pytest.fixture
def make_silence():
    """Return a maker of stores that say nothing."""
    made = []

    def make(*, answers_pings):
        made.append(Silence(answers_pings=answers_pings))
        return made[-1]

    yield make
    for silence in made:
        silence.over.set()
        silence.shutdown()
        silence.server_close()


QUESTIONS = {
    "rows": lambda client, **more: client.query_rows("SELECT 1", **more),
    "raw": lambda client, **more: client.query_raw("SELECT 1", **more),
}


@pytest.mark.parametrize("ask", QUESTIONS.values(), ids=QUESTIONS)
def test_no_question_goes_to_a_silent_store(make_silence, monkeypatch, ask):
    """A store that answers no ping is asked nothing; for a moment after that nobody waits for it again."""
    monkeypatch.setattr(client_module, "_ALIVE_SECONDS", 0.2)
    silence, clock = make_silence(answers_pings=False), FixedClock()
    with StoreClient(silence.url, clock=clock) as client:
        for _ in range(3):
            with pytest.raises(StoreUnavailable, match="does not answer"):
                ask(client)
        assert silence.asked == ["ping"]
        clock.advance(client_module._SILENCE_SECONDS)
        with pytest.raises(StoreUnavailable):
            ask(client)
        assert silence.asked == ["ping", "ping"]
        # It speaks again: whoever looks ends the waiting for all.
        silence.answers_pings = True
        assert client.ping(DEADLINE)
        assert client.check_alive() is None


@pytest.mark.parametrize("ask", QUESTIONS.values(), ids=QUESTIONS)
def test_a_question_outlives_its_limit_by_seconds(make_silence, monkeypatch, ask):
    """A store that falls silent over a question is given up after the question's own limit and a grace."""
    monkeypatch.setattr(client_module, "GRACE_SECONDS", 0.1)
    silence = make_silence(answers_pings=True)
    failed = []

    def run():
        # The client's own time is longer than this test waits.
        with StoreClient(silence.url, timeout=10 * DEADLINE) as client:
            try:
                ask(client, settings={"max_execution_time": "0.1"})
            except StoreUnavailable as error:
                failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(DEADLINE)
    assert failed
    assert silence.asked[:2] == ["ping", "question"]


def test_inserts_keep_their_own_time(make_silence):
    """An insert is bounded by the client's time alone: it is neither held up by a ping nor by a question's limit."""
    silence = make_silence(answers_pings=False)
    with StoreClient(silence.url, timeout=1) as client, pytest.raises(StoreUnavailable):
        client.insert_ndjson(EVENTS_TABLE, b"{}\n", token="x", settings={"max_execution_time": 3600})
    assert "ping" not in silence.asked


@pytest.mark.store
def test_a_busy_store_answers_pings(store):
    """While questions and an insert keep every core and nearly every place of the store, a ping is answered."""
    mark, client, ended = uuid4().hex, store.client(), []
    busy = f"SELECT sum(sipHash64(number)), '{mark}' FROM numbers(1000000000000)"
    rows = f"SELECT toString(number) AS event_id, '{mark}' AS project FROM numbers(1000000000000)"
    statements = [busy] * 6 + [f"INSERT INTO tallymark.probe (event_id, project) {rows}"]

    def run(sql, number):
        with pytest.raises(StoreError):
            client.query_raw(sql, settings={"query_id": f"{mark}-{number}", "max_execution_time": 3600})
        ended.append(number)

    threads = [threading.Thread(target=run, args=given) for given in zip(statements, range(7), strict=True)]
    for thread in threads:
        thread.start()
    count = (
        f"SELECT count() FROM system.processes WHERE query LIKE '%{mark}%' AND query NOT LIKE '%processes%'"
    )
    deadline = time.monotonic() + DEADLINE
    while client.query_rows(count).rows != [(7,)]:
        assert time.monotonic() < deadline, "they do not run"
    assert all(client.ping(DEADLINE) for _ in range(20))
    assert ended == []
    for number in range(7):
        assert store.ask(f"KILL QUERY WHERE query_id = '{mark}-{number}'").status == 200
    for thread in threads:
        thread.join(DEADLINE)
    assert len(ended) == 7


@pytest.fixture
def start_child():
    """Return a function that starts a program with a listening socket as `server`; gives process and address."""
    started = []

    def start(*lines):
        head = "import socket, sys; server = socket.create_server(('127.0.0.1', 0)); held = []"
        script = "\n".join([head, "print(server.getsockname()[1], flush=True)", *lines])
        process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
        started.append(process)
        return process, f"http://127.0.0.1:{int(process.stdout.readline())}"

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def test_silence_is_ended(start_child):
    """A process that takes connections and says nothing is killed, also when it does not run at all."""
    for stopped in (False, True):
        process, url = start_child("import time; time.sleep(3600)")
        if stopped:
            os.kill(process.pid, signal.SIGSTOP)
        watch_store(process, url, threading.Event(), ping_seconds=0.05, misses=3)
        assert process.wait(DEADLINE) == -signal.SIGKILL


def test_a_closed_port_is_silence(start_child):
    """A process that lives and listens no more is killed as well."""
    process, url = start_child("server.close(); import time; time.sleep(3600)")
    watch_store(process, url, threading.Event(), ping_seconds=0.05, misses=3)
    assert process.wait(DEADLINE) == -signal.SIGKILL


def test_a_sign_of_life_now_and_then_is_enough(start_child):
    """A process that only turns connections away, and not even each, lives on until it ends by itself."""
    process, url = start_child(
        "for number in range(12):",
        "    connection, _ = server.accept()",
        "    connection.close() if number % 2 else held.append(connection)",
        "sys.exit(7)",
    )
    watch_store(process, url, threading.Event(), ping_seconds=0.1, misses=8)
    assert process.wait(DEADLINE) == 7


def test_a_server_that_stops_kills_nobody(start_child):
    """Once the server is stopping, the store may take its time to close."""
    process, url = start_child("import time; time.sleep(3600)")
    stopping = threading.Event()
    stopping.set()
    watch_store(process, url, stopping, ping_seconds=0.05, misses=3)
    assert process.poll() is None
