"""The loader process, wired: waits for the store, brings its schema up to date, then loads until told to stop."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

from tallymark.dedup.index import DedupIndex
from tallymark.journal.reader import SegmentReader
from tallymark.ledger.book import Book, Limits
from tallymark.loader.insert import Inserter
from tallymark.loader.load import Loader, LoaderSettings
from tallymark.server.orders import Orders, find_paths
from tallymark.store.client import StoreClient
from tallymark.store.errors import StoreUnavailable
from tallymark.store.migrations import run_migrations
from tallymark.store.requests import INTERNAL_USER

log = structlog.get_logger("tallymark.loader")


def run_loading(orders: Orders, stopping: threading.Event, say_ready: Callable[[], None]) -> None:
    """Load the journal of this data folder; returns when `stopping` is set."""
    config = orders.config
    paths = find_paths(config.data)
    limits = Limits(config.quarantine_bytes, config.quarantine_days, trace_days=config.trace_days)
    book = Book(paths.ledger, limits)
    store = StoreClient(orders.store_url, INTERNAL_USER, orders.store_password)
    while not stopping.is_set():
        try:
            run_migrations(store)
            break
        except StoreUnavailable:
            stopping.wait(0.1)
    if stopping.is_set():
        return
    say_ready()
    loader = Loader(
        SegmentReader(paths.journal),
        DedupIndex(paths.dedup, horizon_days=config.dedup_days),
        Inserter(store, stopping),
        book,
        stopping,
        LoaderSettings(
            linger_seconds=config.loader_linger_seconds,
            keep_journal_seconds=config.journal_keep_seconds,
            disk_reserve_bytes=config.disk_reserve_bytes,
        ),
    )
    loader.run()
    book.close()
    store.close()
