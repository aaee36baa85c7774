"""Sixteen viewers of a dashboard of twelve panels, and one embed that asks for 120 pictures at once."""

from __future__ import annotations

import json
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode, urlsplit

import pytest

pytestmark = pytest.mark.store

VIEWERS, PANELS, ROUNDS = 16, 12, 3
# A guard against hanging only: far more than a load takes, far less than waiting in a row of all of them.
AT_MOST = 60.0
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture(scope="module")
def board(server, build_event):
    """Store events of today, and a dashboard of twelve panels; return how to load it as somebody who is signed in."""
    now = datetime.now(UTC)
    events = [
        build_event(f"view-{n}", event_name="viewed", event_time=(now - timedelta(minutes=n)).isoformat(), attributes={"shop": f"shop {n % 5}"})
        for n in range(500)
    ]  # fmt: skip
    assert server.send(events).status == 200
    server.wait_loaded()
    kinds = ("line", "bar", "number", "table")
    panels = [
        {"name": f"p{n}", "kind": kinds[n % 4], "metrics": ["views"], "title": f"Panel {n}", "breakdown": ["attributes.shop"] if n % 4 != 2 else []}
        for n in range(PANELS)
    ]  # fmt: skip
    for path, body in (
        ("metrics/views", {"kind": "count", "event_name": "viewed"}),
        ("dashboards/views", {"last": "24h", "panels": panels}),
    ):
        answer = server.request("PUT", f"/v1/{path}", json.dumps(body), key=server.admin_key)
        assert answer.status == 200, answer.body
    form = server.request("GET", "/sign-in")
    token = re.search(rb'name="csrf" value="([^"]+)"', form.body)[1].decode()
    fields = {"csrf": token, "name": "admin", "password": server.password, "next": "/"}
    cookie = form.headers["set-cookie"].partition(";")[0]
    signed = server.request("POST", "/sign-in", urlencode(fields), headers={**FORM, "Cookie": cookie})
    session = signed.headers["set-cookie"].partition(";")[0]

    def load():
        return server.request("GET", "/dashboard?name=views&part=panels", headers={"Cookie": session})

    return load


def _count_made(server):
    """Return how many panels were made, by the server's own numbers."""
    return server.read_own("tallymark_work_ended_total", outcome="done", work="panels")


def test_viewers_share_what_they_look_at(server, board, build_event):
    """While events arrive, sixteen load the same panels: none waits long, all figures are there, and little is asked twice."""
    before = _count_made(server)
    ended = threading.Event()
    sent = []

    def change():
        while not ended.wait(0.1):
            event = build_event(
                f"change-{len(sent)}", event_name="viewed", event_time=datetime.now(UTC).isoformat()
            )
            sent.append(server.send([event]).status)

    changing = threading.Thread(target=change)
    changing.start()
    waits = []

    def look(_):
        began = time.monotonic()
        page = board().body.decode()
        waits.append(time.monotonic() - began)
        return page

    try:
        with ThreadPoolExecutor(VIEWERS) as viewers:
            pages = list(viewers.map(look, range(VIEWERS * ROUNDS)))
    finally:
        ended.set()
        changing.join()
    assert set(sent) <= {200}
    assert max(waits) < AT_MOST
    for page in pages:
        assert page.count('<section class="panel') == PANELS
        # Each panel has its figures, or says that it comes in a moment.
        assert page.count("data-busy") or page.count("shop 4") >= PANELS // 4
    made = _count_made(server) - before
    # Alone each of the loads would have made all of its panels.
    assert PANELS <= made <= VIEWERS * ROUNDS * PANELS / 3, made


def test_what_is_shown_is_not_old(server, board, build_event):
    """Ten seconds after an event is stored every viewer sees it, however many look meanwhile."""

    def total():
        return int(re.search(r'<p class="value">([\d,]+)', board().body.decode())[1].replace(",", ""))

    known = total()
    event = build_event("newest", event_name="viewed", event_time=datetime.now(UTC).isoformat())
    assert server.send([event]).status == 200
    server.wait_loaded()
    stored = time.monotonic()
    with ThreadPoolExecutor(VIEWERS) as viewers:
        server.wait_until(lambda: min(viewers.map(lambda _: total(), range(VIEWERS))) > known, "all see it")
    assert time.monotonic() - stored < AT_MOST


def test_an_embed_that_asks_for_very_many_pictures_is_told_and_others_get_theirs(server, board):
    """Of 120 sizes at once some are refused with Retry-After; another embed and a person get their pictures meanwhile."""

    def embed(panel):
        order = json.dumps({"dashboard": "views", "panel": panel})
        answer = server.request("POST", "/v1/embeds", order, key=server.admin_key)
        return urlsplit(answer.json["url"]).path

    greedy, other = embed("p0"), embed("p2")
    with ThreadPoolExecutor(121) as pool:
        asked = [
            pool.submit(server.request, "GET", f"{greedy}/panel.svg?width={400 + number}&height=300")
            for number in range(120)
        ]
        answer = pool.submit(server.request, "GET", f"{other}/panel.svg?width=333").result(AT_MOST)
        told = [one.result(AT_MOST * 2) for one in asked]
    assert (answer.status, answer.body[:4]) == (200, b"<svg")
    refused = [one for one in told if one.status == 429]
    # How many depends on how fast pictures are drawn; that there are any does not.
    assert refused
    assert all(int(one.headers["retry-after"]) > 0 for one in refused)
    assert {one.status for one in told} <= {200, 429, 503}
    assert any(one.status == 200 for one in told)
