"""Embedded panels over HTTP: one panel for who has the token, and nothing else."""

from __future__ import annotations

import html
import json
import re
from urllib.parse import urlsplit

import pytest
import sqlalchemy as sa

from tallymark.catalog.tables import EMBED

pytestmark = pytest.mark.store
CAVEAT = "A purchase in attributes.shop is no payment."
NEVER = {"field": "attributes.shop", "op": "eq", "value": "three"}


@pytest.fixture(scope="module")
def board(server, build_event):
    """Store purchases of two shops, and a dashboard with a panel of each kind that can be a picture."""
    events = [
        build_event(f"embed-{n}", event_name="purchase", event_time="2026-01-30T10:00:00Z", attributes={"shop": "one" if n < 7 else "two"})
        for n in range(10)
    ]  # fmt: skip
    assert server.send(events).status == 200
    server.wait_loaded()
    put = [
        ("metrics/purchases", {"kind": "count", "event_name": "purchase", "unit": "purchases"}),
        ("metrics/tries", {"kind": "count", "event_name": "purchase", "role": "intermediate", "caveat": CAVEAT, "minimum_sample": 50}),
        ("metrics/rate", {"kind": "ratio", "numerator": {"event_name": "purchase"}, "denominator": {"event_name": "purchase", "filters": [NEVER]}}),
        ("metrics/both", {"kind": "formula", "expression": "tries - purchases", "role": "intermediate", "caveat": CAVEAT}),
    ]  # fmt: skip
    panels = [
        {"name": "total", "kind": "number", "metrics": ["purchases"]},
        {"name": "course", "kind": "line", "metrics": ["purchases"], "breakdown": ["attributes.shop"]},
        {"name": "list", "kind": "table", "metrics": ["purchases"], "breakdown": ["attributes.shop"]},
        {"name": "weeks", "kind": "line", "metrics": ["tries"], "interval": "week"},
        {"name": "empty", "kind": "line", "metrics": ["rate"]},
        {"name": "sum", "kind": "number", "metrics": ["both"]},
        {"name": "two", "kind": "table", "metrics": ["purchases", "tries"]},
    ]
    put.append(
        ("dashboards/shops", {"from": "2026-01-30", "to": "2026-01-31", "interval": "hour", "panels": panels})
    )
    for path, body in put:
        assert server.request("PUT", f"/v1/{path}", json.dumps(body), key=server.admin_key).status == 200


def _embed(server, panel, **more):
    order = json.dumps({"dashboard": "shops", "panel": panel, **more})
    answer = server.request("POST", "/v1/embeds", order, key=server.admin_key)
    assert answer.status == 201, answer.body
    return answer.json


def _path(embed):
    return urlsplit(embed["url"]).path


def test_one_panel_for_who_has_the_token(server, board):
    """Without a key or cookie the panel is there; the page sets none, and leads to no other."""
    answer = server.request("GET", _path(_embed(server, "total")))
    page = answer.body.decode()
    assert answer.status == 200
    assert '10 <span class="unit">purchases' in page
    assert "set-cookie" not in answer.headers
    assert re.findall(r"<a\b", page) == []


def test_fixed_conditions_cannot_be_lifted(server, board):
    """What the token fixes holds, whatever the address asks for."""
    embed = _embed(server, "total", filters=[{"field": "attributes.shop", "op": "eq", "value": "two"}])
    for query in ("", "?f0.field=attributes.shop&f0.value=one", "?last=30d", "?filters=[]", "?project=other"):
        page = server.request("GET", _path(embed) + query).body.decode()
        assert '3 <span class="unit">purchases' in page
    figures = server.request("GET", _path(embed) + "/panel.json?filters=[]").json["figures"]
    assert figures[0]["rows"][0][0] == 3


def test_who_may_frame_it(server, board):
    """Without the setting nobody may; other pages of ours may never be framed."""
    policy = server.request("GET", _path(_embed(server, "total"))).headers["content-security-policy"]
    assert "frame-ancestors 'none'" in policy


