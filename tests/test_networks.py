"""What counts as one client, also behind reverse proxies."""

from __future__ import annotations

import pytest

from tallymark.networks import find_client, find_neighbourhood, parse_networks


@pytest.mark.parametrize(
    ("host", "near"),
    [("203.0.113.7", "203.0.113.7"), ("2001:db8::1", "2001:db8::"), ("2001:db8:0:0:ffff::1", "2001:db8::"), ("::ffff:203.0.113.7", "203.0.113.7"),
     ("127.0.0.1", ""), ("::1", ""), ("::ffff:127.0.0.1", ""), ("fe80::1%eth0", "fe80::"), ("", "")],
)  # fmt: skip
def test_neighbourhood(host, near):
    """An IPv6 customer has a whole network; loopback is nobody's: a proxy stands there."""
    assert find_neighbourhood(host) == near


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "client"),
    [
        # No proxy of ours: whatever it says, it speaks for itself.
        ("203.0.113.7", "198.51.100.1", "203.0.113.7"),
        ("127.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("::ffff:127.0.0.1", "2001:db8::5", "2001:db8::5"),
        # What the client wrote itself stands before what the proxy added.
        ("127.0.0.1", "192.0.2.66, 198.51.100.1", "198.51.100.1"),
        ("127.0.0.1", "192.0.2.66, 198.51.100.1, 10.1.2.3", "198.51.100.1"),
        ("127.0.0.1", "", "127.0.0.1"),
        ("127.0.0.1", "198.51.100.1, unknown", "127.0.0.1"),
        ("127.0.0.1", "10.1.2.3", "10.1.2.3"),
        ("", "198.51.100.1", ""),
        # Some proxies write the client's port as well, IPv6 in brackets, quotes, blanks or nothing between two commas.
        ("127.0.0.1", "203.0.113.7:51234", "203.0.113.7"),
        ("127.0.0.1", "[2001:db8::7]:443", "2001:db8::7"),
        ("127.0.0.1", "[2001:db8::7]", "2001:db8::7"),
        ("127.0.0.1", '"203.0.113.7:51234"', "203.0.113.7"),
        ("127.0.0.1", '"[2001:db8::7]:443"', "2001:db8::7"),
        ("127.0.0.1", ' " [2001:db8::7]:443 "\t', "2001:db8::7"),
        ("127.0.0.1", "192.0.2.66, \t203.0.113.7:51234  ", "203.0.113.7"),
        ("127.0.0.1", "203.0.113.7 , , ", "203.0.113.7"),
        ("127.0.0.1", "2001:db8:0:0:0:0:0:7:443", "2001:db8:0:0:0:0:0:7"),
        ("127.0.0.1", "2001:db8::7:51234", "2001:db8::7"),
        # A proxy of ours with a port is one as well.
        ("127.0.0.1", "198.51.100.1:80, 10.1.2.3:4711", "198.51.100.1"),
        ("127.0.0.1", "198.51.100.1:80, [::ffff:10.1.2.3]:4711", "198.51.100.1"),
        # What is no address with a port.
        ("127.0.0.1", "203.0.113.7:port", "127.0.0.1"),
        ("127.0.0.1", "203.0.113.7:", "127.0.0.1"),
        ("127.0.0.1", "203.0.113.7:1:2", "127.0.0.1"),
        ("127.0.0.1", "203.0.113.7:123456", "127.0.0.1"),
        ("127.0.0.1", "proxy.example:80", "127.0.0.1"),
        ("127.0.0.1", '"', "127.0.0.1"),
    ],
)
def test_the_client_behind_a_proxy(peer, forwarded_for, client):
    """Proxies of ours are believed, one after another from the last; nobody else is."""
    assert find_client(peer, forwarded_for, parse_networks("127.0.0.1, 10.0.0.0/8")) == client


@pytest.mark.parametrize("text", ["10.0.0.1/8", "proxy.example", "10.0.0.1,,x"])
def test_what_is_no_network(text):
    """A wrong network is refused, not left out."""
    with pytest.raises(ValueError, match=text.split(",")[-1]):
        parse_networks(text)
