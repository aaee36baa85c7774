"""The bound of connections for each address."""

from __future__ import annotations

from tallymark.errors import RequestRefused
from tallymark.server.http.bounds import Bounds
from tallymark.server.http.connections import Connections


class Caller:
    """A connection that says nothing, from anywhere."""

    asks = refused = False
    ended = 0

    def end(self, refusal: RequestRefused) -> None:
        self.ended = refusal.status

    def abort(self) -> None:
        self.ended = -1


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
