"""In which times something was wrong, from the changes of alerts: what is shaded in charts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tallymark.alerts.changes import BriefChange
from tallymark.plan.kinds.alert import Alert, Below, NoData
from tallymark.web.shades import build_shades

START = datetime(2026, 1, 1, tzinfo=UTC)
ALERT = Alert(name="a", metric="m", when=Below(value=1.0), window="1m")


def at(minute):
    return START + timedelta(minutes=minute)


def change(minute, before, after, key=""):
    return BriefChange("a", key, before, after, at(minute))


@pytest.mark.parametrize(
    ("changes", "shades"),
    [
        ([], []),
        ([change(5, "ok", "firing"), change(8, "firing", "ok")], [(5, 8)]),
        # It goes on through other states, and past the end of what is shown.
        ([change(5, "pending", "firing"), change(7, "firing", "no data")], [(5, 60)]),
        # What began before it, or before the first change that is known.
        ([change(-5, "ok", "firing"), change(8, "firing", "ok")], [(0, 8)]),
        ([change(8, "firing", "ok")], [(0, 8)]),
        # Values that overlap are one stretch, and what lies outside is none.
        ([change(5, "ok", "firing", "x"), change(6, "ok", "firing", "y"), change(7, "firing", "ok", "x"), change(9, "firing", "ok", "y")], [(5, 9)]),
        ([change(-9, "ok", "firing"), change(-8, "firing", "ok"), change(70, "ok", "firing")], []),
        ([change(5, "ok", "pending"), change(6, "pending", "ok")], []),
    ],
)  # fmt: skip
def test_shades_follow_from_changes(changes, shades):
    """From the first wrong value to the last that is well, within the time that is shown."""
    found = build_shades(changes, {"a": ALERT}, START, at(60))
    assert found == [(at(begin), at(end)) for begin, end in shades]


@pytest.mark.parametrize(
    ("alert", "begins", "ends", "shade"),
    [
        # Known at midnight, it is said of the day before, which may have 23 hours.
        ({"window": "1d", "every": "1d"}, "2026-01-09T00:00Z", "2026-01-11T00:00Z", ("2026-01-08T00:00Z", "2026-01-10T00:00Z")),
        ({"window": "7d", "every": "1d"}, "2026-01-09T00:00Z", "2026-01-11T00:00Z", ("2026-01-08T00:00Z", "2026-01-10T00:00Z")),
        ({"window": "1d", "every": "1d", "timezone": "Europe/Berlin"}, "2026-03-29T22:00Z", "2026-03-30T22:00Z",
         ("2026-03-28T23:00Z", "2026-03-29T22:00Z")),
    ],
)  # fmt: skip
def test_an_alert_on_whole_days_shades_days(alert, begins, ends, shade):
    """From the first bad day to the first good one."""
    daily = Alert(name="a", metric="m", when=Below(value=1.0), **alert)
    begins, ends, first, last = (datetime.fromisoformat(text) for text in (begins, ends, *shade))
    turns = [BriefChange("a", "", "ok", "firing", begins), BriefChange("a", "", "firing", "ok", ends)]
    assert build_shades(turns, {"a": daily}, START, START + timedelta(days=365)) == [(first, last)]


def test_what_nobody_is_told_is_not_shaded():
    """Where nothing coming is usual, it is no trouble."""
    calm = Alert(name="a", metric="m", when=Below(value=1.0), window="1m", no_data=NoData(tell=False))
    changes = [change(5, "ok", "no data"), change(8, "no data", "firing"), change(9, "firing", "ok")]
    assert build_shades(changes, {"a": calm}, START, at(60)) == [(at(8), at(9))]
