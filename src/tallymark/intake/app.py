"""The intake: what all requests to receivers share. The HTTP server hands it each one by `open`.

It stands beside the framework that serves the rest: at the receivers' paths every microsecond counts. Requests that
are refused are counted and written to the journal every few seconds, so that the ledger shows them.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from tallymark.catalog.snapshot import Snapshot, SnapshotSource
from tallymark.clock import SYSTEM_CLOCK, Clock
from tallymark.errors import RequestRefused
from tallymark.intake.accept import Acceptor, build_batch
from tallymark.intake.ingest import Exchange, IngestRequest
from tallymark.intake.limits import (
    IntakeLimits,
    MemoryBudget,
    RateLimiter,
    build_address_room,
    build_project_room,
)
from tallymark.intake.receiver import Router
from tallymark.intake.receivers import RECEIVERS
from tallymark.intake.workers import UNIDENTIFIED_BOUNDS, Workers
from tallymark.journal.journal import JournalWriter
from tallymark.meters import JOURNAL_WAITING_BYTES, REQUESTS_TURNED_AWAY
from tallymark.networks import IpNetwork
from tallymark.pipeline.batch import Arrival
from tallymark.rules.privacy import RULES, PrivacyRules

_ROUTER = Router(RECEIVERS)
_TURNED_AWAY_SECONDS = 5.0
# What the application answers wherever no receiver does.
_READING = ("GET", "HEAD")


@dataclass(frozen=True, slots=True)
class Shares:
    """What requests may take, by holder: bytes and places in the budget, turns at the workers."""

    budget: MemoryBudget
    workers: Workers


@dataclass(slots=True)
class Intake:
    """What all requests share."""

    journal: JournalWriter
    acceptor: Acceptor
    snapshots: SnapshotSource
    secret: bytes
    limits: IntakeLimits = field(default_factory=IntakeLimits)
    clock: Clock = SYSTEM_CLOCK
    trusted_proxies: tuple[IpNetwork, ...] = ()
    # Requests whose project is known, and bodies that have to be read before it is.
    projects: Shares = field(init=False)
    addresses: Shares = field(init=False)
    rates: RateLimiter = field(init=False)
    turned_away: Counter[tuple[str, str]] = field(default_factory=Counter)
    _rules: dict[tuple[str, ...], PrivacyRules] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.projects = Shares(MemoryBudget(build_project_room(self.limits)), Workers())
        unidentified = Workers(UNIDENTIFIED_BOUNDS, "intake-unidentified")
        self.addresses = Shares(MemoryBudget(build_address_room(self.limits)), unidentified)
        self.rates = RateLimiter(self.clock)

    def open(self, exchange: Exchange) -> IngestRequest | None:
        """Take a request that is for a receiver; None for all others."""
        match = _ROUTER.find(exchange.path)
        if match is None:
            return None
        if exchange.method in _READING and exchange.method not in match.route.methods:
            return None
        return IngestRequest(self, exchange, match)

    def close_workers(self) -> None:
        """Let go of the threads."""
        self.projects.workers.close()
        self.addresses.workers.close()

    def privacy_rules(self, snapshot: Snapshot, project: str) -> PrivacyRules:
        """Return the privacy rules that a project has switched on."""
        row = snapshot.projects.get(project)
        off = row.privacy_off if row else ()
        rules = self._rules.get(off)
        if rules is None:
            rules = PrivacyRules(frozenset(rule for rule in RULES if rule not in off), self.secret)
            self._rules[off] = rules
        return rules

    def turn_away(self, project: str, code: str) -> None:
        """Count a request that was refused whole; `project` is '' when its key is unknown."""
        self.turned_away[project, code] += 1
        REQUESTS_TURNED_AWAY.labels(code).inc()

    async def write_turned_away(self) -> None:
        """Put the counts of refused requests into the journal; keeps them when it cannot be written."""
        counts, self.turned_away = self.turned_away, Counter()
        by_project: dict[str, dict[str, int]] = {}
        for (project, code), requests in counts.items():
            by_project.setdefault(project, {})[code] = requests
        for project, codes in by_project.items():
            record = self.acceptor.prepare(build_batch(Arrival(project, "http", self.clock.now()), []))
            record.heading.turned_away = codes
            try:
                await self.acceptor.commit(record)
            except RequestRefused:
                self.turned_away.update({(project, code): requests for code, requests in codes.items()})

    async def keep_counting(self) -> None:
        """Write the counts every few seconds until cancelled."""
        while True:
            await asyncio.sleep(_TURNED_AWAY_SECONDS)
            JOURNAL_WAITING_BYTES.set(self.journal.waiting_bytes)
            if self.turned_away:
                await self.write_turned_away()
