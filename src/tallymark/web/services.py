"""What API and pages work with; the server's wiring fills it, handlers receive it.

Blocking work runs beside the event loop, each kind of it in places of its own that projects share: see `shares`.
"""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from tallymark.catalog.colours import Colours
from tallymark.catalog.definitions import Definitions
from tallymark.catalog.embeds import Embeds
from tallymark.catalog.follows import Follows
from tallymark.catalog.repository import Catalog
from tallymark.catalog.snapshot import Snapshot, SnapshotSource
from tallymark.clock import SYSTEM_CLOCK, Clock
from tallymark.errors import RequestRefused
from tallymark.fair_queue import Bounds
from tallymark.intake.replay import Replayer
from tallymark.journal.journal import JournalWriter
from tallymark.ledger.tail import Tail
from tallymark.loader.state import STALLED_SECONDS
from tallymark.networks import IpNetwork
from tallymark.plan.kinds.dashboard import MAX_PANELS
from tallymark.queries.ask import DEFAULT_LIMITS, Limits
from tallymark.queries.kinds import Question
from tallymark.queries.result import Answer
from tallymark.queries.run import run_question
from tallymark.rules.privacy import PrivacyRules
from tallymark.store.client import StoreClient
from tallymark.store.errors import QueryTooExpensive
from tallymark.store.limits import VISITOR_BOUNDS
from tallymark.web.desk import Desk
from tallymark.web.palette import Palette
from tallymark.web.pictures import Pictures
from tallymark.web.remembered import Remembered
from tallymark.web.shares import Share
from tallymark.web.single_flight import SingleFlight
from tallymark.web.uses import Uses

# Of a panel that is remembered.
_MOST_ROWS = 5_000

P = ParamSpec("P")
T = TypeVar("T")

# Of each kind of work, how much runs at once, how much of that for one project, and how many of one project may wait. One
# project never has all places, so that another never waits for it alone. Reading catalog and ledger is short.
_READS = Bounds(places=4, each=3, waiting=200)
_QUESTIONS = Bounds(places=6, each=4, waiting=100)
# Judging a person's metrics takes many questions, one after another; who asks one question has other places.
_NEEDS = Bounds(places=3, each=2, waiting=100)
# Each question of a panel takes all processors that there are. With more of them nobody gets a dashboard sooner, and all hold
# their memory at the same time.
_PROCESSORS = min(4, os.cpu_count() or 1)
_PANELS = Bounds(places=_PROCESSORS + 2, each=_PROCESSORS + 1, waiting=2 * MAX_PANELS)
_STATEMENTS = replace(VISITOR_BOUNDS, waiting=64)
# From before a statement is sent until its answer is: many more, because they cost a file and no work.
_STATEMENT_ANSWERS = Bounds(places=32, each=4, waiting=64)
_MESSAGES = Bounds(places=2, each=1, waiting=8)
# By address instead of project: who is not known yet has none. A password takes 64 MiB for its hash.
_PASSWORDS = Bounds(places=2, each=1, waiting=20)
_SESSIONS = Bounds(places=3, each=2, waiting=1000)
# How long each waits for its place, in seconds.
_PATIENCE = 20.0
_STATEMENT_PATIENCE = 30.0
# How long signing in, and knowing a session, may take with the waiting, in seconds: a disk that hangs must not hold a page.
_PASSWORD_LIMIT = 30.0
_SESSION_LIMIT = 15.0


def _weigh_view(view: Any) -> int:
    """Return a panel's rows; one that tells a problem is too heavy to keep: the next one tries again."""
    if view.problem:
        return _MOST_ROWS + 1
    return len(view.chart.rows) if view.chart else 0


