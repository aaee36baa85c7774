"""The JSON API, one module per noun. Each offers `build_routes(services)`; `ROUTES` lists them all."""

from __future__ import annotations

from collections.abc import Callable

from litestar.handlers import HTTPRouteHandler

from tallymark.web.api import (
    alerts,
    clickhouse,
    definitions,
    embeds,
    events,
    figures,
    health,
    keys,
    ledger,
    plan,
    quarantine,
    questions,
)
from tallymark.web.services import Services

ROUTES: tuple[Callable[[Services], list[HTTPRouteHandler]], ...] = (
    health.build_routes,
    questions.build_routes,
    events.build_routes,
    ledger.build_routes,
    quarantine.build_routes,
    keys.build_routes,
    alerts.build_routes,
    definitions.build_routes,
    figures.build_routes,
    plan.build_routes,
    embeds.build_routes,
    clickhouse.build_routes,
)
