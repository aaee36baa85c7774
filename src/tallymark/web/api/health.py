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
from tallymark.meters import LOADER_LAG_EVENTS, REGISTRY
from tallymark.web.access import require_key
from tallymark.web.answers import render_json
from tallymark.web.asking import open_asker
from tallymark.web.parameters import ANYTHING, KEY
from tallymark.web.scrape import list_chosen, render_scrape
from tallymark.web.services import Services


class Readiness(msgspec.Struct):
    """What `GET /readyz` answers. Lag: events in the journal that are not in the store, and the oldest's age."""

    ready: bool
    journal: str
    store: str
    lag_events: int
    lag_seconds: float


def read_readiness(services: Services) -> Readiness:
    """Look at journal, store and lag; blocking."""
    journal = "writable"
    try:
        services.journal.check()
    except RequestRefused as refusal:
        journal = refusal.code
    store = "reachable" if services.store.ping() else "unreachable"
    events, oldest_us = count_lag(services.ledger, services.tail) if services.ledger.exists() else (0, 0)
    LOADER_LAG_EVENTS.set(events)
    age = max(0.0, time.time() - oldest_us / 1_000_000) if events else 0.0
    ready = journal == "writable" and store == "reachable"
    return Readiness(ready, journal, store, events, round(age, 3))


def build_routes(services: Services) -> list[HTTPRouteHandler]:
    """Return the routes."""

    @get("/healthz", summary="Alive?", tags=["health"], security=[{}], takes=ANYTHING)
    async def get_health() -> Response[bytes]:
        """Answer 200 as long as the process serves."""
        return render_json({"alive": True})

    @get("/readyz", summary="Ready?", tags=["health"], security=[{}], takes=ANYTHING)
    async def get_readiness() -> Response[bytes]:
        """Answer 200 when the journal can be written and the store be reached, else 503; says the lag."""
        readiness = await services.run_health(read_readiness, services)
        return render_json(readiness, 200 if readiness.ready else 503)

    @get(
        "/metrics",
        summary="Numbers for Prometheus",
        tags=["health"],
        security=[{}],
        media_type="text/plain",
        takes=(KEY,),
    )
    async def get_metrics(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Return the server's own numbers, and with a read key the project's chosen metrics, in Prometheus' text format."""
        text = generate_latest(REGISTRY)
        if parse_key(request.headers.get("authorization"), request.query_params):
            holder = require_key(request, services, "read")
            asker = await services.read(holder.project, open_asker, services, holder.project)
            for metric in list_chosen(asker):
                services.uses.note(holder.project, "metric", metric.name, "Prometheus")
            text += await services.ask(holder.project, render_scrape, asker, services.clock.now())
        return Response(text, headers={"Content-Type": CONTENT_TYPE_LATEST})

    return [get_health, get_readiness, get_metrics]
