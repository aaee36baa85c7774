"""The contract of `POST /v1/events`, over HTTP, against a whole server."""

from __future__ import annotations

import base64
import contextlib
import gzip
import http.client
import json
import zlib
from typing import Any

import clickhouse_connect
import pytest
import zstandard

from tallymark.errors import EVENT_CODES

pytestmark = pytest.mark.store


def _base(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


# Answers


def test_all_accepted(server, build_event):
    """200 says how many were accepted, and that none was rejected; the events can be asked for soon after."""
    answer = server.send([build_event("ok-1"), build_event("ok-2")])
    assert (answer.status, answer.json) == (200, {"accepted": 2, "rejected": []})
    assert answer.headers["content-type"].startswith("application/json")
    server.wait_loaded()
    assert server.trace("ok-2")["verdict"] == "stored"


def test_some_refused(server, build_event):
    """207 lists each refused event with index, code, message and place; the good ones beside it are kept."""
    body = [build_event("some-1"), {"event_id": "some-2"}, build_event("some-3", event_time="noon")]
    answer = server.send(body)
    assert answer.status == 207
    assert answer.json["accepted"] == 1
    first, second = answer.json["rejected"]
    assert set(first) == {"index", "code", "message", "at"}
    assert (first["index"], first["code"], first["at"]) == (1, "missing_field", "event_time")
    assert (second["index"], second["code"], second["at"]) == (2, "time_invalid", "event_time")
    server.wait_loaded()
    assert server.trace("some-1")["verdict"] == "stored"
    assert server.trace("some-2")["verdict"] == "quarantined"


def test_all_refused_are_quarantined_before_the_answer(server):
    """400 comes after what parsed is durable for the quarantine."""
    answer = server.send([{"event_id": "none-1"}, 7])
    assert answer.status == 400
    assert [item["code"] for item in answer.json["rejected"]] == ["missing_field", "not_an_object"]
    server.wait_loaded()
    assert server.trace("none-1")["verdict"] == "quarantined"


def test_hasty(server, build_event):
    """202 in haste; the event arrives all the same, and the ledger says beside the equation that it was hasty."""
    before = server.ledger()["outside"]["hasty_acknowledged"]
    assert server.send(build_event("hasty-1"), "?hasty=true").status == 202
    ledger = server.wait_until(
        lambda: server.trace("hasty-1")["verdict"] == "stored" and server.ledger(),
        "the hasty event is stored",
    )
    assert ledger["outside"]["hasty_acknowledged"] == before + 1
    assert ledger["balanced"]


# Shapes of a body


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("object", lambda e: json.dumps(e("s-object"))),
        ("pretty", lambda e: json.dumps(e("s-pretty", attributes={"a": [1, {"b": 2}]}), indent=2)),
        ("array", lambda e: json.dumps([e("s-array")])),
        ("ndjson", lambda e: json.dumps(e("s-ndjson")) + "\n"),
        ("crlf", lambda e: json.dumps(e("s-crlf")) + "\r\n\r\n"),
        ("bom", lambda e: "\ufeff" + json.dumps(e("s-bom"))),
        ("blank", lambda e: " \n\t" + json.dumps(e("s-blank")) + "\n "),
    ],
)
def test_shapes(server, build_event, name, body):
    """One object (also pretty-printed), an array and lines are told apart, with or without a BOM and blanks."""
    answer = server.send(body(build_event))
    assert (answer.status, answer.json["accepted"]) == (200, 1)
    server.wait_loaded()
    assert server.trace(f"s-{name}")["verdict"] == "stored"


def test_broken_lines_and_elements_cost_no_neighbour(server, build_event):
    """In lines and in arrays, what is broken is refused alone."""
    lines = "\n".join([json.dumps(build_event("l-1")), '{"event_id": ', json.dumps(build_event("l-2"))])
    answer = server.send(lines)
    assert (answer.status, answer.json["accepted"], answer.json["rejected"][0]["index"]) == (207, 2, 1)
    array = f"[{json.dumps(build_event('l-3'))}, {{bad}}, {json.dumps(build_event('l-4'))}]"
    answer = server.send(array)
    assert (answer.status, answer.json["accepted"], answer.json["rejected"][0]["code"]) == (
        207,
        2,
        "malformed_json",
    )


