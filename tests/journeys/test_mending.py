"""What could not be stored is kept, found by its id, and sent again once it is mended."""

from __future__ import annotations

import json

import pytest

_LONG = "x" * 300_000


def _quarantined(server, event_id):
    server.wait_loaded()
    (event,) = [item for item in server.get("/v1/quarantine").json["events"] if item["event_id"] == event_id]
    return event


def test_event_too_large_is_kept(server, build_event):
    """An event over the limit parses, so it is kept whole; with the large value taken away it is stored."""
    event = build_event("large-1", attributes={"text": _LONG, "small": 1})
    answer = server.send(event)
    kept = _quarantined(server, "large-1")
    order = {"ids": [kept["id"]], "changes": {"attributes": {"text": None, "mended": True}}}
    replayed = server.request("POST", "/v1/quarantine/replay", json.dumps(order), key=server.admin_key)
    server.wait_loaded()

    assert [item["code"] for item in answer.json["rejected"]] == ["event_too_large"]
    assert json.loads(kept["body"])["attributes"]["text"] == _LONG
    assert replayed.json == {"accepted": 1, "rejected": []}
    assert server.trace("large-1")["verdict"] == "stored"
    found = server.sql(
        "SELECT attributes.small, attributes.mended, attributes.text FROM events WHERE event_id = 'large-1'"
    )
    assert found == [["1", "true", "\\N"]]


@pytest.mark.parametrize(
    ("code", "value"),
    [("number_out_of_range", "1e999"), ("integer_out_of_range", "1" * 5000), ("too_deep", "[" * 3000 + "]" * 3000)],
)  # fmt: skip
def test_what_cannot_be_read_is_still_found_by_its_id(server, code, value):
    """An event with a value that no decoder holds is refused, and traced by the id that its text tells."""
    event = {
        "event_id": f"odd-{code}",
        "event_time": "2026-01-31T12:00:00Z",
        "event_type": "t",
        "event_name": "n",
    }
    server.send(json.dumps({**event, "attributes": {"a": "VALUE"}}).replace('"VALUE"', value))
    server.wait_loaded()

    trace = server.trace(f"odd-{code}")

    assert trace["verdict"] == "refused"
    assert code in json.dumps(trace)


def test_a_forbidden_request_is_its_projects_own(server, build_event):
    """A request with another scope's key is counted for the key's project, and no other project sees it."""
    server.make_project("mending-a")
    server.make_project("mending-b")
    ours, other = server.make_key("read", "mending-a"), server.make_key("read", "mending-b")
    server.wait_until(
        lambda: server.request("GET", "/v1/ledger", key=other).status == 200, "the server knows the keys"
    )

    assert server.send(build_event("forbidden-1"), key=ours).status == 403

    def forbidden(key):
        outside = server.request("GET", "/v1/ledger", key=key).json["outside"]
        return outside["requests_turned_away"].get("forbidden", 0)

    server.wait_until(lambda: forbidden(ours) == 1, "the refusal is counted")
    assert forbidden(other) == 0
