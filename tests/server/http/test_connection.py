"""One connection: what is a request and what is none, pipelines of any length, bodies in any pieces, the ends of connections."""

from __future__ import annotations

import itertools
import socket

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from tests.server.http.wire import Wire, build, wait_until

MIB = 1024 * 1024


@pytest.fixture
def wire(site):
    with site.connect() as connection:
        yield Wire(connection)


def test_request_and_answer(site, wire):
    """The application sees method, path, query and client, and the connection stays open for the next request."""
    first = wire.get("/echo/a%20b?x=1&y=%C3%A4")
    assert (first.status, first.json["path"], first.json["query"]) == (200, "/echo/a b", {"x": "1", "y": "ä"})
    assert (first.json["client"][0], first.json["scheme"]) == ("127.0.0.1", "http")
    assert "date" in first.headers
    assert "connection" not in first.headers
    assert wire.get("/echo", method="POST", body=b"abc").json["body"] == "abc"
    assert wire.get("/direct", method="POST", body=b"abcd").json == {"size": 4}
    assert site.seen["lifespan.startup"] == 1


def test_five_hundred_pipelined_requests_behind_a_slow_one(site, wire):
    """Requests sent ahead of the answers are all answered, in order, however many they are (once: RecursionError after 89)."""
    wire.send(build("/slow?n=0"))
    wire.send(b"".join(build(f"/direct?bytes={number}") for number in range(1, 501)))
    wait_until(lambda: site.seen["/slow"], "the slow request is under way")
    site.release()
    assert wire.read().json["query"] == {"n": "0"}
    for number in range(1, 501):
        assert len(wire.read().body) == number


def test_pipelined_requests_for_the_application(wire):
    """The same for requests that the application answers, with bodies between."""
    wire.send(b"".join(build("/echo", method="POST", body=b"%d" % number) for number in range(300)))
    assert [int(wire.read().json["body"]) for _ in range(300)] == list(range(300))


def test_what_is_pipelined_waits_with_the_client(site, wire):
    """Behind a request without an answer the server takes no more than it has read at once: memory does not grow."""
    wire.send(build("/slow"))
    wait_until(lambda: site.seen["/slow"], "the slow request is under way")
    assert wire.send_until_full(build("/direct") * 4000, 200 * MIB) < 200 * MIB
    (connection,) = site.connections()
    assert len(connection._rest) < 2 * 1024 * 1024


