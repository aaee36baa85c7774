"""What is on the inside, and that no connection goes there by any name or spelling."""

from __future__ import annotations

import os
import socket
from ipaddress import ip_address

import pytest

from tallymark.alerts import inward
from tallymark.alerts.inward import (
    Guard,
    InwardRefused,
    is_inside,
    is_this_machine,
    parse_opening,
    shut_side_doors,
)

INSIDE = [
    "127.0.0.1",
    "127.9.9.9",
    "0.0.0.0",  # noqa: S104 - nothing is bound to it
    "10.0.0.5",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "100.100.100.200",
    "192.0.0.192",
    "192.88.99.1",
    "168.63.129.16",
    "198.18.0.1",
    "203.0.113.7",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "fe80::1%lo",
    "fec0::1",
    "fc00::1",
    "fd12:3456::1",
    "ff02::1",
    "2001:db8::1",
    "3fff::1",
    "2001::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.5",
    "::ffff:169.254.169.254",
    "::127.0.0.1",
    "::ffff:0:127.0.0.1",
    "2002:7f00:1::",
    "2002:a00:5::1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::808:808",
    "100::1",
    "4000::1",
]
OUTSIDE = [
    "8.8.8.8",
    "1.1.1.1",
    "172.32.0.1",
    "192.169.0.1",
    "169.255.0.1",
    "100.128.0.1",
    "223.255.255.254",
    "2606:4700::1111",
    "2a00:1450:4001::1",
    "::ffff:8.8.8.8",
    "2002:808:808::1",
    "64:ff9b::808:808",
]


@pytest.mark.parametrize("address", INSIDE)
def test_addresses_on_the_inside_are_known_in_every_form(address):
    """Own machine, own networks, the clouds' services, nobody's: also as IPv6 forms of an IPv4 address."""
    assert is_inside(ip_address(address))
    with pytest.raises(InwardRefused, match=r"on the inside \(.*alert_inward"):
        Guard().check(address, 443)


@pytest.mark.parametrize("address", OUTSIDE)
def test_public_addresses_are_told(address):
    """What is public is not refused, neither beside a private network nor in an IPv6 form."""
    assert not is_inside(ip_address(address))
    Guard().check(address, 443)


def test_addresses_of_this_machine_are_known():
    """What it can be reached by is its own, whatever the number; nobody else's is."""
    assert is_this_machine(ip_address("127.0.0.1"))
    assert is_this_machine(ip_address("127.0.0.2"))
    for address in ("8.8.8.8", "192.0.2.1", "2606:4700::1111"):
        assert not is_this_machine(ip_address(address))


def test_where_all_addresses_can_be_bound_to_the_way_tells(monkeypatch):
    """Some machines may answer for addresses that they do not have (yet): those are no reason to refuse all the world."""
    monkeypatch.setattr(inward, "_may_bind", lambda *_: True)
    assert is_this_machine(ip_address("127.0.0.1"))
    assert not is_this_machine(ip_address("8.8.8.8"))


