"""A small world for alerts: events in a list, a clock that is moved by hand, the real catalog, book and notices."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import msgspec

from tallymark.alerts.book import Book
from tallymark.alerts.notices import Notices
from tallymark.alerts.silences import Silences
from tallymark.alerts.watcher import Watcher
from tallymark.catalog.definitions import Definitions, Removal, Write
from tallymark.catalog.migrations import run_migrations
from tallymark.catalog.receivers import Receivers
from tallymark.catalog.repository import Catalog
from tallymark.catalog.sealing import open_sealer
from tallymark.catalog.tables import open_engine, sqlite_url
from tallymark.loader.state import NO_STALL
from tallymark.queries.events import Present
from tallymark.queries.result import Answer, Column, Cost

START = datetime(2026, 1, 5, 12, tzinfo=UTC)
COUNT = {"kind": "count", "name": "seen", "event_name": "seen", "owner": "growth"}


class World:
    """One project, its events, and what watches them."""

    def __init__(self, folder):
        self.folder = folder
        engine = open_engine(sqlite_url(folder))
        run_migrations(engine)
        self.catalog = Catalog(engine)
        self.catalog.create_project("shop")
        self.definitions = Definitions(self.catalog)
        self.book, self.notices = Book(self.catalog), Notices(self.catalog)
        self.silences = Silences(self.catalog)
        self.receivers = Receivers(self.catalog, open_sealer(folder))
        self.pool = ThreadPoolExecutor(2)
        # (time, value of the breakdown)
        self.events = []
        self.asked = 0
        # Whether events of other names come all the time.
        self.others = False
        self.now = START
        self.fails = None
        self.open()

    def open(self):
        """Begin to watch, as after a restart: nothing but what is on the disk is known."""
        self.watcher = Watcher(
            self.catalog, self.book, self.notices, self.silences, self.receivers, self._ask,
            self._look, self.pool, 10,
        )  # fmt: skip

    def close(self):
        self.pool.shutdown()
        self.catalog.engine.dispose()

    def define(self, kind, one):
        found = self.definitions.find("shop", kind, one["name"])
        body = msgspec.json.encode(one).decode()
        self.definitions.change(
            "shop", "ana", [Write(kind, one["name"], body, found.version if found else 0)]
        )

    def undefine(self, kind, name):
        found = self.definitions.find("shop", kind, name)
        self.definitions.change("shop", "ana", [Removal(kind, name, found.version)])

    def receiver(self, name, *owners):
        self.receivers.create("shop", name, f"json://{name}.example", name, owners, "ana", self.now)

    def watch(self, **alert):
        """Define the alert `low`: fewer than five events in a minute, judged every ten seconds."""
        given = {
            "name": "low",
            "metric": "seen",
            "when": {"is": "below", "value": 5},
            "window": "1m",
            "every": "10s",
        }
        self.define("metric", COUNT)
        self.define("alert", {**given, **alert})

    def happen(self, count, value="a", at=None):
        self.events += [(at or self.now, value)] * count

    def tick(self, seconds=10, complete=None, stall=NO_STALL):
        """Let time pass, and judge."""
        self.now += timedelta(seconds=seconds)
        return self.watcher.tick(self.now, complete or self.now, stall)

    def run(self, ticks, count=0, value="a"):
        """Let so many times ten seconds pass, with so many events in each; return the state after each."""
        states = []
        for _ in range(ticks):
            self.now += timedelta(seconds=5)
            self.happen(count, value)
            self.tick(5)
            states.append(self.state())
        return states

    def state(self, value=None, alert="low"):
        kept = self.book.load("shop").get(alert)
        standing = kept and kept.standings.get(() if value is None else (value,))
        return standing and standing.state

    def changes(self, alert="low"):
        """Return the changes of an alert, the oldest first."""
        return self.book.list_changes("shop", alert)[::-1]

    def send(self, error=""):
        """Send what is due; returns the messages as (receiver, state after each change, whether it repeats)."""
        names = {one.id: one.name for one in self.receivers.list("shop")}
        sent = []
        for batch in self.notices.claim(self.now):
            self.notices.finish(batch, error, self.now)
            sent.append((names[batch.receiver], [one.after for one in batch.changes], batch.repeats))
        return sent

    def _ask(self, project, question):
        """Count, as the store does."""
        assert project == "shop"
        self.asked += 1
        if self.fails is not None:
            raise self.fails
        start, end = datetime.fromisoformat(question.start), datetime.fromisoformat(question.end)
        if question.series[0].event_name == "never":
            cells = [0 if one.measure.op == "count" else None for one in question.series]
            columns = tuple(Column("figure", "number", exact=True) for _ in cells)
            return Answer(columns, [cells], [], Cost(1.0))
        found = [value for when, value in self.events if start <= when < end]
        if not question.breakdown:
            return Answer((Column("figure", "integer", exact=True),), [[len(found)]], [], Cost(1.0))
        names = sorted(set(found), key=lambda one: (-found.count(one), one))
        wanted = [group[0] for group in question.groups] or names[: question.limit]
        rows = [[name, found.count(name)] for name in wanted if name in names]
        columns = (Column("os", "text"), Column("figure", "integer", exact=True))
        return Answer(columns, rows, [], Cost(1.0))

    def _look(self, project, window):
        """Say which events came, as the store does."""
        assert project == "shop"
        if self.fails is not None:
            raise self.fails
        seen = sum(window.start <= when < window.end for when, _ in self.events)
        events = {name: count for name, count in (("seen", seen), ("other", int(self.others))) if count}
        return Present(events, quiet=not events)