@pytest.mark.parametrize(("kind", "begin"), [("svg", b"<svg"), ("png", b"\x89PNG"), ("csv", b"metric,attributes.shop"), ("json", b'{"panel"')])  # fmt: skip
def test_forms(server, board, kind, begin):
    """A panel can be had as a picture, table and figures."""
    answer = server.request("GET", f"{_path(_embed(server, 'list'))}/panel.{kind}?theme=dark&width=400")
    assert answer.status == 200
    assert answer.body.startswith(begin)


@pytest.mark.parametrize(
    ("form", "wrong", "allowed"),
    [
        ("?theme=bogus", "'bogus' is no value of theme", "light, dark"),
        ("/panel.svg?theme=bogus", "'bogus' is no value of theme", "light, dark"),
        ("/panel.csv?width=99", "'99' is no value of width", "from 100 to 2000"),
        ("/panel.json?height=bogus", "'bogus' is no value of height", "from 100 to 2000"),
    ],
)
def test_a_wrong_value_is_told_where_it_is_read(server, board, form, wrong, allowed):
    """A value of one of our own parameters that means nothing is refused; what others add is not, nor is an empty value."""
    path = _path(_embed(server, "list"))
    answer = server.request("GET", path + form)
    page = html.unescape(answer.body.decode())
    assert answer.status == 400
    assert wrong in page
    assert allowed in page
    address, _, field = form.partition("?")
    name = field.partition("=")[0]
    assert server.request("GET", f"{path}{address}?{name}=&utm_source=bogus").status == 200


@pytest.mark.parametrize("panel", ["total", "course", "list"])
def test_every_kind_is_a_picture(server, board, panel):
    """Numbers, charts and tables have their figures and names in the picture."""
    picture = server.request("GET", f"{_path(_embed(server, panel))}/panel.svg").body.decode()
    assert ("10 purchases" if panel == "total" else "two") in picture


def test_what_is_over_shows_nothing(server, board):
    """An altered, revoked or expired token, and one whose panel is gone, is answered inside the frame."""
    embed = _embed(server, "total")
    altered = _path(embed)[:-1] + ("A" if _path(embed)[-1] != "A" else "B")
    revoked = _embed(server, "total")
    assert server.request("DELETE", f"/v1/embeds/{revoked['id']}", key=server.admin_key).status == 200
    expired = _embed(server, "total")
    with server.open_catalog() as catalog, catalog.engine.begin() as connection:
        past = sa.func.datetime("2020-01-01")
        connection.execute(sa.update(EMBED).where(EMBED.c.id == expired["id"]).values(expires_at=past))
    for path in (altered, _path(revoked), _path(expired), "/embed/nonsense", "/embed/1.2.3"):
        answer = server.request("GET", path)
        assert answer.status == 404, path
        assert "purchases" not in answer.body.decode()
        assert server.request("GET", f"{path}/panel.json").status == 404
    listed = {
        one["id"]: one for one in server.request("GET", "/v1/embeds", key=server.admin_key).json["embeds"]
    }
    assert listed[revoked["id"]]["url"] == ""
    assert listed[embed["id"]]["url"]


@pytest.mark.parametrize(
    ("order", "status"),
    [({"dashboard": "nothing", "panel": "total"}, 404), ({"dashboard": "shops", "panel": "nothing"}, 404),
     ({"dashboard": "shops", "panel": "total", "days": 0}, 400), ({"dashboard": "shops"}, 400),
     ({"dashboard": "shops", "panel": "total", "filters": [{"field": "attributes.shop", "op": "in", "value": 1}]}, 400)],
)  # fmt: skip
def test_what_cannot_be_embedded(server, board, order, status):
    """A panel that there is not, or a condition that makes no sense, is refused when the token is made."""
    assert server.request("POST", "/v1/embeds", json.dumps(order), key=server.admin_key).status == status


def test_only_admins_make_tokens(server, board):
    """A read key cannot show anything to the world."""
    order = json.dumps({"dashboard": "shops", "panel": "total"})
    assert server.request("POST", "/v1/embeds", order, key=server.read_key).status == 403


@pytest.mark.parametrize("file", ["panel.vl", "panel.question", "panel.html", "panel.svg/more", "a/b/c"])
def test_forms_that_are_not_for_guests(server, board, file):
    """What tells how a panel is asked is not given to who has its address; the answer leads nowhere."""
    answer = server.request("GET", f"{_path(_embed(server, 'total'))}/{file}")
    assert answer.status == 404
    assert answer.headers["content-type"].startswith("text/plain")
    assert b"<" not in answer.body


