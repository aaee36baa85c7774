"""An alert that would have cried wolf last week says so before it is saved, on the page and in a plan."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta

import pytest

pytestmark = pytest.mark.store

_OFTEN = """alerts:
  - name: often
    metric: seldom
    when: {is: above, value: 0}
    window: 6h
    every: 6h
    no_data: {tell: false}
"""


@pytest.fixture(scope="module")
def spread(server, build_event):
    """Store an event every twelve hours of the last week, and the metric that counts them."""
    begin = datetime.now(UTC).replace(minute=10, second=0, microsecond=0) - timedelta(days=7)
    events = [
        build_event(
            f"seldom-{n}", event_name="seldom", event_time=(begin + timedelta(hours=12 * n)).isoformat()
        )
        for n in range(14)
    ]
    assert server.send(events).status == 200
    server.wait_loaded()
    body = {"kind": "count", "event_name": "seldom", "owner": "shop"}
    assert server.request("PUT", "/v1/metrics/seldom", json.dumps(body), key=server.admin_key).status == 200


def _save(admin, text, **fields):
    form = {"csrf": admin.token("/alerts"), "project": "default", "kind": "alert", "text": text, **fields}
    return admin.request("POST", "/definition", form)


def test_the_page_says_it_before_it_saves(admin, server, spread):
    """The warning has the number; who saves all the same does so, and only with the text that was warned about."""
    warned = _save(admin, _OFTEN)
    page = warned.body.decode()
    assert warned.status == 409, re.findall(r"problem.*", page)
    times = re.search(r"often would have told (\d+) times", page)
    # Every event is a trouble by itself.
    assert 13 <= int(times[1]) <= 14
    assert "Save all the same" in page
    assert server.request("GET", "/v1/alerts/often", key=server.admin_key).status == 404
    sure = re.search(r'name="sure" value="(\w+)"', page)[1]
    assert _save(admin, _OFTEN.replace("value: 0", "value: 0.5"), sure=sure).status == 409
    assert _save(admin, _OFTEN, sure=sure).status == 303
    assert server.request("GET", "/v1/alerts/often", key=server.admin_key).status == 200


def test_one_that_keeps_still_is_saved_at_once(admin, spread):
    """An alert that would never have fired last week is saved without a question."""
    assert _save(admin, _OFTEN.replace("often", "never").replace("value: 0", "value: 10")).status == 303


def test_a_plan_says_it(server, spread):
    """Files tell it with the plan, for new and changed alerts only, and not where they have mistakes."""
    text = _OFTEN.replace("often", "planned")

    def plan(text, **more):
        order = {"files": [{"name": "a.yaml", "text": text}], "origin": "foretold", **more}
        answer = server.request("POST", "/v1/plan", json.dumps(order), key=server.admin_key)
        assert answer.status == 200, answer.body
        return answer.json["notes"]

    (note,) = plan(text)
    assert "planned would have told" in note
    assert plan(text.replace("metric: seldom", "metric: none")) == []
    assert len(plan(text, apply=True)) == 1
    assert plan(text) == []