def test_empty_array_is_fine(server):
    """A batch of nothing is accepted and changes nothing."""
    assert server.send("[]").json == {"accepted": 0, "rejected": []}


@pytest.mark.parametrize("body", [b"", b"  \n ", b"\xef\xbb\xbf"])
def test_empty_body(server, body):
    """A body without anything in it is 400 `empty_body`."""
    answer = server.send(body)
    assert (answer.status, answer.json["code"]) == (400, "empty_body")


def test_flat_keys_become_attributes(server, build_event):
    """Keys that are no field are attributes, beside those in `attributes`."""
    event = build_event(
        "flat-1", carrier="AA", price=5.5, project="not yours", attributes={"carrier": "AA", "x": None}
    )
    assert server.send(event).status == 200
    server.wait_loaded()
    (row,) = server.sql("SELECT attributes FROM events WHERE event_id = 'flat-1' FORMAT TSVRaw")
    attributes = json.loads(row[0])
    assert attributes["carrier"] == "AA"
    assert attributes["price"] == 5.5
    assert attributes["project"] == "not yours"


def test_truncated_events_are_kept(server, build_event):
    """What a client had to cut says so and is stored like any other."""
    assert server.send(build_event("cut-1", truncated=True, attributes={"size": 99999})).status == 200
    server.wait_loaded()
    assert server.sql("SELECT truncated FROM events WHERE event_id = 'cut-1'") == [["true"]]


# Compression and addresses


@pytest.mark.parametrize("claimed", [None, "gzip", "identity", "br"])
@pytest.mark.parametrize("kind", ["plain", "gzip", "zlib", "zstd"])
def test_compression_is_told_by_the_bytes(server, build_event, kind, claimed):
    """Whatever Content-Encoding claims, the bytes decide."""
    pack = {"plain": bytes, "gzip": gzip.compress, "zlib": zlib.compress, "zstd": zstandard.compress}[kind]
    headers = {"Content-Encoding": claimed} if claimed else {}
    body = pack(json.dumps(build_event(f"z-{kind}-{claimed}")).encode())
    answer = server.send(body, headers=headers)
    assert (answer.status, answer.json["accepted"]) == (200, 1)


def test_compressed_bodies_are_bounded(server):
    """A bomb is 413, and a body that was cut off is 400 `invalid_encoding`."""
    for pack in (gzip.compress, zlib.compress, zstandard.compress):
        assert server.send(pack(b" " * (17 * 1024 * 1024))).status == 413
        answer = server.send(pack(b"{" * 1000)[:-4])
        assert (answer.status, answer.json["code"]) == (400, "invalid_encoding")


@pytest.mark.parametrize("path", ["/v1/events", "/v1/events/"])
def test_slashes_and_no_redirects(server, build_event, path):
    """The address works with and without a slash at its end, and never redirects."""
    body = json.dumps(build_event(f"slash-{len(path)}"))
    assert server.request("POST", path, body, key=server.write_key).status == 200


@pytest.mark.parametrize("path", ["/v1/events", "/v1/events/"])
def test_browsers_may_send(server, build_event, path):
    """A preflight is answered without a key, and answers and refusals can be read by any origin."""
    asked = {"Origin": "https://shop.example", "Access-Control-Request-Method": "POST"}
    answer = server.request("OPTIONS", path, headers=asked)
    assert answer.status == 204
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "authorization" in answer.headers["access-control-allow-headers"].lower()
    assert "access-control-allow-credentials" not in answer.headers
    names = "authorization, content-type, traceparent,TraceState , x-\xe4, bad name, ,x-b3-" + "a" * 300
    asked["Access-Control-Request-Headers"] = names
    answer = server.request("OPTIONS", path, headers=asked)
    allowed = answer.headers["access-control-allow-headers"].split(", ")
    assert {"Authorization", "traceparent", "TraceState"} <= set(allowed)
    assert len(allowed) == 7
    assert answer.headers["vary"] == "Access-Control-Request-Headers"
    assert answer.headers["access-control-max-age"] == "86400"
    for key, status in ((server.write_key, 200), ("wrong", 401)):
        sent = server.request("POST", path, json.dumps(build_event("cors-1")), key=key)
        assert (sent.status, sent.headers["access-control-allow-origin"]) == (status, "*")


