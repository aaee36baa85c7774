"""Formulas by group: each group has its own figure, parts without events count as none, and the whole is as sure as its parts."""

from __future__ import annotations

import json
from urllib.parse import urlencode

import pytest

pytestmark = pytest.mark.store


def _figures(server, name, **fields):
    answer = server.get(f"/v1/metrics/{name}/figures?{urlencode(fields)}")
    assert answer.status == 200, answer.body
    found = answer.json["figures"]
    names = [column["name"] for column in found["columns"]]
    return [dict(zip(names, row, strict=True)) for row in found["rows"]], found


@pytest.fixture(scope="module")
def shops(server, build_event):
    """Store 30 shops with 1 to 30 orders, every third with a refund, and formulas over both."""
    events = [
        build_event(f"order-{shop}-{n}", event_name="ordered", event_time="2026-05-04T10:00:00Z", attributes={"shop": f"s{shop:02}"})
        for shop in range(30) for n in range(shop + 1)
    ] + [
        build_event(f"refund-{shop}", event_name="refunded", event_time="2026-05-04T11:00:00Z", attributes={"shop": f"s{shop:02}"})
        for shop in range(0, 30, 3)
    ]  # fmt: skip
    assert server.send(events).status == 200
    server.wait_loaded()
    metrics = {
        "orders": {"kind": "count", "event_name": "ordered", "minimum_sample": 10},
        "refunds": {
            "kind": "count",
            "event_name": "refunded",
            "role": "intermediate",
            "caveat": "Refunds come late.",
        },
        "never": {"kind": "count", "event_name": "never_happened"},
        "refund_rate": {"kind": "formula", "expression": "refunds / orders"},
        "net": {"kind": "formula", "expression": "orders - refunds"},
        "net_again": {"kind": "formula", "expression": "net - never"},
    }
    for name, body in metrics.items():
        made = server.request("PUT", f"/v1/metrics/{name}", json.dumps(body), key=server.admin_key)
        assert made.status == 200, made.body


_SHOPS = {"from": "2026-05-04", "to": "2026-05-05", "breakdown": "shop"}


@pytest.mark.parametrize("name", ["net", "net_again"])
def test_formula_by_group(server, shops, name):
    """Each shop has its own figure, one without refunds all of its orders; all others together are the others'."""
    rows, _ = _figures(server, name, **_SHOPS, limit=4, others="true")
    wanted = {f"s{shop:02}": shop + 1 - (shop % 3 == 0) for shop in range(30)}
    shown = ["s29", "s28", "s27", "s26"]
    assert [(row["shop"], row["groups"], row["figure"]) for row in rows[:4]] == [
        (shop, 1, wanted[shop]) for shop in shown
    ]
    rest = sum(figure for shop, figure in wanted.items() if shop not in shown)
    assert (rows[4]["shop"], rows[4]["groups"], rows[4]["figure"]) == (None, 26, rest)
    by_hour, _ = _figures(server, name, **_SHOPS, limit=2, interval="hour")
    assert len(by_hour) == 48
    assert sum(row["figure"] for row in by_hour) == wanted["s29"] + wanted["s28"]


def test_a_formula_is_as_sure_as_its_parts(server, shops):
    """Too few orders make a rate of them too uncertain, and what must not be concluded of a part is said of the whole."""
    rows, found = _figures(server, "refund_rate", **_SHOPS, limit=100)
    by_shop = {row["shop"]: row for row in rows}
    assert by_shop["s03"]["figure"] == 1 / 4
    assert (by_shop["s03"]["enough"], by_shop["s12"]["enough"]) == (False, True)
    # The groups are those of the first part: shops without a refund are not among them.
    assert set(by_shop) == {f"s{shop:02}" for shop in range(0, 30, 3)}
    assert any("Refunds come late." in note for note in found["notes"])
    zero = _figures(server, "refund_rate", **{"from": "2026-05-06", "to": "2026-05-07"})
    assert [row["figure"] for row in zero[0]] == [None]
    assert any("division by zero" in note for note in zero[1]["notes"])
