"""No byte of a path, a query or a header is answered 500, at any address, with or without a key or a session."""

from __future__ import annotations

import os
import random
import socket
from urllib.parse import quote_from_bytes

import pytest

from tests.journeys.test_matrix import OPEN_PAGES, PAGES, TABLE
from tests.server.http.wire import Wire

pytestmark = pytest.mark.store

# What parsers choke on: bytes that are no text, numbers that are none, brackets that stay open, times past the calendar's ends.
BYTES = [
    b"\xff", b"\xc3\x28", b"\xed\xa0\x80", b"\xe2\x80\xa8", b"\x00", b"\r\nX: y", "²".encode(), "ä".encode(), b"%", b"%zz", b"%ff", b"%00",
    b"http://[::1", b"http://[", b"//", b"[", b"]", b"{", b'"', b"'", b"\\", b";", b"=", b",", b"nan", b"1e999", b"-1", b"0x1", b"1_0", b" ",
    b"9" * 30, b"9" * 5000, b"[" * 3000, b"a" * 5000, b"null", b"true", b"[null]", b'[{"field":"x"}]', b'{"a":1}', b"*", b"*/*;q=x", b"bytes=9-1",
    b"0001-01-01T00:00:00+23:59", b"9999-12-31T23:59:59-23:59", b"2026-01-01T00:00:00Z", b"../../etc/passwd", b"eyJ9", b"W10=", b"Zm9v",
    b"W1tbW1tbW1tb", b"application/openmetrics-text", b"text/html", b"date 9999", b"W10", b"WyIwMDAxLTAxLTAxVDAwOjAwOjAwKzIzOjU5IiwieCJd",
]  # fmt: skip
HEADERS = [
    "Authorization", "Origin", "Cookie", "If-None-Match", "If-Modified-Since", "Accept", "Accept-Encoding", "Accept-Language", "Content-Type",
    "Content-Encoding", "Range", "Sec-Fetch-Site", "Referer", "X-ClickHouse-User", "X-ClickHouse-Key", "X-ClickHouse-Format",
    "X-ClickHouse-Database", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Prefix", "Tallymark-Sent-At", "Tallymark-Client-Report",
    "Access-Control-Request-Headers", "Access-Control-Request-Method", "Prefer", "HX-Request",
]  # fmt: skip
PREFIXES = {
    "Authorization": [b"", b"Basic ", b"Bearer ", b"basic\t", b"Digest "],
    "Cookie": [
        b"",
        b"tallymark_session=",
        b"tallymark_form=",
        b"tallymark_theme=",
        b"=",
        b'tallymark_session="',
    ],
    "Accept": [b"", b"text/", b"application/openmetrics-text; version=", b"text/csv;q="],
}
FIELDS = [
    "from",
    "to",
    "interval",
    "timezone",
    "filters",
    "breakdown",
    "others",
    "compare",
    "event_name",
    "limit",
    "before",
    "after",
    "code",
    "event_id",
    "query",
    "version",
    "default_format",
    "project",
    "name",
    "names",
    "next",
    "q",
    "width",
    "height",
    "format",
    "last",
    "cursor",
    "panel",
    "dashboard",
    "metric",
    "kind",
    "key",
    "hasty",
    "sent_at",
    "group",
    "by",
    "field",
    "op",
    "value",
    "span",
    "start",
    "end",
    "day",
    "window",
    "type",
    "again",
    "row",
    "column",
    "theme",
    "shape",
    "series",
    "id",
    "ids",
    "page",
    "order",
    "search",
    "user",
    "password",
    "session_id",
]
# Signing out would end the session that the others need.
ROUTES = sorted({*TABLE, *PAGES, *OPEN_PAGES} - {("POST", "/sign-out")})


@pytest.fixture(scope="module")
def hostile(make_server, build_event):
    """Start a server with a little of everything, and a session on it."""
    server = make_server(loader_linger_seconds=0.05).start()
    server.send([build_event(f"e{number}", event_name="name", session_id="s") for number in range(5)])
    server.request("PUT", "/v1/metrics/m", '{"kind":"count","event_name":"name"}', key=server.admin_key)
    board = '{"last":"30d","panels":[{"name":"p","kind":"line","metrics":["m"]}]}'
    server.request("PUT", "/v1/dashboards/d", board, key=server.admin_key)
    server.wait_loaded()
    with server.open_catalog() as catalog:
        found = catalog.sign_in("admin", server.password)
    assert found is not None
    return server, found[0]


