"""The pages of alerts: how they stand, who is told, silences, and the answer behind a link in a message."""

from __future__ import annotations

import html
import json
import re
from datetime import UTC, datetime, timedelta

import pytest

from tallymark.alerts.links import Grant, sign_token

pytestmark = pytest.mark.store
EVIL = "<b>few & far</b>"


@pytest.fixture(scope="module")
def watched(make_server, build_event, make_visitor):
    """Start a server whose alert fires at once, with somebody signed in."""
    server = make_server(
        loader_linger_seconds=0.05, alert_seconds=1, public_url="http://tally.example"
    ).start()
    put = [
        ("metrics/orders", {"kind": "count", "event_name": "order", "title": "Orders", "owner": "shop"}),
        (
            "alerts/few",
            {
                "title": EVIL,
                "metric": "orders",
                "when": {"is": "above", "value": 0},
                "window": "1h",
                "every": "5s",
            },
        ),
    ]
    for path, body in put:
        assert server.request("PUT", f"/v1/{path}", json.dumps(body), key=server.admin_key).status == 200
    now = datetime.now(UTC).isoformat()
    assert server.send([build_event("order-1", event_name="order", event_time=now)]).status == 200
    visitor = make_visitor(server)
    visitor.sign_in()

    def fires():
        (one,) = [one for one in server.get("/v1/alerting").json["alerts"] if one["alert"] == "few"]
        return one["state"] == "firing" and one["incident"]

    server.incident = server.wait_until(fires, "the alert fires", pause=0.3)
    server.visitor = visitor
    return server


def _page(watched, path):
    answer = watched.visitor.request("GET", path)
    assert answer.status == 200, answer.body[-2000:]
    return answer.body.decode()


def _post(watched, path, **fields):
    return watched.visitor.request(
        "POST", path, {"csrf": watched.visitor.token("/alerts"), "project": "default", **fields}
    )


def test_the_list_says_how_all_stand(watched):
    """State, figures, owner and who is told stand in a row; a title is text."""
    page = _page(watched, "/alerts")
    assert "is-firing" in page
    assert "&lt;b&gt;few &amp; far&lt;/b&gt;" in page
    assert EVIL not in page
    assert "1 watched · 1 in trouble" in page
    assert re.search(r"Told\"><b class=\"warns\">nobody", page)


def test_an_alert_has_its_course_and_what_it_did(watched):
    """The page of an alert shows its chart with the trouble shaded, its history, and its definition."""
    page = _page(watched, "/alert?name=few")
    (data,) = re.findall(r'id="alert-data">(.*?)</script>', page, re.DOTALL)
    layers = json.loads(data)["spec"]["layer"]
    assert {layer["mark"]["type"] for layer in layers} >= {"rect", "rule", "line"}
    assert "Fires when" in page
    assert watched.visitor.request("GET", "/alert?name=none").status == 404


def test_it_is_replayed(watched):
    """Asked for a time, the page says when it would have fired."""
    page = _page(watched, f"/alert?name=few&from={datetime.now(UTC) - timedelta(hours=3):%FT%TZ}")
    assert re.search(r"<b>1 time</b> in [\d,]+ windows", page)
    wrong = watched.visitor.request("GET", "/alert?name=few&from=never")
    assert (wrong.status, b"is no time" in wrong.body) == (400, True)


def test_receivers_are_added_tried_and_removed(watched):
    """An address is checked, kept and not shown again; one that is not reached says why; one inside is refused."""
    refused = _post(watched, "/receivers", action="add", name="chat", url="nothing://x", owners="shop")
    assert refused.status == 400
    chat = {"action": "add", "name": "chat", "owners": "shop"}
    inside = _post(watched, "/receivers", **chat, url="json://user:geheim@127.0.0.1:9/x")
    assert inside.status == 400
    assert "alert_inward" in inside.body.decode()
    assert "geheim" not in inside.body.decode()
    assert "Nobody is told yet" in _page(watched, "/alerts")
    made = _post(watched, "/receivers", **chat, url="json://user:geheim@hooks.invalid/x")
    assert made.status == 200
    assert "hooks.invalid is not found now" in made.body.decode()
    page = _page(watched, "/alerts")
    assert "chat" in page
    assert "geheim" not in page
    tried = _post(watched, "/receivers", action="test", name="chat")
    assert tried.status == 400
    assert "host was not found" in tried.body.decode()
    assert "geheim" not in tried.body.decode()
    # What the trial found is what the list says of the receiver.
    assert "fails since" in _page(watched, "/alerts")
    (kept,) = json.loads(watched.request("GET", "/v1/receivers", key=watched.admin_key).body)["receivers"]
    assert "host was not found" in kept["error"]
    assert _post(watched, "/receivers", action="remove", name="chat").status == 200
    assert "Nobody is told yet" in _page(watched, "/alerts")


