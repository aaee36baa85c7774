"""The jobs process, wired: judges alerts every few seconds and tells people, until told to stop.

It reads the ledger and the end of the journal, and asks the store. What it judges and what it tells stand in the catalog, where it
also forgets what is old; `alerts.json` says what the last round was like: another start goes on where this one ended.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec
import structlog

from tallymark.alerts.batches import Batch
from tallymark.alerts.book import Book
from tallymark.alerts.notices import Notices
from tallymark.alerts.outlets import Outlets
from tallymark.alerts.pulse import write_pulse
from tallymark.alerts.questions import Questions
from tallymark.alerts.silences import Silences
from tallymark.alerts.teller import Teller
from tallymark.alerts.watcher import Watcher
from tallymark.alerts.windows import Window
from tallymark.catalog.receivers import Receivers
from tallymark.catalog.repository import Catalog
from tallymark.catalog.sealing import open_sealer
from tallymark.catalog.tables import open_engine, sqlite_url
from tallymark.clock import SYSTEM_CLOCK
from tallymark.errors import FormatError
from tallymark.ledger.report import count_lag
from tallymark.ledger.tail import Tail
from tallymark.loader.state import Stall, find_stall, read_loader_report
from tallymark.queries.ask import Limits
from tallymark.queries.events import Present, find_present
from tallymark.queries.kinds import Question
from tallymark.queries.result import Answer
from tallymark.queries.run import run_question
from tallymark.server.orders import Orders, find_paths
from tallymark.store.client import StoreClient
from tallymark.store.requests import INTERNAL_USER
from tallymark.web.alert_pictures import build_message_spec
from tallymark.web.message_pictures import MessagePictures

log = structlog.get_logger("tallymark.alerts")

# Questions that are asked at once. The store has two processors here and other people's questions to answer.
_QUESTIONS: Final = 3
_TELLERS: Final = 8
_LOOK_SECONDS: Final = 0.5
# The part of a picture's time in which the store has to answer; drawing takes the rest.
_PICTURE_ASKS: Final = 0.75
_STOP_SECONDS: Final = 20.0
_SETTLE_SECONDS: Final = 1.0
# What alerts did is kept for a bit more than a year.
_KEEP: Final = timedelta(days=400)
_PRUNE_EVERY: Final = timedelta(days=1)


class Jobs:
    """What the process holds open."""

    def __init__(self, orders: Orders) -> None:
        config = orders.config
        self._config = config
        self._paths = find_paths(config.data)
        self._tail = Tail(self._paths.journal)
        self._store = StoreClient(orders.store_url, INTERNAL_USER, orders.store_password)
        self._limits = Limits(config.query_seconds, config.find_query_memory(), config.query_rows)
        seconds = min(config.query_seconds, config.alert_picture_seconds * _PICTURE_ASKS)
        self._picture_limits = replace(self._limits, seconds=seconds)
        catalog = Catalog(open_engine(config.catalog_url or sqlite_url(Path(config.data))))
        self._book, self._notices = Book(catalog), Notices(catalog)
        secret = bytes.fromhex(catalog.fact("secret") or "")
        if not secret:
            # Links signed with nothing could be made by anybody.
            raise FormatError("The catalog has no secret. Restore it from a backup.", at="catalog")
        self._receivers = receivers = Receivers(catalog, open_sealer(Path(config.data)))
        self._threads = ThreadPoolExecutor(_QUESTIONS, thread_name_prefix="alert-question")
        self._tellers = ThreadPoolExecutor(_TELLERS, thread_name_prefix="teller")
        self._pictures = MessagePictures(self._build_spec, wait_seconds=config.alert_picture_seconds)
        self._outlets = Outlets(config.list_inward())
        self._watcher = Watcher(
            catalog, self._book, self._notices, Silences(catalog), receivers, self._ask, self._look,
            self._threads, round(config.alert_seconds),
        )  # fmt: skip
        self._teller = Teller(
            self._notices, receivers, self._outlets, self._pictures.draw, SYSTEM_CLOCK,
            config.public_url, secret, self._tellers,
        )  # fmt: skip
        self._catalog = catalog
        self._pruned_at: datetime | None = None
        self._started = SYSTEM_CLOCK.now()

    def run(self, stopping: threading.Event) -> None:
        """Judge and tell until `stopping` is set."""
        for name, error in self._receivers.check(SYSTEM_CLOCK.now()).items():
            log.error(
                "receiver_cannot_be_told",
                receiver=name,
                error=error,
                fix="bring the key back, or give the address anew",
            )
        telling = threading.Thread(target=self._keep_telling, args=(stopping,), name="telling", daemon=True)
        telling.start()
        while not stopping.wait(self._pause()):
            try:
                self._judge()
            except Exception:
                # Nothing was written: the next round does the same.
                log.exception("alerts_not_judged", fix="the next round tries again")
        telling.join(_STOP_SECONDS)

    def close(self) -> None:
        """Let go of threads, processes and connections."""
        self._tellers.shutdown(wait=True, cancel_futures=True)
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._pictures.close()
        self._outlets.close()
        self._store.close()
        self._catalog.engine.dispose()

    def _pause(self) -> float:
        """Return the seconds to the next round: a moment after windows end, when what came in them is in the store."""
        every = self._config.alert_seconds
        return every - (time.time() - _SETTLE_SECONDS) % every

    def _judge(self) -> None:
        now = SYSTEM_CLOCK.now()
        began = time.monotonic()
        complete, stall = self._look_at_backlog(now)
        pulse = self._watcher.tick(now, complete, stall)
        took = time.monotonic() - began
        self._prune(now)
        write_pulse(Path(self._config.data), msgspec.structs.replace(pulse, took_seconds=round(took, 3)))

    def _prune(self, now: datetime) -> None:
        """Once a day forget what alerts did long ago. Events tell it for as long as those are kept."""
        if self._pruned_at is not None and now - self._pruned_at < _PRUNE_EVERY:
            return
        self._pruned_at = now
        count = self._book.prune(now - _KEEP)
        if count:
            log.info("alert_history_pruned", changes=count)

    def _look_at_backlog(self, now: datetime) -> tuple[datetime, Stall]:
        """Return the time up to which all events that were received are in the store, and whether the loader stands still."""
        events, oldest_us = backlog = count_lag(self._paths.ledger, self._tail)
        complete = min(now, datetime.fromtimestamp(oldest_us / 1e6, UTC)) if events else now
        report = read_loader_report(Path(self._config.data))
        return complete, find_stall(report, backlog, now, self._started, self._config.stalled_seconds)

    def _keep_telling(self, stopping: threading.Event) -> None:
        while not stopping.wait(_LOOK_SECONDS):
            try:
                self._teller.run_once()
            except Exception:
                log.exception("alerts_not_told", fix="it is tried again")

    def _ask(self, project: str, question: Question) -> Answer:
        return run_question(question, self._store, project, self._limits, explain=False)

    def _ask_quickly(self, project: str, question: Question) -> Answer:
        return run_question(question, self._store, project, self._picture_limits, explain=False)

    def _look(self, project: str, window: Window) -> Present:
        return find_present(self._store, project, window.start, window.end, self._limits)

    def _build_spec(self, batch: Batch) -> bytes:
        """Return the specification of a message's picture; raises TallymarkError."""
        now = SYSTEM_CLOCK.now()
        metrics = self._watcher.metrics_of(batch.project)
        changes = self._book.list_brief(batch.project, [batch.alert], now)
        questions = Questions(
            metrics,
            lambda question: self._ask_quickly(batch.project, question),
            lambda window: self._look(batch.project, window),
        )
        seconds = round(self._config.alert_seconds)
        return build_message_spec(batch, metrics, questions, seconds, changes, now)


def run_jobs(orders: Orders, stopping: threading.Event, say_ready: Callable[[], None]) -> None:
    """Judge and tell; returns when `stopping` is set."""
    jobs = Jobs(orders)
    try:
        say_ready()
        jobs.run(stopping)
    finally:
        jobs.close()
