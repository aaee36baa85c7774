"""Whose connections count together, and the bound for each address."""

from __future__ import annotations

import pytest

from tallymark.errors import RequestRefused
from tallymark.server.http.bounds import Bounds
from tallymark.server.http.connections import Connections, find_neighbourhood


class Caller:
    """A connection that says nothing, from anywhere."""

    asks = refused = False
    ended = 0

    def end(self, refusal: RequestRefused) -> None:
        self.ended = refusal.status

    def abort(self) -> None:
        self.ended = -1


@pytest.mark.parametrize(
    ("host", "near"),
    [("203.0.113.7", "203.0.113.7"), ("2001:db8::1", "2001:db8::"), ("2001:db8:0:0:ffff::1", "2001:db8::"), ("::ffff:203.0.113.7", "203.0.113.7"),
     ("127.0.0.1", ""), ("::1", ""), ("::ffff:127.0.0.1", ""), ("fe80::1%eth0", "fe80::"), ("", "")],
)  # fmt: skip
def test_neighbourhood(host, near):
    """An IPv6 customer has a whole network; loopback is nobody's: a proxy stands there."""
    assert find_neighbourhood(host) == near


def test_one_address():
    """Who opens more than its share loses its own longest idle ones, and nobody else's; who has none idle is turned away."""
    away: list[str] = []
    connections = Connections(Bounds(per_address=2), away.append)
    other, *mine = [Caller() for _ in range(5)]
    connections.open(other, "203.0.113.1")
    for one in mine[:3]:
        connections.open(one, "203.0.113.2")
    assert [one.ended for one in (other, *mine[:3])] == [0, 503, 0, 0]
    connections.close(mine[0])
    for one in mine[1:3]:
        connections.work(one)
    connections.open(mine[3], "203.0.113.2")
    assert (mine[3].refused, away) == (True, ["too_many_connections"])
    for one in (Caller() for _ in range(100)):
        connections.open(one, "127.0.0.1")
        assert (one.ended, one.refused) == (0, False)