def test_silences_are_made_and_ended(watched):
    """A silence needs a reason and stands on the page until it is ended."""
    assert _post(watched, "/alert/silence", name="few", length="2 hours", reason=" ").status == 400
    assert _post(watched, "/alert/silence", name="few", length="forever", reason="x").status == 400
    assert (
        _post(watched, "/alert/silence", name="few", length="2 hours", reason="A move", what="silence").status
        == 303
    )
    page = _page(watched, "/alert?name=few")
    assert "A move" in page
    (number,) = re.findall(r'name="id" value="(\d+)"', page)
    assert _post(watched, "/alert/silence/end", name="few", id=number).status == 303
    assert "A move" not in _page(watched, "/alert?name=few")


def test_who_holds_a_link_may_answer(watched, make_visitor):
    """The link of a message asks first, needs no session, holds for one trouble and a time, and acknowledges it."""
    with watched.open_catalog() as catalog:
        secret = bytes.fromhex(catalog.fact("secret"))
    stranger = make_visitor(watched)
    token = sign_token(
        Grant("default", "few", watched.incident), secret, datetime.now(UTC) + timedelta(hours=1)
    )
    page = stranger.request("GET", f"/alert/answer/{token}")
    assert (page.status, page.headers["cache-control"]) == (200, "no-store")
    assert "set-cookie" not in page.headers
    # It says what is wrong, to somebody on a phone at night.
    assert "since" in page.body.decode()
    # Looking does nothing.
    assert watched.get("/v1/silences").json["silences"] == []
    fields = {"what": "acknowledge", "reason": "I look at it", "length": "30 minutes", "who": "Ana"}
    assert b"Say why" in stranger.request("POST", f"/alert/answer/{token}", {**fields, "reason": ""}).body
    done = stranger.request("POST", f"/alert/answer/{token}", fields)
    assert b"acknowledged" in done.body
    (made,) = watched.get("/v1/silences").json["silences"]
    assert (made["person"], made["incident"]) == ("Ana (by a link)", watched.incident)
    over = sign_token(
        Grant("default", "few", watched.incident), secret, datetime.now(UTC) - timedelta(hours=1)
    )
    for wrong in (over, token[:-1] + ("A" if token[-1] != "A" else "B"), "nothing"):
        assert stranger.request("GET", f"/alert/answer/{wrong}").status == 404
        assert stranger.request("POST", f"/alert/answer/{wrong}", fields).status == 404
    old = sign_token(
        Grant("default", "few", watched.incident + 99), secret, datetime.now(UTC) + timedelta(hours=1)
    )
    assert b"is over" in stranger.request("GET", f"/alert/answer/{old}").body


def test_an_answer_is_about_the_trouble_that_was_seen(watched):
    """Over by the time of the click, "I am at it" silences nothing; for the present trouble it holds."""
    page = _page(watched, "/alert?name=few")
    (incident,) = re.findall(r'name="incident" value="(\d+)"', page)
    assert int(incident) == watched.incident
    fields = {"name": "few", "what": "acknowledge", "length": "30 minutes", "reason": "I look at it"}
    before = watched.get("/v1/silences").json["silences"]
    for seen in ({}, {"incident": str(watched.incident + 7)}):
        refused = _post(watched, "/alert/silence", **fields, **seen)
        assert refused.status == 409
        assert "over, or another one" in refused.body.decode()
    assert watched.get("/v1/silences").json["silences"] == before
    assert _post(watched, "/alert/silence", **fields, incident=incident).status == 303
    (made,) = [one for one in watched.get("/v1/silences").json["silences"] if one not in before]
    assert (made["incident"], made["alert"]) == (watched.incident, "few")
    assert _post(watched, "/alert/silence/end", name="few", id=str(made["id"])).status == 303