@pytest.mark.parametrize("address", ["8.8.8.8", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_a_public_address_of_this_machine_is_refused_unless_allowed(monkeypatch, address):
    """What listens for this machine alone is not told, by its public address in no form; a setting opens it."""
    monkeypatch.setattr(inward, "is_this_machine", lambda given: str(given) == "8.8.8.8")
    with pytest.raises(InwardRefused, match=r"this machine \(.*alert_inward"):
        Guard().check(address, 443)
    Guard(["8.8.8.8"]).check(address, 443)
    Guard(["8.8.8.8:443"]).check(address, 443)
    with pytest.raises(InwardRefused):
        Guard(["8.8.8.8:25"]).check(address, 443)
    Guard().check("8.8.4.4", 443)


@pytest.mark.parametrize(
    ("allowed", "address", "port", "let"),
    [
        ("10.0.0.5", "10.0.0.5", 80, True),
        ("10.0.0.5", "10.0.0.6", 80, False),
        ("10.0.0.0/8", "10.200.0.1", 25, True),
        ("10.0.0.0/8", "11.0.0.1", 25, True),
        ("10.0.0.0/8", "192.168.0.1", 25, False),
        ("10.0.0.5:25", "10.0.0.5", 25, True),
        ("10.0.0.5:25", "10.0.0.5", 26, False),
        ("10.0.0.0/8:25", "10.0.0.6", 25, True),
        ("10.0.0.0/8", "::ffff:10.0.0.6", 25, True),
        ("10.0.0.0/8", "64:ff9b::a00:6", 25, True),
        ("127.0.0.1", "::1", 25, False),
        ("::1", "::1", 25, True),
        ("[::1]:25", "::1", 25, True),
        ("[::1]:25", "::1", 24, False),
        ("[fd00::5]", "fd00::5", 1, True),
        ("fd00::/8", "fd12::1", 25, True),
        ("fd00::/8", "fe80::1", 25, False),
        ("64:ff9b:1::/48", "64:ff9b:1::1", 25, True),
    ],
)
def test_a_setting_opens_an_address_or_a_network_for_one_port_or_all(allowed, address, port, let):
    """What is allowed is reached, in every form of the same address, and nothing beside it."""
    guard = Guard([allowed])
    if let:
        guard.check(address, port)
        assert guard.refusals == []
    else:
        with pytest.raises(InwardRefused):
            guard.check(address, port)
        assert len(guard.refusals) == 1


@pytest.mark.parametrize(
    "text", ["", "localhost", "10.0.0.5/8", "10.0.0.0/33", "10.0.0.5:0", "10.0.0.5:65536", "[::1]:x", "*"]
)
def test_what_is_no_network_is_refused_with_what_is_allowed(text):
    """A setting that would open nothing, or not what it seems to, is not accepted."""
    with pytest.raises(ValueError, match="Allowed: "):
        parse_opening(text)


@pytest.fixture
def guarded():
    """Make a kind of socket with the guard before it, which notes where it would have gone instead of going there."""

    class Guarded(socket.socket):
        gone: list = []  # noqa: RUF012 - one test, one kind

        def connect(self, address):
            self.gone.append(address)

        def connect_ex(self, address):
            self.gone.append(address)
            return 0

        def sendto(self, *given):
            self.gone.append(given[-1])
            return 0

        def sendmsg(self, *given):
            self.gone.append(given[3] if len(given) > 3 else None)
            return 0

    Guarded.gone = []
    Guard().install(Guarded)
    return Guarded


WAYS = {
    "connect": lambda plain, address: plain.connect(address),
    "connect_ex": lambda plain, address: plain.connect_ex(address),
    "sendto": lambda plain, address: plain.sendto(b"x", address),
    "sendto with flags": lambda plain, address: plain.sendto(b"x", 0, address),
    "sendmsg": lambda plain, address: plain.sendmsg([b"x"], [], 0, address),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "2130706433", "0x7f000001", "017700000001", "127.1", "", b"localhost"]
)
def test_every_way_out_is_guarded_by_the_number_behind_a_name(guarded, way, host):
    """Names, decimal, hexadecimal and octal numbers, short forms and nothing at all: what counts is where they lead."""
    with guarded(socket.AF_INET) as plain, pytest.raises(InwardRefused, match="inside"):
        WAYS[way](plain, (host, 80))
    assert guarded.gone == []


@pytest.mark.parametrize("way", WAYS)
def test_what_is_public_goes_on_unchanged(guarded, way):
    """The guard changes nothing in what it lets pass."""
    with guarded(socket.AF_INET6) as plain:
        WAYS[way](plain, ("2606:4700::1111", 443, 0, 0))
    assert guarded.gone == [("2606:4700::1111", 443, 0, 0)]


def test_data_on_a_connection_needs_no_address(guarded):
    """What is sent on a connection that was judged already goes out."""
    with guarded(socket.AF_INET) as plain:
        plain.sendmsg([b"x"])
    assert guarded.gone == [None]


def test_a_name_is_looked_up_once(guarded, monkeypatch):
    """A name that leads elsewhere when it is asked again (DNS rebinding) gains nothing: the number that was judged is used."""
    answers = iter(["93.184.216.34", "127.0.0.1"])

    def look_up(host, port, *_):
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (next(answers), port))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with guarded(socket.AF_INET) as plain:
        plain.connect(("changing.example", 80))
        with pytest.raises(InwardRefused):
            plain.connect(("changing.example", 80))
    assert guarded.gone == [("93.184.216.34", 80)]


def test_sockets_of_this_machine_are_refused(guarded, tmp_path):
    """A path is no receiver: databases and service managers listen on such."""
    with guarded(socket.AF_UNIX) as plain, pytest.raises(InwardRefused, match="no address on a network"):
        plain.connect(str(tmp_path / "socket"))


def test_proxies_and_kept_passwords_are_taken_away(monkeypatch):
    """A proxy would connect for us to where we may not, and passwords kept for other programs are no receiver's."""
    proxies = dict.fromkeys(("HTTP_PROXY", "https_proxy", "ALL_PROXY", "no_proxy"), "http://127.0.0.1:3128")
    monkeypatch.setattr(os, "environ", {"HOME": "/home", "NETRC": "/home/.netrc", **proxies})
    shut_side_doors()
    assert os.environ == {"HOME": "/home", "NETRC": os.devnull}
