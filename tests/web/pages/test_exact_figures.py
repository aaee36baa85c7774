"""One figure reads the same wherever it stands: on its page, a tile, Explore, in files, pictures and embeds."""

from __future__ import annotations

import json
import re
from urllib.parse import urlencode, urlsplit

import pytest

pytestmark = pytest.mark.store

DAY = {"from": "2026-01-30", "to": "2026-01-31"}
CENTS = [1, 10, 20, 30, 70, 99, 12_345_678, 112_456_649]
EXTREMES = [1e308, -1e308, 1.7976931348623157e308, 5e-324, 2.0**53 - 1, 2.0**53, 0.3, 0.30000000000000004]
MONEY = "1,248,025.57"
RANGE = "45.6 to 69.1 %"


@pytest.fixture(scope="module")
def figures(server, build_event):
    """Store payments of 1,248,025.57 in all, 37 of 64 tries that were done, extreme values, and a dashboard of them."""
    at = {"event_time": "2026-01-30T10:00:00Z"}
    events = [
        build_event(f"pay-{n}", event_name="pay", value=cent / 100, **at) for n, cent in enumerate(CENTS)
    ]
    events += [
        build_event(f"try-{n}", event_name="try", attributes={"done": n < 37}, **at) for n in range(64)
    ]
    events += [
        build_event(f"odd-{n}", event_name="odd", value=value, **at) for n, value in enumerate(EXTREMES)
    ]
    assert server.send(events).json["accepted"] == len(events)
    server.wait_loaded()
    done = {"event_name": "try", "filters": [{"field": "done", "op": "eq", "value": True}]}
    put = [
        ("metrics/revenue", {"kind": "sum", "event_name": "pay", "unit": "EUR"}),
        ("metrics/done", {"kind": "ratio", "numerator": done, "denominator": {"event_name": "try"}}),
        ("metrics/twice", {"kind": "formula", "expression": "revenue + revenue", "unit": "EUR"}),
        ("metrics/odd", {"kind": "average", "event_name": "odd"}),
        ("metrics/oddest", {"kind": "gauge", "event_name": "odd"}),
    ]
    panels = [
        {"name": "money", "kind": "number", "metrics": ["revenue"]},
        {"name": "bars", "kind": "bar", "metrics": ["revenue"], "breakdown": ["event_weekday"]},
        {"name": "table", "kind": "table", "metrics": ["revenue"]},
        {"name": "share", "kind": "number", "metrics": ["done"]},
        {"name": "odd", "kind": "histogram", "metrics": ["odd"]},
        {"name": "oddline", "kind": "line", "metrics": ["oddest", "odd"], "interval": "hour"},
        {"name": "oddheat", "kind": "heatmap", "metrics": ["oddest"]},
    ]
    put.append(("dashboards/exact", {**DAY, "panels": panels}))
    for path, body in put:
        answer = server.request("PUT", f"/v1/{path}", json.dumps(body), key=server.admin_key)
        assert answer.status == 200, answer.body
    return server


def _page(admin, path, fields):
    answer = admin.request("GET", f"{path}?{urlencode(fields)}")
    while answer.status == 303:
        answer = admin.request("GET", answer.headers["location"])
    assert answer.status == 200, answer.body[-500:]
    # Units stand in elements of their own.
    return re.sub(r"<[^>]+>", "", answer.body.decode())


def _embed(server, panel, form=""):
    order = json.dumps({"dashboard": "exact", "panel": panel})
    made = server.request("POST", "/v1/embeds", order, key=server.admin_key)
    assert made.status == 201, made.body
    answer = server.request("GET", urlsplit(made.json["url"]).path + form)
    assert answer.status == 200, answer.body[-500:]
    return answer.body


def test_money_is_shown_to_the_cent(admin, figures):
    """1,248,025.57 EUR on the metric's page, the tile, in Explore, a table and a picture, and 1248025.57 in files and JSON."""
    assert f"{MONEY} EUR" in _page(admin, "/metric", {"name": "revenue", **DAY})
    assert f"{MONEY} EUR" in _page(admin, "/dashboard", {"name": "exact"})
    asked = {
        "kind": "trend",
        **DAY,
        "interval": "year",
        "s0.event": "pay",
        "s0.op": "sum",
        "s0.field": "value",
    }
    assert MONEY in _page(admin, "/explore", asked)
    for panel in ("money", "table", "bars"):
        assert MONEY.encode() in _embed(figures, panel), panel
        assert b",1248025.57," in _embed(figures, panel, "/panel.csv"), panel
        assert b"1248025.57" in _embed(figures, panel, "/panel.json"), panel
        assert MONEY.encode() in _embed(figures, panel, "/panel.svg"), panel
    path = f"/v1/metrics/revenue/figures?{urlencode(DAY)}"
    found = figures.request("GET", path, key=figures.read_key).json["figures"]
    assert (found["rows"][0][0], found["exact"]) == (1248025.57, True)
    twice = figures.request("GET", path.replace("revenue", "twice"), key=figures.read_key).json["figures"]
    assert (twice["rows"][0][0], twice["exact"]) == (2496051.14, True)


def test_the_change_of_money_is_exact(admin, figures):
    """What a sum's change is made of has its cents, too."""
    page = _page(
        admin, "/metric", {"name": "revenue", **DAY, "compare": "previous", "dimensions": "event_hour"}
    )
    assert f"+{MONEY}" in page


def test_an_interval_has_the_places_of_its_figure(admin, figures):
    """37 of 64 is 57.8 %, 45.6 to 69.1 %, on each page and picture."""
    for page in (
        _page(admin, "/metric", {"name": "done", **DAY}),
        _page(admin, "/dashboard", {"name": "exact"}),
        _embed(figures, "share").decode(),
        _embed(figures, "share", "/panel.svg").decode(),
    ):
        text = re.sub(r"<[^>]+>", "", page)
        assert re.search(r"57\.8\s*%", text)
        assert RANGE in text
    fields = {
        "kind": "ratio",
        **DAY,
        "interval": "year",
        "s0.event": "try",
        "s1.event": "try",
        "s0.f0.field": "done",
        "s0.f0.value": "true",
    }
    explored = _page(admin, "/explore", fields)
    assert "57.8 %" in explored
    assert "45.6 %" in explored
    assert "69.1 %" in explored


@pytest.mark.parametrize("panel", ["odd", "oddline", "oddheat"])
def test_extreme_values_have_pictures(admin, figures, panel):
    """Any finite doubles are drawn and written: no page and no picture of theirs fails."""
    assert _page(admin, "/dashboard", {"name": "exact"})
    assert _page(admin, "/metric", {"name": "odd", **DAY})
    assert b"</svg>" in _embed(figures, panel, "/panel.svg")
    assert _embed(figures, panel, "/panel.png")[:4] == b"\x89PNG"
    assert _embed(figures, panel, "/panel.csv")