def test_conditions_are_in_no_form(server, board):
    """Neither the page nor the figures say what the token fixes."""
    embed = _embed(server, "total", filters=[{"field": "attributes.shop", "op": "ne", "value": "s3cret"}])
    for file in ("", "/panel.json", "/panel.csv", "/panel.svg"):
        answer = server.request("GET", _path(embed) + file)
        assert answer.status == 200
        assert b"s3cret" not in answer.body
        assert b"attributes.shop" not in answer.body


def test_why_there_is_nothing_is_no_guests_business(server, board):
    """Where a condition fits no event, its people read which; a guest does not."""
    fixed = [{"field": "attributes.shop", "op": "eq", "value": 17}]
    embed = _embed(server, "total", filters=fixed)
    for file in ("", "/panel.json"):
        body = server.request("GET", _path(embed) + file).body.decode()
        assert "shop" not in body
        assert "the filter" not in body
    question = {"kind": "trend", "series": [{"event_name": "purchase"}], "filters": fixed}
    asked = {**question, "from": "2026-01-30", "to": "2026-01-31"}
    answer = server.request("POST", "/v1/query", json.dumps(asked), key=server.read_key)
    assert "shop" in str(answer.json["notes"])


def test_a_picture_that_cannot_be_had_says_so_in_a_line(server, board):
    """A wrong size is told as plain text with the embed's own headers, and no link."""
    for query, at in (("width=99999", "width"), ("height=x", "height")):
        answer = server.request("GET", f"{_path(_embed(server, 'total'))}/panel.svg?{query}")
        assert answer.status == 400
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.body.decode().startswith(f"{at}: ")
        assert b"href" not in answer.body
    gone = server.request("GET", "/embed/nonsense/panel.svg")
    assert (gone.status, gone.headers["content-type"]) == (404, "text/plain; charset=utf-8")


@pytest.mark.parametrize("panel", ["weeks", "sum"])
def test_a_caveat_is_for_all_who_look(server, board, panel):
    """The author's words stay, whatever names stand in them, in a formula's panel as well; so does what is only counted."""
    told = server.request("GET", f"{_path(_embed(server, panel))}/panel.json").json["notes"]
    assert f"An intermediate metric: {CAVEAT}" in told
    assert "1 of 1 figures stand on too few events to rely on" + (": fewer than 50." if panel == "weeks" else ".") in told  # fmt: skip


def test_a_part_of_a_week_is_told_openly(server, board):
    """Which days of the week were counted is read without opening anything, and once."""
    path = _path(_embed(server, "weeks"))
    page = server.request("GET", path).body.decode()
    (said,) = re.findall(r'<p class="told[^>]*>([^<]*)</p>', page)
    assert said == "The only week is counted in part: Fri."
    assert page.count("counted in part") == 1
    assert server.request("GET", f"{path}/panel.json").json["notes"][0] == said


def test_nothing_to_show_is_said_to_guests(server, board):
    """A ratio without a figure says so, on the page, in the figures and in a picture, instead of a box around nothing."""
    path = _path(_embed(server, "empty"))
    assert "There is no figure in this time." in server.request("GET", path).body.decode()
    assert server.request("GET", f"{path}/panel.json").json["problem"] == "There is no figure in this time."
    assert b"There is no figure in this time." in server.request("GET", f"{path}/panel.svg").body


def test_tables_of_several_metrics_say_whose(server, board):
    """On the page each table has its metric's name, in the file each row."""
    path = _path(_embed(server, "two"))
    page = server.request("GET", path).body.decode()
    assert re.findall(r"<h3><bdi>([^<]*)</bdi></h3>", page) == ["purchases", "tries"]
    rows = server.request("GET", f"{path}/panel.csv").body.decode().splitlines()
    assert rows[0].startswith("metric,time,figure,n,")
    assert {row.split(",")[0] for row in rows[1:]} == {"purchases", "tries"}
    assert len(rows) == 1 + 2 * 24
