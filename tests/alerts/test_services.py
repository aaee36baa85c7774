"""What services are given whose addresses are fixed: incidents under our keys, and text that is not read as markup."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import msgspec
import pytest
import requests

from tallymark.alerts.inward import Guard
from tallymark.alerts.outlets import Order


@pytest.fixture(scope="module")
def room():
    """Load the room of the sending process here; apprise warns when it is loaded."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tallymark.alerts import outlet_process  # noqa: PLC0415 - nobody else loads it here

        outlet_process._SERVICES.schemas()
    return outlet_process


@pytest.fixture
def give(room, monkeypatch, message):
    """Send to an address without a network; returns what its service would have been posted."""

    def give_one(url, **changes):
        posted = []

        def send(session, request, **_):
            posted.append(json.loads(request.body))
            response = requests.Response()
            response.status_code, response._content = 200, b"ok"
            return response

        monkeypatch.setattr(requests.Session, "send", send)
        sender = room.Sender(Guard())
        sent = msgspec.structs.replace(message, picture=b"", **changes)
        assert sender.carry_out(Order(do="send", url=url, seconds=1, message=sent)).text == ""
        return posted[0]

    return give_one


def test_pagerduty_has_one_incident_for_ours_and_closes_it(give, message):
    """Trouble opens an incident under our key, however often it is told, and its end closes that one."""
    opened = give("pagerduty://integration@apikey/")
    assert (opened["event_action"], opened["dedup_key"]) == ("trigger", message.key)
    assert opened["payload"]["severity"] == "critical"
    closed = give("pagerduty://integration@apikey/?action=trigger&dedup=theirs", kind="over")
    assert (closed["event_action"], closed["dedup_key"]) == ("resolve", message.key)


HOSTILE = "@everyone <!channel> <@U1> *b* [x](http://evil.example) <b>h</b>\nhttps://a.example/b_c_d(1)"


def test_text_is_not_read_as_markup(give):
    """What strangers put into a name calls nobody, is no formatting and hides no link; links of ours stay links."""
    discord = json.dumps(give("discord://123456789012345678/ABCDEFabcdef", text=HOSTILE), ensure_ascii=False)
    assert "@everyone" not in discord
    assert "<@U1>" not in discord
    assert "](http://evil.example)" not in discord.replace(
        "[http://evil\\\\.example](http://evil.example)", ""
    )
    slack = give("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ", text=HOSTILE)
    assert "<!channel>" not in json.dumps(slack)
    assert "<b>" not in json.dumps(slack)


@pytest.mark.parametrize(
    ("text", "calmed"),
    [
        ("@everyone", "@\u200beveryone"),
        ("@here @channel @all @room", "@\u200bhere @\u200bchannel @\u200ball @\u200broom"),
        (
            "<@U1> <!here> <#C1> <users/all> @**all**",
            "<\u200b@U1> <\u200b!here> <\u200b#C1> <\u200busers/all> @\u200b**all**",
        ),
        ("ann@people.example <b> a@b <- c", "ann@people.example <b> a@b <- c"),
    ],
)
def test_what_calls_people_is_broken(room, text, calmed):
    """Each chat's way to call all of a room is only read; addresses and other signs stay as they are."""
    assert room.calm(text) == calmed


def test_plain_text_becomes_markdown_that_shows_the_same(room):
    """Signs are escaped, and a link is one, with its own signs untouched."""
    assert room.build_markdown("a_b *c* see https://a.example/b_c(d), ok") == (
        r"a\_b \*c\* see [https://a\.example/b\_c\(d](https://a.example/b_c%28d)\), ok"
    )


def test_services_of_this_machine_are_all_refused(room):
    """Of the services that this apprise knows, none that needs this machine alone can be told."""
    local = (
        "subprocess",
        "import dbus",
        "gi.repository",
        "win32api",
        "import syslog",
        "import hid",
        "SOCK_DGRAM",
    )
    for plugin in room._SERVICES.plugins():
        source = Path(sys.modules[plugin.__module__].__file__).read_text("utf-8")
        if any(sign in source for sign in local):
            schemas = {name for name in room._SERVICES.schemas() if room._SERVICES[name] is plugin}
            assert schemas <= room._LOCAL, schemas
