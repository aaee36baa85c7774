"""Every parameter of every page and of the API: a value that means nothing is refused, and an empty one is as good as none."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import pytest

from tallymark.web.api import ROUTES
from tallymark.web.pages import build_routes as build_page_routes
from tallymark.web.parameters import ANYTHING, KEY
from tallymark.web.services import Services

pytestmark = pytest.mark.store

WRONG = "no~such"
DAY = "from=2026-01-31&to=2026-02-01"
FUNNEL = f"kind=funnel&{DAY}&s0.event=asked&s1.event=asked"
TREND = f"kind=trend&{DAY}&s0.event=asked"
# What an address needs besides, to show anything.
NEEDS = {
    "/metric": f"name=asked&{DAY}",
    "/dashboard": "name=board",
    "/dashboard/panel": "name=board&panel=course&form=csv",
    "/alert": "name=watch",
    "/definition": "kind=metric",
    "/event": "id=asked-1",
    "/explore": FUNNEL,
    "/explore.csv": FUNNEL,
    "/v1/metrics/{name:str}/figures": DAY,
    "/v1/metrics/{name:str}/explain": f"{DAY}&breakdown=agent_os",
}
# For one parameter: what it needs besides instead, and its wrong value. The others are `no~such`.
ELEVEN = ",".join("abcdefghijk")
ODD = {
    "f#.value": ("f0.field=value&f0.op=lt", WRONG),
    "s#.f#.value": (f"{TREND}&s0.f0.field=value&s0.f0.op=lt", WRONG),
    "s#.q": (f"{TREND}&s0.op=quantile&s0.field=value", "7"),
    "by": ("", "agent_os,agent_os"),
    "/explore?kind": (TREND, WRONG),
    "/explore.csv?kind": (TREND, WRONG),
    "b#": (f"{TREND}&b0=agent_os", "x" * 600),
    "dimensions": ("", ELEVEN),
    "breakdown": ("", ELEVEN),
    "event_id": ("", ""),
}
# Of these every text means something: it is searched for, or names what may come or was there once.
FREE = {
    *("*", "q", "event", "field", "containing", "event_name", "alert", "event_id"),
    *("f#.field", "s#.f#.field", "s#.event", "s#.name", "s#.field"),
    # Marks of a page as it was: another one only means that the page has changed.
    *("seen", "gone", "pressed"),
}
# Free in one place, and not in another: a metric may be asked for by any field, a funnel counts by any.
FREE_HERE = {("/events", "id"), ("/events", "name"), ("/explore", "by"), ("/explore.csv", "by")}


def list_parameters():
    """Yield (method, path, parameter) of all routes that take some, pages and API."""
    nothing = cast("Any", type("Nothing", (), {"engine": None, "__getattr__": lambda *_: None})())
    services = Services(nothing, *[None] * 5, Path("ledger"), None, "", "", nothing, nothing)  # type: ignore[arg-type]
    try:
        handlers = [one for build in (*ROUTES, build_page_routes) for one in build(services)]
    finally:
        services.close_shares()
    for handler in handlers:
        for path in sorted(handler.paths):
            for one in handler.opt["takes"]:
                yield from ((method, path, one) for method in sorted(handler.http_methods - {"HEAD"}))


ALL = list(list_parameters())
CHECKED = [
    (path, one)
    for method, path, one in ALL
    if method == "GET" and one.checked_by != "nobody" and one not in (KEY, *ANYTHING)
    # Whoever has not signed in is not told which projects there are.
    if (path, one.name) != ("/sign-in", "project")
]
CLOSED = [(path, one) for path, one in CHECKED if one.checked_by == "declaration"]


def name(case):
    path, one = case
    return f"{path}?{one.name}"


@pytest.fixture(scope="module")
def asked(admin, server, build_event):
    """Somebody who is signed in where there are events, a metric, a dashboard and an alert."""
    events = [
        build_event(f"asked-{n}", event_name="asked", event_time=f"2026-01-31T{n:02}:30:00Z", value=float(n))
        for n in range(12)
    ]
    assert server.send(events).status == 200
    server.wait_loaded()
    bodies = {
        "metrics/asked": {"kind": "count", "event_name": "asked", "owner": "admin"},
        "dashboards/board": {
            "last": "30d",
            "panels": [{"name": "course", "kind": "line", "metrics": ["asked"]}],
        },
        "alerts/watch": {"metric": "asked", "when": {"is": "above", "value": 1000}, "window": "1h"},
    }
    for path, body in bodies.items():
        made = server.request("PUT", f"/v1/{path}", json.dumps(body), key=server.admin_key)
        assert made.status == 200, made.body
    return admin


# Where a page names the place in the question, and not its own parameter.
PLACES = {"b#": "breakdown[0]", "s#.q": "series[0].measure.q"}


def find_odd(path, parameter):
    """Return what the parameter needs besides, and its wrong value."""
    return ODD.get(f"{path}?{parameter.name}") or ODD.get(parameter.name) or ("", WRONG)


def build_address(path, parameter, value):
    """Return an address that has the value, and all else that it needs."""
    more, _ = find_odd(path, parameter)
    if "kind=" not in more or not path.startswith("/explore"):
        more = f"{NEEDS.get(path, '')}&{more}"
    own = parameter.name.replace("#", "0")
    kept = [pair for pair in more.split("&") if pair and pair.partition("=")[0] != own]
    path = path.replace("{name:str}", "watch" if "/alerts/" in path else "asked").replace(
        "{event_id:str}", "asked-1"
    )
    return path + "?" + "&".join([*kept, f"{own}={quote(value)}"])


def follow(visitor, address):
    """Ask, and go on where a page leads to its own full address."""
    for _ in range(3):
        answer = visitor.request("GET", address)
        if answer.status != 303:
            break
        address = answer.headers["location"]
    return answer


def test_every_parameter_says_who_checks_it():
    """What nobody checks stands in a list, with its reason: a new parameter cannot come in unseen."""
    assert len(CHECKED) > 100
    free = {(path, one.name) for _, path, one in ALL if one.checked_by == "nobody"}
    assert {(path, name) for path, name in free if name not in FREE} == FREE_HERE
    assert not {one.name for _, one in CHECKED} & (FREE - {"q"})


@pytest.mark.parametrize("case", [case for case in CHECKED if not case[0].startswith("/v1/")], ids=name)
def test_a_page_refuses_a_value_that_means_nothing(asked, case):
    """The answer is no success, names the value, and says where it stands or what is allowed."""
    path, parameter = case
    _, wrong = find_odd(path, parameter)
    if (path, parameter.name) == ("/event", "id"):
        wrong = "x" * 200
    answer = follow(asked, build_address(path, parameter, wrong))
    page = html.unescape(answer.body.decode())
    assert answer.status in (400, 404), page
    # Addresses in the markup hold all kinds of letters.
    shown = re.sub(r'\b(href|src|action|content)="[^"]*"', "", page)
    place = PLACES.get(parameter.name, parameter.name.replace("#", "0").partition(".")[0])
    assert place in shown or wrong in shown
    if parameter.checked_by == "declaration":
        assert answer.status == 400
        assert f"'{wrong}' is no value of {parameter.name.replace('#', '0')}." in page
        assert parameter.allowed in page


@pytest.mark.parametrize("case", [case for case in CHECKED if case[0].startswith("/v1/")], ids=name)
def test_the_api_refuses_a_value_that_means_nothing(server, asked, case):
    """The answer is 400 with a code, and `at` is the parameter."""
    path, parameter = case
    address = build_address(path, parameter, find_odd(path, parameter)[1])
    answer = server.request("GET", address, key=server.admin_key)
    assert answer.status == 400, answer.body
    assert answer.json["at"].partition("[")[0] in (parameter.name, "cursor")
    assert answer.json["code"] in ("invalid_request", "invalid_question")


@pytest.mark.parametrize("case", CLOSED, ids=name)
def test_an_empty_value_is_as_good_as_none(asked, case):
    """Forms send what nobody filled in: that is no mistake."""
    path, parameter = case
    answer = follow(asked, build_address(path, parameter, ""))
    # Without a form of a panel there is nothing to show.
    assert answer.status == (404 if parameter.name == "form" else 200 if path != "/live" else answer.status)
    assert "is no value" not in answer.body.decode()


@pytest.mark.parametrize(
    "address",
    [
        "/?span=week",
        "/metric?name=asked&compare=bogus",
        "/alert?name=watch&from=bogus",
        "/alert?name=watch&to=bogus",
        "/catalogue?unused=maybe",
        "/explore?kind=bogus",
        f"/explore?{TREND}&others=maybe",
        "/events?before=zzz",
        f"/explore?{TREND}&window=bogus",
        f"/explore?{TREND}&s0.q=bogus",
        f"/explore?{FUNNEL}&interval=bogus",
        f"/explore?{FUNNEL}&s0.op=bogus",
        "/events?f0.op=bogus",
        "/?span=day&span=bogus",
        "/dashboard/panel?name=board&panel=course&form=csv&width=bogus",
        "/sign-in?next=//bogus",
    ],
)
def test_nothing_is_dropped_on_the_way(asked, address):
    """Also what the rest of the address makes useless is refused where it is wrong."""
    answer = follow(asked, address)
    assert answer.status == 400
    page = html.unescape(answer.body.decode())
    assert any(value in page for value in ("bogus", "'week'", "'maybe'", "'zzz'"))
