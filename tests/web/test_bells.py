"""In which times something was wrong, from the changes of alerts: what is shaded in charts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tallymark.alerts.book import Turn
from tallymark.plan.kinds.alert import Alert, Below, NoData
from tallymark.web.bells import build_stretches

START = datetime(2026, 1, 1, tzinfo=UTC)
ALERT = Alert(name="a", metric="m", when=Below(value=1.0), window="1m")


def at(minute):
    return START + timedelta(minutes=minute)


def turn(minute, before, after, key=""):
    return Turn("a", key, before, after, at(minute))


@pytest.mark.parametrize(
    ("turns", "stretches"),
    [
        ([], []),
        ([turn(5, "ok", "firing"), turn(8, "firing", "ok")], [(5, 8)]),
        # It goes on through other states, and past the end of what is shown.
        ([turn(5, "pending", "firing"), turn(7, "firing", "no data")], [(5, 60)]),
        # What began before it, or before the first change that is known.
        ([turn(-5, "ok", "firing"), turn(8, "firing", "ok")], [(0, 8)]),
        ([turn(8, "firing", "ok")], [(0, 8)]),
        # Values that overlap are one stretch, and what lies outside is none.
        ([turn(5, "ok", "firing", "x"), turn(6, "ok", "firing", "y"), turn(7, "firing", "ok", "x"), turn(9, "firing", "ok", "y")], [(5, 9)]),
        ([turn(-9, "ok", "firing"), turn(-8, "firing", "ok"), turn(70, "ok", "firing")], []),
        ([turn(5, "ok", "pending"), turn(6, "pending", "ok")], []),
    ],
)  # fmt: skip
def test_stretches_follow_from_changes(turns, stretches):
    """From the first wrong value to the last that is well, within the time that is shown."""
    found = build_stretches(turns, {"a": ALERT}, START, at(60))
    assert found == [(at(begin), at(end)) for begin, end in stretches]


def test_what_nobody_is_told_is_not_shaded():
    """Where nothing coming is usual, it is no trouble."""
    calm = Alert(name="a", metric="m", when=Below(value=1.0), window="1m", no_data=NoData(tell=False))
    turns = [turn(5, "ok", "no data"), turn(8, "no data", "firing"), turn(9, "firing", "ok")]
    assert build_stretches(turns, {"a": calm}, START, at(60)) == [(at(8), at(9))]
