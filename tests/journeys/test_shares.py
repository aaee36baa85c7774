"""One project asks for more than there is, and the others notice nothing of it."""

from __future__ import annotations

import gzip
import http.client
import json
import re
import select
import socket
import threading
import time
from contextlib import suppress
from urllib.parse import urlencode

import pytest

from tallymark.store.limits import VISITOR_BOUNDS
from tests.conftest import DEADLINE_SECONDS

pytestmark = pytest.mark.store

# Keeps a processor busy until its time is up, and needs no memory.
SLOW = (
    "SELECT sum(length(arrayFilter(x -> cityHash64(x, y) = 0, range(1000))))"
    " FROM (SELECT number AS y FROM numbers(190000000))"
)
# How long a slow statement may run, and how soon others are answered: a guard only, far below the former's waits.
SECONDS = 30
AT_ONCE = 20.0


def _statement(sql, **settings):
    limits = {"max_execution_time": SECONDS, "max_threads": 1, "max_block_size": 100}
    return "/clickhouse/?" + urlencode({"query": sql, **limits, **settings})


class Asker:
    """Somebody who asks and may go away before the answer comes."""

    def __init__(self, server, path, key):
        self.connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
        self.connection.request("GET", path, headers={"Authorization": f"Bearer {key}"})

    def is_answered(self):
        return bool(select.select([self.connection.sock], [], [], 0)[0])

    def leave(self):
        self.connection.close()


@pytest.fixture(scope="module")
def projects(server, build_event):
    """Two projects with a few events; returns the greedy one's and the other's read key."""
    server.make_project("other")
    keys = {scope: server.make_key(scope, "other") for scope in ("read", "write")}
    for key in (server.write_key, keys["write"]):
        events = [build_event(f"share-{n}", attributes={"n": n}) for n in range(100)]
        assert server.send(events, key=key).status == 200
    server.wait_loaded()
    return server.read_key, keys["read"]


def _time(call):
    began = time.monotonic()
    answer = call()
    return time.monotonic() - began, answer


def _count_statements(server):
    """Return how many statements wait, run or have answers that are being sent, by the server's own numbers."""
    kinds = ("tallymark_work_running", "tallymark_work_waiting")
    return sum(server.read_own(kind, work="answers to other tools") for kind in kinds)


def _sign_in(server, password="", **headers):
    """Sign the administrator in; return the answer, which sets the session's cookie."""
    form = server.request("GET", "/sign-in")
    token = re.search(rb'name="csrf" value="([^"]+)"', form.body)
    fields = {
        "csrf": token[1].decode(),
        "name": "admin",
        "password": password or server.password,
        "next": "/",
    }
    headers |= {
        "Content-Type": "application/x-www-form-urlencoded",
        "Cookie": form.headers["set-cookie"].partition(";")[0],
    }
    return server.request("POST", "/sign-in", urlencode(fields), headers=headers)


def test_statements_of_one_project_keep_nobody_waiting(server, projects):
    """While one project has sixteen slow statements at once, others read ledger and keys, ask, use `/clickhouse` and sign in."""
    greedy, other = projects
    askers = [Asker(server, _statement(SLOW), greedy) for _ in range(16)]
    try:
        # All of them have arrived before anybody else comes.
        server.wait_until(lambda: _count_statements(server) == 16, "all statements wait or run")
        question = {
            "kind": "trend",
            "from": "2026-01-31",
            "to": "2026-02-01",
            "series": [{"event_name": "clicked"}],
        }
        calls = {
            "ledger": lambda: server.get("/v1/ledger", other),
            "keys": lambda: server.get("/v1/keys", server.admin_key),
            "question": lambda: server.request("POST", "/v1/query", json.dumps(question), key=other),
            "statement": lambda: server.get(_statement("SELECT count() FROM events"), other),
            "own ledger": lambda: server.get("/v1/ledger", greedy),
            "readiness": lambda: server.get("/readyz"),
            "sign in": lambda: _sign_in(server),
        }
        for what, call in calls.items():
            took, answer = _time(call)
            assert answer.status in (200, 303), (what, answer.body)
            assert took < AT_ONCE, (what, took)
            if what == "ledger":
                assert not any(asker.is_answered() for asker in askers)
    finally:
        for asker in askers:
            asker.leave()


