"""The server as a whole: room for connections, readers that do not read, slow senders, stopping in order."""

from __future__ import annotations

import contextlib
import resource
import socket
import threading

import pytest

from tallymark.meters import ANSWERS_REFUSED, CONNECTIONS_CLOSED
from tallymark.server.http.bounds import Bounds, fit_bounds
from tests.server.http.wire import Wire, build, wait_until

MIB = 1024 * 1024


def count_closed(reason: str) -> float:
    return CONNECTIONS_CLOSED.labels(reason)._value.get()


@pytest.fixture
def connect():
    """Give a maker of connections to a site, closed at the end."""
    with contextlib.ExitStack() as stack:

        def make(site) -> Wire:
            return Wire(stack.enter_context(site.connect()))

        yield make


def test_idle_connections_go_first(make_site, connect):
    """However many connections say nothing, one that asks is served; the longest idle ones were closed for it."""
    site, before = make_site(connections=8, refusals=2), count_closed("room")
    idle = [connect(site) for _ in range(40)]
    asking = connect(site)
    assert asking.get("/echo").status == 200
    assert count_closed("room") - before >= 32
    idle[0].wait_closed()
    # None of them had asked for anything.
    assert site.turned_away == []
    assert asking.get("/echo").status == 200


def test_half_heads_go_before_requests(make_site, connect):
    """A head that does not come on makes room too; its client is told 503, and it is counted as turned away."""
    site = make_site(connections=8, refusals=2)
    halves = [connect(site) for _ in range(8)]
    for half in halves:
        half.send(b"POST /v1/events HTTP/1.1\r\nHost: x\r\nX-Slow: ")
    wait_until(
        lambda: all(one.in_head for one in site.connections()),
        "heads have begun",
    )
    assert connect(site).get("/echo").status == 200
    answer = halves[0].read()
    assert (answer.status, answer.json["code"], answer.headers["retry-after"]) == (
        503,
        "too_many_connections",
        "1",
    )
    assert site.turned_away == ["too_many_connections"]


@pytest.mark.parametrize(
    "opening",
    [
        b"POST /direct/refused HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n",
        b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n",
        build("/large?bytes=50000000"),
    ],
    ids=["a body behind its answer", "a body without a key", "an answer that nobody reads"],
)
def test_whoever_waits_for_its_client_makes_room(make_site, connect, opening):
    """No way of being slow keeps the others out."""
    site = make_site(connections=8, refusals=2, answer_bytes=1 << 40, owner_bytes=1 << 40)
    slow = [connect(site) for _ in range(8)]
    for one in slow:
        one.send(opening)
    shared = site.server._serving.connections
    wait_until(
        lambda: len(shared._waiting) == len(shared) == 8 and all(one._served for one in site.connections()),
        "all wait",
    )
    assert [connect(site).get("/echo").status for _ in range(20)] == [200] * 20


def test_no_room_at_all(make_site, connect):
    """Where every connection has a request under way, a new one is told 503, and it is counted; past that it is cut off."""
    site, before = make_site(connections=4, refusals=2), count_closed("room")
    busy = [connect(site) for _ in range(4)]
    for one in busy:
        one.send(build("/slow"))
    wait_until(lambda: site.seen["/slow"] == 4, "all are under way")
    newcomer = connect(site)
    answer = newcomer.get("/echo", method="POST", body=b"x" * 1000)
    newcomer.socket.close()
    wait_until(lambda: len(site.server._serving.connections) == 4, "it is gone")
    assert (answer.status, answer.json["code"], answer.headers["retry-after"]) == (
        503,
        "too_many_connections",
        "1",
    )
    silent = [connect(site) for _ in range(2)]
    wait_until(lambda: len(site.server._serving.connections) == 6, "they are there")
    connect(site).wait_closed()
    assert count_closed("room") - before == len(site.turned_away) == 4
    site.release()
    assert [one.read().status for one in busy] == [200] * 4
    del silent


def test_readers_that_do_not_read(make_site, connect):
    """Who does not read its answer for some time is closed and counted; the answer is let go."""
    site, before = make_site(write_seconds=0.5, owner_bytes=200 * MIB), count_closed("slow_reader")
    for path in ("/large?bytes=50000000", "/stream?pieces=1000", "/direct?bytes=50000000"):
        connect(site).send(build(path))
    wait_until(lambda: count_closed("slow_reader") - before == 3, "all three are closed")
    wait_until(lambda: site.server._serving.budget.bytes == 0, "nothing is held for them")
    assert connect(site).get("/large?bytes=50000000").body == b"x" * 50_000_000


def test_slow_reader_that_reads(make_site, connect):
    """Who reads slowly, but reads, gets all of it."""
    site = make_site(write_seconds=4, write_bytes=1000)
    wire = connect(site)
    wire.send(build("/large?bytes=12000000", "Connection: close\r\n"))
    seen, reads = 0, 0
    # Much more slowly than it could, for longer than a reader may stand still.
    while data := wire.socket.recv(200_000):
        seen += len(data)
        reads += 1
        if reads <= 50:
            threading.Event().wait(0.1)
    assert seen > 12_000_000