def test_a_link_holds_for_a_day_s_work_and_not_after_the_end(watched, make_visitor):
    """Behind a link nothing is silenced for days, and nothing at all once its trouble is over."""
    with watched.open_catalog() as catalog:
        secret = bytes.fromhex(catalog.fact("secret"))
    stranger, later = make_visitor(watched), datetime.now(UTC) + timedelta(hours=1)
    before = watched.get("/v1/silences").json["silences"]
    fields = {"what": "silence", "reason": "Too loud", "length": "8 hours", "who": "Ana"}
    token = sign_token(Grant("default", "few", watched.incident), secret, later)
    page = stranger.request("GET", f"/alert/answer/{token}").body.decode()
    assert "8 hours" in page
    assert "7 days" not in page
    long = stranger.request("POST", f"/alert/answer/{token}", {**fields, "length": "7 days"})
    assert long.status == 400
    assert "Allowed: 30 minutes, 2 hours, 8 hours." in long.body.decode()
    old = sign_token(Grant("default", "few", watched.incident + 99), secret, later)
    for what in ("silence", "acknowledge"):
        refused = stranger.request("POST", f"/alert/answer/{old}", {**fields, "what": what})
        assert refused.status == 409
    assert watched.get("/v1/silences").json["silences"] == before
    assert stranger.request("POST", f"/alert/answer/{token}", fields).status == 200
    (made,) = [one for one in watched.get("/v1/silences").json["silences"] if one not in before]
    assert made["incident"] == 0
    assert _post(watched, "/alert/silence/end", name="few", id=str(made["id"])).status == 303


def test_an_alert_is_made_and_removed_in_the_pages(watched):
    """A new definition begins as one that can be saved, and is taken away again."""
    page = _page(watched, "/definition?kind=alert")
    assert "is: falls" in page
    text = "alerts:\n  - {name: made, metric: orders, when: {is: below, value: 1}, window: 1h}\n"
    saved = _post(watched, "/definition", kind="alert", text=text)
    assert saved.status == 303
    assert saved.headers["location"].startswith("/alert?")
    page = _page(watched, "/alert?name=made")
    (version,) = re.findall(r'name="version" value="(\d+)"', page)
    assert _post(watched, "/alert/remove", name="made", version=version).status == 303
    assert watched.visitor.request("GET", "/alert?name=made").status == 404


def test_home_shows_the_alerts_of_whom_somebody_looks_after(watched):
    """Another's trouble is a line; once somebody looks after its owner it stands there with its figures, and goes on by itself."""
    page = _page(watched, "/?project=default")
    assert "1 alert of others" in page
    assert "My alerts" not in page
    needs = _page(watched, "/needs?project=default&part=section")
    mark = re.search(r'name="owner" value="(\w+)"', needs)[1]
    assert _post(watched, "/needs/follow", owner=mark).status == 303
    page = _page(watched, "/live?project=default")
    assert "My alerts" in page
    assert re.search(r"is-firing[\s\S]*few &amp; far", page)
    state = re.search(r'data-state="(\w+)"', page)[1]
    assert watched.visitor.request("GET", f"/live?project=default&seen={state}").status in (200, 204)


def test_a_metric_and_its_panels_have_a_bell(watched):
    """Where an alert watches, its bell says how it stands, leads to it, and its trouble is shaded in the chart."""
    panels = [{"name": "course", "kind": "line", "metrics": ["orders"]}]
    board = {"last": "1h", "interval": "minute", "panels": panels}
    made = watched.request("PUT", "/v1/dashboards/board", json.dumps(board), key=watched.admin_key)
    assert made.status == 200, made.body
    for path, name in (
        ("/metric?name=orders&last=1h&interval=minute", "metric"),
        ("/dashboard?name=board", "course"),
    ):
        page = _page(watched, path)
        assert 'class="bell rings"' in page
        assert re.search(r'href="/alert\?[^"]*name=few"', page)
        (data,) = re.findall(rf'id="{name}-data">(.*?)</script>', page, re.DOTALL)
        assert "rect" in {layer["mark"]["type"] for layer in json.loads(data)["spec"]["layer"]}


def test_an_alert_is_begun_from_its_metric(watched):
    """The link on a metric's page leads to a new alert on that metric, which can be saved as it is."""
    page = _page(watched, "/metric?name=orders&last=1h")
    link = html.unescape(re.search(r'href="(/definition\?[^"]*metric=orders)"', page)[1])
    assert "metric: orders" in _page(watched, link)


def test_who_is_on_call_stands_with_the_receivers(watched):
    """A rota that is made here says who has the turn, until when, who is next, and what happens without an answer."""
    text = "rotas:\n  - name: nights\n    people: [ana, bo]\n    begins: 2026-01-05T09:00\n    escalate: [{after: 15m, tell: [next]}]\n"
    made = _post(watched, "/definition", kind="rota", text=text)
    assert made.status == 303, made.body
    assert made.headers["location"].startswith("/alerts")
    page = _page(watched, "/alerts")
    assert re.search(r"nights</bdi></b>: <code>(ana|bo)</code> until", page)
    assert "after 15m without an answer next" in page
    assert "No receivers: ana, bo." in page
    refused = _post(
        watched, "/receivers", action="add", name="nights", url="json://203.0.113.9", owners="shop"
    )
    assert refused.status == 400
    assert "nights is a rota" in refused.body.decode()
    assert "begins: 2026-01-05T09:00" in _page(watched, "/definition?kind=rota&name=nights")


