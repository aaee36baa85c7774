"""The real PostHog SDKs, from PyPI and npm, with only their host changed: nothing lost, nothing doubled, each traceable."""

from __future__ import annotations

import json
import re
import subprocess
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.conftest import lack
from tests.journeys.posthog_senders import (
    LossyProxy,
    NodeSender,
    PythonSender,
    build_calls,
    install_node_sdk,
)

pytestmark = pytest.mark.store

COUNT = 1000
# What the SDKs' retries bridge: the Python SDK gives a batch up after seven seconds. A machine so slow that the server takes
# longer to come back proves nothing.
DOWN_SECONDS = 6.5
ROUNDS = 4
COLUMNS = (
    "event_id, event_name, event_type, user_id, install_id, session_id, page_url, agent_os, performer_groups, source,"
    " toUnixTimestamp64Milli(client_time) AS ms, attributes"
)


@pytest.fixture(scope="module")
def server(make_server):
    return make_server(loader_linger_seconds=0.05).start()


@pytest.fixture(params=["posthog", "posthog-node"])
def open_sender(request, server):
    """Give a maker of senders of one SDK; its argument is the host."""
    if request.param == "posthog":
        return lambda host: PythonSender(host, server.write_key)
    folder = install_node_sdk()
    return lambda host: NodeSender(host, server.write_key, folder)


def _build(prefix, count=COUNT):
    return build_calls(prefix, count, datetime.now(UTC).replace(microsecond=0), timedelta(milliseconds=7))


def _compare(server, calls, errors):
    """Hold every row of the store to the call that it comes from, and the ledger to its equation."""
    assert errors == []
    ledger = server.wait_loaded()
    assert ledger["balanced"]
    wanted = {call.event_id: call for call in calls}
    ids = "', '".join(wanted)
    # A body, because an address has no room for so many ids.
    statement = f"SELECT {COLUMNS} FROM events WHERE event_id IN ('{ids}') FORMAT JSONEachRow"
    answer = server.request("POST", "/clickhouse/", statement, key=server.read_key)
    assert answer.status == 200, answer.body
    rows = [json.loads(line) for line in answer.body.splitlines()]
    times = Counter(row["event_id"] for row in rows)
    assert [event_id for event_id in wanted if times[event_id] != 1] == []
    for row in rows:
        call = wanted[row["event_id"]]
        assert {name: row[name] for name in call.row} == call.row
        assert int(row["ms"]) == round(call.time.timestamp() * 1000)
        assert row["source"] == "posthog"
        found = row["attributes"] if isinstance(row["attributes"], dict) else json.loads(row["attributes"])
        assert {name: found.get(name) for name in call.attributes} == call.attributes
        # Beside what the application gave there is only what the SDK adds about itself.
        assert all(name.startswith("$") or name in ("context", "type", "library", "library_version")
                   for name in found.keys() - call.attributes.keys()), found  # fmt: skip
        assert found["$lib"].startswith("posthog")
    return ledger


def _trace(server, calls):
    verdicts = Counter(server.trace(call.event_id)["verdict"] for call in calls)
    assert verdicts == {"stored": len(calls)}


def _bring_down(server, seconds):
    """Kill the server after a while and start it again; return for how long nobody answered."""
    time.sleep(seconds)
    server.kill_all()
    began = time.monotonic()
    server.launch()
    server.wait_until(
        lambda: server.request("GET", "/healthz").status == 200, "the server is back", pause=0.05
    )
    return time.monotonic() - began


def test_killed_in_the_middle(server, open_sender, request):
    """1,000 events, paced, with the server killed in the middle and back within the SDK's patience: all arrive, once."""
    for round_number in range(ROUNDS):
        calls = _build(f"killed-{request.node.name}-{round_number}")
        sender = open_sender(server.url)
        down = []
        killer = threading.Thread(target=lambda down=down: down.append(_bring_down(server, 4.0)))
        killer.start()
        sender.send(calls, pause=0.008)
        killer.join()
        errors = sender.finish()
        server.wait_ready()
        if down[0] <= DOWN_SECONDS:
            break
    else:
        lack(f"the server was never back within {DOWN_SECONDS} s, in {ROUNDS} rounds")
    _compare(server, calls, errors)
    _trace(server, calls[::5])


def test_answers_that_are_lost(server, open_sender, request):
    """1,000 events through a proxy that loses every third answer: the SDK repeats them, the store has each once."""
    calls = _build(f"lost-{request.node.name}")
    before = server.ledger()["totals"]
    proxy = LossyProxy(server.port)
    with proxy.listen() as host:
        sender = open_sender(host)
        sender.send(calls, pause=0.002)
        errors = sender.finish()
    totals = _compare(server, calls, errors)["totals"]
    assert proxy.lost >= 3
    assert totals["stored"] - before["stored"] == COUNT
    assert totals["duplicate"] > before["duplicate"]
    _trace(server, calls[::10])


