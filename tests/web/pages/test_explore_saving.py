"""Saving what Explore shows: as a metric, as a panel beside it, or not at all with a reason; and the time that it opens on."""

from __future__ import annotations

import html
import json
import re
from datetime import UTC, datetime

import pytest

pytestmark = pytest.mark.store
_TIME = {"from": "2013-02-01", "to": "2013-03-01"}
_TREND = {"kind": "trend", **_TIME, "interval": "day", "series": [{"event_name": "sold"}]}


@pytest.fixture(scope="module")
def sold(server, build_event):
    """Store old events under the most frequent name, and one of today; make a dashboard here and one in a file."""
    events = [
        build_event(f"sold-{n}", event_name="sold", event_time=f"2013-02-{n % 20 + 1:02}T12:00:00Z", attributes={"shop": f"s{n % 3}"})
        for n in range(60)
    ]  # fmt: skip
    events.append(build_event("now", event_name="beat", event_time=datetime.now(UTC).isoformat()))
    assert server.send(events).status == 200
    server.wait_loaded()
    made = server.request("PUT", "/v1/dashboards/mine", '{"last":"30d","title":"Mine"}', key=server.admin_key)
    assert made.status == 200, made.body
    text = "metrics:\n  - {name: in_file, kind: count, event_name: sold}\ndashboards:\n  - {name: filed, last: 30d}\n"
    order = {"files": [{"name": "a.yaml", "text": text}], "origin": "files", "apply": True}
    assert server.request("POST", "/v1/plan", json.dumps(order), key=server.admin_key).json["applied"]


def _save(admin, question, **fields):
    sent = {"csrf": admin.token(), "q": json.dumps(question), **fields}
    return admin.request("POST", "/metric/save", sent)


def _panels(server, name="mine"):
    return server.get(f"/v1/dashboards/{name}").json["object"].get("panels", [])


def test_it_opens_where_the_events_are(admin, sold):
    """The time is that of the most frequent name, or of the chosen one, though another name's newest event is of today."""
    moved = html.unescape(admin.request("GET", "/explore").headers["location"])
    assert "from=2013-01-22&to=2013-02-21" in moved
    assert "s0.event=sold" in moved
    page = admin.request("GET", moved).body.decode()
    assert "The answer is empty" not in page
    today = admin.request("GET", "/explore?s0.event=beat").headers["location"]
    assert f"from={datetime.now(UTC).year - 1}" in today or f"from={datetime.now(UTC).year}" in today


def test_a_question_becomes_a_metric_and_a_panel(admin, server, sold):
    """With a dashboard chosen the breakdown stands in the panel; without, the metric's page opens with it."""
    question = {**_TREND, "breakdown": ["shop"]}
    shown = admin.request("GET", "/explore?q=" + json.dumps(question).replace(" ", "%20"))
    page = admin.request("GET", shown.headers["location"]).body.decode()
    assert "The breakdown by shop is no part of the metric" in page
    assert '<option value="mine">Mine</option>' in page
    assert "filed" not in page[page.index('id="save-title"') :]
    kinds = re.findall(
        r"<option[^>]*>(\w+)", page[page.index('id="as"') : page.index("</select>", page.index('id="as"'))]
    )
    assert {"line", "bar", "table"} <= set(kinds)
    assert not {"heatmap", "histogram"} & set(kinds)

    answer = _save(admin, question, name="by_shop", title="By shop", board="mine", **{"as": "bar"})
    assert (answer.status, answer.headers["location"]) == (
        303,
        "/dashboard?project=default&name=mine#panel-by_shop",
    )
    (panel,) = _panels(server)
    assert (panel["name"], panel["kind"], panel["metrics"], panel["breakdown"]) == (
        "by_shop",
        "bar",
        ["by_shop"],
        ["shop"],
    )
    alone = _save(admin, question, name="alone")
    assert (alone.status, alone.headers["location"]) == (303, "/metric?project=default&name=alone&by=shop")
    assert len(_panels(server)) == 1


_TWO = {**_TREND, "series": [{"event_name": "sold", "name": "a"}, {"event_name": "sold", "name": "b"}]}


@pytest.mark.parametrize(
    ("question", "fields", "status", "says"),
    [
        (_TREND, {"name": "in_file"}, 409, "already, in a.yaml. Choose another name."),
        (_TREND, {"name": "taken"}, 409, "There is a metric 'taken' already. Choose another name."),
        (_TREND, {"name": "Not a name"}, 400, "Not saved."),
        (_TWO, {"name": "two"}, 400, "leave one series"),
        (_TREND, {"name": "no_board", "board": "nowhere", "as": "line"}, 404, "no dashboard"),
        (_TREND, {"name": "no_board", "board": "filed", "as": "line"}, 409, "stands in a.yaml"),
        (_TREND, {"name": "no_board", "board": "mine", "as": "pie"}, 400, "pie"),
        (_TREND, {"name": "no_board", "board": "mine", "as": "funnel"}, 400, "funnel"),
        ({**_TREND, "breakdown": ["shop"]}, {"name": "no_board", "board": "mine", "as": "heatmap"}, 400, "without a breakdown"),
        ({**_TREND, "breakdown": list("abcd")}, {"name": "no_board", "board": "mine", "as": "bar"}, 400, "breakdown"),
    ],
)  # fmt: skip
def test_what_cannot_be_saved_is_shown_again(admin, server, sold, question, fields, status, says):
    """The question, its answer and what was typed are there, with the reason; nothing was written."""
    server.request("PUT", "/v1/metrics/taken", '{"kind":"count","event_name":"sold"}', key=server.admin_key)
    before = _panels(server)
    answer = _save(admin, question, title="My title", owner="me", unit="pcs", **fields)
    page = answer.body.decode()
    assert answer.status == status
    assert html.escape(says, quote=False).replace("'", "&#39;") in page
    assert 'role="alert"' in page
    assert "<h1>Explore</h1>" in page
    assert f'value="{fields["name"]}"' in page
    assert 'value="My title"' in page
    assert 'name="s0.event" value="sold"' in page
    assert _panels(server) == before
    if fields["name"] not in ("taken", "in_file"):
        assert server.get("/v1/metrics/no_board").status == 404


def test_a_dashboard_has_so_many_panels(admin, server, sold):
    """One more than fits is refused, from Explore and from the metric's page, and the dashboard stays as it was."""
    panels = [{"name": f"p{n}", "kind": "number", "metrics": ["in_file"]} for n in range(40)]
    body = json.dumps({"last": "30d", "panels": panels})
    assert server.request("PUT", "/v1/dashboards/full", body, key=server.admin_key).status == 200
    answer = _save(admin, _TREND, name="one_more", board="full", **{"as": "line"})
    assert (answer.status, b"40 panels" in answer.body) == (400, True)
    sent = {"csrf": admin.token(), "name": "full", "metric": "in_file", "kind": "number"}
    assert admin.request("POST", "/dashboard/add", sent).status == 400
    assert len(_panels(server, "full")) == 40
    assert server.get("/v1/metrics/one_more").status == 404
