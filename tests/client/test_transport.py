"""How answers are judged, byte by byte if need be."""

from __future__ import annotations

import gzip
import json

import pytest

from tallymark.client.settings import Settings
from tallymark.client.transport import HttpTransport, build_outcome, compress


def answer(accepted, *refused):
    rejected = [{"index": index, "code": "wrong_type", "message": "no", "at": ""} for index in refused]
    return json.dumps({"accepted": accepted, "rejected": rejected, "more": "is ignored"}).encode()


@pytest.mark.parametrize(
    ("status", "body", "kind", "refused"),
    [
        (200, answer(3), "taken", 0),
        (202, b'{"accepted": 3}', "taken", 0),
        (207, answer(1, 0, 2), "taken", 2),
        (400, answer(0, 0, 1, 2), "taken", 3),
        (200, answer(2), "retry", 0),
        (200, b"", "retry", 0),
        (200, b"null", "retry", 0),
        (201, answer(3), "retry", 0),
        (207, answer(2, 3), "retry", 0),
        (207, answer(2, -1), "retry", 0),
        (207, answer(2, 1, 1), "taken", 1),
        (400, b"{}", "refused", 3),
        (400, answer(3), "refused", 3),
        (302, b"", "final", 3),
        (401, b"", "final", 3),
        (404, b"", "final", 3),
        (409, b"", "refused", 3),
        (413, b"", "split", 0),
        (408, b"", "retry", 0),
        (429, b"", "retry", 0),
        (500, answer(3), "retry", 0),
        (599, b"\xff\xfe", "retry", 0),
    ],
)
def test_answers_are_judged(status, body, kind, refused):
    """Only an answer that accounts for each event of the batch settles it; others are retried, split or final."""
    outcome = build_outcome(status, body, 3, 7.0)
    assert len(outcome.refused) == refused
    assert outcome.retry == (kind == "retry")
    assert outcome.split == (kind == "split")
    assert outcome.final == (kind == "final")
    assert outcome.accepted == (3 - refused if kind == "taken" else 0)
    assert (outcome.wait == 7.0) == (kind == "retry")


def test_a_single_event_that_is_too_large_is_refused():
    """413 for one event is the end of it."""
    assert build_outcome(413, b"", 1, None).refused == (0,)


def test_compression_is_gzip():
    """What goes out as gzip is gzip."""
    assert gzip.decompress(compress(b"a" * 5000)) == b"a" * 5000


def test_one_connection_is_kept(intake):
    """Batch after batch goes over one connection; one that the server closed is opened anew."""
    transport = HttpTransport(Settings(url=intake.url + "/prefix", key="k"), None)
    assert transport.deliver([b'{"event_id":"1"}']).accepted == 1
    sock = transport._connection.sock
    assert transport.deliver([b'{"event_id":"2"}']).accepted == 1
    assert transport._connection.sock is sock
    assert {request["path"] for request in intake.requests} == {"/prefix/v1/events"}
    transport.close()
    assert transport.deliver([b'{"event_id":"3"}']).accepted == 1
    transport.close()


@pytest.mark.parametrize("url", ["http://no-such-host.invalid:1", "https://127.0.0.1:1", "http://[::1]:1"])
def test_no_address_makes_it_raise(url):
    """Names that do not resolve and ports where nobody listens are failures to be retried."""
    outcome = HttpTransport(Settings(url=url, key="k", connect_timeout=2.0), None).deliver([b"{}"])
    assert outcome.retry
    assert outcome.error


def test_tls_is_verified_and_a_plain_answer_to_it_is_a_failure(intake):
    """Https to a server that speaks plain HTTP fails, and nothing is sent in the clear."""
    transport = HttpTransport(Settings(url=intake.url.replace("http:", "https:"), key="secret"), None)
    outcome = transport.deliver([b"{}"])
    assert outcome.retry
    assert "SSL" in outcome.error
    assert intake.requests == []
