"""The wiring of the `web` process: read it first. It opens what the rooms need, joins them, and serves.

Journal, acceptor and intake on the one side; store, ledger and pages on the other. They meet here and nowhere
else.
"""

from __future__ import annotations

import asyncio
import gc
import resource
import signal
import sys
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any, cast

import structlog
import uvloop
from litestar import Litestar

from tallymark.catalog.repository import Catalog
from tallymark.catalog.snapshot import LOOK_EVERY_SECONDS, SnapshotSource
from tallymark.catalog.tables import open_engine, sqlite_url
from tallymark.intake.accept import Acceptor
from tallymark.intake.app import Intake
from tallymark.intake.limits import MOST_REQUESTS, IntakeLimits
from tallymark.intake.replay import Replayer
from tallymark.journal.reader import SegmentReader
from tallymark.journal.segments import SegmentWriter
from tallymark.journal.verdicts import VerdictReader
from tallymark.ledger.report import read_cursor
from tallymark.ledger.tail import Tail
from tallymark.networks import parse_networks
from tallymark.queries.ask import Limits
from tallymark.server.address import format_address
from tallymark.server.alert_events import AlertEvents
from tallymark.server.config import Config
from tallymark.server.http.asgi import ASGIApp
from tallymark.server.http.bounds import Bounds, fit_bounds
from tallymark.server.http.request import Request, Taker
from tallymark.server.http.server import HttpServer
from tallymark.server.http.serving import Opener
from tallymark.server.orders import Orders, find_paths
from tallymark.server.own_numbers import OwnNumbers
from tallymark.store.client import StoreClient
from tallymark.store.requests import INTERNAL_USER
from tallymark.web.app import build_app
from tallymark.web.desk import open_desk
from tallymark.web.disconnects import end_with_client
from tallymark.web.prefix import add_prefix, parse_prefix, remove_prefix
from tallymark.web.services import Services

log = structlog.get_logger("tallymark.web")


def build_services(orders: Orders, connections: int) -> tuple[Intake, Services]:
    """Open everything that the web process works with; so many connections may be open at once."""
    config = orders.config
    paths = find_paths(config.data)
    catalog = Catalog(open_engine(config.catalog_url or sqlite_url(Path(config.data))))
    secret = bytes.fromhex(catalog.fact("secret") or "")
    journal = SegmentWriter(
        paths.journal,
        at_least=max(read_cursor(paths.ledger), VerdictReader(paths.journal).end()),
        segment_bytes=config.journal_segment_bytes,
        max_waiting_bytes=config.journal_queue_bytes,
        reserve_bytes=config.disk_reserve_bytes,
    )
    acceptor = Acceptor(journal, seed=int.from_bytes(secret[:8], "little"))
    snapshots = SnapshotSource(catalog)
    proxies = parse_networks(config.trusted_proxies)
    limits = build_limits(config, connections)
    intake = Intake(journal, acceptor, snapshots, secret, limits, trusted_proxies=proxies)
    store = StoreClient(orders.store_url, INTERNAL_USER, orders.store_password)
    services = Services(
        catalog=catalog,
        snapshots=snapshots,
        journal=journal,
        journal_folder=paths.journal,
        replayer=Replayer(acceptor, paths.ledger, SegmentReader(paths.journal)),
        tail=Tail(paths.journal),
        ledger=paths.ledger,
        store=store,
        store_url=orders.store_url,
        store_password=orders.store_password,
        privacy_rules=intake.privacy_rules,
        desk=open_desk(catalog, Path(config.data), config.list_inward()),
        secret=secret,
        public_url=config.public_url,
        embed_ancestors=config.embed_ancestors,
        trusted_proxies=proxies,
        query_limits=Limits(config.query_seconds, config.find_query_memory(), config.query_rows),
        stalled_seconds=config.stalled_seconds,
        disk_reserve_bytes=config.disk_reserve_bytes,
    )
    return intake, services


