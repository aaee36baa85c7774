"""Is the server alive, is it ready, and numbers for Prometheus.

No key is needed for what is nobody's; with one `/metrics` also gives the project's chosen metrics.
"""

from __future__ import annotations

import time
from typing import Any

import msgspec
from litestar import Request, Response, get
from litestar.handlers import HTTPRouteHandler

from tallymark.errors import RequestRefused
from tallymark.intake.auth import parse_key
from tallymark.ledger.report import count_lag
from tallymark.meters import LOADER_LAG_EVENTS, REGISTRY
from tallymark.web.access import require_key
from tallymark.web.answers import render_json
from tallymark.web.asking import open_asker
from tallymark.web.probe import Probe
from tallymark.web.scrape import list_chosen, read_scrape, render_exposition
from tallymark.web.services import Services

# Within so long `/readyz` answers, whatever hangs.
READY_SECONDS = 5.0


class Readiness(msgspec.Struct):
    """What `GET /readyz` answers. Lag: events in the journal that are not in the store, and the oldest's age.

    `problem` says why nothing is known.
    """

    ready: bool
    journal: str
    store: str
    lag_events: int
    lag_seconds: float
    problem: str = ""


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


def render_silence(seconds: float) -> Readiness:
    """Return what is said while the check hangs. All that it asks but the disk answers, or is given up, within its time."""
    problem = f"The check has not ended for {seconds:.0f} s: the disk under the data folder does not answer."
    return Readiness(
        ready=False, journal="unknown", store="unknown", lag_events=0, lag_seconds=0.0, problem=problem
    )


def build_routes(services: Services) -> list[HTTPRouteHandler]:
    """Return the routes."""
    probe = Probe(lambda: read_readiness(services), READY_SECONDS)

    @get("/healthz", summary="Alive?", tags=["health"], security=[{}])
    async def get_health() -> Response[bytes]:
        """Answer 200 as long as the process serves."""
        return render_json({"alive": True})

    @get("/readyz", summary="Ready?", tags=["health"], security=[{}])
    async def get_readiness() -> Response[bytes]:
        """Answer 200 when the journal can be written and the store be reached, else 503; says the lag."""
        readiness = await probe.ask() or render_silence(probe.hanging_seconds)
        return render_json(readiness, 200 if readiness.ready else 503)

    @get(
        "/metrics", summary="Numbers for Prometheus", tags=["health"], security=[{}], media_type="text/plain"
    )
    async def get_metrics(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Return the server's own numbers, and with a read key the project's chosen metrics.

        In Prometheus' text format, or in OpenMetrics where Accept asks for that.
        """
        registries = [REGISTRY]
        if parse_key(request.headers.get("authorization"), request.query_params):
            holder = require_key(request, services, "read")
            asker = await services.run(open_asker, services, holder.project)
            for metric in list_chosen(asker):
                services.uses.note(holder.project, "metric", metric.name, "Prometheus")
            registries.append(await services.run(read_scrape, asker, services.clock.now()))
        text, media_type = render_exposition(registries, request.headers.get("accept", ""))
        return Response(text, headers={"Content-Type": media_type})

    return [get_health, get_readiness, get_metrics]
