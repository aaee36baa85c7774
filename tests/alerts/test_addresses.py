"""Addresses: which are accepted, what is wrong with the others, what of them is shown, and what on the inside may be told."""

from __future__ import annotations

import pytest

from tallymark.alerts.outlets import Outlets
from tests.conftest import DEADLINE_SECONDS

SECRET = "s3cr3t-Pa55word"


@pytest.fixture(scope="module")
def outlets():
    """Look at all addresses with one process. Nothing on the inside may be told by it."""
    made = Outlets(seconds=DEADLINE_SECONDS)
    yield made
    made.close()


@pytest.mark.parametrize(
    "url",
    [
        "json://hooks.example/x",
        f"jsons://ann:{SECRET}@hooks.example:8443/x?+X-Key={SECRET}",
        f"mailtos://ann:{SECRET}@people.example?to=bob@people.example",
        "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#general",
        "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ",
        "discord://123456789012345678/ABCDEFabcdef",
        "tgram://123456789:abcdefghijklmnopqrstuvwxyzABCDEFG12/123456",
        "pagerduty://integrationkey@apikey",
        "ntfys://topic",
    ],
)
def test_addresses_of_known_services_are_accepted(url, outlets):
    """What a service's code can read is accepted, also as the service itself writes it."""
    assert outlets.check(url) == ""


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (
            f"slak://{SECRET}/x",
            [
                "No service has addresses with slak://",
                "slack://",
                "mailtos://",
                "jsons://",
                "others of apprise",
            ],
        ),
        (f"https://ann:{SECRET}@hooks.example/x", ["write jsons:// in place of https://"]),
        (SECRET, ["begins with its service", "mailtos://"]),
        ("", ["begins with its service"]),
        (f"json://hooks.example/{SECRET}\nx", ["is one line"]),
        (f"tgram://{SECRET}/1", ["not an address of Telegram", "tgram://{bot_token}"]),
        (f"json://ann:{SECRET}@", ["not an address of JSON", "json://{host}:{port}"]),
        (f"json://ann:{SECRET}@h.example:70000", ["port 70000", "1 to 65535"]),
        (f"jsons://ann:{SECRET}@h.example?verify=no", ["certificate is always checked"]),
        (f"jsons://ann:{SECRET}@h.example?redirect=yes", ["Redirects are not followed"]),
        (
            f"mailto://ann:{SECRET}@h.example?to=" + ",".join(f"p{n}@h.example" for n in range(11)),
            ["11 places", "Allowed are 10"],
        ),
        ("file:///etc/passwd", ["stays on this machine"]),
        ("syslog://", ["stays on this machine"]),
        ("rsyslog://h.example", ["stays on this machine"]),
        ("dbus://", ["stays on this machine"]),
        ("kde://", ["stays on this machine"]),
        ("gnome://", ["stays on this machine"]),
        ("glib://", ["stays on this machine"]),
        ("macosx://", ["stays on this machine"]),
        ("windows://", ["stays on this machine"]),
        ("growl://h.example", ["stays on this machine"]),
        ("blink1://", ["stays on this machine"]),
        ("vapid://ann@people.example", ["stays on this machine"]),
        ("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/?template=/etc/passwd", ["load no files"]),
        ("discord://123456789012345678/ABCDEFabcdef?template=http://10.0.0.1/x", ["load no files"]),
        ("workflows://h.example:443/w/s/?template=file:///etc/passwd", ["load no files"]),
        ("fcm://project/device?mode=oauth2&keyfile=/etc/passwd", ["load no files"]),
        (f"mailto://ann:{SECRET}@h.example?pgp=encrypt&pgppub=/etc/passwd", ["load no files"]),
    ],
)
def test_what_cannot_be_told_is_said_with_what_can(url, words, outlets, message):
    """Each sentence says what is wrong and what is allowed, and never repeats what may be secret; sending says the same."""
    problem = outlets.check(url)
    for word in words:
        assert word in problem
    assert SECRET not in problem
    assert outlets.send(url, message) == problem


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"jsons://ann:{SECRET}@hooks.example:8443/{SECRET}?+X-Key={SECRET}&:a={SECRET}&-b={SECRET}", "jsons://****@hooks.example:8443/****"),
        (f"json://{SECRET}@hooks.example", "json://****@hooks.example"),
        ("json://hooks.example", "json://hooks.example"),
        (f"mailtos://ann:{SECRET}@people.example?to=bob@people.example&+X-Key={SECRET}", "mailtos://ann:****@people.example/bob@people.example"),
        (f"ntfys://{SECRET}", "ntfys://****"),
        (f"lametric://{SECRET}@{SECRET}", "lametric://****"),
        (f"slak://{SECRET}/x", "slak://****"),
        (SECRET, "****"),
        ("", "****"),
    ],
)  # fmt: skip
def test_what_is_shown_of_an_address_holds_no_secret(url, shown, outlets):
    """Service and host tell people which receiver is meant; passwords, paths, options and topics stay hidden."""
    assert outlets.hide_secrets(url) == shown