def build_limits(config: Config, connections: int) -> IntakeLimits:
    """Take the intake's bounds from the settings. Its requests hold half of the connections at most: others have theirs."""
    return IntakeLimits(
        body_bytes=config.body_bytes,
        text_bytes=config.text_bytes,
        events=config.batch_events,
        chunk_seconds=config.body_chunk_seconds,
        body_seconds=config.body_seconds,
        memory_bytes=config.intake_memory_bytes,
        requests=min(MOST_REQUESTS, max(2, connections // 2)),
    )


def build_application(orders: Orders, connections: int) -> tuple[Litestar, Intake, Services]:
    """Build what the web process serves: the framework for pages and API, the intake for receivers' addresses."""
    intake, services = build_services(orders, connections)
    return build_app(services), intake, services


def find_inside(opener: Opener, prefix: str) -> Opener:
    """Return the opener behind the path of the public address: what it leaves to the framework is inside, too."""
    if not prefix:
        return opener

    def open_inside(request: Request) -> Taker | None:
        request.path = remove_prefix(request.path, prefix)
        return opener(request)

    return open_inside


def answer_heads(framework: ASGIApp) -> ASGIApp:
    """Answer HEAD as GET: the server sends the head alone."""

    async def application(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        if scope.get("method") == "HEAD":
            scope = {**scope, "method": "GET"}
        await framework(scope, receive, send)

    return application


def serve_web(orders: Orders, say_ready: Callable[[str], None]) -> None:
    """Serve until SIGTERM; then finish the requests that are under way and close the journal."""
    # Its event loop halves the cost of a request: docs/decisions/0007-http-server.md.
    uvloop.run(_serve(orders, say_ready))


async def _serve(orders: Orders, say_ready: Callable[[str], None]) -> None:
    config = orders.config
    bounds = fit_bounds(
        Bounds(connections=config.connections, per_address=config.address_connections),
        allow_descriptors(config.connections),
    )
    framework, intake, services = build_application(orders, bounds.connections)
    server = HttpServer(
        end_with_client(
            answer_heads(add_prefix(cast("ASGIApp", framework), parse_prefix(config.public_url)))
        ),
        find_inside(intake.open, parse_prefix(config.public_url)),
        bounds,
        on_turned_away=lambda code: intake.turn_away("", code),
    )
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    background = [
        asyncio.create_task(intake.keep_counting()),
        asyncio.create_task(_keep_looking(services.snapshots)),
        asyncio.create_task(services.uses.keep_writing()),
        asyncio.create_task(AlertEvents(intake, services.desk.book).keep_recording()),
    ]
    own = OwnNumbers(config, intake, services) if config.own_project else None
    if own is not None:
        own.start()
    port = await server.start(config.host, config.port)
    _tune_interpreter()
    say_ready(format_address(config.host, port))
    await stopping.wait()
    for task in background:
        task.cancel()
    await server.stop()
    await intake.write_turned_away()
    if own is not None:
        await own.finish()
    await intake.acceptor.drain()
    intake.close_workers()
    intake.journal.close()
    services.uses.write()
    services.close()


async def _keep_looking(snapshots: SnapshotSource) -> None:
    """Look for changes of the catalog a few times a second, beside the loop: the catalog may be slow, or away."""
    while True:
        await asyncio.sleep(LOOK_EVERY_SECONDS)
        try:
            await asyncio.to_thread(snapshots.look)
        except Exception:
            log.exception("catalog_not_read", fix="the server goes on with the keys that it knows")


def allow_descriptors(connections: int) -> int:
    """Raise the limit on open files, since a connection takes one and the usual soft limit is 1024; return the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max(2 * connections, 1024)
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return wanted if soft == resource.RLIM_INFINITY else soft


def _tune_interpreter() -> None:
    """Hand the interpreter over sooner, and keep its garbage collector from walking the whole program all the time.

    Decoding makes thousands of short-lived objects and no cycles; what stands at this point stays for good.
    """
    # The journal's thread wakes after each fsync with requests to answer: it must not wait for its turn as long as
    # the interpreter would have it wait by default, 5 ms.
    sys.setswitchinterval(0.001)
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
