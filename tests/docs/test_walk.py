"""docs/walk.md, performed: one event from `record()` to an answer, and every station on the way."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tallymark import Client

PAGE = Path(__file__).parents[2] / "docs" / "walk.md"


@pytest.mark.store
def test_walk(server):
    """An event recorded by the client is received, judged, stored, counted and found by a question."""
    with Client(url=server.url, key=server.write_key) as client:
        client.behavior("walked", value=2.5, session_id="s-1", carrier="UA")
        assert client.flush(timeout=30)
    server.wait_loaded()

    listed = server.get("/v1/events?event_name=walked").json["events"]
    trace = server.trace(listed[0]["event_id"])
    question = {
        "kind": "trend",
        "from": "2020-01-01T00:00:00Z",
        "to": "2099-01-01T00:00:00Z",
        "series": [{"name": "n", "event_name": "walked", "measure": {"op": "sum", "field": "value"}}],
        "filters": [{"field": "carrier", "op": "eq", "value": "UA"}],
    }
    answer = server.request("POST", "/v1/query", json.dumps(question), key=server.read_key).json

    assert [item["verdict"] for item in trace["stations"]] == ["happened", "received", "new", "stored"]
    assert answer["rows"] == [[2.5]]
    assert server.ledger()["totals"]["stored"] == 1


def test_names_exist():
    """Every function that the page names stands in the file that it links to."""
    links = re.findall(r"\[`([\w.]+)`\]\(\.\./(src/[\w/.]+)\)", PAGE.read_text(encoding="utf-8"))
    root = PAGE.parents[1]

    missing = [
        (name, path)
        for name, path in links
        if name.rpartition(".")[2] not in (root / path).read_text(encoding="utf-8")
    ]

    assert links
    assert missing == []
