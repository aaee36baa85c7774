"""The real input of the demo, whole: every flight through the client and the intake, every figure against pandas."""

from __future__ import annotations

import importlib
import json
import math
import sys
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pandas as pd
import pytest

from tallymark import Client
from tallymark.queries.kinds.ratio import wilson_interval

pytestmark = pytest.mark.store

DEMO = Path(__file__).parents[2] / "demo"


@pytest.fixture(scope="module")
def demo():
    """Give the demo's modules, which stand beside the package."""
    sys.path.insert(0, str(DEMO))
    yield importlib.import_module("flights"), importlib.import_module("figures")
    sys.path.remove(str(DEMO))


@pytest.fixture(scope="module")
def stored(make_server, demo):
    """Send a year of flights, and apply the demo's definitions; give server, table and the client's summary."""
    flights, _ = demo
    server = make_server().start()
    table = flights.read_flights()
    with Client(url=server.url, key=server.write_key) as client:
        summary = client.send_all(flights.build_events(table))
    server.wait_loaded()
    done = server.run("apply", str(DEMO / "definitions"), TALLYMARK_ADMIN_KEY=server.admin_key)
    assert done.returncode == 0, done.stdout + done.stderr
    return server, table, summary


def _ask(server, question):
    return server.request("POST", "/v1/query", json.dumps(question), key=server.read_key).json


def test_flights(stored, demo):
    """A year of flights is stored once each, and all answers equal what pandas computes from the same data."""
    server, table, summary = stored
    flights, figures = demo
    wrong = [
        figure
        for figure in figures.check_figures(lambda question: _ask(server, question), flights.expected(table))
        if not figure.right
    ]
    totals = server.ledger()["totals"]

    assert wrong == []
    assert sum(flights.TOTALS.values()) == summary.sent == totals["received"] == totals["stored"]


def _panel(server, name):
    """Return the figures of a panel of the flights' dashboard, one list of rows as dictionaries for each metric."""
    order = json.dumps({"dashboard": "flights", "panel": name})
    made = server.request("POST", "/v1/embeds", order, key=server.admin_key)
    assert made.status == 201, made.body
    path = urlsplit(made.json["url"]).path
    shown = server.request("GET", f"{path}/panel.json").json
    assert shown["problem"] == ""
    return [
        [dict(zip([column["name"] for column in one["columns"]], row, strict=True)) for row in one["rows"]]
        for one in shown["figures"]
    ]


def _week(table):
    """Return the Monday of each flight's week."""
    day = table.scheduled_at.dt.tz_localize(None).dt.normalize()
    return (day - pd.to_timedelta(day.dt.day_of_week, unit="D")).dt.strftime("%Y-%m-%d")


def _near(found, wanted):
    return math.isclose(found, wanted, rel_tol=1e-12, abs_tol=1e-12)


def test_the_dashboards_numbers_equal_pandas(stored):
    """The four large figures are those that pandas finds in the table, with n and interval."""
    server, table, _ = stored
    departed, arrived = table[table.dep_time.notna()], table[table.arr_delay.notna()]
    ((scheduled,),) = _panel(server, "scheduled")
    ((rate,),) = _panel(server, "departed")
    ((late,),) = _panel(server, "late")
    ((made_good,),) = _panel(server, "made_good")
    assert (scheduled["figure"], scheduled["n"]) == (len(table), len(table))
    assert (rate["figure"], rate["n"]) == (len(departed) / len(table), len(table))
    assert (rate["low"], rate["high"]) == wilson_interval(len(departed), len(table))
    assert (late["figure"], late["n"]) == (departed.dep_delay.quantile(0.9), len(departed))
    assert late["low"] <= late["figure"] <= late["high"]
    assert made_good["figure"] == departed.dep_delay.quantile(0.9) - arrived.arr_delay.quantile(0.9)
    assert made_good["n"] == len(arrived)


def test_the_dashboards_courses_equal_pandas(stored):
    """Every point of the lines and areas over time is that of pandas, no point is missing and none too many."""
    server, table, _ = stored
    departed, arrived = table[table.dep_time.notna()], table[table.arr_delay.notna()]
    (rows,) = _panel(server, "rate_course")
    wanted = table.groupby(table.scheduled_at.dt.strftime("%Y-%m-%d")).dep_time.agg(["count", "size"])
    assert {row["time"][:10]: (row["figure"], row["n"]) for row in rows} == {
        day: (one["count"] / one["size"], one["size"]) for day, one in wanted.iterrows()
    }
    (rows,) = _panel(server, "airports")
    by_airport = table.groupby([_week(table), "origin"]).size().to_dict()
    assert {(row["time"][:10], row["origin"]): row["figure"] for row in rows} == by_airport
    both = _panel(server, "delays")
    for rows, part, name in zip(both, (departed, arrived), ("dep_delay", "arr_delay"), strict=True):
        weekly = part.groupby(_week(part))[name].quantile(0.9).to_dict()
        assert {row["time"][:10] for row in rows} == set(weekly)
        assert all(_near(row["figure"], weekly[row["time"][:10]]) for row in rows)


