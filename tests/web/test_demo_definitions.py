"""What the demo shows first says what it is: each step by tries and by sessions, and nothing that no flight has."""

from __future__ import annotations

from pathlib import Path

import pytest

from tallymark.plan.files import File, read_files

FOLDER = Path(__file__).parents[2] / "demo" / "definitions"
STEPS = {
    "INPUT_PHONE_NUMBER": ("phone_number_accepted", "phone_number_sessions"),
    "VERIFY_SMS_CODE": ("sms_code_verified", "sms_code_sessions"),
    "INPUT_NAME": ("name_accepted", "name_sessions"),
    "INPUT_PASSWORD": ("password_accepted", "password_sessions"),
}


@pytest.fixture(scope="module")
def demo():
    """Read the demo's definitions: objects by kind and name."""
    reading = read_files([File(path.name, path.read_text()) for path in sorted(FOLDER.glob("*.yaml"))])
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
