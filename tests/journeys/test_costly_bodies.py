"""One project's large and costly bodies: they fill its own share, and others are answered meanwhile."""

from __future__ import annotations

import gzip
import http.client
import json
import select
import socket
import time

import pytest

from tests.conftest import DEADLINE_SECONDS

pytestmark = pytest.mark.store

MEBIBYTE = 1024 * 1024
BODIES = 12
EVENTS = 60


@pytest.fixture
def open_server(make_server):
    """Give a maker of running servers with a second project; returns the server and that project's write key."""

    def start(**settings):
        server = make_server(loader_linger_seconds=0.05, **settings).start()
        server.make_project("greedy")
        return server, server.make_key("write", "greedy")

    return start


class Body:
    """A body on a connection of its own, whose answer is waited for by nobody."""

    def __init__(self, server, key, body):
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=DEADLINE_SECONDS)
        self._connection.request("POST", "/v1/events", body, {"Authorization": f"Bearer {key}"})

    def is_answered(self):
        return bool(select.select([self._connection.sock], [], [], 0)[0])

    def read_status(self):
        return self._connection.getresponse().status

    def leave(self):
        self._connection.close()


def _pack_costly(build_event, name):
    """Return a small body of much text that the privacy rules have to look at letter by letter."""
    text = "mail to somebody@example.org, " * 700
    events = [build_event(f"{name}-{number}", attributes={"note": text}) for number in range(EVENTS)]
    return gzip.compress(json.dumps(events).encode(), 1)


def _send_costly(server, key, build_event):
    """Send costly bodies, all at once, and wait until the first is answered."""
    packed = [_pack_costly(build_event, f"costly-{number}") for number in range(BODIES)]
    bodies = [Body(server, key, body) for body in packed]
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not any(body.is_answered() for body in bodies):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return bodies


def _leave(bodies):
    for body in bodies:
        body.leave()


def test_open_bodies_hold_half_of_the_memory(open_server, build_event):
    """Bodies that one project leaves unfinished fill its half of the memory; another project's batch is accepted."""
    server, key = open_server(intake_memory_bytes=4 * MEBIBYTE)
    head = f"POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Length: {MEBIBYTE}\r\n\r\n"
    held: list[socket.socket] = []
    answered: list[socket.socket] = []
    while not answered:
        assert len(held) < 10
        held.append(socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE_SECONDS))
        held[-1].sendall(head.encode() + b"[" + b" " * (MEBIBYTE - 64 * 1024))
        answered = select.select(held, [], [], 0.5)[0]
    batch = [build_event(f"beside-{number}", attributes={"note": "x" * 1000}) for number in range(100)]
    assert server.send(batch).status == 200
    refusal = answered[0].recv(65536)
    assert refusal.startswith(b"HTTP/1.1 503")
    assert b"its share is 2,097,152" in refusal
    for connection in held:
        connection.close()


def test_costly_bodies_leave_places_to_others(open_server, build_event):
    """While one project's costly bodies are worked on, another's packed batch is answered long before they are done."""
    server, key = open_server()
    bodies = _send_costly(server, key, build_event)
    batch = [build_event(f"beside-{number}", attributes={"mail": "a@b.org"}) for number in range(500)]
    assert server.send(gzip.compress(json.dumps(batch).encode(), 0)).status == 200
    assert sum(not body.is_answered() for body in bodies) >= BODIES * 2 // 3
    assert {body.read_status() for body in bodies} == {200}
    _leave(bodies)


def test_bodies_whose_senders_left_are_not_worked_on(open_server, build_event):
    """Who leaves before it is its turn leaves no work behind: most of the bodies are never received."""
    server, key = open_server()
    _leave(_send_costly(server, key, build_event))
    # Behind them in its own project's queue.
    assert server.send(_pack_costly(build_event, "last"), key=key).status == 200
    read_key = server.make_key("read", "greedy")
    received = server.wait_loaded(read_key)["totals"]["received"]
    assert EVENTS * 2 <= received <= EVENTS * BODIES * 2 // 3
