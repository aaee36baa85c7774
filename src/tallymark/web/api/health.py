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
from tallymark.loader.state import LoaderStanding, describe, find_stall, read_loader_report
from tallymark.meters import LOADER_LAG_EVENTS, REGISTRY
from tallymark.web.access import require_key
from tallymark.web.answers import render_json
from tallymark.web.asking import open_asker
from tallymark.web.parameters import ANYTHING, KEY
from tallymark.web.probe import Probe
from tallymark.web.scrape import list_chosen, read_scrape, render_exposition
from tallymark.web.services import Services

# Within so long `/readyz` answers, whatever hangs.
READY_SECONDS = 5.0


class Readiness(msgspec.Struct):
    """What `GET /readyz` answers. Lag: events in the journal that are not in the store, and the oldest's age.

    `loader` is working, retrying, copying or stalled; `loader_message` says how far, or what it last met, and
    `loader_share` how much of a copy is done, from 0 to 1. `problem` says why nothing is known.
    """

    ready: bool
    journal: str
    store: str
    lag_events: int
    lag_seconds: float
    loader: str = "working"
    loader_message: str = ""
    loader_share: float | None = None
    problem: str = ""


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


def render_silence(seconds: float) -> Readiness:
    """Return what is said while the check hangs. All that it asks but the disk answers, or is given up, within its time."""
    problem = f"The check has not ended for {seconds:.0f} s: the disk under the data folder does not answer."
    return Readiness(
        ready=False, journal="unknown", store="unknown", lag_events=0, lag_seconds=0.0, problem=problem
    )


def build_routes(services: Services) -> list[HTTPRouteHandler]:
    """Return the routes."""
    probe = Probe(lambda: read_readiness(services), READY_SECONDS)

    @get("/healthz", summary="Alive?", tags=["health"], security=[{}], takes=ANYTHING)
    async def get_health() -> Response[bytes]:
        """Answer 200 as long as the process serves."""
        return render_json({"alive": True})

    @get("/readyz", summary="Ready?", tags=["health"], security=[{}], takes=ANYTHING)
    async def get_readiness() -> Response[bytes]:
        """Answer 200 when the journal can be written, the store be reached and the loader gets on, else 503; says the lag."""
        readiness = await probe.ask() or render_silence(probe.hanging_seconds)
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
        """Return the server's own numbers, and with a read key the project's chosen metrics.

        In Prometheus' text format, or in OpenMetrics where Accept asks for that.
        """
        registries = [REGISTRY]
        if parse_key(request.headers.get("authorization"), request.query_params):
            holder = require_key(request, services, "read")
            asker = await services.read(holder.project, open_asker, services, holder.project)
            for metric in list_chosen(asker):
                services.uses.note(holder.project, "metric", metric.name, "Prometheus")
            registries.append(await services.ask(holder.project, read_scrape, asker, services.clock.now()))
        text, media_type = render_exposition(registries, request.headers.get("accept", ""))
        return Response(text, headers={"Content-Type": media_type})

    return [get_health, get_readiness, get_metrics]
