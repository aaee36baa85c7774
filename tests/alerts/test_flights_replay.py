"""The demo's alert on real flights, replayed over 2013: it fires on the days that pandas finds, the blizzard among them."""

from __future__ import annotations

import importlib
import json
import sys
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tallymark import Client
from tallymark.plan.yaml_text import parse_yaml

pytestmark = pytest.mark.store

DEMO = Path(__file__).parents[2] / "demo"
YEAR = {"from": "2013-01-01", "to": "2014-01-01"}
BLIZZARD = {"2013-02-08", "2013-02-09"}


@pytest.fixture(scope="module")
def table():
    """Give the raw flights."""
    sys.path.insert(0, str(DEMO))
    yield importlib.import_module("flights").read_flights()
    sys.path.remove(str(DEMO))


@pytest.fixture(scope="module")
def stored(make_server, table):
    """Give a server with a year of flights and the demo's definitions."""
    server = make_server().start()
    with Client(url=server.url, key=server.write_key) as client:
        client.send_all(importlib.import_module("flights").build_events(table))
    server.wait_loaded()
    done = server.run("apply", str(DEMO / "definitions"), TALLYMARK_ADMIN_KEY=server.admin_key)
    assert done.returncode == 0, done.stdout + done.stderr
    return server


@pytest.fixture(scope="module")
def alert():
    """Give the alert as it stands in the demo's file."""
    (one,) = (one for one in _read("alerts.yaml", "alerts") if one["name"] == "few_departures")
    return one


def _read(file, plural):
    return parse_yaml((DEMO / "definitions" / file).read_text(encoding="utf-8")).value[plural]


def _replay(server, alert, **changes):
    """Replay the alert over the year, changed or as it is; returns how often people would have been told, and the days."""
    if changes:
        body = json.dumps({**alert, **changes})
        answer = server.request("POST", f"/v1/alerting/preview?{urlencode(YEAR)}", body, key=server.read_key)
    else:
        answer = server.get(f"/v1/alerts/{alert['name']}/preview?{urlencode(YEAR)}")
    assert answer.status == 200, answer.body
    assert (answer.json["windows"], answer.json["step"]) == (365, 86_400)
    days = []
    for one in answer.json["stretches"]:
        assert one["state"] == "firing"
        # The ends of the first and of the last window; each is the midnight behind its day.
        end, last = (datetime.fromisoformat(one[side]) for side in ("start", "end"))
        while end <= last:
            days.append((end - timedelta(days=1)).strftime("%Y-%m-%d"))
            end += timedelta(days=1)
    return answer.json["told"], days


def _count(table):
    """Return flights by day of the raw table, as scheduled, departed, and the share of those that departed."""
    day = table.scheduled_at.dt.strftime("%Y-%m-%d")
    counted = table.groupby(day).dep_time.agg(scheduled="size", departed="count")
    return counted.assign(share=counted.departed / counted.scheduled)


def _runs(days):
    """Return how many unbroken runs of days there are."""
    dates = [datetime.fromisoformat(day) for day in days]
    return sum(one - timedelta(days=1) not in dates for one in dates)


def test_the_alert_fires_on_the_days_that_pandas_finds(stored, table, alert):
    """8 and 9 February and fifteen other days: exactly those on which fewer than nine of ten flights departed."""
    (metric,) = (one for one in _read("flights.yaml", "metrics") if one["name"] == alert["metric"])
    assert (alert["when"]["is"], alert["window"], metric["minimum_sample"]) == ("below", "1d", 30)
    days = _count(table)
    enough = days[days.scheduled >= metric["minimum_sample"]]
    wanted = list(enough[enough.share < alert["when"]["value"]].index)
    told, fired = _replay(stored, alert)
    assert fired == wanted
    assert set(fired) >= BLIZZARD
    # Both days of the blizzard are one trouble, of which people are told once.
    assert (len(fired), told) == (17, 16) == (len(wanted), _runs(wanted))


def test_the_other_days_were_bad_for_those_who_flew_too(table, alert):
    """Why they are right: of what the alert does not look at, delays, each of its days has many, and usual days few."""
    days = _count(table)
    fired = days.index[days.share < alert["when"]["value"]]
    cancelled = days.scheduled - days.departed
    late = (table.dep_delay > 60).groupby(table.scheduled_at.dt.strftime("%Y-%m-%d")).sum()
    bad = (cancelled + late) / days.scheduled
    assert bad[fired].min() > 0.25
    assert bad.median() < 0.06
    # One day in twenty holds more than a third of all flights that were cancelled.
    assert len(fired) / len(days) < 0.05
    assert cancelled[fired].sum() / cancelled.sum() > 1 / 3
    assert days.share.median() > 0.99


def test_a_fall_against_last_week_finds_the_deepest_days_only(stored, table, alert):
    """By a fifth lower than a week before: the blizzard and two other days, as pandas computes it."""
    share = _count(table).share
    before = share.shift(7)
    wanted = list(share[(before - share) >= 0.2 * before].index)
    told, fired = _replay(stored, alert, when={"is": "falls", "percent": 20, "against": "last week"})
    assert fired == wanted == ["2013-02-08", "2013-02-09", "2013-05-23", "2013-12-10"]
    assert told == 3
