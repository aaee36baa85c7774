"""What every receiver promises, for each that stands in the list: the same refusals, and every event accounted for."""

from __future__ import annotations

import gzip
import inspect
import json
import zlib
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
import zstandard

from tallymark.errors import EVENT_CODES
from tallymark.event import EventCore
from tallymark.intake import receivers
from tallymark.intake.receiver import Head, ReceivedRequest
from tallymark.intake.receivers import RECEIVERS, find_receiver
from tallymark.journal.record import FINGERPRINT_BYTES
from tests.intake.samples import SAMPLES

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def site(make_site):
    """Start an intake that the tests of this file share."""
    return make_site(body_bytes=200_000, text_bytes=400_000, events=50)


@pytest.fixture(params=RECEIVERS, ids=lambda receiver: receiver.source)
def receiver(request):
    return request.param


@pytest.fixture
def sample(receiver):
    return SAMPLES[receiver.source]


@pytest.fixture
def send(site, sample):
    """Give a sender of elements, by the sample's way; `pack` compresses, or breaks, the body."""

    def post(elements, key=None, pack=bytes, path=None):
        key = site.keys["write"] if key is None else key
        body = pack(sample.pack(elements, key))
        return site.request("POST", path or sample.path, body, sample.head(key))

    return post


def _build(sample, count, prefix):
    return [sample.build(f"{prefix}-{number}", {"a": number}) for number in range(count)]


def _parse(receiver, sample, elements):
    text = sample.pack(elements, "the-key")
    return receiver.parse(ReceivedRequest(Head("POST", sample.path), text, "the-key", NOW, 1000))


# The list


def test_every_file_is_in_the_list():
    """A receiver that nobody listed would never be asked; each has a source of its own and a sample for these tests."""
    files = {path.stem for path in Path(receivers.__file__).parent.glob("*.py")} - {"__init__"}
    assert files == {Path(inspect.getfile(type(receiver))).stem for receiver in RECEIVERS}
    assert [receiver.source for receiver in RECEIVERS] == list(SAMPLES)
    assert all(find_receiver(receiver.source) is receiver for receiver in RECEIVERS)


# Paths and forms


def test_routes_work_with_and_without_a_final_slash(site, send, receiver):
    """Every route of events takes events under both its forms, and never redirects."""
    for route in (route for route in receiver.routes if route.answer is None):
        for path in (route.path, f"{route.path}/"):
            before = len(site.read_records())
            answer = send(_build(SAMPLES[receiver.source], 2, f"route-{path}"), path=path)
            assert answer.status == 200, (path, answer.body)
            (record,) = site.read_records(before)
            assert (record.heading.source, record.heading.accepted) == (receiver.source, 2)


def test_routes_without_events_leave_nothing_in_the_journal(site, receiver):
    """What brings no events is answered 200, with JSON, whoever asks, and the journal does not hear of it."""
    before = len(site.read_records())
    for route in (route for route in receiver.routes if route.answer is not None):
        answer = site.request("POST", f"{route.path}/?v=2", b"{}")
        assert (answer.status, type(answer.json)) == (200, dict)
    assert len(site.read_records()) == before


@pytest.mark.parametrize(
    "pack", [bytes, gzip.compress, zlib.compress, zstandard.compress], ids=["plain", "gzip", "zlib", "zstd"]
)
def test_compression_is_told_by_the_bytes(send, sample, pack):
    """Whatever a body is compressed with, its first bytes say so."""
    assert send(_build(sample, 3, "packed"), pack=pack).status == 200


def test_browsers_may_send(site, receiver, sample, send):
    """A preflight is answered without a key, and answers and refusals can be read by any origin."""
    answer = site.request("OPTIONS", sample.path, headers={"Origin": "https://shop.example"})
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (204, "*")
    for key, status in ((None, 200), ("wrong", 401)):
        sent = send(_build(sample, 1, "cors"), key)
        assert (sent.status, sent.headers["access-control-allow-origin"]) == (status, "*")


# Refusals


def _check_refusal(answer, status, code):
    assert (answer.status, answer.json["code"]) == (status, code)
    # What clients read: `message` of ours, `detail` of PostHog's.
    assert answer.json["message"] == answer.json["detail"] != ""
    assert answer.headers["content-type"] == "application/json"


def test_unknown_and_wrong_keys(site, send, sample):
    """Without a key, with an unknown one, and with one that may only read, nothing is taken."""
    before = len(site.read_records())
    for key, status, code in (
        ("", 401, "unauthorized"),
        ("unknown", 401, "unauthorized"),
        (site.keys["read"], 403, "forbidden"),
    ):
        _check_refusal(send(_build(sample, 1, "keys"), key), status, code)
    assert [record for record in site.read_records(before) if record.heading.total] == []


@pytest.mark.parametrize("body", [b"", b" \n"])
def test_empty_body(site, sample, body):
    """A body without anything in it is `empty_body`."""
    answer = site.request("POST", sample.path, body, sample.head(site.keys["write"]))
    _check_refusal(answer, 400, "empty_body")


def test_bodies_are_bounded(send, sample):
    """Too many bytes, as sent or decompressed, and too many events are refused whole."""
    large = [sample.build("large", {"a": "x" * 300_000})]
    _check_refusal(send(large), 413, "body_too_large")
    bomb = [sample.build("bomb", {"a": "x" * 600_000})]
    _check_refusal(send(bomb, pack=gzip.compress), 413, "body_too_large")
    _check_refusal(send(_build(sample, 51, "many")), 413, "body_too_large")