# Keys


def test_ways_to_give_a_key(server, build_event):
    """Bearer, Basic user name and `?key=` work alike, in any case of the scheme."""
    body = json.dumps(build_event("keys-1"))
    for headers, query in (
        ({"Authorization": f"Bearer {server.write_key}"}, ""),
        ({"authorization": f"bearer  {server.write_key}"}, ""),
        ({"Authorization": "Basic " + _base(f"{server.write_key}:")}, ""),
        ({"Authorization": "BASIC " + _base(f"{server.write_key}:anything:at all")}, ""),
        ({}, f"?key={server.write_key}"),
    ):
        answer = server.request("POST", f"/v1/events{query}", body, headers=headers)
        assert answer.status == 200, headers


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Bearer"}, {"Authorization": "Bearer nope"}, {"Authorization": "Basic ?"}, {"Authorization": "Digest x"},
     {"Authorization": "Basic " + base64.b64encode(b"\xff\xfe").decode()}, {"Authorization": "Bearer \xe9"}],
)  # fmt: skip
def test_no_or_unknown_key(server, build_event, headers):
    """Without a key that is known the answer is 401, says how to send one, and is counted as a request."""
    answer = server.request("POST", "/v1/events", json.dumps(build_event("no-key")), headers=headers)
    assert (answer.status, answer.json["code"]) == (401, "unauthorized")
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_wrong_scope(server, build_event):
    """A read key may not send: 403 names the scope that is needed."""
    answer = server.send(build_event("scope-1"), key=server.read_key)
    assert (answer.status, answer.json["code"]) == (403, "forbidden")
    assert "'write'" in answer.json["message"]


def test_turned_away_requests_are_counted(server, build_event):
    """Requests that were turned away stand in the ledger beside the equation, by code."""

    def count() -> int:
        return server.ledger()["outside"]["requests_turned_away"].get("forbidden", 0)

    before = count()
    for _ in range(3):
        server.send(build_event("counted"), key=server.read_key)
    server.wait_until(lambda: count() >= before + 3, "the refusals are counted")


def test_revoked_key_is_refused_at_once(server, build_event):
    """A key that was revoked through the API is refused by the next request."""
    key = server.request("POST", "/v1/keys", '{"scope":"write"}', key=server.admin_key).json["key"]
    assert server.send(build_event("rev-1"), key=key).status == 200
    listed = server.get("/v1/keys", server.admin_key).json["keys"]
    (row,) = [row for row in listed if row["hint"].endswith(key[-4:])]
    assert key not in json.dumps(listed)
    assert server.request("DELETE", f"/v1/keys/{row['id']}", key=server.admin_key).status == 200
    assert server.send(build_event("rev-2"), key=key).status == 401


# Sizes


@pytest.mark.parametrize("told", ["length", "chunks"])
def test_too_large_bodies(server, told):
    """Past the limit a body is 413, whether its length was told or not; the next request succeeds."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    body = b"[" + b" " * (5 * 1024 * 1024)
    pieces = body if told == "length" else (body[at : at + 65536] for at in range(0, len(body), 65536))
    headers = {"Authorization": f"Bearer {server.write_key}"}
    try:
        # The server need not listen to the rest of it, so sending may end early; the answer is there all the same.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.request("POST", "/v1/events", pieces, headers, encode_chunked=told == "chunks")
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            assert connection.getresponse().status == 413
    finally:
        connection.close()
    assert server.send("[]").status == 200
    turned_away = server.wait_until(
        lambda: server.ledger()["outside"]["requests_turned_away"].get("body_too_large"),
        "the refusal is counted",
    )
    assert turned_away >= 1


def test_too_many_events(server):
    """More events than a request may hold are 413, and none of them counts."""
    assert server.send("[" + ",".join(["1"] * 20_001) + "]").status == 413


# Time


def test_skewed_clock_is_corrected_and_marked(server, build_event):
    """With `sent_at` far off, both times are kept: the client's own, and the corrected one with its skew."""
    event = build_event("skew-1", event_time="2016-01-01T00:00:00Z")
    assert server.send(event, "?sent_at=2016-01-01T00:00:10Z").status == 200
    assert server.send(build_event("skew-2"), headers={"Tallymark-Sent-At": "nonsense"}).status == 200
    server.wait_loaded()
    ((client, seconds, skewed),) = server.sql(
        "SELECT client_time, dateDiff('second', event_time, received_at), skew_ms > 0 FROM events WHERE event_id = 'skew-1'"
    )
    assert client.startswith("2016-01-01 00:00:00")
    assert (seconds, skewed) in (("10", "1"), ("9", "1"), ("11", "1"))
    assert server.sql("SELECT skew_ms FROM events WHERE event_id = 'skew-2'") == [["0"]]


