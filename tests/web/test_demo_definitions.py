"""What the demo shows first says what it is: each step by tries and by sessions, and nothing that no flight has.

Its alerts can all be judged, and the folder can be planned and applied as it stands.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from tallymark import Client
from tallymark.catalog.definitions import Definition
from tallymark.plan.changes import prepare
from tallymark.plan.files import File, read_files
from tallymark.testing import CaptureSink

FOLDER = Path(__file__).parents[2] / "demo" / "definitions"
STEPS = {
    "INPUT_PHONE_NUMBER": ("phone_number_accepted", "phone_number_sessions"),
    "VERIFY_SMS_CODE": ("sms_code_verified", "sms_code_sessions"),
    "INPUT_NAME": ("name_accepted", "name_sessions"),
    "INPUT_PASSWORD": ("password_accepted", "password_sessions"),
}
# Each alert with its metric.
ALERTS = {
    "few_departures": "departure_rate",
    "sms_code_fails": "sms_code_sessions",
    "host_busy": "host_cpu_mean",
    "slow_start": "start_up_slowest",
    "disk_fills": "tallymark_disk_free",
    "store_lags": "tallymark_lag",
}


def _read():
    return [File(path.name, path.read_text()) for path in sorted(FOLDER.glob("*.yaml"))]


@pytest.fixture(scope="module")
def demo():
    """Read the demo's definitions: objects by kind and name."""
    reading = read_files(_read())
    assert reading.problems == []
    return {(found.kind.name, found.one.name): found.one for found in reading.found}


@pytest.mark.parametrize(("step", "names"), STEPS.items())
def test_every_step_is_there_by_tries_and_by_sessions(demo, step, names):
    """Both are shares of the same step; the one by tries explains only, the one by sessions counts each session once."""
    tries, sessions = (demo["metric", name] for name in names)
    assert (tries.role, sessions.role) == ("intermediate", "leaf")
    for above, below in ((tries.numerator, sessions.numerator), (tries.denominator, sessions.denominator)):
        assert above.filters == below.filters
        assert above.filters[0].value == step
        assert above.measure.op == "count"
        assert (below.measure.op, below.measure.field) == ("unique", "session_id")


def test_both_tables_have_every_step(demo):
    """The dashboard has them beside each other by platform, each in the order of the steps."""
    panels = {panel.name: panel for panel in demo["dashboard", "sign_up"].panels}
    tries, sessions = zip(*STEPS.values(), strict=True)
    assert panels["platforms"].metrics == tries
    assert panels["platform_sessions"].metrics == sessions
    assert {panels[name].breakdown for name in ("platforms", "platform_sessions")} == {("agent_os",)}


def test_a_difference_of_quantiles_says_that_it_is_none_of_flights(demo):
    """It is no quantile of anything, so it explains only."""
    metric = demo["metric", "delay_made_good"]
    assert metric.role == "intermediate"
    assert "no quantile of any flight's own difference" in metric.caveat


def test_what_stands_for_nothing_is_no_code(demo):
    """Where no request was turned away the samples say none, which the panel leaves out."""
    (panel,) = (one for one in demo["dashboard", "health"].panels if one.name == "turned_away")
    assert [(one.field, one.op, one.value) for one in panel.filters] == [("attributes.code", "ne", "none")]


def test_the_folder_is_planned_and_applied_whole(demo):
    """Without anything there yet all is made; what that writes leaves nothing to change the next time."""
    first = prepare(_read(), "demo", [])
    assert first.plan.problems == []
    assert [one.action for one in first.plan.changes] == ["create"] * len(demo)
    written = [Definition(one.kind, one.name, one.body, "demo", one.file, 1) for one in first.writes]
    again = prepare(_read(), "demo", written)
    assert ({one.action for one in again.plan.changes}, again.writes) == ({"none"}, [])


def test_the_alerts(demo):
    """They watch leaf metrics, each has an owner, and tallymark's own health and the hosts are among them."""
    alerts = {name: one for (kind, name), one in demo.items() if kind == "alert"}
    assert {name: one.metric for name, one in alerts.items()} == ALERTS
    assert {demo["metric", name].role for name in ALERTS.values()} == {"leaf"}
    assert {one.owner for one in alerts.values()} == {"growth", "operations"}
    assert {name for name, one in alerts.items() if one.severity == "page"} == {
        "few_departures", "sms_code_fails", "disk_fills",
    }  # fmt: skip
    # Whoever is woken is told which platform it is.
    assert alerts["sms_code_fails"].breakdown == ("agent_os",)


@pytest.mark.skipif(sys.platform != "linux", reason="host_metrics() reads /proc")
def test_the_metrics_of_hosts_are_what_the_client_sends(demo):
    """The two leaf metrics ask for events, fields and attributes that `host_metrics()` really sends."""
    sink = CaptureSink()
    client = Client(sink=sink).with_service("app_live")
    client.host_metrics(every=1)
    wanted = {demo["metric", ALERTS[name]].event_name for name in ("host_busy", "slow_start")}
    deadline = time.monotonic() + 60
    while not wanted <= (sent := {event["event_name"]: event for event in sink.events}).keys():
        assert time.monotonic() < deadline, sent
        time.sleep(0.1)
        client.flush()
    client.close()
    busy, start = (demo["metric", ALERTS[name]] for name in ("host_busy", "slow_start"))
    assert busy.field == "value"
    assert isinstance(sent[busy.event_name]["value"], float)
    assert sent[busy.event_name]["attributes"].keys() >= {*demo["alert", "host_busy"].breakdown}
    assert start.field == "sketch"
    assert sent[start.event_name].keys() >= {"sketch_values", "sketch_counts"}
    assert sent[start.event_name].keys() >= {*demo["alert", "slow_start"].breakdown}
