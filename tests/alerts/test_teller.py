"""Who sends: a receiver that fails or hangs holds up nobody, and no message is lost or sent twice."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import sqlalchemy as sa

from tallymark.alerts.routing import EVERYBODY
from tallymark.alerts.teller import Teller
from tallymark.catalog.tables import NOTICE
from tallymark.clock import FixedClock
from tests.alerts.stories import START
from tests.conftest import DEADLINE_SECONDS


class Post:
    """Takes messages. `respond` says by the address what comes of one, as the outlets do."""

    def __init__(self):
        self.sent = []
        self.respond = lambda _: ""

    def send(self, url, message):
        error = self.respond(url)
        if not error:
            self.sent.append((url, message.title))
        return error


@pytest.fixture
def telling(story):
    """Give a teller with what it sends, whose clock stands still."""
    story.clock = FixedClock(START)
    with ThreadPoolExecutor(8) as pool:
        yield Teller(story.notices, story.receivers, Post(), lambda _: b"", story.clock, "", b"secret", pool)


def _settle(teller):
    """Tell until nothing is being sent."""
    until = time.monotonic() + DEADLINE_SECONDS
    teller.run_once()
    while teller._queues:
        assert time.monotonic() < until, "something is still being sent"
        time.sleep(0.01)


def test_a_result_that_could_not_be_noted_loses_nothing(story, telling, monkeypatch):
    """The catalog was locked when a message had been sent: it, and what waited behind it, are sent within a minute."""
    story.turn("a", whole="firing")
    story.turn("b", whole="firing")
    finish = story.notices.finish

    def fail(*_):
        raise sa.exc.OperationalError("", {}, Exception("database is locked"))

    monkeypatch.setattr(story.notices, "finish", fail)
    _settle(telling)
    assert story.statuses() == ["sending", "sending"]
    monkeypatch.setattr(story.notices, "finish", finish)
    _settle(telling)
    assert story.statuses() == ["sending", "sending"]
    story.clock.advance(61)
    _settle(telling)
    assert story.statuses() == ["sent", "sent"]


def test_what_is_being_sent_is_not_sent_twice(story, telling):
    """A message that takes longer than a minute is not taken for lost."""
    go, asked = threading.Event(), []

    def respond(url):
        asked.append(url)
        go.wait(DEADLINE_SECONDS)
        return ""

    telling.outlets.respond = respond
    story.turn(whole="firing")
    telling.run_once()
    for _ in range(3):
        story.clock.advance(61)
        telling.run_once()
    assert story.statuses() == ["sending"]
    go.set()
    _settle(telling)
    assert len(asked) == 1
    assert story.statuses() == ["sent"]


def test_after_a_failure_the_rest_of_the_queue_waits(story, telling):
    """A receiver that fails is asked once, and other alerts' messages are then tried before the same one again."""
    story.turn("a", whole="firing")
    story.turn("b", whole="firing")
    telling.outlets.respond = lambda _: "It said 500."
    _settle(telling)
    telling.outlets.respond = lambda _: ""
    with story.catalog.engine.connect() as connection:
        rows = connection.execute(sa.select(NOTICE.c.alert, NOTICE.c.attempts, NOTICE.c.due_at)).all()
    assert [(alert, attempts) for alert, attempts, _ in rows] == [("a", 1), ("b", 0)]
    _settle(telling)
    assert [title for _, title in telling.outlets.sent] == ["Warning: b: 3, below 5"]
    story.clock.advance(10)
    _settle(telling)
    assert len(telling.outlets.sent) == 2


def test_receivers_that_hang_hold_up_nobody(story, telling):
    """Six receivers that fail and now hang take two places; one that is well is told at once, and they get their turn."""
    telling.outlets.respond = lambda url: "It said 500." if "bad" in url else ""
    for number in range(6):
        story.receiver(f"bad{number}", "growth")
    story.turn("a", whole="firing")
    _settle(telling)
    _settle(telling)
    go, hanging = threading.Event(), set()

    def hang(url):
        if "bad" not in url:
            return ""
        hanging.add(url)
        go.wait(DEADLINE_SECONDS)
        return "The receiver did not answer in 15 s."

    telling.outlets.respond = hang
    story.clock.advance(3600)
    story.turn("b", whole="firing")
    telling.outlets.sent.clear()
    try:
        until = time.monotonic() + DEADLINE_SECONDS
        while not telling.outlets.sent:
            assert time.monotonic() < until, "who is well is not told"
            telling.run_once()
            time.sleep(0.01)
        for _ in range(5):
            telling.run_once()
        # Those that were told stand in the list until that is noted.
        while len(telling._queues) > 2:
            assert time.monotonic() < until, "more than two of them are being told"
            time.sleep(0.01)
        assert len(hanging) == len(telling._queues) == 2
    finally:
        go.set()
    for _ in range(30):
        _settle(telling)
    assert len(hanging) == 6


def test_a_message_that_cannot_be_made_is_not_in_the_way(story, telling, monkeypatch):
    """A fault of ours in one message leaves the others."""
    story.turn("a", whole="firing")
    story.turn("b", whole="firing")
    opened = story.receivers.open_address
    faults = iter([ValueError("a fault")])

    def fail_once(*given):
        for fault in faults:
            raise fault
        return opened(*given)

    monkeypatch.setattr(story.receivers, "open_address", fail_once)
    _settle(telling)
    _settle(telling)
    assert [title for _, title in telling.outlets.sent] == ["Warning: b: 3, below 5"]


def test_a_queue_knows_whether_its_receiver_fails(story):
    """Of receivers that fail only so many are told; the others always."""
    story.receiver("office", EVERYBODY)
    story.turn("a", whole="firing")
    for batch in story.notices.claim(story.now):
        story.notices.finish(batch, "It said 500." if batch.name == "office" else "", story.now)
    story.wait(3600)
    story.turn("b", whole="firing")
    assert [one.name for one in story.notices.claim(story.now, failing=0)] == ["pager"]
    found = story.notices.claim(story.now, failing=1)
    assert {(one.name, one.is_failing) for one in found} == {("office", True)}
    assert replace(found[0], alert="x").alerts == {"x"}