def test_times_ahead_pass_with_a_skewed_clock(server, build_event):
    """A sender ten years ahead is believed about the order of its events, not about the year."""
    event = build_event("ahead-1", event_time="2046-01-01T00:00:00Z")
    assert server.send(event, "?sent_at=2046-01-01T00:00:01Z").status == 200
    assert server.send(build_event("ahead-2", event_time="2046-01-01T00:00:00Z")).status == 400


# Repetition


def test_repeated_batch(server, build_event):
    """A batch that is sent again gets the same answer, is stored once and counted as duplicate."""
    batch = [build_event(f"twice-{n}") for n in range(5)]
    before = server.wait_loaded()["totals"]
    assert [server.send(batch).json for _ in range(3)] == [{"accepted": 5, "rejected": []}] * 3
    after = server.wait_loaded()["totals"]
    assert after["duplicate"] - before["duplicate"] == 10
    assert after["stored"] - before["stored"] == 5
    assert server.sql("SELECT count() FROM events WHERE event_id LIKE 'twice-%'") == [["5"]]


def test_conflict_is_counted_and_the_first_wins(server, build_event):
    """The same id with other content is a duplicate that the ledger marks as a conflict."""
    server.send(build_event("conflict-1", value=1))
    server.send(build_event("conflict-1", value=2))
    ledger = server.wait_loaded()
    assert ledger["outside"]["conflicts"] >= 1
    assert server.sql("SELECT value FROM events WHERE event_id = 'conflict-1'") == [["1"]]
    verdicts = [station["verdict"] for station in server.trace("conflict-1")["stations"]]
    assert "conflict" in verdicts


# Codes

_TEXT = '{"event_id":"%s","event_time":"2026-01-31T12:00:00Z","event_type":"t","event_name":"n","attributes":{"a":%s}}'
PROVOKE: dict[str, bytes] = {
    "malformed_json": b'{"event_id": oops}',
    "not_an_object": b"[17]",
    "invalid_utf8": (_TEXT % ("u8", '"\xff"')).encode("latin-1"),
    "invalid_unicode": (_TEXT % ("us", '"\\ud800"')).encode(),
    "nul_character": (_TEXT % ("nul", '"a\\u0000b"')).encode(),
    "number_not_finite": (_TEXT % ("nan", "NaN")).encode(),
    "number_out_of_range": (_TEXT % ("big", "1e999")).encode(),
    "integer_out_of_range": (_TEXT % ("int", "1" * 40)).encode(),
    "too_deep": (_TEXT % ("deep", "[" * 40 + "]" * 40)).encode(),
    "too_many_attributes": json.dumps({**json.loads(_TEXT % ("many", "1")), **{f"k{n}": n for n in range(1001)}}).encode(),
    "attribute_name_invalid": (_TEXT % ("name", '1,"":2')).encode(),
    "event_too_large": (_TEXT % ("large", '"' + "x" * 262_144 + '"')).encode(),
    "missing_field": b'{"event_id":"missing"}',
    "wrong_type": b'{"event_id":1,"event_time":"2026-01-31T12:00:00Z","event_type":"t","event_name":"n"}',
    "field_invalid": (_TEXT % ("x" * 129, "1")).encode(),
    "time_invalid": b'{"event_id":"t","event_time":"yesterday","event_type":"t","event_name":"n"}',
    "attribute_given_twice": (_TEXT % ("twice", "1")).replace('"attributes"', '"a":2,"attributes"').encode(),
    "personal_data_in_name": (_TEXT % ("person", '1,"ada@example.org":2')).encode(),
    "time_out_of_range": b'{"event_id":"t","event_time":"1969-12-31T23:59:59Z","event_type":"t","event_name":"n"}',
}  # fmt: skip
# Given by the loader, not by the intake: see test_store_refusals.py.
LATER = {"store_refused"}


