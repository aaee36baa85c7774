"""Alerts by hand, in a browser: make one from a metric, add who is told, get paged, acknowledge by the link, silence."""

from __future__ import annotations

import json
import re
from contextlib import closing
from datetime import UTC, datetime

import pytest
from playwright.sync_api import expect

from tests.receivers import WebReceiver

pytestmark = [pytest.mark.browser, pytest.mark.store]
_TEXT = """alerts:
  - name: too_many
    title: Too many refunds
    metric: refunds
    when: {is: above, value: 2}
    window: 10m
    every: 5s
    severity: page
"""


@pytest.fixture
def hook():
    """Serve an address that messages can go to."""
    with closing(WebReceiver()) as receiver:
        yield receiver


@pytest.fixture
def shop(make_server):
    """Start a server with a metric and nobody who is told."""
    server = make_server(
        loader_linger_seconds=0.05,
        alert_seconds=1,
        alert_inward="127.0.0.1",
        public_url="http://tally.example",
    ).start()
    body = {"kind": "count", "event_name": "refund", "title": "Refunds", "owner": "shop"}
    made = server.request("PUT", "/v1/metrics/refunds", json.dumps(body), key=server.admin_key)
    assert made.status == 200, made.body
    return server


def _make_alert(page, shop):
    """Begin an alert where its metric is."""
    page.goto(f"{shop.url}/metric?name=refunds&last=1h")
    expect(page.get_by_role("img", name="Not watched")).to_be_visible()
    page.get_by_role("link", name="Watch it").click()
    expect(page.get_by_label("Definition as YAML")).to_have_value(re.compile("metric: refunds"))
    page.get_by_label("Definition as YAML").fill(_TEXT)
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Too many refunds")
    expect(page.get_by_text("Nobody is told")).to_be_visible()


def _add_receiver(page, address):
    """Say who is told, and try it before it matters."""
    page.get_by_role("link", name="add a receiver").click()
    page.get_by_label("Tell", exact=True).fill("on_call")
    page.get_by_label("at", exact=True).fill(address)
    page.get_by_label("about alerts of").fill("shop")
    page.get_by_role("button", name="Add", exact=True).click()
    page.get_by_role("button", name="Try on_call").click()
    expect(page.get_by_text("on_call took a test message.")).to_be_visible()


def test_an_alert_from_its_making_to_its_silence(shop, hook, chromium, build_event):
    """Everything that somebody on call does, with the messages that a real receiver got."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(60_000)
    page = context.new_page()
    faults = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(f"{shop.url}/sign-in")
    page.get_by_label("Password").fill(shop.password)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{shop.url}/")

    _make_alert(page, shop)
    _add_receiver(page, hook.url())
    (tried,) = hook.told
    assert tried["kind"] == "test"

    # It fires: the message names it, and holds the way to answer.
    now = datetime.now(UTC).isoformat()
    events = [build_event(f"refund-{n}", event_name="refund", event_time=now) for n in range(5)]
    assert shop.send(events).status == 200
    shop.wait_until(lambda: len(hook.told) > 1, "the receiver is told", pause=0.1)
    _, message = hook.told
    assert "Too many refunds" in message["title"]
    token = re.search(r"http://tally\.example(/alert/answer/[^\s\"<]+)", json.dumps(message))[1].rstrip("\\")
    page.goto(f"{shop.url}/metric?name=refunds&last=1h&interval=minute")
    expect(page.get_by_role("img", name="In trouble")).to_be_visible()
    page.goto(f"{shop.url}/")
    expect(page.get_by_role("link", name="1 alert of others")).to_be_visible()

    # Whoever got it says on the phone that they are at it, without signing in.
    guest = chromium.new_context(viewport={"width": 390, "height": 800})
    phone = guest.new_page()
    phone.goto(shop.url + token)
    phone.get_by_label("I am").fill("Ana")
    phone.get_by_label("because").fill("I look at the shop's till")
    phone.get_by_role("button", name="I am at it").click()
    expect(phone.get_by_text("It is acknowledged.")).to_be_visible()
    assert guest.cookies() == []
    guest.close()

    # The others see it, and silence it for longer.
    page.goto(f"{shop.url}/alert?name=too_many")
    expect(page.get_by_text("I look at the shop's till")).to_be_visible()
    page.get_by_role("button", name="End the acknowledgement").click()
    expect(page.get_by_text("I look at the shop's till")).to_have_count(0)
    page.get_by_label("because").fill("A known campaign")
    page.get_by_label("for", exact=True).select_option("2 hours")
    page.get_by_role("button", name="Silence", exact=True).click()
    expect(page.get_by_text("A known campaign")).to_be_visible()
    page.goto(f"{shop.url}/alerts")
    expect(page.get_by_text("silenced until")).to_be_visible()
    assert len(hook.told) == 2
    assert faults == []
    context.close()