def _fill(path: str, dice: random.Random) -> bytes:
    """Return an address of a route: what stands in braces is something that there is, or something hostile."""
    parts = []
    for part in path.split("/"):
        if not part.startswith("{"):
            parts.append(part.encode())
        elif dice.random() < 0.5:
            parts.append(dice.choice([b"m", b"d", b"e1", b"1", b"default"]))
        else:
            parts.append(
                quote_from_bytes(dice.choice(BYTES), safe="" if dice.random() < 0.5 else "/").encode()
            )
    return b"/".join(parts)


def _build_query(dice: random.Random) -> bytes:
    sent = []
    for _ in range(dice.choice([0, 1, 1, 2, 3])):
        value = dice.choice(BYTES)
        text = quote_from_bytes(value).encode() if dice.random() < 0.7 else value.replace(b" ", b"+")
        sent.append(dice.choice(FIELDS).encode() + b"=" + text)
    return b"&".join(sent)


def _build_head(method: str, path: str, credentials: bytes, dice: random.Random) -> bytes:
    target = _fill(path, dice)
    query = _build_query(dice)
    lines = [
        method.encode() + b" " + target + (b"?" + query if query else b"") + b" HTTP/1.1",
        b"Host: " + _host(dice),
    ]
    names = dice.sample(HEADERS, dice.choice([0, 1, 1, 2]))
    # What says who it is stands first, where it is not what is tried.
    if credentials and not {"Authorization", "Cookie"} & set(names):
        lines.append(credentials)
    lines += [
        name.encode() + b": " + dice.choice(PREFIXES.get(name, [b""])) + dice.choice(BYTES) for name in names
    ]
    body = dice.choice(BYTES) if method in ("POST", "PUT") else b""
    if method != "GET":
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def _host(dice: random.Random) -> bytes:
    return b"x" if dice.random() < 0.8 else dice.choice(BYTES)


@pytest.mark.parametrize("seed", range(int(os.environ.get("TALLYMARK_FUZZ_SEEDS", "4"))))
def test_no_head_is_a_fault(hostile, seed):
    """Whatever stands in a head, the answer is never 500, and the log knows of no fault."""
    server, session = hostile
    dice = random.Random(seed)
    keys = [
        b"",
        f"Authorization: Bearer {server.admin_key}".encode(),
        f"Cookie: tallymark_session={session}".encode(),
    ]
    statuses: dict[int, int] = {}
    for method, path in ROUTES * 4:
        head = _build_head(method, path, dice.choice(keys), dice)
        with socket.create_connection(("127.0.0.1", server.port), timeout=90) as connection:
            connection.sendall(head)
            status = Wire(connection).read(method).status
        statuses[status] = statuses.get(status, 0) + 1
        assert status != 500, head[:2000]
    assert statuses.get(200, 0) > 20
    assert "request_failed" not in server.log
    assert "page_failed" not in server.log


@pytest.mark.parametrize(
    "path", ["/v1/events", "/v1/query", "/v1/ledger", "/metrics", "/clickhouse/?query=SELECT+1"]
)
def test_basic_outside_ascii(hostile, path):
    """A name and password that are no base64 are no key: 401."""
    server, _ = hostile
    method = "POST" if path in ("/v1/events", "/v1/query") else "GET"
    answer = server.request(method, path, headers={"Authorization": "Basic ä"})
    assert answer.status in (200, 401)
    assert answer.status == (200 if path == "/metrics" else 401)


@pytest.mark.parametrize("path", ["/sign-in", "/sign-out", "/settings/keys", "/dashboard/make"])
@pytest.mark.parametrize("origin", ["http://[::1", "http://[", "null", "https://evil.invalid"])
def test_origin_that_is_none(hostile, path, origin):
    """A form whose origin cannot be read comes from another site: 403."""
    server, session = hostile
    headers = {"Origin": origin, "Cookie": f"tallymark_session={session}"}
    assert server.request("POST", path, "a=b", headers=headers).status == 403