@dataclass(slots=True)
class Services:
    """What the web process holds open.

    `tail` counts what the loader has not passed yet; `store_password` is the internal one, made at each start.
    """

    catalog: Catalog
    snapshots: SnapshotSource
    journal: JournalWriter
    journal_folder: Path
    replayer: Replayer
    tail: Tail
    ledger: Path
    store: StoreClient
    store_url: str
    store_password: str
    privacy_rules: Callable[[Snapshot, str], PrivacyRules]
    desk: Desk
    secret: bytes = b""
    public_url: str = ""
    embed_ancestors: str = ""
    trusted_proxies: tuple[IpNetwork, ...] = ()
    query_limits: Limits = DEFAULT_LIMITS
    # How long the loader may stand still before the server is not ready.
    stalled_seconds: float = STALLED_SECONDS
    # Free room of the data folder's disk below which the intake takes nothing.
    disk_reserve_bytes: int = 0
    clock: Clock = SYSTEM_CLOCK
    started: datetime = field(init=False)
    definitions: Definitions = field(init=False)
    embeds: Embeds = field(init=False)
    follows: Follows = field(init=False)
    pictures: Pictures = field(default_factory=Pictures)
    uses: Uses = field(init=False)
    palette: Palette = field(init=False)
    answers: Remembered[Answer] = field(
        default_factory=lambda: Remembered(
            512, lambda answer: len(answer.rows) * len(answer.columns), 200_000
        )
    )
    # Panels as they are shown (`panels.View`).
    views: SingleFlight[Any] = field(
        default_factory=lambda: SingleFlight(Remembered(512, _weigh_view, _MOST_ROWS))
    )
    reads: Share = field(default_factory=lambda: Share("requests", _READS, _PATIENCE))
    questions: Share = field(default_factory=lambda: Share("questions", _QUESTIONS, _PATIENCE))
    needs: Share = field(default_factory=lambda: Share("home pages", _NEEDS, _PATIENCE))
    panels: Share = field(default_factory=lambda: Share("panels", _PANELS, _PATIENCE))
    statements: Share = field(
        default_factory=lambda: Share("statements of other tools", _STATEMENTS, _STATEMENT_PATIENCE)
    )
    statement_answers: Share = field(
        default_factory=lambda: Share("answers to other tools", _STATEMENT_ANSWERS, _STATEMENT_PATIENCE)
    )
    messages: Share = field(default_factory=lambda: Share("messages", _MESSAGES, _PATIENCE))
    passwords: Share = field(
        default_factory=lambda: Share("sign-ins", _PASSWORDS, _PATIENCE, _PASSWORD_LIMIT, "address")
    )
    sessions: Share = field(
        default_factory=lambda: Share("sessions", _SESSIONS, _PATIENCE, _SESSION_LIMIT, "address")
    )
    _again: defaultdict[str, threading.Lock] = field(default_factory=lambda: defaultdict(threading.Lock))

    def __post_init__(self) -> None:
        self.started = self.clock.now()
        self.definitions = Definitions(self.catalog)
        self.embeds = Embeds(self.catalog)
        self.follows = Follows(self.catalog)
        self.uses = Uses(self.definitions, self.clock)
        self.palette = Palette(Colours(self.catalog))

    async def read(self, project: str, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run what reads or changes the catalog, or reads the ledger; short, and never behind a question."""
        return await self.reads.run(project, function, *args, **kwargs)

    async def ask(self, project: str, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run what asks the store."""
        return await self.questions.run(project, function, *args, **kwargs)

    async def send(self, project: str, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run what waits for a receiver of messages."""
        return await self.messages.run(project, function, *args, **kwargs)

    def answer(self, question: Question, project: str, *, explain: bool = True) -> Answer:
        """Ask the store; blocking. Raises RequestRefused as `run_question` does.

        What found the store's memory taken by others is asked once more, by itself among those to which that happened.
        """
        try:
            return run_question(question, self.store, project, self.query_limits, explain=explain)
        except RequestRefused as refusal:
            cause = refusal.__cause__
            if not isinstance(cause, QueryTooExpensive) or not cause.is_of_all:
                raise
        with self._again[project]:
            return run_question(question, self.store, project, self.query_limits, explain=explain)

    def close_shares(self) -> None:
        """Let go of all threads."""
        for share in (
            self.reads, self.questions, self.needs, self.panels, self.statements, self.statement_answers, self.messages,
            self.passwords, self.sessions,
        ):  # fmt: skip
            share.close()

    def close(self) -> None:
        """Let go of threads and connections."""
        self.close_shares()
        self.pictures.close()
        self.desk.close()
        self.store.close()
        self.catalog.engine.dispose()
