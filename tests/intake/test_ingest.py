"""A request on its way: who pays for a body before its key is known, and what is given back when a sender leaves."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time

import pytest

from tests.intake.samples import SAMPLES
from tests.intake.site import DEADLINE_SECONDS

OWN, POSTHOG = SAMPLES["http"], SAMPLES["posthog"]
MEMORY = 8 * 1024 * 1024
# Of the room for bodies whose key is not known, which is half of the memory and of the requests, one address has a quarter.
ADDRESS_REQUESTS = 16


@pytest.fixture(scope="module")
def site(make_site):
    return make_site(
        memory_bytes=MEMORY, requests=8 * ADDRESS_REQUESTS, text_bytes=512 * 1024, chunk_seconds=600.0
    )


@pytest.fixture
def connect(site):
    """Give a maker of bare connections."""
    made = []

    def make() -> socket.socket:
        made.append(site.connect())
        return made[-1]

    yield make
    for connection in made:
        connection.close()


def _wait(condition, what):
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.005)


def _send_posthog(site, address, key, number=0, pack=bytes, attributes=None):
    body = pack(POSTHOG.pack([POSTHOG.build(f"{address}-{number}", attributes or {"a": 1})], key))
    return site.request("POST", "/batch/", body, {"X-Forwarded-For": address})


def _send_own(site, number=0):
    key = site.keys["write"]
    return site.request("POST", OWN.path, OWN.pack([OWN.build(f"own-{number}", {})], key), OWN.head(key))


def _begin_slow(connect, address):
    """Begin a body of which the key never comes."""
    connection = connect()
    head = f"POST /batch/ HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {address}\r\nContent-Length: 100000\r\n\r\n"
    connection.sendall(head.encode() + b'{"batch": [')
    return connection


def test_slow_bodies_without_a_key_cost_their_address_alone(site, connect):
    """An address that fills its share with bodies that never end is refused; others, and all with the key in the head, go on."""
    slow = [_begin_slow(connect, "203.0.113.1") for _ in range(ADDRESS_REQUESTS)]
    _wait(lambda: site.count_held()[1] == ADDRESS_REQUESTS, "all of them are open")
    refused = _send_posthog(site, "203.0.113.1", site.keys["write"])
    assert (refused.status, refused.json["code"], refused.headers["retry-after"]) == (503, "overloaded", "1")
    assert "this address" in refused.json["detail"]
    assert _send_posthog(site, "203.0.113.2", site.keys["write"]).status == 200
    assert _send_posthog(site, "203.0.113.2", site.keys["other"]).status == 200
    by_query = site.request(
        "POST", f"/batch/?token={site.keys['write']}", b"[]", {"X-Forwarded-For": "203.0.113.1"}
    )
    assert by_query.status == 200
    assert _send_own(site).status == 200
    for connection in slow:
        connection.close()
    _wait(lambda: site.count_held() == (0, 0), "all is given back")
    assert _send_posthog(site, "203.0.113.1", site.keys["write"], 1).status == 200


def test_bombs_without_a_key_cost_their_address_alone(site):
    """While an address sends bodies that grow a thousandfold, with keys that nobody has, everybody else is answered."""
    bomb = gzip.compress(b'{"api_key": "nobody", "batch": [' + b" " * 500_000 + b"]}")
    stop, statuses = threading.Event(), []

    def attack():
        while not stop.is_set():
            answer = site.request("POST", "/batch/", bomb, {"X-Forwarded-For": "203.0.113.1"})
            statuses.append(answer.status)

    attackers = [threading.Thread(target=attack) for _ in range(8)]
    for attacker in attackers:
        attacker.start()
    try:
        _wait(lambda: len(statuses) > 8, "the attack is under way")
        for number in range(20):
            assert _send_own(site, number).status == 200
            # Large enough to be worked on beside the loop.
            note = {"note": "x" * 50_000}
            sent = _send_posthog(site, "203.0.113.2", site.keys["other"], number, gzip.compress, note)
            assert sent.status == 200
    finally:
        stop.set()
        for attacker in attackers:
            attacker.join(DEADLINE_SECONDS)
    assert set(statuses) <= {401, 503}
    assert 401 in statuses
    _wait(lambda: site.count_held() == (0, 0), "all is given back")
    records = site.read_records()
    assert not [
        record
        for record in records
        if record.heading.turned_away.get("overloaded") and record.heading.project
    ]


def test_once_the_key_is_known_its_project_pays(site, monkeypatch):
    """Until then the address pays for the body and its text; then the project for both and for the events, and nobody twice."""
    taken = []
    addresses, projects = site.intake.addresses.budget, site.intake.projects.budget
    for budget in (addresses, projects):

        def note(holder, size, take=budget.take):
            taken.append((holder, size, dict(addresses._bytes)))
            take(holder, size)

        monkeypatch.setattr(budget, "take", note)
    text = POSTHOG.pack([POSTHOG.build("paid-1", {"note": "x" * 5000})], site.keys["other"])
    body = gzip.compress(text)
    answer = site.request("POST", "/batch/", body, {"X-Forwarded-For": "203.0.113.3"})
    assert answer.status == 200
    by_address = [size for holder, size, _ in taken if holder == "203.0.113.3"]
    by_project = [size for holder, size, _ in taken if holder == "q"]
    assert sum(by_address) == len(body) + len(text)
    assert by_project == [len(body) + len(text), 4 * len(text)]
    assert all(of_addresses == {} for holder, _, of_addresses in taken if holder == "q")


def test_the_first_key_that_is_known_counts(site):
    """An event may hold a text under the name of a key: the project is that of the first one which is a key."""
    events = [
        POSTHOG.build("other", {}) | {"token": "no-key-of-ours"},
        POSTHOG.build("mine", {}) | {"token": site.keys["write"]},
    ]
    answer = site.request("POST", "/e/", json.dumps(events).encode(), {})
    assert answer.status == 200, answer.body
    rejected = json.loads(answer.body)["rejected"]
    assert [item["index"] for item in rejected] == [0]


def test_get_is_the_applications_where_no_route_wants_it(site):
    """What a receiver does not answer by GET is left to the pages; a route that takes GET has it."""
    assert site.request("GET", "/decide/", b"", {}).status == 200
    assert site.request("GET", "/batch/", b"", {}).status != 405


def test_body_of_a_known_project_is_its_own_expense(site, connect):
    """A slow body whose key stands in the head takes nothing from its address's share."""
    connection = connect()
    key = site.keys["write"]
    connection.sendall(
        f"POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Length: 9000\r\n\r\n[".encode()
    )
    _wait(lambda: site.call(lambda: dict(site.intake.projects.budget._bytes)) == {"p": 1}, "the body counts")
    assert site.call(lambda: dict(site.intake.addresses.budget._requests)) == {}
    connection.close()
    _wait(lambda: site.count_held() == (0, 0), "all is given back")


