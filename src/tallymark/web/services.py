"""What API and pages work with; the server's wiring fills it, handlers receive it.

Everything here may be used from several threads at once.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
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
from tallymark.intake.replay import Replayer
from tallymark.journal.journal import JournalReader, JournalWriter
from tallymark.ledger.tail import Tail
from tallymark.loader.state import STALLED_SECONDS
from tallymark.queries.ask import DEFAULT_LIMITS, Limits
from tallymark.queries.kinds import Question
from tallymark.queries.result import Answer
from tallymark.queries.run import run_question
from tallymark.rules.privacy import PrivacyRules
from tallymark.store.client import StoreClient
from tallymark.store.errors import QueryTooExpensive
from tallymark.web.desk import Desk
from tallymark.web.palette import Palette
from tallymark.web.pictures import Pictures
from tallymark.web.remembered import Remembered
from tallymark.web.uses import Uses

# Of a panel that is remembered.
_MOST_ROWS = 5_000

P = ParamSpec("P")
T = TypeVar("T")

# Questions that run at once; more wait. The store has its own bound behind it.
_QUESTIONS = 8
# Panels that are made at once: each question of theirs takes all processors that there are. With more of them nobody gets a
# dashboard sooner, all hold their memory at the same time, and no thread is left for who asks something else.
_PANELS = max(3, (os.cpu_count() or 1) + 1)


def _weigh_view(view: Any) -> int:
    """Return a panel's rows; one that tells a problem is too heavy to keep: the next one tries again."""
    if view.problem:
        return _MOST_ROWS + 1
    return len(view.chart.rows) if view.chart else 0


@dataclass(slots=True)
class Services:
    """What the web process holds open.

    `open_reader` gives a reading end of the journal for one thread; `tail` counts what the loader has not passed
    yet; `store_password` is the internal one, made at each start.
    """

    catalog: Catalog
    snapshots: SnapshotSource
    journal: JournalWriter
    open_reader: Callable[[], JournalReader]
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
    query_limits: Limits = DEFAULT_LIMITS
    # How long the loader may stand still before the server is not ready.
    stalled_seconds: float = STALLED_SECONDS
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
    views: Remembered[Any] = field(default_factory=lambda: Remembered(512, _weigh_view, _MOST_ROWS))
    _threads: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(_QUESTIONS, thread_name_prefix="question")
    )
    _again: threading.Lock = field(default_factory=threading.Lock)
    _panels: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(_PANELS, thread_name_prefix="panel")
    )
    _health: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="health")
    )

    def __post_init__(self) -> None:
        self.started = self.clock.now()
        self.definitions = Definitions(self.catalog)
        self.embeds = Embeds(self.catalog)
        self.follows = Follows(self.catalog)
        self.uses = Uses(self.definitions, self.clock)
        self.palette = Palette(Colours(self.catalog))

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a blocking call beside the event loop."""
        return await asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: function(*args, **kwargs)
        )

    async def run_panel(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run what makes a panel beside the event loop, a few at a time."""
        return await asyncio.get_running_loop().run_in_executor(
            self._panels, lambda: function(*args, **kwargs)
        )

    async def run_health(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a short blocking call in a thread that no question can occupy."""
        return await asyncio.get_running_loop().run_in_executor(
            self._health, lambda: function(*args, **kwargs)
        )

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
        with self._again:
            return run_question(question, self.store, project, self.query_limits, explain=explain)

    def close(self) -> None:
        """Let go of threads and connections."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._panels.shutdown(wait=False, cancel_futures=True)
        self._health.shutdown(wait=False, cancel_futures=True)
        self.pictures.close()
        self.desk.close()
        self.store.close()
        self.catalog.engine.dispose()
