"""What services are given whose addresses are fixed: incidents under our keys, and text that is not read as markup."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
import requests

from tallymark.alerts.inward import Guard
from tallymark.alerts.outlet_services import KEEP_INCIDENTS, LOCAL
from tallymark.alerts.outlets import Order


@pytest.fixture(scope="module")
def rooms():
    """Load the rooms of the sending process here; apprise warns when it is loaded."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tallymark.alerts import outlet_addresses, outlet_process, outlet_texts  # noqa: PLC0415 - nobody else loads them here

        outlet_addresses.SERVICES.schemas()
    return SimpleNamespace(addresses=outlet_addresses, process=outlet_process, texts=outlet_texts)


@pytest.fixture
def give(rooms, monkeypatch, message):
    """Send to an address without a network; returns what its service would have been posted."""

    def give_one(url, answer=b"ok", **changes):
        posted = []

        def send(session, request, **_):
            posted.append(json.loads(request.body))
            response = requests.Response()
            response.status_code, response._content = 200, answer
            return response

        monkeypatch.setattr(requests.Session, "send", send)
        sender = rooms.process.Sender(Guard())
        sent = msgspec.structs.replace(message, picture=b"", **changes)
        assert sender.carry_out(Order(do="send", url=url, seconds=1, message=sent)).text == ""
        (got,) = posted
        return got

    return give_one


# Where a service keeps our key, and what it is told of trouble, of its end and of a test.
KEYED = {
    "pagerduty": ("dedup_key", "event_action", ("trigger", "resolve", "trigger")),
    "pagertree": ("id", "event_type", ("create", "resolve", "create")),
    "signl4": ("X-S4-ExternalID", "X-S4-Status", ("new", "resolved", "new")),
    "splunk": ("entity_id", "message_type", ("CRITICAL", "RECOVERY", "INFO")),
    "victorops": ("entity_id", "message_type", ("CRITICAL", "RECOVERY", "INFO")),
}


def test_each_service_that_keeps_incidents_is_given_our_key(rooms):
    """None is told each trouble by itself that could not open and close it."""
    assert set(KEYED) == KEEP_INCIDENTS <= set(rooms.texts.SHAPES)


KEEPERS = [
    "pagerduty://integration@apikey/",
    "pagerduty://integration@apikey/?action=resolve&dedup=theirs",
    "pagertree://int_abcdefgh",
    "pagertree://int_abcdefgh?action=resolve&tid=theirs&:id=theirs&:event_type=acknowledge",
    "signl4://secret",
    "signl4://secret?action=acknowledge&external_id=theirs&status=acknowledged",
    "splunk://route@apikey",
    "splunk://route@apikey/theirs?action=recovery&:success=critical&:failure=recovery",
    "victorops://route@apikey",
    "https://alert.victorops.com/integrations/generic/20131114/alert/apikey/route/theirs",
]


@pytest.mark.parametrize("url", KEEPERS)
def test_a_service_that_keeps_incidents_opens_and_closes_ours(give, url):
    """Two troubles are two incidents there, and the end of one closes that one alone, whatever the address says."""
    key, action, (opens, closes, tries) = KEYED[
        "splunk" if url.startswith("https") else url.partition(":")[0]
    ]
    told = [("a", "trouble"), ("b", "trouble"), ("a", "trouble"), ("a", "over"), ("t", "test")]
    got = [give(url, key=one, kind=kind) for one, kind in told]
    assert [(one[key], one[action]) for one in got] == [
        ("a", opens),
        ("b", opens),
        ("a", opens),
        ("a", closes),
        ("t", tries),
    ]


@pytest.mark.parametrize("url", KEEPERS)
def test_a_service_that_keeps_incidents_is_known_by_what_is_shown_of_its_address(rooms, url):
    """Which messages are put together is decided where the address itself is not read."""
    shown = rooms.process.Sender(Guard()).carry_out(Order(do="hide", url=url, seconds=1)).text
    assert shown.partition("://")[0] in KEEP_INCIDENTS


@pytest.mark.parametrize("option", ["action=warning", ":failure=warning"])
def test_an_address_of_splunk_may_say_that_trouble_is_a_warning(give, option):
    """Trouble and its end still have the same key, and the end closes it."""
    url = f"splunk://route@apikey?{option}"
    opened, closed = give(url), give(url, kind="over")
    assert (opened["message_type"], closed["message_type"]) == ("WARNING", "RECOVERY")
    assert opened["entity_id"] == closed["entity_id"]


@pytest.mark.parametrize("kind", ["trouble", "over", "test"])
@pytest.mark.parametrize("option", ["", "?action=close", "?:success=note"])
@pytest.mark.parametrize("url", ["opsgenie://apikey/", "jira://apikey/"])
def test_where_we_close_nothing_every_message_is_an_alert(give, message, kind, option, url):
    """Ends and tests arrive as alerts too, and none of them counts as another's."""
    got = give(f"{url}{option}", b'{"requestId": "1"}', kind=kind, title=f"This is {kind}")
    assert (got["message"], got["description"]) == (f"This is {kind}", message.text)
    assert "alias" not in got


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
def test_what_calls_people_is_broken(rooms, text, calmed):
    """Each chat's way to call all of a room is only read; addresses and other signs stay as they are."""
    assert rooms.texts.calm(text) == calmed


def test_plain_text_becomes_markdown_that_shows_the_same(rooms):
    """Signs are escaped, and a link is one, with its own signs untouched."""
    assert rooms.texts.build_markdown("a_b *c* see https://a.example/b_c(d), ok") == (
        r"a\_b \*c\* see [https://a\.example/b\_c\(d](https://a.example/b_c%28d)\), ok"
    )


def test_services_of_this_machine_are_all_refused(rooms):
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
    services = rooms.addresses.SERVICES
    for plugin in services.plugins():
        source = Path(sys.modules[plugin.__module__].__file__).read_text("utf-8")
        if any(sign in source for sign in local):
            schemas = {name for name in services.schemas() if services[name] is plugin}
            assert schemas <= LOCAL, schemas
