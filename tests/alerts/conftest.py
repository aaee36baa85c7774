"""What the tests of alerts share: receivers that really listen, what sends to them, and a world whose alerts a test turns itself."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from http.server import BaseHTTPRequestHandler
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from tallymark.alerts.changes import Change, News, Outcome, Watch
from tallymark.alerts.conditions import Judged
from tallymark.alerts.links import build_links
from tallymark.alerts.messages import build_message
from tallymark.alerts.notices import Trouble
from tallymark.alerts.outlets import Message, Outlets
from tallymark.alerts.routing import choose_receivers
from tallymark.alerts.standing import OPEN, Standing
from tallymark.catalog.tables import NOTICE
from tallymark.plan.kinds.alert import Alert, Below
from tests.alerts.stories import World
from tests.conftest import DEADLINE_SECONDS
from tests.receivers import MailReceiver, Respond, WebReceiver, answer

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(64))
HOUR = timedelta(hours=1)

# Receivers, and what sends to them


@pytest.fixture
def open_web() -> Iterator[Callable[..., WebReceiver]]:
    opened: list[WebReceiver] = []

    def open_one(respond: Respond | None = None) -> WebReceiver:
        opened.append(WebReceiver(respond or answer(200)))
        return opened[-1]

    yield open_one
    for receiver in opened:
        receiver.close()


@pytest.fixture
def web(open_web) -> WebReceiver:
    return open_web()


@pytest.fixture
def mail() -> Iterator[MailReceiver]:
    with closing(MailReceiver()) as receiver:
        yield receiver


@pytest.fixture
def hang() -> Iterator[Respond]:
    """Answer with 200, but only when the test is over or says so by `hang.go()`."""
    go = threading.Event()

    def respond(handler: BaseHTTPRequestHandler) -> None:
        go.wait(DEADLINE_SECONDS)
        answer(200)(handler)

    respond.go = go.set
    yield respond
    go.set()


@pytest.fixture
def open_outlets() -> Iterator[Callable[..., Outlets]]:
    opened: list[Outlets] = []

    def open_one(*allowed: str, **options: Any) -> Outlets:
        options.setdefault("seconds", DEADLINE_SECONDS)
        opened.append(Outlets(allowed or ("127.0.0.1",), **options))
        return opened[-1]

    yield open_one
    for outlets in opened:
        outlets.close()


@pytest.fixture
def outlets(open_outlets) -> Outlets:
    """Where this machine may be told."""
    return open_outlets()


@pytest.fixture
def message() -> Message:
    return Message(
        title="Orders are low",
        text="Orders: 3 per hour, usual are 40 to 60.\nhttps://tallymark.example/alerts/orders",
        html='<p>Orders: <b>3</b> per hour</p><img src="cid:chart.png">',
        picture=PNG,
        key="shop/orders/17",
        id="shop-17-1",
        kind="trouble",
        facts={"alert": "orders", "value": 3, "usual": [40, 60], "url": None},
    )


# A world whose alerts a test turns itself


class Story(World):
    """A world in which the test itself says how alerts turn, and reads what receivers are told."""

    def __init__(self, folder):
        super().__init__(folder)
        self.incident = 0
        self.receiver("pager", "growth")

    def wait(self, seconds):
        self.now += timedelta(seconds=seconds)

    def turn(self, name="low", figure=3, **states):
        """Let values of an alert that is broken down go into states; `whole` is one without a breakdown."""
        kept = self.book.load("shop").get(name)
        breakdown = () if "whole" in states else ("os",)
        alert = Alert(name=name, metric="seen", when=Below(value=5), window="1m", breakdown=breakdown)
        standings = dict(kept.standings) if kept else {}
        changes = []
        for value, state in states.items():
            values = () if value == "whole" else (value,)
            before = standings.get(values) or Standing(since=self.now, seen=self.now)
            judged = Judged(verdict="met" if state == "firing" else "not met", value=figure, normal=5.0)
            opened = (before.opened or self.now) if state in OPEN else None
            after = standings[values] = msgspec.structs.replace(
                before, state=state, since=self.now, opened=opened, judged=judged
            )
            changes.append(Change(values, before, after, self.now))
        watch = kept.watch if kept else Watch(digest="", judged_until=self.now, settled_until=self.now)
        outcome = Outcome(alert, watch, standings, changes=changes)
        told = tuple(one.id for one in choose_receivers(self.receivers.list("shop"), (), "growth"))
        (watch,) = self.book.write("shop", [News(outcome, "Seen", "", "growth", told)], self.now)
        self.incident = watch.incident or self.incident

    def judge(self, figure, name="low"):
        """Let all values of an alert have another figure, without any change."""
        kept = self.book.load("shop")[name]
        judged = {
            values: msgspec.structs.replace(one, judged=msgspec.structs.replace(one.judged, value=figure))
            for values, one in kept.standings.items()
        }
        alert = Alert(name=name, metric="seen", when=Below(value=5), window="1m", breakdown=("os",))
        self.book.write("shop", [News(Outcome(alert, kept.watch, judged), "Seen", "", "growth")], self.now)

    def tell(self, error=""):
        """Send what is due; returns the messages, by their titles."""
        messages = []
        for batch in self.notices.claim(self.now):
            self.notices.finish(batch, error, self.now)
            messages.append(self.message(batch))
        return {one.title: one for one in messages}

    def message(self, batch):
        return build_message(batch, build_links(batch, "https://t", b"secret", self.now), self.now)

    def remind(self, *receivers, pause=HOUR):
        numbers = tuple(one.id for one in self.receivers.list("shop") if one.name in receivers)
        self.notices.remind("shop", [Trouble("low", self.incident, numbers, pause)], self.now)

    def silence(self, seconds=3600, incident=0):
        end = self.now + timedelta(seconds=seconds)
        return self.silences.create("shop", "low", "A move", "ana", self.now, end, incident=incident)

    def statuses(self):
        with self.catalog.engine.connect() as connection:
            return list(connection.execute(sa.select(NOTICE.c.status).order_by(NOTICE.c.id)).scalars())


@pytest.fixture
def story(tmp_path):
    made = Story(tmp_path)
    yield made
    made.close()
