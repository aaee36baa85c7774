"""The loader process, wired: waits for the store, brings its schema up to date, then loads until told to stop."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

from tallymark.dedup.index import DedupIndex
from tallymark.journal.reader import SegmentReader
from tallymark.ledger.book import Book, Limits
from tallymark.loader.insert import Inserter
from tallymark.loader.load import Loader, LoaderSettings
from tallymark.loader.state import LoaderState
from tallymark.server.orders import Orders, find_paths
from tallymark.store.client import StoreClient
from tallymark.store.copying import CopyOptions, CopyStopped
from tallymark.store.errors import StoreUnavailable
from tallymark.store.migrations import run_migrations
from tallymark.store.requests import INTERNAL_USER

log = structlog.get_logger("tallymark.loader")


# How long one statement of the copy of an older table may take, in seconds; the store ends it a little before.
_COPY_SECONDS: Final = 3700.0


def run_loading(orders: Orders, stopping: threading.Event, say_ready: Callable[[], None]) -> None:
    """Load the journal of this data folder; returns when `stopping` is set."""
    config = orders.config
    state = LoaderState(Path(config.data))
    try:
        if _prepare_store(orders, stopping, state):
            _load(orders, stopping, state, say_ready)
    except Exception as error:
        state.say_failed(f"{type(error).__name__}: {error}")
        raise


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
            except CopyStopped:
                return False
            else:
                state.say_copy_over("".join(postponed))
                return True
    return False


def _load(
    orders: Orders, stopping: threading.Event, state: LoaderState, say_ready: Callable[[], None]
) -> None:
    config = orders.config
    paths = find_paths(config.data)
    limits = Limits(config.quarantine_bytes, config.quarantine_days, trace_days=config.trace_days)
    book = Book(paths.ledger, limits)
    store = StoreClient(orders.store_url, INTERNAL_USER, orders.store_password)
    say_ready()
    loader = Loader(
        SegmentReader(paths.journal),
        DedupIndex(paths.dedup, horizon_days=config.dedup_days),
        Inserter(store, stopping, state),
        book,
        stopping,
        LoaderSettings(
            linger_seconds=config.loader_linger_seconds,
            keep_journal_seconds=config.journal_keep_seconds,
            disk_reserve_bytes=config.disk_reserve_bytes,
        ),
        state=state,
    )
    loader.run()
    book.close()
    store.close()