def test_broken_compression(send, sample):
    """A body that was cut off is `invalid_encoding`."""
    _check_refusal(
        send(_build(sample, 5, "cut"), pack=lambda body: gzip.compress(body)[:-9]), 400, "invalid_encoding"
    )


def test_other_methods(site, sample):
    """What is no POST is 405, and says what is allowed."""
    answer = site.request("PUT", sample.path, b"{}", sample.head(site.keys["write"]))
    _check_refusal(answer, 405, "method_not_allowed")
    assert {"POST", "OPTIONS"} <= set(answer.headers["allow"].split(", "))


def test_rates(make_site, sample):
    """Past its rate a project is told 429 and when to come again."""
    site = make_site()
    site.limit_rate(2)
    key = site.keys["write"]
    answers = [
        site.request(
            "POST", sample.path, sample.pack(_build(sample, 2, f"rate-{number}"), key), sample.head(key)
        )
        for number in range(3)
    ]
    assert answers[0].status == 200
    _check_refusal(answers[-1], 429, "rate_limited")
    assert int(answers[-1].headers["retry-after"]) >= 1


# Accounting


def test_every_element_is_accounted_for(site, send, sample):
    """Good and bad elements of a request add up in its record, each at its place; the good ones are kept."""
    elements = [sample.build("mixed-0", {"a": 1}), 7, sample.bad, sample.build("mixed-3", {"a": {"b": []}})]
    before = len(site.read_records())
    answer = send(elements)
    assert 200 <= answer.status < 300
    (record,) = site.read_records(before)
    heading = record.heading
    assert (heading.total, heading.accepted) == (4, 2)
    assert heading.failed == {"not_an_object": 1, sample.bad_code: 1}
    assert [item.index for item in record.failed] == [1, 2]
    assert record.failed[1].event_id == sample.bad_id
    assert [json.loads(row)["event_id"] for row in record.rows.splitlines()] == ["mixed-0", "mixed-3"]


def test_what_is_not_json_is_accounted_for(site, send, sample):
    """A body that does not decode costs what is broken alone; what is nothing at all is one failed event."""
    before = len(site.read_records())
    elements = [sample.build("nan", {"a": 1}), sample.build("beside", {"a": 2})]
    assert send(elements, pack=lambda body: body.replace(b": 1}", b": NaN}")).status in (200, 207)
    (record,) = site.read_records(before)
    assert record.heading.failed.get("number_not_finite") == 1
    assert record.heading.total == 2


def test_repetitions_have_the_same_identity(site, send, sample):
    """A request that is sent again brings the same identities, though its time of sending differs."""
    before = len(site.read_records())
    for _ in range(2):
        assert send(_build(sample, 3, "again")).status == 200
    first, second = site.read_records(before)
    assert first.fingerprints == second.fingerprints
    assert len(first.fingerprints) == 3 * FINGERPRINT_BYTES


def test_nothing_stays_held(site, send, sample):
    """After any requests the intake's budgets are empty."""
    send(_build(sample, 3, "held"))
    send(_build(sample, 3, "held"), "unknown")
    send(_build(sample, 3, "held"), pack=lambda body: gzip.compress(body)[:-9])
    assert site.count_held() == (0, 0)


# Parsing


@pytest.mark.parametrize("count", [1, 20])
def test_quick_and_careful_parsing_agree(receiver, sample, count):
    """`parse_quickly` gives what `parse` gives, or nothing."""
    elements = [sample.build(f"e{number}", {"a": number, "b": [None]}) for number in range(count)]
    text = sample.pack(elements, "the-key")
    request = ReceivedRequest(Head("POST", sample.path), text, "the-key", NOW, 1000)
    quick, careful = receiver.parse_quickly(request), receiver.parse(request)
    assert quick is not None
    assert msgspec.json.encode(quick.events) == msgspec.json.encode(careful.events)
    assert (quick.indexes, quick.scan, quick.sent_at) == (careful.indexes, careful.scan, careful.sent_at)
    assert all(isinstance(event, EventCore) for event in careful.events)


def test_attributes_are_what_was_sent(receiver, sample):
    """Values of any kind arrive as they were."""
    attributes = {"a": 1, "b": [None, {"c": 2.5}], "d": {"e": True}, "ü": "später €"}
    parsed = _parse(receiver, sample, [sample.build("e", attributes)])
    (event,) = msgspec.json.decode(msgspec.json.encode(parsed.events))
    assert event["attributes"] == attributes
    assert (event["event_id"], event["event_name"], event["user_id"]) == ("e", "clicked", "u-1")


def test_failures_can_be_replayed(receiver, sample):
    """What a receiver keeps of an event that failed, it can read again; mended, it is the event that was meant."""
    parsed = _parse(receiver, sample, [sample.bad])
    (failed,) = parsed.failed
    assert failed.code in EVENT_CODES
    assert failed.kept
    assert b"the-key" not in failed.body
    (again,) = receiver.parse_kept([failed.body]).failed
    assert (again.code, again.event_id, again.body) == (failed.code, failed.event_id, failed.body)
    mended = receiver.parse_kept([failed.body.replace(b'"noon"', b'"2026-01-31T12:00:00Z"')])
    (event,) = mended.events
    assert (event.event_id, event.event_time, mended.indexes) == (sample.bad_id, NOW, [0])


def test_events_in_our_own_form_can_be_replayed(receiver):
    """What a step refused is kept in our own form, whichever receiver brought it; every receiver reads that."""
    own = SAMPLES["http"].build("own", {"a": 1})
    parsed = receiver.parse_kept([json.dumps(own).encode()])
    (event,) = msgspec.json.decode(msgspec.json.encode(parsed.events))
    assert event == own