@pytest.mark.parametrize("code", sorted(EVENT_CODES.keys() - LATER))
def test_every_code_can_be_provoked(server, build_event, code):
    """Each code of the closed list is given for its fault, alone and beside a good event, and lands in the ledger."""

    def lines() -> int:
        totals = server.wait_loaded()["totals"]
        return totals["refused"].get(code, 0) + totals["quarantined"].get(code, 0)

    before = lines()
    alone = server.send(PROVOKE[code])
    assert alone.status == 400
    assert [item["code"] for item in alone.json["rejected"]] == [code]
    good = json.dumps(build_event(f"beside-{code}")).encode()
    element = PROVOKE[code].strip(b"[]") if code == "not_an_object" else PROVOKE[code]
    both = server.send(b"[" + element + b"," + good + b"]")
    assert (both.status, both.json["accepted"]) == (207, 1)
    assert [(item["index"], item["code"]) for item in both.json["rejected"]] == [(0, code)]
    assert lines() == before + 2
    assert server.trace(f"beside-{code}")["verdict"] == "stored"


HOSTILE = {
    **{f"depth {depth}": ("[" * depth + "1" + "]" * depth) for depth in (31, 100, 500, 900, 960, 1000, 5000, 120_000)},
    **{f"object depth {depth}": ('{"a":' * depth + "1" + "}" * depth) for depth in (500, 900, 1000, 40_000)},
    "duplicate keys": '{"a":1,"a":2}', "proto": '{"__proto__":{"x":1},"constructor":1}', "long key": '{"' + "k" * 100_000 + '":1}',
    "dots": '{"a.b":1,"a":{"b":2}}', "5000 digits": "1" * 5000, "small": "1e-999", "2^64": str(2**64), "-2^63": str(-(2**63)),
    "mixed": '[1,"a",null,{"b":[{}]}]', "empty": '{"a":{},"b":[],"c":""}', "control": '"\\u0001\\u001f"', "lone low": '"\\udc00"',
    "emoji": '"\\ud83d\\ude00"', "separators": '"\u2028\u2029"', "names": json.dumps({f"n{n}": n for n in range(900)}),
}  # fmt: skip


@pytest.mark.parametrize("form", ["whole", "flat", "without a time"])
@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_hostile_values_are_never_our_fault(server, name, form):
    """No value of an attribute makes a 5xx; what is accepted is stored, what is not has a code."""
    text = _TEXT % (f"hostile {name} {form}", HOSTILE[name])
    if form == "flat":
        text = text.replace('"attributes":{"a":', '"a":')[:-1]
    if form == "without a time":
        text = text.replace('"event_time":"2026-01-31T12:00:00Z",', "")
    answer = server.send(text)
    assert answer.status in (200, 400), answer.body
    if answer.status == 400:
        assert all(item["code"] in EVENT_CODES for item in answer.json["rejected"])
    assert server.wait_loaded()["balanced"]


@pytest.mark.parametrize(
    "field",
    [{"sketch_counts": [2**64], "sketch_values": [1.0]}, {"sketch_counts": [-1]}, {"value": 10**400}, {"value": "5"},
     {"is_dev": "yes"}, {"performer_groups": ["a" * 257]}, {"attributes": None}, {"attributes": []}, {"page_url": "x" * 8193},
     {"event_time": "0001-01-01T00:00:00+14:00"}, {"event_time": "9999-12-31T23:59:59-14:00"}, {"event_time": 17},
     {"event_time": "2026-01-31T12:00:00"}, {"event_id": ""}, {"event_id": "\u00e9" * 65}, {"event_name": ""}],
)  # fmt: skip
def test_impossible_fields(server, build_event, field):
    """A field that cannot be stored as it is, is refused with a code, not changed in silence."""
    answer = server.send(build_event("impossible") | field)
    assert answer.status == 400
    assert answer.json["rejected"][0]["code"] in EVENT_CODES