def test_no_flags(server):
    """Both SDKs take the answer about feature flags: there are none, and that is no error."""
    python = PythonSender(server.url, server.write_key)
    assert not python.is_enabled("new-shop")
    assert python.finish() == []
    node = NodeSender(server.url, server.write_key, install_node_sdk())
    node.send([], flag="new-shop")
    end = node.read_end()
    assert end["errors"] == []
    assert not end["flagValue"]


def test_wrong_key_is_an_error_of_the_sdk(server):
    """With a key that nobody has the SDK reports what the server said, and does not repeat it."""
    sender = PythonSender(server.url, "phc_nobody")
    sender.send(_build("nobody", 3))
    (error,) = sender.finish()
    assert "401" in error
    assert "The key is unknown" in error


def test_the_pages_examples(server, tmp_path):
    """What docs/posthog.md tells people to write sends an event."""
    before = server.wait_loaded()["totals"]["stored"]
    page = (Path(__file__).parents[2] / "docs" / "posthog.md").read_text(encoding="utf-8")
    page = page.replace("your-write-key", server.write_key).replace("http://127.0.0.1:8600", server.url)
    (python,) = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    names = {}
    exec(python, names)  # noqa: S102 - the page's own code
    names["client"].shutdown()
    (script,) = re.findall(r"^```js\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "node_modules").symlink_to(install_node_sdk() / "node_modules")
    (tmp_path / "page.mjs").write_text(f"{script}\nawait client.shutdown();\n")
    subprocess.run(["node", "page.mjs"], cwd=tmp_path, check=True, timeout=60)
    assert server.wait_loaded()["totals"]["stored"] == before + 2


def test_quarantined_events_go_back_through_their_receiver(server):
    """What PostHog's receiver kept is replayed by it, mended in PostHog's words, also after a replay that failed again."""
    body = {"api_key": server.write_key, "batch": [_build_raw("q-1"), _build_raw("q-2", timestamp="noon")]}
    answer = server.request("POST", "/batch/", json.dumps(body))
    assert (answer.status, answer.json["status"], answer.json["rejected"][0]["code"]) == (
        200,
        1,
        "time_invalid",
    )
    own = {"event_id": "q-3", "event_time": "noon", "event_type": "t", "event_name": "n"}
    assert server.send(own).status == 400
    server.wait_loaded()
    first = _replay(server, {"$set": {"plan": "b"}})
    assert first["accepted"] == 0
    assert [item["code"] for item in first["rejected"]] == ["time_invalid", "time_invalid"]
    server.wait_loaded()
    mended = {"timestamp": "2026-01-31T12:00:00Z", "event_time": "2026-01-31T12:00:00Z"}
    assert _replay(server, mended)["accepted"] == 2
    server.wait_loaded()
    statement = (
        "SELECT event_id, source, event_name, user_id, attributes.price, client_time FROM events"
        " WHERE event_id IN ('q-1', 'q-2', 'q-3') ORDER BY event_id"
    )
    assert server.sql(statement) == [
        ["q-1", "posthog", "bought", "u-1", "5", "2026-01-31 12:00:00.000000"],
        ["q-2", "replay:posthog", "bought", "u-1", "5", "2026-01-31 12:00:00.000000"],
        ["q-3", "replay", "n", "", "\\N", "2026-01-31 12:00:00.000000"],
    ]
    assert server.trace("q-2")["verdict"] == "stored"
    assert server.ledger()["balanced"]


def _build_raw(event_id, timestamp="2026-01-31T12:00:00Z"):
    return {
        "event": "bought",
        "uuid": event_id,
        "distinct_id": "u-1",
        "timestamp": timestamp,
        "properties": {"price": 5},
    }


def _replay(server, changes):
    answer = server.request(
        "POST", "/v1/quarantine/replay", json.dumps({"changes": changes}), key=server.admin_key
    )
    assert answer.status == 200, answer.body
    return answer.json


def test_wrong_clock_is_corrected_by_the_time_of_sending(server):
    """`sent_at` in the body corrects an event's time as it does for our own client; what was sent stays beside it."""
    now = datetime.now(UTC).replace(microsecond=0)
    wrong = now - timedelta(days=400)
    event = _build_raw("clock-1", wrong.isoformat())
    body = {
        "api_key": server.write_key,
        "batch": [event],
        "sent_at": (wrong + timedelta(seconds=1)).isoformat(),
    }
    assert server.request("POST", "/batch/", json.dumps(body)).status == 200
    server.wait_loaded()
    statement = "SELECT toUnixTimestamp64Milli(event_time), toUnixTimestamp64Milli(client_time) FROM events WHERE event_id = 'clock-1'"
    ((event_ms, client_ms),) = server.sql(statement)
    assert int(client_ms) == wrong.timestamp() * 1000
    assert abs(int(event_ms) - now.timestamp() * 1000) < 60_000