def test_bytes_of_a_body_count_while_it_grows(site, connect):
    """A body without a key that is as large as its address's share is refused in the middle."""
    connection = connect()
    head = "POST /batch/ HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 203.0.113.4\r\nTransfer-Encoding: chunked\r\n\r\n"
    connection.sendall(head.encode())
    piece = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    connection.settimeout(DEADLINE_SECONDS)
    for _ in range(MEMORY // 8 // 0x10000 + 1):
        connection.sendall(piece)
    assert connection.recv(4096).startswith(b"HTTP/1.1 413")
    _wait(lambda: site.count_held() == (0, 0), "all is given back")


@pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES)
def test_body_is_asked_for_when_the_head_is_accepted(site, connect, sample):
    """Who waits for `100 Continue` gets it, or the refusal instead of it, before it sends anything."""
    key = site.keys["write"]
    body = sample.pack([sample.build("continued", {})], key)
    lines = [f"{name}: {value}" for name, value in sample.head(key).items()]
    lines += ["Host: x", f"Content-Length: {len(body)}", "Expect: 100-continue"]
    head = (f"POST {sample.path} HTTP/1.1\r\n" + "\r\n".join(lines) + "\r\n\r\n").encode()
    connection = connect()
    connection.sendall(head)
    assert connection.recv(4096) == b"HTTP/1.1 100 Continue\r\n\r\n"
    connection.sendall(body)
    assert connection.recv(4096).startswith(b"HTTP/1.1 200")
    refused = connect()
    refused.sendall(head.replace(str(len(body)).encode(), b"99999999"))
    assert refused.recv(4096).startswith(b"HTTP/1.1 413")


def test_large_body_in_one_piece_is_not_read_before_its_head(site):
    """Megabytes that come together with their head are taken as they are asked for, and arrive whole."""
    key = site.keys["write"]
    events = [OWN.build(f"large-{number}", {"note": "x" * 1000}) for number in range(400)]
    assert site.request("POST", OWN.path, json.dumps(events).encode(), OWN.head(key)).json["accepted"] == 400