def test_answers_in_flight_are_bounded(make_site, connect):
    """Answers that wait for readers take so many bytes of one project and of all, and no more: the next is refused, others get theirs."""
    site = make_site(answer_bytes=100 * MIB, owner_bytes=40 * MIB)
    before = ANSWERS_REFUSED._value.get()
    for _ in range(3):
        connect(site).send(build(f"/large?owner=a&bytes={18 * MIB}"))
    wait_until(lambda: ANSWERS_REFUSED._value.get() - before == 1, "the third is refused")
    answer = connect(site).get(f"/large?owner=a&bytes={18 * MIB}")
    assert (answer.status, answer.json["code"], answer.headers["retry-after"]) == (503, "overloaded", "5")
    assert connect(site).get(f"/direct?bytes={18 * MIB}").status == 200
    assert connect(site).get(f"/large?owner=b&bytes={18 * MIB}").status == 200
    assert connect(site).get("/large?owner=a&bytes=100").status == 200
    for owner in "bcd":
        connect(site).send(build(f"/large?owner={owner}&bytes={30 * MIB}"))
    wait_until(lambda: ANSWERS_REFUSED._value.get() - before == 3, "all together are bounded")
    assert connect(site).get(f"/direct?bytes={30 * MIB}").status == 503
    assert site.server._serving.budget.bytes <= 100 * MIB


def test_slow_senders_are_told(make_site, connect):
    """Heads that do not come on, bodies that stand still, connections that say nothing: each ends in its time."""
    site = make_site(head_seconds=0.3, piece_seconds=0.3)
    site.patience = 0.3
    silent, half, body, direct, answered = (connect(site) for _ in range(5))
    half.send(b"GET /echo HTTP/1.1\r\nHost")
    for wire, path in ((body, "/echo"), (direct, "/direct"), (answered, "/direct/refused")):
        wire.send(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nab".encode())
    assert [wire.read().status for wire in (half, body, direct, answered)] == [408, 408, 408, 401]
    for wire in (silent, half, body, direct, answered):
        wire.wait_closed()


def test_kept_alive_for_a_while(make_site, connect):
    """A connection whose requests have their answers is closed after its time, without a word."""
    site = make_site(idle_seconds=0.3)
    wire = connect(site)
    assert wire.get("/echo").status == 200
    wire.wait_closed()


def test_stop_in_order(site, connect):
    """What is under way gets its answer, idle connections end, what is pipelined behind or comes anew is not begun."""
    idle, busy, direct = connect(site), connect(site), connect(site)
    assert idle.get("/echo").status == 200
    busy.send(build("/slow") + build("/echo/behind"))
    direct.send(build("/direct/slow"))
    wait_until(lambda: site.seen["/slow"] and site.waiting, "both are under way")
    site.begin_stop()
    idle.wait_closed()
    with pytest.raises(ConnectionRefusedError):
        site.connect()
    site.release()
    for wire in (busy, direct):
        answer = wire.read()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert wire.rest() == b""
    site.stop()
    assert not site.seen["/echo/behind"]
    assert site.seen["lifespan.shutdown"] == 1


def test_stop_does_not_wait_for_ever(make_site, connect):
    """A request that does not end is ended with the server."""
    site = make_site(stop_seconds=0.3)
    wire = connect(site)
    wire.send(build("/gone"))
    wait_until(lambda: site.seen["/gone"], "it is under way")
    site.begin_stop()
    wire.wait_closed()
    site.stop()


def test_no_descriptor_left(site, connect):
    """Where the process has no descriptor for a new connection, idle ones make room, and the server serves on."""
    idle = [connect(site) for _ in range(30)]
    wait_until(lambda: len(site.server._serving.connections) == 30, "they are there")
    before = count_closed("no_descriptor")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    newcomer = socket.socket()
    filler = [socket.socket()]
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(one.socket.fileno() for one in idle) + 40, limits[1]))
    try:
        with contextlib.suppress(OSError):
            while True:
                filler.append(socket.socket())
        newcomer.settimeout(60)
        newcomer.connect(("127.0.0.1", site.port))
        wait_until(lambda: count_closed("no_descriptor") > before, "it is noticed")
        wait_until(lambda: len(site.server._serving.connections) < 30, "some made room")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for one in (newcomer, *filler):
            one.close()
    assert connect(site).get("/echo").status == 200
    assert site.turned_away


@pytest.mark.parametrize(("descriptors", "connections"), [(256, 120), (1024, 780), (65_536, 4096), (40, 19)])
def test_bounds_leave_descriptors(descriptors, connections):
    """There are never more connections than leave room for the journal and the store."""
    assert fit_bounds(Bounds(), descriptors).connections == connections
