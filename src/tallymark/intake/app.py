"""The intake: what all requests to receivers share. The HTTP server hands it each one by `open`.

It stands beside the framework that serves the rest: at the receivers' addresses every microsecond counts. Requests that
are turned away are counted and written to the journal every few seconds, so that the ledger shows them.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from tallymark.catalog.snapshot import Snapshot, SnapshotSource
from tallymark.clock import SYSTEM_CLOCK, Clock
from tallymark.errors import RequestRefused
from tallymark.intake.accept import Acceptor, build_batch
from tallymark.intake.limits import IntakeLimits, MemoryBudget, RateLimiter
from tallymark.intake.receivers import RECEIVERS
from tallymark.intake.upload import Exchange, Upload
from tallymark.intake.workers import Workers
from tallymark.journal.journal import JournalWriter
from tallymark.meters import JOURNAL_WAITING_BYTES, REQUESTS_TURNED_AWAY
from tallymark.pipeline.batch import Arrival
from tallymark.rules.privacy import RULES, PrivacyRules

_RECEIVERS = {receiver.path: receiver for receiver in RECEIVERS}
# The same addresses answer questions about events; reading is the framework's.
_READING = ("GET", "HEAD")
_TURNED_AWAY_SECONDS = 5.0


@dataclass(slots=True)
class Intake:
    """What all requests share."""

    journal: JournalWriter
    acceptor: Acceptor
    snapshots: SnapshotSource
    secret: bytes
    limits: IntakeLimits = field(default_factory=IntakeLimits)
    clock: Clock = SYSTEM_CLOCK
    budget: MemoryBudget = field(init=False)
    rates: RateLimiter = field(init=False)
    workers: Workers = field(default_factory=Workers)
    turned_away: Counter[tuple[str, str]] = field(default_factory=Counter)
    _rules: dict[tuple[str, ...], PrivacyRules] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.budget = MemoryBudget(self.limits)
        self.rates = RateLimiter(self.clock)

    def open(self, exchange: Exchange) -> Upload | None:
        """Take a request that is for a receiver; None for all others."""
        receiver = _RECEIVERS.get(exchange.path.rstrip("/"))
        if receiver is None or exchange.method in _READING:
            return None
        return Upload(self, exchange, receiver)

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