def test_the_present_trouble_is_acknowledged_over_the_api(watched):
    """As on the page: with a reason and an end, and only where there is trouble."""
    until = (datetime.now(UTC) + timedelta(minutes=30)).isoformat()
    body = {"alert": "few", "reason": "I look", "until": until, "acknowledge": True}
    made = watched.request("POST", "/v1/silences", json.dumps(body), key=watched.admin_key)
    assert (made.status, made.json["incident"]) == (201, watched.incident)
    ended = watched.request("DELETE", f"/v1/silences/{made.json['id']}", key=watched.admin_key)
    assert ended.status == 200
    for nothing in ({**body, "alert": ""}, {**body, "alert": "calm"}):
        assert watched.request("POST", "/v1/silences", json.dumps(nothing), key=watched.admin_key).status in (
            404,
            409,
        )


def test_verdict_and_state_say_the_same_of_what_never_had_data(watched):
    """Beside events of other names a metric that never had one stands as no data, in the state and in the verdict, for people and programs."""
    unseen = {"metric": "unseen", "when": {"is": "above", "value": 3}, "window": "1h", "every": "5s"}
    put = {"metrics/unseen": {"kind": "count", "event_name": "never_sent"}, "alerts/unseen": unseen}
    for path, body in put.items():
        answer = watched.request("PUT", f"/v1/{path}", json.dumps(body), key=watched.admin_key)
        assert answer.status == 200, answer.body

    def find():
        alerts = watched.get("/v1/alerting").json["alerts"]
        return next((one["values"] for one in alerts if one["alert"] == "unseen" and one["values"]), None)

    (value,) = watched.wait_until(find, "it is judged", pause=0.3)
    assert (value["state"], value["judged"]["verdict"]) == ("no data", "no data")
    assert value["text"] == "no events in the last 1h"
    page = _page(watched, "/alert?name=unseen")
    (row,) = re.findall(r'<tr><td data-label="State">.*?</tr>', page, re.DOTALL)
    assert "no data" in row
    assert "no events in the last 1h" in row
    assert "at 3" not in row
    assert "below 3" not in row


def test_a_metric_that_fell_silent_a_month_ago_is_no_data(watched):
    """A new alert on it says so from the first window on, in the API, on its page and at the bell, and not that all is well."""
    old = {
        "event_id": "long-ago", "event_type": "behavioral", "event_name": "fell_silent", "value": 3,
        "event_time": (datetime.now(UTC) - timedelta(days=34)).isoformat(),
    }  # fmt: skip
    assert watched.request("POST", "/v1/events", json.dumps([old]), key=watched.write_key).status == 200
    metric = {"kind": "average", "event_name": "fell_silent", "field": "value"}
    silent = {"metric": "fell_silent", "when": {"is": "above", "value": 3}, "window": "1d", "every": "5s"}
    asked = {
        "kind": "trend",
        "from": "2020-01-01",
        "to": "2090-01-01",
        "series": [{"event_name": "fell_silent"}],
    }

    def is_stored():
        return watched.request("POST", "/v1/query", json.dumps(asked), key=watched.read_key).json["rows"] == [
            [1]
        ]

    watched.wait_until(is_stored, "it is stored", pause=0.3)
    for path, body in {"metrics/fell_silent": metric, "alerts/fell_silent": silent}.items():
        answer = watched.request("PUT", f"/v1/{path}", json.dumps(body), key=watched.admin_key)
        assert answer.status == 200, answer.body

    def find():
        alerts = watched.get("/v1/alerting").json["alerts"]
        return next(
            (one["values"] for one in alerts if one["alert"] == "fell_silent" and one["values"]), None
        )

    (value,) = watched.wait_until(find, "it is judged", pause=0.3)
    assert (value["state"], value["judged"]["verdict"]) == ("no data", "no data")
    page = _page(watched, "/alert?name=fell_silent")
    (row,) = re.findall(r'<tr><td data-label="State">.*?</tr>', page, re.DOTALL)
    assert "no data" in row
    assert "no data" in _page(watched, "/metric?name=fell_silent")
