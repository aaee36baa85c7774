"""Any mix of valid, invalid, repeated and conflicting events, in any batching, ends the same way."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.store

_NUMBERS = itertools.count()
# (kind, which of a few ids, which content)
_EVENTS = st.lists(
    st.tuples(st.sampled_from(["valid", "valid", "valid", "no time", "bad time", "garbage", "deep"]), st.integers(0, 6), st.integers(0, 2)),
    max_size=25,
)  # fmt: skip


def _render(kind: str, event_id: str, content: int, build_event) -> str:
    if kind == "garbage":
        return '{"event_id": }'
    event = build_event(event_id, value=content)
    if kind == "no time":
        del event["event_time"]
    if kind == "bad time":
        event["event_time"] = "1901-01-01T00:00:00Z"
    if kind == "deep":
        return json.dumps(event)[:-1] + ',"attributes":{"a":' + "[" * 40 + "]" * 40 + "}}"
    return json.dumps(event)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    events=_EVENTS, cuts=st.lists(st.integers(0, 25), max_size=6), lines=st.booleans(), again=st.booleans()
)
def test_any_mix_in_any_batching(server, build_event, events, cuts, lines, again):
    """The stored set is that of the first valid event of each id, and every line of the ledger is exact."""
    name = f"mix-{next(_NUMBERS)}"
    rendered = [_render(kind, f"{name}-{which}", content, build_event) for kind, which, content in events]
    edges = sorted({0, len(events), *(cut for cut in cuts if cut < len(events))})
    batches = [rendered[start:end] for start, end in itertools.pairwise(edges)] * (2 if again else 1)
    before = server.wait_loaded()
    for batch in batches:
        body = "\n".join(batch) if lines else f"[{','.join(batch)}]"
        answer = server.send(body)
        valid = sum(kind == "valid" for kind, _, _ in events)
        assert answer.status in (200, 207, 400), answer.body
        assert answer.json["accepted"] <= valid
        assert answer.json["accepted"] + len(answer.json["rejected"]) == len(batch)
    after = server.wait_loaded()
    first: dict[str, int] = {}
    conflicts = 0
    for kind, which, content in events * (2 if again else 1):
        if kind == "valid":
            conflicts += first.setdefault(f"{name}-{which}", content) != content
    rounds = 2 if again else 1
    valid = rounds * sum(kind == "valid" for kind, _, _ in events)

    def rise(line: str, code: str = "") -> int:
        values = [ledger["totals"][line] for ledger in (before, after)]
        old, new = (value.get(code, 0) if code else value for value in values)
        return new - old

    assert after["balanced"]
    assert all(row["balanced"] for row in after["rows"])
    assert rise("received") == rounds * len(events)
    assert rise("stored") == len(first)
    assert rise("duplicate") == valid - len(first)
    assert after["outside"]["conflicts"] - before["outside"]["conflicts"] == conflicts
    for kind, line, code in (
        ("no time", "quarantined", "missing_field"),
        ("bad time", "quarantined", "time_out_of_range"),
        ("garbage", "refused", "malformed_json"),
        ("deep", "quarantined", "too_deep"),
    ):
        assert rise(line, code) == rounds * sum(one == kind for one, _, _ in events)
    stored = server.sql(f"SELECT event_id, value FROM events WHERE event_id LIKE '{name}-%'")
    assert {event_id: int(value) for event_id, value in stored} == first
    assert len(stored) == len(first)
