"""The demo's live sign-ups: as many as it says, in order, and on iOS the SMS code fails when it says so and at no other time."""

from __future__ import annotations

import sys
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from pathlib import Path

import pytest

from tallymark import Client
from tallymark.testing import CaptureSink

sys.path.insert(0, str(Path(__file__).parents[2] / "demo"))

import live
from sign_up import PLATFORMS, SHOWN, build_sign_ups

START = datetime(2026, 1, 5, 12, tzinfo=UTC)
MINUTES = 45


@pytest.fixture(scope="module")
def events():
    """Give what is sent in the first 45 minutes."""
    end = (START + timedelta(minutes=MINUTES)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return list(takewhile(lambda event: event["event_time"] < end, live.build_live(START)))


def _minute(event):
    return (datetime.fromisoformat(event["event_time"]) - START) / timedelta(minutes=1)


def _rates(events, step="VERIFY_SMS_CODE"):
    """Return the share of attempts that succeed, by platform, in and out of the failing minutes."""
    made = Counter()
    for event in events:
        attributes = event["attributes"]
        if attributes["step"] == step and attributes["phase"] != SHOWN:
            when = 3 <= _minute(event) < 8 or 33 <= _minute(event) < 38
            made[event["agent_os"], when, attributes["status"]] += 1
    return {
        (platform, when): made[platform, when, "SUCCESS"]
        / (made[platform, when, "SUCCESS"] + made[platform, when, "FAILURE"])
        for platform in PLATFORMS
        for when in (False, True)
    }


def test_the_code_fails_on_ios_in_the_third_minute_and_every_half_hour(events):
    """From 3:00 to 8:00 and from 33:00 to 38:00 hardly any code is right on iOS; all else is as usual."""
    rates = _rates(events)
    assert rates["iOS", True] < 0.08
    usual = {key: rate for key, rate in rates.items() if key != ("iOS", True)}
    for (platform, _), rate in usual.items():
        assert rate == pytest.approx(PLATFORMS[platform][1][1], abs=0.12)
    assert _rates(events, "INPUT_PHONE_NUMBER")["iOS", True] == pytest.approx(0.93, abs=0.06)


def test_about_sixty_sessions_a_minute_in_the_order_of_their_times(events):
    """Sessions begin all the time; every event comes once, at its time, and can be told from what the demo checks."""
    times = [event["event_time"] for event in events]
    assert times == sorted(times)
    assert len({event["event_id"] for event in events}) == len(events)
    sessions = {event["session_id"] for event in events}
    assert len(sessions) / MINUTES == pytest.approx(live.SESSIONS_A_MINUTE, rel=0.1)
    assert {event["service_name"] for event in events} == {live.SERVICE}
    assert live.SERVICE not in {event["service_name"] for event in build_sign_ups(20)}


def test_two_starts_share_no_ids(events):
    """What a second run sends is new: nothing of it is taken for a duplicate."""
    later = live.build_live(START + timedelta(seconds=1))
    assert {next(later)["event_id"] for _ in range(100)}.isdisjoint(event["event_id"] for event in events)


def test_it_is_sent_at_its_time_until_it_is_stopped(monkeypatch):
    """Nothing is sent before its time, each event by itself; stopping ends it at once, with what was sent kept."""
    sink = CaptureSink()
    monkeypatch.setattr(live, "SESSIONS_A_MINUTE", 6000)
    sending = live.Live(Client(sink=sink))
    begun = datetime.now(UTC)
    sending.start()
    deadline = time.monotonic() + 30
    while len(_sent(sink)) < 50 and time.monotonic() < deadline:
        time.sleep(0.02)
    sending.stop()
    ended, sent = datetime.now(UTC), _sent(sink)
    assert len(sent) >= 50
    # Times are written in milliseconds.
    assert all(
        begun - timedelta(seconds=1) <= datetime.fromisoformat(event["event_time"]) <= ended for event in sent
    )
    time.sleep(0.2)
    assert len(_sent(sink)) == len(sent)


def _sent(sink):
    return [event for event in sink.events if event["event_name"] == "sign_up_step"]