def test_who_guesses_behind_a_proxy_shuts_nobody_else_out(server):
    """Wrong passwords from one address that the proxy names block that address; another one behind the same proxy signs in."""
    mine, theirs = {"X-Forwarded-For": "198.51.100.1"}, {"X-Forwarded-For": "198.51.100.2, 198.51.100.3"}
    assert {_sign_in(server, "wrong", **theirs).status for _ in range(10)} == {401}
    assert _sign_in(server, **theirs).status == 401
    # What somebody writes in front of what the proxy adds changes nothing.
    assert _sign_in(server, **{"X-Forwarded-For": "198.51.100.9, 198.51.100.3"}).status == 401
    assert _sign_in(server, **mine).status == 303
    # The same where the proxy writes ports: each connection has another one.
    assert _sign_in(server, **{"X-Forwarded-For": "198.51.100.3:51234"}).status == 401
    assert _sign_in(server, **{"X-Forwarded-For": "198.51.100.1:51235"}).status == 303


def test_who_leaves_makes_room(server, projects):
    """Statements whose askers have gone leave the queue and are stopped: the same project is answered at once after that."""
    greedy, _ = projects
    askers = [Asker(server, _statement(SLOW), greedy) for _ in range(16)]
    try:
        server.wait_until(lambda: _count_statements(server) == 16, "all statements wait or run")
    finally:
        for asker in askers:
            asker.leave()
    took, answer = _time(lambda: server.get(_statement("SELECT count() FROM events"), greedy))
    assert (answer.status, answer.body) == (200, b"100\n")
    assert took < AT_ONCE


def test_more_than_may_wait_is_refused_at_once(server, projects):
    """A project's hundredth statement at once is answered 429 with ClickHouse's code and Retry-After, at once."""
    greedy, other = projects
    askers = [Asker(server, _statement(SLOW), greedy) for _ in range(100)]
    try:
        answer = server.wait_until(
            lambda: found if (found := server.get(_statement("SELECT 1"), greedy)).status == 429 else None,
            "a statement is refused",
            seconds=AT_ONCE,
        )
        assert answer.headers["x-clickhouse-exception-code"] == "202"
        assert int(answer.headers["retry-after"]) > 0
        assert b"TOO_MANY_SIMULTANEOUS_QUERIES" in answer.body
        assert server.get(_statement("SELECT count() FROM events"), other).body == b"100\n"
    finally:
        for asker in askers:
            asker.leave()


def test_answers_that_are_broken_off_give_back_their_places(server):
    """More readers than there are places leave in the middle of a streamed answer; the next statement is answered."""
    for _ in range(2 * VISITOR_BOUNDS.places):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=DEADLINE_SECONDS)
        target = "/clickhouse/?query=select+repeat('x',1000)+from+numbers(1000000)"
        connection.request("GET", target, headers={"Authorization": f"Bearer {server.read_key}"})
        answer = connection.getresponse()
        assert answer.status == 200
        assert answer.read(100)
        answer.close()
        connection.close()
    assert server.sql("SELECT 1") == [["1"]]


def test_readers_that_take_nothing_get_no_fault(server, projects, build_event):
    """Of forty large answers that nobody reads four begin, and all others are refused with a code and Retry-After, none with 500.

    Meanwhile ledger and questions of the same project are answered, statements of another project too; and when the readers'
    time is over statements of the same project are.
    """
    greedy, other = projects
    large = {f"text{n}": "x" * 60_000 for n in range(4)}
    assert (
        server.send(
            [build_event(f"large-{n}", attributes=large) for n in range(4)], key=server.write_key
        ).status
        == 200
    )
    server.wait_loaded()
    target = "/clickhouse/?" + urlencode({"query": "SELECT *, arrayJoin(range(20)) FROM events"})
    head = f"GET {target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {greedy}\r\n\r\n".encode()
    server.wait_until(lambda: not _count_statements(server), "nothing of the tests before waits or runs")
    readers = []
    try:
        for _ in range(40):
            reader = socket.socket()
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            reader.connect(("127.0.0.1", server.port))
            reader.sendall(head)
            readers.append(reader)
        assert server.get("/v1/ledger", greedy).status == 200
        assert server.get("/v1/events?limit=2", greedy).status == 200
        assert server.get(_statement("SELECT count() FROM events"), other).body == b"100\n"
        # It waits behind the readers, whose places are free once their time is over.
        last = server.wait_until(
            lambda: found if (found := server.get(_statement("SELECT 1"), greedy)).status == 200 else None,
            "a statement of the same project is answered",
        )
        assert last.body == b"1\n"
        heads = [_read_head(reader) for reader in readers]
        for reader, head in zip(readers, heads, strict=True):
            if b" 200 " in head[:16]:
                _read_rest(reader)
    finally:
        for reader in readers:
            reader.close()
    statuses = [int(one.split(b" ", 2)[1]) for one in heads]
    assert set(statuses) == {200, 503}, statuses
    refused = [one.lower() for one, status in zip(heads, statuses, strict=True) if status == 503]
    for one in refused:
        assert b"retry-after:" in one
        assert b"x-clickhouse-exception-code: 202" in one
    # Those that read on too late lose the rest, which is nobody's fault.
    server.wait_until(lambda: "reader_stopped" in server.log, "the log says why answers are not whole")
    assert "request_failed" not in server.log
    assert server.get("/v1/ledger", other).status == 200