@pytest.mark.parametrize(
    ("url", "secrets"),
    [
        ("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#general", ["T1JJ3T3L2", "A1BRTD4JD", "TIiajkdnlazkcOXrIdevi7FQ"]),
        ("discord://123456789012345678/ABCDEFabcdef", ["123456789012345678", "ABCDEFabcdef"]),
        ("tgram://123456789:abcdefghijklmnopqrstuvwxyzABCDEFG12/77", ["abcdefghijklmnopqrstuvwxyzABCDEFG12"]),
        ("pagerduty://integrationkey@apikey", ["integrationkey", "apikey"]),
    ],
)  # fmt: skip
def test_tokens_are_hidden(url, secrets, outlets):
    """Where the address is nothing but tokens, none of them is shown."""
    shown = outlets.hide_secrets(url)
    assert shown.startswith(url[: url.index("://")])
    assert not [secret for secret in secrets if secret in shown]


def test_secrets_stay_hidden_when_addresses_cannot_be_looked_at():
    """Without a process that knows services, nothing but the service is shown."""
    closed = Outlets()
    closed.close()
    assert closed.hide_secrets(f"json://ann:{SECRET}@hooks.example") == "json://****"
    assert closed.hide_secrets(SECRET) == "****"
    problem = closed.check(f"json://ann:{SECRET}@hooks.example")
    assert "could not be checked" in problem
    assert SECRET not in problem


# The inside


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "2130706433", "[::ffff:7f00:1]", "[::1]", "127.0.0.1.", "[::]"]
)
def test_the_inside_is_not_told_without_permission(open_outlets, open_web, message, host):
    """Whatever name or number leads to this machine, nothing is sent, and the sentence says what allows it."""
    receiver = open_web()
    result = open_outlets("10.9.8.7").send(receiver.url(host=host), message)
    assert result.startswith("The receiver's address is on the inside (")
    assert result.endswith("allowed by the setting alert_inward.")
    assert receiver.requests == []


def test_the_clouds_passwords_are_not_asked_for(open_outlets, message):
    """The address at which clouds keep passwords is refused before anything is connected, for mail as for the web."""
    outlets = open_outlets("10.9.8.7")
    for url in (
        "json://169.254.169.254/latest",
        "mailto://169.254.169.254/?from=a@tallymark.example&to=b@people.example",
    ):
        assert "on the inside (169.254.169.254)" in outlets.send(url, message)


def test_permission_is_for_a_port_where_it_names_one(open_outlets, open_web, message):
    """One service of a machine may be told without the others."""
    open_port, other = open_web(), open_web()
    outlets = open_outlets(f"127.0.0.1:{open_port.port}")
    assert outlets.send(open_port.url(), message) == ""
    assert "on the inside" in outlets.send(other.url(), message)
    assert other.requests == []


def test_what_may_be_told_has_to_be_a_network():
    """A setting that is not understood stops the start."""
    with pytest.raises(ValueError, match="'localhost' is no address or network"):
        Outlets(("localhost",))


def test_proxies_are_not_used(open_outlets, open_web, message, monkeypatch):
    """A proxy of the environment would connect for us to where we may not."""
    proxy, receiver = open_web(), open_web()
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy.url("", service="http"))
    assert open_outlets().send(receiver.url(), message) == ""
    assert (len(receiver.requests), proxy.requests) == (1, [])