@pytest.mark.parametrize(
    "report",
    ["{", "[]", '{"instance":""}', '{"instance":"a","dropped":{"queue_full":-1}}', '{"instance":"a","dropped":{"weird":7}}',
     '{"instance":"a","dropped":{"queue_full":9223372036854775808}}', '{"instance":"a","dropped":{"queue_full":1180591620717411303424}}'],
)  # fmt: skip
def test_senseless_reports_change_nothing(server, build_event, report):
    """A client's report that cannot be true is ignored: the event counts, the ledger and the loader go on."""
    before = server.ledger()["outside"]["client_dropped"]
    answer = server.send(build_event(f"report {report}"), headers={"Tallymark-Client-Report": report})
    assert answer.status == 200
    assert "Client-Report was left aside" in answer.json["notes"][0]
    assert server.wait_loaded()["outside"]["client_dropped"] == before


@pytest.mark.parametrize("query", ["hasty=maybe", "sent_at=noon", "hasty=2&sent_at=x"])
def test_asides_without_sense(server, build_event, query):
    """What a sender says beside its events costs no event when it makes no sense; the answer says that it was left aside."""
    answer = server.send(build_event(f"aside {query}"), f"?{query}")
    assert answer.status == 200
    assert len(answer.json["notes"]) == len(query.split("&"))
    assert all("left aside" in note for note in answer.json["notes"])


def test_rate_limit(server, build_event):
    """Past its project's rate a request gets 429 with Retry-After and is counted; other projects are not touched."""
    server.make_project("slow")
    write, read = server.make_key("write", "slow"), server.make_key("read", "slow")
    with server.open_catalog() as catalog:
        catalog.change_project("slow", rate_limit=10)

    def send(number: int) -> Any:
        return server.send([build_event(f"rate-{number}-{place}") for place in range(10)], key=write)

    numbers = iter(range(10_000))
    refused = server.wait_until(lambda: (got := send(next(numbers))).status == 429 and got, "429", pause=0)
    assert refused.json["code"] == "rate_limited"
    assert int(refused.headers["retry-after"]) >= 1
    assert server.send(build_event("rate-other")).status == 200
    assert server.wait_until(lambda: send(next(numbers)).status == 200, "the bucket fills again", pause=0.2)
    server.wait_until(
        lambda: server.ledger(read)["outside"]["requests_turned_away"].get("rate_limited"), "it is counted"
    )
    ledger = server.wait_loaded(read)
    assert ledger["balanced"]


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/v1/ledger", "/sign-in"])
def test_head(server, path):
    """HEAD answers what GET answers, without the body."""
    head = server.request("HEAD", path, key=server.read_key)
    got = server.request("GET", path, key=server.read_key)
    assert (head.status, head.body) == (got.status, b"")
    assert head.headers["content-type"] == got.headers["content-type"]


def test_official_client_as_it_comes(server, build_event):
    """clickhouse-connect works on the public address with nothing but address, project and key."""
    server.send(build_event("official-1", attributes={"plan": "pro"}))
    server.wait_loaded()
    client = clickhouse_connect.get_client(
        host="127.0.0.1",
        port=server.port,
        username="default",
        password=server.read_key,
        proxy_path="/clickhouse",
    )
    try:
        found = client.query_df(
            "SELECT event_id, attributes.plan::String AS plan FROM events WHERE event_id = 'official-1'"
        )
        assert found.to_dict("records") == [{"event_id": "official-1", "plan": "pro"}]
    finally:
        client.close()
    assert server.request("GET", "/clickhouse/ping").body == b"Ok.\n"


