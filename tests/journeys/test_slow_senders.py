"""Senders that are slow, silent or many do not keep the others out (F28)."""

from __future__ import annotations

import contextlib
import socket
import time

import pytest

pytestmark = pytest.mark.store


@pytest.fixture(scope="module")
def hurried(make_server):
    """Start a server with little patience."""
    return make_server(loader_linger_seconds=0.05, body_chunk_seconds=1, body_seconds=3).start()


@pytest.fixture
def connect(hurried):
    """Give a maker of bare connections."""
    made = []

    def make() -> socket.socket:
        made.append(socket.create_connection(("127.0.0.1", hurried.port), timeout=60))
        return made[-1]

    yield make
    for connection in made:
        connection.close()


def _head(server, length: int, path: str = "/v1/events", key: str = "") -> bytes:
    key = key or server.write_key
    return (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Length: {length}\r\n\r\n"
    ).encode()


def test_body_that_stops(hurried, connect):
    """A body that does not go on is answered 408, soon after the time that is allowed between two pieces."""
    connection = connect()
    connection.sendall(_head(hurried, 100) + b"[")
    assert connection.recv(4096).startswith(b"HTTP/1.1 408")


def test_body_that_drips(hurried, connect):
    """A body that drips its bytes, each in time, is cut off at the time allowed for the whole."""
    connection = connect()
    connection.sendall(_head(hurried, 10_000) + b"[")
    answer = b""
    connection.settimeout(0.3)
    deadline = time.monotonic() + 60
    while not answer and time.monotonic() < deadline:
        with contextlib.suppress(TimeoutError):
            answer = connection.recv(4096)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(b" ")
    assert answer.startswith(b"HTTP/1.1 408")


def test_sender_that_leaves(hurried, connect, build_event):
    """A sender that hangs up in the middle of its body leaves nothing behind."""
    before = hurried.wait_loaded()["totals"]["received"]
    for _ in range(20):
        connection = connect()
        connection.sendall(_head(hurried, 1000) + b'[{"event_id":')
        connection.close()
    assert hurried.send(build_event("after-leavers")).status == 200
    assert hurried.wait_loaded()["totals"]["received"] == before + 1


@pytest.mark.parametrize("length", ["-1", "1e3", "99999999999999999999999", "abc"])
def test_lying_lengths(hurried, connect, build_event, length):
    """A length that is no length is refused, and the next request succeeds."""
    connection = connect()
    connection.sendall(
        _head(hurried, 0).replace(b"Content-Length: 0", f"Content-Length: {length}".encode()) + b"[]"
    )
    first = connection.recv(4096)
    assert first == b"" or first.startswith(b"HTTP/1.1 4")
    assert hurried.send(build_event(f"after-length-{length}")).status == 200


def test_five_hundred_idle_connections(hurried, connect, build_event):
    """Hundreds of idle connections, and of half-sent headers, are held while others are served."""
    for number in range(500):
        connection = connect()
        if number % 2:
            connection.sendall(b"POST /v1/events HTTP/1.1\r\nHost: x\r\nX-Slow: ")
    started = time.monotonic()
    for number in range(20):
        assert hurried.send(build_event(f"beside-idle-{number}")).status == 200
    assert time.monotonic() - started < 30
    assert hurried.get("/readyz").status == 200


def test_half_sent_headers_are_cut_off(hurried, connect):
    """Headers that never end are given up after some seconds."""
    connection = connect()
    connection.sendall(b"POST /v1/events HTTP/1.1\r\nHost: x\r\nX-Slow: ")
    connection.settimeout(60)
    with contextlib.suppress(ConnectionResetError):
        answer = connection.recv(4096)
        assert answer == b"" or answer.startswith(b"HTTP/1.1 408")


def test_large_bodies_do_not_grow_memory(hurried):
    """Bodies past the limit, again and again, leave the web process as it was (F17, F18)."""
    body = b"[" + b" " * (3 * 1024 * 1024)
    hurried.send(body)
    before = hurried.pss_bytes()["web"]
    for _ in range(60):
        assert hurried.send(body).status == 400
    assert hurried.pss_bytes()["web"] - before < 64 * 1024 * 1024


def test_headers_without_end(hurried, connect, build_event):
    """Headers are read up to a bound; past it the connection is told so and closed."""
    connection = connect()
    connection.sendall(b"POST /v1/events HTTP/1.1\r\nHost: x\r\n")
    answer = b""
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        for number in range(200):
            connection.sendall(b"X-Filler-%d: " % number + b"x" * 4096 + b"\r\n")
        answer = connection.recv(4096)
    # Whoever sends on while the answer comes may find the connection reset instead.
    assert answer == b"" or answer.startswith(b"HTTP/1.1 431")
    assert hurried.send(build_event("after-fillers")).status == 200


def test_silent_connection(hurried, connect):
    """A connection that never says anything is closed."""
    assert connect().recv(4096) == b""


@pytest.mark.long
def test_body_of_a_question_that_stops(hurried, connect):
    """Nor does a question's body hold its connection for ever: after a pause without a word it is told 408 and closed."""
    connection = connect()
    connection.settimeout(400)
    connection.sendall(_head(hurried, 100, "/v1/query", hurried.read_key) + b"{")
    assert connection.recv(4096).startswith(b"HTTP/1.1 408")
