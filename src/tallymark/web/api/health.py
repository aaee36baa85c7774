"""Is the server alive, is it ready, and numbers for Prometheus.

No key is needed for what is nobody's; with one `/metrics` also gives the project's chosen metrics.
"""

from __future__ import annotations

import time
from typing import Any

import msgspec
from litestar import Request, Response, get
from litestar.handlers import HTTPRouteHandler
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from tallymark.errors import RequestRefused
from tallymark.intake.auth import parse_key
from tallymark.ledger.report import count_lag
from tallymark.loader.state import LoaderStanding, describe, find_stall, read_loader_report
from tallymark.meters import LOADER_LAG_EVENTS, REGISTRY
from tallymark.web.access import require_key
from tallymark.web.answers import render_json
from tallymark.web.asking import open_asker
from tallymark.web.scrape import list_chosen, render_scrape
from tallymark.web.services import Services


class Readiness(msgspec.Struct):
    """What `GET /readyz` answers. Lag: events in the journal that are not in the store, and the oldest's age.

    `loader` is working, retrying, copying or stalled; `loader_message` says how far, or what it last met, and
    `loader_share` how much of a copy is done, from 0 to 1.
    """

    ready: bool
    journal: str
    store: str
    lag_events: int
    lag_seconds: float
    loader: str = "working"
    loader_message: str = ""
    loader_share: float | None = None


def read_readiness(services: Services) -> Readiness:
    """Look at journal, store and lag; blocking."""
    journal = "writable"
    try:
        services.journal.check()
    except RequestRefused as refusal:
        journal = refusal.code
    store = "reachable" if services.store.ping() else "unreachable"
    events, oldest_us = count_lag(services.ledger, services.tail)
    LOADER_LAG_EVENTS.set(events)
    age = max(0.0, time.time() - oldest_us / 1_000_000) if events else 0.0
    loader = _read_loader(services, events, oldest_us)
    ready = journal == "writable" and store == "reachable" and loader.word != "stalled"
    lag = (events, round(age, 3))
    return Readiness(ready, journal, store, *lag, loader.word, loader.message, loader.share)


def _read_loader(services: Services, events: int, oldest_us: int) -> LoaderStanding:
    report = read_loader_report(services.ledger.parent)
    now = services.clock.now()
    stall = find_stall(report, (events, oldest_us), now, services.started, services.stalled_seconds)
    return describe(report, stall)


def build_routes(services: Services) -> list[HTTPRouteHandler]:
    """Return the routes."""

    @get("/healthz", summary="Alive?", tags=["health"], security=[{}])
    async def get_health() -> Response[bytes]:
        """Answer 200 as long as the process serves."""
        return render_json({"alive": True})

    @get("/readyz", summary="Ready?", tags=["health"], security=[{}])
    async def get_readiness() -> Response[bytes]:
        """Answer 200 when the journal can be written, the store be reached and the loader gets on, else 503; says the lag."""
        readiness = await services.run_health(read_readiness, services)
        return render_json(readiness, 200 if readiness.ready else 503)

    @get(
        "/metrics", summary="Numbers for Prometheus", tags=["health"], security=[{}], media_type="text/plain"
    )
    async def get_metrics(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Return the server's own numbers, and with a read key the project's chosen metrics, in Prometheus' text format."""
        text = generate_latest(REGISTRY)
        if parse_key(request.headers.get("authorization"), request.query_params):
            holder = require_key(request, services, "read")
            asker = await services.run(open_asker, services, holder.project)
            for metric in list_chosen(asker):
                services.uses.note(holder.project, "metric", metric.name, "Prometheus")
            text += await services.run(render_scrape, asker, services.clock.now())
        return Response(text, headers={"Content-Type": CONTENT_TYPE_LATEST})

    return [get_health, get_readiness, get_metrics]
