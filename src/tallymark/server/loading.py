"""The loader process, wired: judges from its first moment, waits for the store, then loads until told to stop."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import structlog

from tallymark.dedup.index import DedupIndex
from tallymark.journal.judged import JudgedReader
from tallymark.journal.reader import SegmentReader
from tallymark.journal.verdict_writer import VerdictWriter
from tallymark.ledger.book import Book, Limits
from tallymark.ledger.readers import Readers
from tallymark.ledger.report import read_cursor
from tallymark.loader.insert import Inserter
from tallymark.loader.judging import JudgingStation
from tallymark.loader.load import Loader, LoaderSettings
from tallymark.loader.retention import Retention, RetentionSettings
from tallymark.loader.state import LoaderState
from tallymark.server.orders import Orders, find_paths
from tallymark.store.client import StoreClient
from tallymark.store.copying import CopyOptions, CopyStopped
from tallymark.store.errors import StoreError, StoreUnavailable
from tallymark.store.migrations import run_migrations
from tallymark.store.requests import INTERNAL_USER

log = structlog.get_logger("tallymark.loader")


# How long one statement of the copy of an older table may take, in seconds; the store ends it a little before.
_COPY_SECONDS: Final = 3700.0
# After an error of the store its format is looked at again after so many seconds.
_PAUSE: Final = 1.0
# How long judging waits for a reader that writes its cursor, in seconds.
_READERS_SECONDS: Final = 1.0


def run_loading(orders: Orders, stopping: threading.Event, say_ready: Callable[[], None]) -> None:
    """Judge and load the journal of this data folder; returns when `stopping` is set."""
    state = LoaderState(Path(orders.config.data))
    judging = _Judging(orders, stopping, state)
    judging.start()
    try:
        if _prepare_store(orders, stopping, state):
            _load(orders, stopping, state, say_ready, judging)
    except Exception as error:
        state.say_failed(f"{type(error).__name__}: {error}")
        raise
    finally:
        stopping.set()
        judging.join()


class _Judging(threading.Thread):
    """The judging station in a thread of its own. Where it fails, the process ends and is started again."""

    def __init__(self, orders: Orders, stopping: threading.Event, state: LoaderState) -> None:
        super().__init__(name="judging")
        self._orders = orders
        self._stopping = stopping
        self._state = state
        self._station: JudgingStation | None = None
        # Set once the verdict log has its true end.
        self.ready = threading.Event()

    def judge_now(self, number: int) -> None:
        """Have all before record `number` judged, and return then, or after a moment."""
        if self._station is not None:
            self._station.judge_now(number)

    def find_horizon(self) -> int | None:
        """Return the receive time of the oldest id that dedup knows (µs since 1970); None before there is one."""
        return self._station.oldest_us if self._station is not None else None

    def run(self) -> None:
        """Judge until told to stop."""
        try:
            self._judge()
        except Exception as error:
            log.exception("judging_ended")
            self._state.say_failed(f"{type(error).__name__}: {error}")
            # The other thread may wait for the store for minutes, and nobody would judge meanwhile.
            os._exit(1)

    def _judge(self) -> None:
        config = self._orders.config
        paths = find_paths(config.data)
        readers = Readers(paths.readers, timeout=_READERS_SECONDS)
        cursors = [read_cursor(paths.ledger), *(state.record for state in readers.list_states())]
        # Where there is no verdict log, the loader of an earlier version judged what its cursor has passed.
        verdicts = VerdictWriter(paths.journal, begin=min(cursors))
        self.ready.set()
        journal = SegmentReader(paths.journal)
        retention = Retention(
            journal,
            verdicts,
            readers,
            partial(read_cursor, paths.ledger),
            RetentionSettings(config.journal_keep_seconds, config.disk_reserve_bytes),
        )
        self._station = JudgingStation(
            journal,
            DedupIndex(paths.dedup, horizon_days=config.dedup_days),
            verdicts,
            retention,
            self._stopping,
            say_failed=self._state.say_failed,
        )
        self._station.run()
        for opened in (retention, journal, verdicts, readers):
            opened.close()


def _prepare_store(orders: Orders, stopping: threading.Event, state: LoaderState) -> bool:
    """Wait for the store and bring its format up to date; False when told to stop."""
    postponed: list[str] = []
    reserve = 2 * orders.config.disk_reserve_bytes
    options = CopyOptions(stopping, state.say_copied, postponed.append, reserve)
    with StoreClient(orders.store_url, INTERNAL_USER, orders.store_password, timeout=_COPY_SECONDS) as store:
        while not stopping.is_set():
            try:
                run_migrations(store, options=options)
            except StoreUnavailable as error:
                state.say_failed(error.message)
                stopping.wait(0.1)
            except StoreError as error:
                # Judging goes on meanwhile.
                log.warning(
                    "store_not_prepared", error=str(error), retry_in_s=_PAUSE, fix="see the store's log lines"
                )
                state.say_failed(error.message)
                stopping.wait(_PAUSE)
            except CopyStopped:
                return False
            else:
                state.say_copy_over("".join(postponed))
                return True
    return False


def _load(
    orders: Orders,
    stopping: threading.Event,
    state: LoaderState,
    say_ready: Callable[[], None],
    judging: _Judging,
) -> None:
    config = orders.config
    paths = find_paths(config.data)
    limits = Limits(config.quarantine_bytes, config.quarantine_days, trace_days=config.trace_days)
    book = Book(paths.ledger, limits)
    store = StoreClient(orders.store_url, INTERNAL_USER, orders.store_password)
    judging.ready.wait()
    say_ready()
    loader = Loader(
        JudgedReader(paths.journal),
        Inserter(store, stopping, state),
        book,
        stopping,
        LoaderSettings(linger_seconds=config.loader_linger_seconds),
        state=state,
        judge_now=judging.judge_now,
        find_horizon=judging.find_horizon,
    )
    loader.run()
    book.close()
    store.close()
