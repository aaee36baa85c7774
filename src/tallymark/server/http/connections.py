"""Which connections there are, and which has to go when there is no room for one more.

A connection waits for its client between two requests, in a head, in a body that no key stands for, and while nobody reads its
answer. The one that has waited longest goes first. Where none waits, the new one is told 503. What was turned away is counted, and
logged every few seconds at most.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import structlog

from tallymark.errors import RequestRefused
from tallymark.meters import CONNECTIONS_CLOSED, CONNECTIONS_OPEN
from tallymark.networks import find_neighbourhood
from tallymark.server.http.bounds import Bounds

if TYPE_CHECKING:
    from tallymark.server.http.connection import Connection

log = structlog.get_logger("tallymark.web")

# A request that was turned away so is in the ledger's best-effort counts.
TURNED_AWAY: Final = "too_many_connections"
_LOG_SECONDS: Final = 10.0
# How many make room when the process has no descriptor left for a new one.
_ROOM_FOR_DESCRIPTORS: Final = 16


class Connections:
    """The connections of one server. `on_turned_away` hears of each that was told 503, or would have been."""

    def __init__(self, bounds: Bounds, on_turned_away: Callable[[str], None]) -> None:
        self._bounds = bounds
        self._on_turned_away = on_turned_away
        self._open: dict[Connection, str] = {}
        self._by_address: Counter[str] = Counter()
        # Those that wait for their clients, the one that has waited longest first.
        self._waiting: OrderedDict[Connection, None] = OrderedDict()
        self._empty = asyncio.Event()
        self._unsaid: Counter[str] = Counter()
        self._said_at = float("-inf")

    def __len__(self) -> int:
        return len(self._open)

    def all(self) -> list[Connection]:
        """Return all of them."""
        return list(self._open)

    def open(self, connection: Connection, host: str) -> None:
        """Take a new connection; where there is no room, make some, or have this one told 503."""
        bounds, near = self._bounds, find_neighbourhood(host)
        crowded = near and bounds.per_address and self._by_address[near] >= bounds.per_address
        full = len(self._open) >= bounds.connections
        self._open[connection] = near
        self._by_address[near] += 1
        CONNECTIONS_OPEN.set(len(self._open))
        if crowded and not self._make_room(near, "address"):
            self._turn_away(connection, "address")
        elif full and not crowded and not self._make_room("", "room"):
            self._turn_away(connection, "room")
        else:
            self._waiting[connection] = None

    def close(self, connection: Connection) -> None:
        """Forget a connection that has ended."""
        self._waiting.pop(connection, None)
        near = self._open.pop(connection, None)
        if near is not None:
            self._by_address[near] -= 1
            if not self._by_address[near]:
                del self._by_address[near]
            CONNECTIONS_OPEN.set(len(self._open))
            if not self._open:
                self._empty.set()

    async def wait_empty(self) -> None:
        """Return when no connection is left."""
        while self._open:
            self._empty.clear()
            await self._empty.wait()

    def wait(self, connection: Connection) -> None:
        """Take note that a connection waits for its client from now on."""
        if connection in self._open:
            self._waiting[connection] = None
            self._waiting.move_to_end(connection)

    def work(self, connection: Connection) -> None:
        """Take note that its client waits for us."""
        self._waiting.pop(connection, None)

    def count(self, reason: str) -> None:
        """Count a connection that was closed for a reason that is not its client's wish."""
        CONNECTIONS_CLOSED.labels(reason).inc()
        self._unsaid[reason] += 1
        self.say()

    def say(self) -> None:
        """Log what was closed since the last line, every few seconds at most."""
        now = time.monotonic()
        if self._unsaid and now - self._said_at >= _LOG_SECONDS:
            self._said_at = now
            log.warning(
                "connections_closed", **self._unsaid, open=len(self._open), allowed=self._bounds.connections
            )
            self._unsaid.clear()

    def free_descriptors(self) -> None:
        """Make room after the system had no descriptor for a new connection."""
        self.count("no_descriptor")
        self._on_turned_away(TURNED_AWAY)
        for _ in range(_ROOM_FOR_DESCRIPTORS):
            if not self._make_room("", "room"):
                break

    def _make_room(self, near: str, reason: str) -> bool:
        """Close the connection that has waited longest, of an address or of all; False where none waits."""
        found = next((one for one in self._waiting if not near or self._open[one] == near), None)
        if found is None:
            return False
        del self._waiting[found]
        self.count(reason)
        if found.asks:
            self._on_turned_away(TURNED_AWAY)
        found.end(RequestRefused("too_many_connections", retry_after=1))
        return True

    def _turn_away(self, connection: Connection, reason: str) -> None:
        self.count(reason)
        self._on_turned_away(TURNED_AWAY)
        if len(self._open) > self._bounds.connections + self._bounds.refusals:
            connection.abort()
        else:
            connection.refused = True
