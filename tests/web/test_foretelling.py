"""How often an alert would have told, estimated from a replay that did not look at every window."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tallymark.alerts.conditions import Judged
from tallymark.alerts.preview import Preview, Stretch
from tallymark.plan.kinds.alert import Alert, Below
from tallymark.web.foretelling import estimate_told

START = datetime(2026, 1, 1, tzinfo=UTC)
MET = Judged(verdict="met")


def preview(step, *stretches):
    made = [
        Stretch(values=(), state="firing", judged=MET, start=START + timedelta(minutes=begin), end=START + timedelta(minutes=end))
        for begin, end in stretches
    ]  # fmt: skip
    end = START + timedelta(days=7)
    return Preview(start=START, end=end, windows=200, step=step, told=len(made), stretches=made)


@pytest.mark.parametrize(
    ("step", "stretches", "times"),
    [
        # Every window was looked at.
        (10, [(0, 0), (5, 5)], 2),
        # One of 300: 50 minutes lie between those, and a trouble of a minute is seen for two.
        (3000, [(0, 0), (500, 500), (1000, 1000)], 75),
        # What lasts from one to the next is itself.
        (3000, [(0, 100), (500, 600)], 2),
    ],
)
def test_what_was_not_looked_at_is_estimated(step, stretches, times):
    """Short troubles between the windows that were looked at count, long ones once."""
    alert = Alert(name="a", metric="m", when=Below(value=1.0), window="1m", every="10s")
    assert estimate_told(alert, preview(step, *stretches)) == times