BAD = {
    "both lengths": (b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "lengths reversed": (b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n", 400),
    "two lengths": (b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
    "a signed length": (b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\na", 400),
    "a length in hexadecimal": (b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 0x1\r\n\r\na", 400),
    "a length without end": (b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\na", 400),
    "an unknown coding": (b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
    "a coding behind chunked": (b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400),
    "chunks in HTTP/1.0": (b"POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "a broken chunk": (b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    "a chunk longer than it says": (b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", 400),
    "a space before the colon": (b"GET /echo HTTP/1.1\r\nHost : x\r\n\r\n", 400),
    "a folded header": (b"GET /echo HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n", 400),
    "a bare line feed": (b"GET /echo HTTP/1.1\nHost: x\n\n", 400),
    "a NUL in a header": (b"GET /echo HTTP/1.1\r\nHost: x\r\nA: \0\r\n\r\n", 400),
    "no host": (b"GET /echo HTTP/1.1\r\n\r\n", 400),
    "two hosts": (b"GET /echo HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400),
    "a host that is none": (b"GET /echo HTTP/1.1\r\nHost: x:00:00\r\n\r\n", 400),
    "no path": (b"GET ?x HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "a byte that no path has": (b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "an asterisk": (b"GET * HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "a proxy's request": (b"CONNECT evil.invalid:443 HTTP/1.1\r\nHost: x\r\n\r\n", 405),
    "an unknown method": (b"FOO /echo HTTP/1.1\r\nHost: x\r\n\r\n", 501),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 501),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "HTTP/0.9": (b"GET /echo\r\n\r\n", 505),
    "another protocol": (b"DESCRIBE /echo RTSP/1.0\r\n\r\n", 501),
    "a method of WebDAV": (b"PROPFIND /echo HTTP/1.1\r\nHost: x\r\n\r\n", 501),
    "too many headers": (b"GET /echo HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 201 + b"\r\n", 431),
    "headers without end": (b"GET /echo HTTP/1.1\r\nHost: x\r\n" + b"A: " + b"b" * 70_000 + b"\r\n\r\n", 431),
}  # fmt: skip


CODES = {
    400: "malformed_request", 405: "method_not_allowed", 431: "headers_too_large", 501: "method_not_implemented",
    505: "http_version_not_supported",
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_no_request(site, wire, name):
    """What is not one clear request is refused and ends the connection: nobody else's request can hide behind it."""
    data, status = BAD[name]
    wire.send(data + build("/echo/hidden"))
    answer = wire.read()
    assert answer.status == status
    assert wire.rest() == b""
    assert (answer.headers["content-type"], answer.headers["connection"]) == ("application/json", "close")
    assert answer.json["code"] == CODES[status]
    assert answer.json["message"]
    assert not site.seen["/echo/hidden"]
    with site.connect() as other:
        assert Wire(other).get("/echo").status == 200


@pytest.mark.parametrize(
    ("head", "status", "at", "says"),
    [
        ("HEAD /echo HTTP/1.1\r\n\r\n", 400, "Host", "has 0 Host headers"),
        ("HEAD /echo HTTP/1.1\r\nHost: a b\r\n\r\n", 400, "Host", "'a b' is no host"),
        ("HEAD * HTTP/1.1\r\nHost: x\r\n\r\n", 400, "path", "'*' is no address"),
        ("HEAD /echo HTTP/1.1\r\nHost: x\r\n" + "A: b\r\n" * 201 + "\r\n", 431, "", "more than 200 headers"),
        ("HEAD /echo HTTP/1.1\r\nA: " + "b" * 70_000, 431, "", "more than 65,536 bytes"),
        ("HEAD /echo HTTP/1.1\r\nHost : x\r\n\r\n", 400, "", "is not HTTP/1.1"),
    ],
)
def test_a_head_that_is_refused_has_no_body(site, head, status, at, says):
    """HEAD gets the head that GET gets, its length included, and nothing behind it; GET's body says what is wrong."""
    with site.connect() as one, site.connect() as two:
        asked, told = Wire(one), Wire(two)
        asked.send(head.encode())
        told.send(head.replace("HEAD", "GET", 1).encode())
        answer, full = asked.read("HEAD"), told.read()
        assert answer.status == full.status == status
        assert int(answer.headers["content-length"]) == len(full.body)
        assert asked.rest() == told.rest() == b""
        assert full.json["at"] == at
        assert says in full.json["message"]


def test_what_follows_a_head_is_told_in_full(wire):
    """The request before it decides nothing: bytes that are no request are answered with a body."""
    assert wire.get("/echo", method="HEAD").status == 200
    wire.send(b"\r\n\x16\x03\x01")
    answer = wire.read()
    assert (answer.status, answer.json["code"]) == (501, "method_not_implemented")


def test_http_1_0(wire):
    """A client of HTTP/1.0 gets its answer without chunks, and the end of the connection as the end of it."""
    wire.send(b"GET /stream?pieces=2 HTTP/1.0\r\n\r\n")
    answer = wire.read()
    assert "transfer-encoding" not in answer.headers
    assert answer.body == b"y" * 131_072 + b"end"


def test_close(wire):
    """A client that asks for the end gets it behind its answer, and what it sends behind that is not looked at."""
    wire.send(build("/echo", "Connection: close\r\n") + build("/echo/two"))
    assert wire.read().headers["connection"] == "close"
    assert wire.rest() == b""


def test_head(wire):
    """HEAD is answered with the head alone, and the connection goes on."""
    answer = wire.get("/large?bytes=100000", method="HEAD")
    assert (answer.status, answer.headers["content-length"]) == (200, "100000")
    assert wire.get("/direct?bytes=7", method="HEAD").headers["content-length"] == "7"
    assert wire.get("/stream?pieces=3", method="HEAD").status == 200
    assert wire.get("/echo").status == 200


def test_no_body(wire):
    """An answer that has no body says no length of one."""
    answer = wire.get("/empty")
    assert (answer.status, "content-length" in answer.headers, "transfer-encoding" in answer.headers) == (
        204,
        False,
        False,
    )
    assert wire.get("/echo").status == 200


def test_upgrade_is_ignored(wire):
    """Nobody here speaks another protocol: the request is served as it is (Java's client asks so), and the next one too."""
    upgrade = (
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"
    )
    wire.send(build("/echo", upgrade) + build("/echo/two"))
    assert wire.read().status == 200
    assert wire.read().json["path"] == "/echo/two"
    assert wire.get("/echo", upgrade, "POST", b"abc").json["body"] == "abc"
    wire.send(
        build("/echo", f"Transfer-Encoding: chunked\r\n{upgrade}")
        + b"3\r\nabc\r\n0\r\n\r\n"
        + build("/echo/three")
    )
    assert wire.read().json["body"] == "abc"
    assert wire.read().json["path"] == "/echo/three"


@pytest.mark.parametrize("path", ["/echo", "/direct"])
def test_expect(wire, path):
    """A client that asks first is told to go on, and is not when the answer is there already."""
    wire.send(
        build(path, "Content-Length: 3\r\nExpect: 100-continue\r\n", "PUT").replace(
            b"Content-Length: 0\r\n", b""
        )
    )
    assert wire.read().status == 100
    wire.send(b"abc")
    assert wire.read().status == 200
    wire.send(build("/direct/refused", "Content-Length: 3\r\nExpect: 100-continue\r\n", "PATCH"))
    answer = wire.read()
    assert (answer.status, answer.headers["connection"]) == (401, "close")
    wire.wait_closed()


def test_answer_before_the_body(wire):
    """Who is answered in the middle of its body can send the rest, and the next request."""
    wire.send(b"POST /direct/refused HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\nabc")
    assert wire.read().status == 401
    wire.send(b"x" * 2_999_997 + build("/echo"))
    assert wire.read().status == 200


def test_waste_is_bounded(make_site):
    """But only so much of it."""
    site = make_site(waste_bytes=1_000_000)
    with site.connect() as connection:
        wire = Wire(connection)
        wire.send(b"POST /direct/refused HTTP/1.1\r\nHost: x\r\nContent-Length: 300000000\r\n\r\nabc")
        assert wire.read().status == 401
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            wire.send(b"x" * 300_000_000)


def test_body_that_nobody_reads(site, wire):
    """A body that the application does not ask for stays with the client."""
    wire.send(b"POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 300000000\r\n\r\n")
    assert wire.send_until_full(b"x" * 100_000, 200 * MIB) < 200 * MIB
    (connection,) = site.connections()
    assert connection._reader.request.waiting_bytes + len(connection._rest) < 2 * 1024 * 1024


def test_streamed_answer_waits_for_its_reader(site, wire):
    """An answer that is made piece by piece is made as fast as it is read, and comes whole."""
    wire.send(build("/stream?pieces=500", "Connection: close\r\n"))
    wait_until(site.connections, "the connection is there")
    (connection,) = site.connections()
    wait_until(lambda: connection._write_paused, "the answer waits for its reader")
    assert site.seen["pieces"] < 500
    assert len(wire.rest()) > 500 * 65_536
    assert site.seen["pieces"] == 500


def test_client_that_leaves(site):
    """The application is told that its client is gone."""
    for path in ("/gone", "/direct/slow"):
        with site.connect() as connection:
            connection.sendall(build(path, method="POST"))
            wait_until(lambda: site.seen["/gone"] or site.waiting, "the request is under way")
    wait_until(lambda: site.seen["disconnected"] and site.seen["left"], "both are told")


def test_faults_of_the_application(wire, site):
    """A fault is answered 500; half an answer is cut off, so that nobody takes it for a whole one."""
    answer = wire.get("/boom")
    assert (answer.status, answer.json["code"]) == (500, "internal_error")
    for path in ("/short", "/broken?value=a%0D%0Aset-cookie:%20x=1"):
        with site.connect() as connection:
            other = Wire(connection)
            other.send(build(path))
            if path == "/short":
                with pytest.raises(EOFError):
                    other.read()
            else:
                assert other.read().status == 500


@pytest.mark.parametrize("why", ["reader", "disk"])
def test_a_stream_that_its_reader_lost_is_no_fault(site, why):
    """The answer is cut off and the log says why, also where the disk could keep no more of it for its reader."""
    with capture_logs() as logs, site.connect() as connection:
        wire = Wire(connection)
        wire.send(build(f"/stopped?why={why}"))
        with pytest.raises(EOFError):
            wire.read()
    assert [entry["event"] for entry in logs] == ["reader_stopped"]


def test_chunks_of_one_byte(wire):
    """A body in chunks of one byte arrives whole, as do trailers and the request behind them."""
    body = b"".join(b"1;note=x\r\n%c\r\n" % (97 + number % 26) for number in range(20_000))
    head = b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    wire.send(head + body + b"0\r\nTrailer: v\r\n\r\n" + build("/echo/behind"))
    assert wire.read().json["body"] == "".join(chr(97 + number % 26) for number in range(20_000))
    assert wire.read().json["path"] == "/echo/behind"


STREAM = (
    b"\r\n" + build("/echo/one")
    + build("/direct", "X: y\r\n", "POST", b"\r\n\r\nGET /echo/no HTTP/1.1\r\n\r\n")
    + b"POST /echo/two HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n\r\n\r\n\r\n3\r\nabc\r\n0\r\nT: v\r\n\r\n"
    + build("/echo/three", method="POST", body=b"x" * 50)
)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(st.lists(st.integers(1, len(STREAM) - 1), max_size=40))
def test_any_pieces(site, cuts):
    """However the bytes are cut, the same requests are found in them."""
    edges = [0, *sorted(set(cuts)), len(STREAM)]
    with site.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        wire = Wire(connection)
        for start, end in itertools.pairwise(edges):
            wire.send(STREAM[start:end])
        found = [wire.read().json for _ in range(4)]
    assert [one.get("path") for one in found] == ["/echo/one", None, "/echo/two", "/echo/three"]
    assert found[1] == {"size": 29}
    assert (found[2]["body"], found[3]["body"]) == ("\r\n\r\nabc", "x" * 50)


def test_byte_by_byte(site):
    """One byte at a time as well."""
    with site.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        wire = Wire(connection)
        for number in range(len(STREAM)):
            wire.send(STREAM[number : number + 1])
        assert [wire.read().status for _ in range(4)] == [200] * 4