def test_the_dashboards_groups_equal_pandas(stored):
    """Carriers in the table and among the bars, with all others together, are those of pandas."""
    server, table, _ = stored
    departed = table[table.dep_time.notna()]
    (rows,) = _panel(server, "carriers")
    wanted = table.groupby("carrier").dep_time.agg(["count", "size"])
    assert {row["carrier"]: (row["figure"], row["n"]) for row in rows} == {
        carrier: (one["count"] / one["size"], one["size"]) for carrier, one in wanted.iterrows()
    }
    (rows,) = _panel(server, "carrier_delays")
    largest = list(departed.groupby("carrier").size().sort_values(ascending=False).index[:8])
    assert [row["carrier"] for row in rows] == [*largest, None]
    for row in rows:
        part = departed[
            departed.carrier == row["carrier"] if row["carrier"] else ~departed.carrier.isin(largest)
        ]
        assert _near(row["figure"], part.dep_delay.quantile(0.9))
        assert (row["n"], row["groups"]) == (len(part), 1 if row["carrier"] else 8)


def test_the_dashboards_spread_equals_pandas(stored):
    """The histogram has each flight once, the heat map each weekday and hour, both as pandas counts them."""
    server, table, _ = stored
    departed = table[table.dep_time.notna()]
    (rows,) = _panel(server, "spread")
    for row in rows:
        low = -math.inf if row["low"] is None else row["low"]
        high = math.inf if row["high"] is None else row["high"]
        assert row["values"] == int(((departed.dep_delay >= low) & (departed.dep_delay < high)).sum())
    assert sum(row["values"] for row in rows) == len(departed)
    (rows,) = _panel(server, "rhythm")
    when = departed.scheduled_at.dt
    wanted = departed.groupby([when.strftime("%a"), when.hour]).dep_delay.agg(
        [("p90", lambda delays: delays.quantile(0.9)), ("n", "size")]
    )
    found = {(row["event_weekday"], row["event_hour"]): row for row in rows}
    assert set(found) == set(wanted.index)
    for key, one in wanted.iterrows():
        assert _near(found[key]["figure"], one.p90)
        assert found[key]["n"] == one.n


def test_the_blizzard_is_explained(stored):
    """Carrier, airport and hour each account for the whole fall of 8 and 9 February, as pandas splits it."""
    server, table, _ = stored
    fields = ("carrier", "origin", "event_hour")
    span = {"from": "2013-02-08", "to": "2013-02-10", "compare": "week", "breakdown": ",".join(fields)}
    answer = server.get(f"/v1/metrics/departure_rate/explain?{urlencode(span)}")
    assert answer.status == 200, answer.body
    names = [column["name"] for column in answer.json["columns"]]
    rows = [dict(zip(names, row, strict=True)) for row in answer.json["rows"]]
    day = table.scheduled_at.dt.strftime("%m-%d")
    after, before = (
        table[day.isin(days)].assign(event_hour=table.scheduled_at.dt.hour.astype(str))
        for days in (["02-08", "02-09"], ["02-01", "02-02"])
    )
    whole = after.dep_time.notna().mean() - before.dep_time.notna().mean()
    assert whole < -0.4
    for field in fields:
        of = [row for row in rows if row["dimension"] == field]
        assert sum(row["contribution"] for row in of) == pytest.approx(whole)
        for row in (row for row in of if row["value"] is not None):
            one, other = (part[part[field] == row["value"]] for part in (after, before))
            assert row["after"] == (pytest.approx(one.dep_time.notna().mean()) if len(one) else None)
            assert row["before"] == (pytest.approx(other.dep_time.notna().mean()) if len(other) else None)
    # Nearly everything stood still: the hour tells most, for the storm came in the afternoon.
    assert rows[0]["dimension"] == "event_hour"


def test_a_slower_quantile_is_explained(stored):
    """Who is slower is told by the share above the earlier quantile; each field's values add up to its whole change."""
    server, table, _ = stored
    span = {"from": "2013-07-01", "to": "2013-07-08", "compare": "week", "breakdown": "carrier,origin"}
    answer = server.get(f"/v1/metrics/departure_delay_p90/explain?{urlencode(span)}")
    assert answer.status == 200, answer.body
    names = [column["name"] for column in answer.json["columns"]]
    rows = [dict(zip(names, row, strict=True)) for row in answer.json["rows"]]
    departed = table[table.dep_time.notna()]
    day = departed.scheduled_at.dt.strftime("%m-%d")
    after = departed[(day >= "07-01") & (day < "07-08")]
    before = departed[(day >= "06-24") & (day < "07-01")]
    mark = before.dep_delay.quantile(0.9)
    whole = (after.dep_delay > mark).mean() - (before.dep_delay > mark).mean()
    for field in ("carrier", "origin"):
        of = [row for row in rows if row["dimension"] == field]
        assert sum(row["contribution"] for row in of) == pytest.approx(whole)
        for row in (row for row in of if row["value"] is not None):
            part = after[after[field] == row["value"]]
            assert row["after"] == pytest.approx((part.dep_delay > mark).mean())
    assert f"above {mark:g}" in answer.json["notes"][0]