def _read_rest(reader):
    """Read to the end, which is where the server breaks off."""
    with suppress(ConnectionError):
        while reader.recv(1 << 20):
            pass


def _read_head(reader):
    reader.settimeout(DEADLINE_SECONDS)
    head = b""
    while b"\r\n\r\n" not in head:
        piece = reader.recv(4096)
        assert piece, "the connection was closed without an answer"
        head += piece
    return head


# As text 129 MB; the sockets' buffers hold little of it.
LARGE = "SELECT number, repeat('x', 1000) FROM numbers(125000) FORMAT TSV"
# Each takes so much at a time, and then waits: far longer for the whole than the test lasts.
SIP, PAUSE = 64 * 1024, 0.2


class SlowReader(threading.Thread):
    """Somebody who asks for much and takes it at 300 KB a second, until it is told to read on."""

    def __init__(self, server, key):
        super().__init__(daemon=True)
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SIP)
        self.socket.connect(("127.0.0.1", server.port))
        self.socket.settimeout(DEADLINE_SECONDS)
        path = _statement(LARGE, max_block_size=65_000)
        self.socket.sendall(
            f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {key}\r\n\r\n".encode()
        )
        self.hurry = threading.Event()
        self.begun = threading.Event()
        self.got = bytearray()
        self.start()

    def run(self):
        with self.socket:
            while piece := self.socket.recv(SIP):
                self.got += piece
                self.begun.set()
                self.hurry.wait(PAUSE)


def test_slow_readers_keep_nobody_waiting(server, projects):
    """Two projects have two readers each that take 300 KB a second: others are answered at once, and the readers get all of it."""
    greedy, other = projects
    server.make_project("third")
    third = server.make_key("read", "third")
    server.wait_until(lambda: not _count_statements(server), "nothing of the tests before waits or runs")
    readers = [SlowReader(server, key) for key in (greedy, greedy, other, other)]
    try:
        assert all(reader.begun.wait(DEADLINE_SECONDS) for reader in readers)
        for _ in range(5):
            took, answer = _time(lambda: server.get(_statement("SELECT 1"), third))
            assert (answer.status, answer.body) == (200, b"1\n")
            assert took < AT_ONCE
        took, answer = _time(lambda: server.get(_statement("SELECT count() FROM events"), other))
        assert answer.status == 200
        assert took < AT_ONCE
        # It was not their speed: they are still in the middle.
        assert all(reader.is_alive() and len(reader.got) < 100_000_000 for reader in readers)
    finally:
        for reader in readers:
            reader.hurry.set()
    for reader in readers:
        reader.join(DEADLINE_SECONDS)
        assert reader.got.startswith(b"HTTP/1.1 200")
        assert reader.got.endswith(b"\r\n0\r\n\r\n")
        assert b"\n124999\t" + b"x" * 100 in reader.got
        assert b"__exception__" not in reader.got


def _read_behind_the_store(server, key, sql, **settings):
    """Ask, read the head, read the rest when the store has long ended; return headers, bytes, and whether they are whole."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=DEADLINE_SECONDS)
    headers = {"Authorization": f"Bearer {key}", "Accept-Encoding": "gzip"}
    connection.request("GET", _statement(sql, max_block_size=65_000, **settings), headers=headers)
    answer = connection.getresponse()
    assert answer.status == 200
    server.wait_until(
        lambda: not server.read_own("tallymark_work_running", work="statements of other tools"),
        "the statement has given its place back",
    )
    assert server.read_own("tallymark_work_running", work="answers to other tools") == 1
    try:
        return answer.headers, answer.read(), True
    except http.client.IncompleteRead as broken:
        return answer.headers, broken.partial, False
    finally:
        connection.close()


def test_what_was_kept_is_what_the_store_said(server, projects):
    """Packed answers, and those that end in an error, are the same for a reader who comes when the store is done."""
    _, other = projects
    many = "SELECT number, SHA256(toString(number)) FROM numbers(600000)"
    headers, body, whole = _read_behind_the_store(server, other, many, enable_http_compression=1)
    assert (headers["content-encoding"], whole) == ("gzip", True)
    at_once = server.get(_statement(many, max_block_size=65_000), other)
    assert gzip.decompress(body) == at_once.body
    failing = "SELECT number, SHA256(toString(number)), throwIf(number = 590000) FROM numbers(600000)"
    headers, body, whole = _read_behind_the_store(server, other, failing)
    assert body.count(b"\n") > 400_000
    assert b"__exception__" in body[-2000:]
    assert b"FUNCTION_THROW_IF_VALUE_IS_NON_ZERO" in body[-2000:]