def test_client_totals_keep_their_maximum(server, build_event):
    """Of a client's running totals the ledger keeps the highest, however often and in whatever order they come."""
    before = server.ledger()["outside"]["client_dropped"].get("queue_full", 0)
    for number, total in enumerate((5, 9, 7, 9)):
        report = json.dumps({"instance": "one", "dropped": {"queue_full": total}})
        server.send(build_event(f"max-{number}"), headers={"Tallymark-Client-Report": report})
    after = server.wait_loaded()["outside"]["client_dropped"]["queue_full"]
    assert after - before == 9


# Quarantine


def test_replay_after_a_fix(server):
    """A quarantined event is kept redacted, and a replay is a new receipt with source `replay`."""
    server.send('{"event_id":"replay-1","event_time":"noon","event_type":"t","event_name":"ada@example.org"}')
    server.wait_loaded()
    (event,) = [one for one in server.get("/v1/quarantine").json["events"] if one["event_id"] == "replay-1"]
    assert "ada@" not in json.dumps(event)
    assert server.request("POST", "/v1/quarantine/replay", "{}", key=server.read_key).status == 403
    order = json.dumps({"ids": [event["id"]]})
    answer = server.request("POST", "/v1/quarantine/replay", order, key=server.admin_key)
    assert answer.json["rejected"][0]["code"] == "time_invalid"
    ledger = server.wait_loaded()
    assert ledger["balanced"]
    assert any(row["source"] == "replay" for row in ledger["rows"])
    assert server.request("POST", "/v1/quarantine/replay", order, key=server.admin_key).json["accepted"] == 0


def test_what_looks_like_personal_data_is_kept_and_names_are_never_rewritten(server, build_event):
    """Phrases, classes, files, builds and ids reach the store as sent; a name that is personal data waits in quarantine.

    It is counted under its own code, the quarantine does not tell it, and a replay with `changes` gives it a proper name.
    """
    ordinary = {
        "ordinary-1": {"event_name": "Basic subscription bought", "user_id": "4242424242424242"},
        "ordinary-2": {"event_name": "Abc::Def", "user_id": "5555555555554444"},
        "ordinary-3": {
            "event_name": "Abc::Fed",
            "attributes": {"build": "1.2.3.4", "picture": "logo@2x.png"},
        },
    }
    for event_id, members in ordinary.items():
        assert server.send({**build_event(event_id), **members}).json["rejected"] == []
    named = {
        **build_event("named-1"),
        "event_name": "ada@example.org signed up",
        "user_id": "ada@example.org",
    }
    (rejected,) = server.send(named).json["rejected"]
    assert rejected["code"] == "personal_data_in_name"
    before = server.wait_loaded()
    assert before["balanced"]
    assert before["totals"]["quarantined"]["personal_data_in_name"] >= 1
    assert [_read_event(server, f"ordinary-{number}") for number in (1, 2, 3)] == [
        ["Basic subscription bought", "4242424242424242", "", ""],
        ["Abc::Def", "5555555555554444", "", ""],
        ["Abc::Fed", "", "1.2.3.4", "logo@2x.png"],
    ]
    quarantine = server.get("/v1/quarantine?code=personal_data_in_name").json
    assert "ada@" not in json.dumps(quarantine)
    (waiting,) = [one for one in quarantine["events"] if one["event_id"] == "named-1"]
    pseudonym = json.loads(waiting["body"])["user_id"]
    order = json.dumps({"ids": [waiting["id"]], "changes": {"event_name": "signed up"}})
    answer = server.request("POST", "/v1/quarantine/replay", order, key=server.admin_key)
    assert answer.json["accepted"] == 1
    server.send({**build_event("named-2"), "user_id": "ada@example.org"})
    server.wait_loaded()
    assert _read_event(server, "named-1")[:2] == ["signed up", pseudonym]
    assert _read_event(server, "named-2")[1] == pseudonym


def _read_event(server, event_id):
    """Return name, user and two attributes of a stored event."""
    (row,) = server.sql(
        "SELECT event_name, user_id, attributes.build::String, attributes.picture::String FROM events"
        f" WHERE event_id = '{event_id}'"
    )
    return row
