"""The pages for people, one module per place. Each offers `build_routes(services)`; they are joined here.

Sessions only, never keys; see docs/pages.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from litestar.handlers import HTTPRouteHandler

from tallymark.web.pages import (
    alerts,
    dashboard_edit,
    dashboards,
    definition_edit,
    embeds,
    events,
    explore,
    home,
    metrics,
    needs,
    quarantine,
    settings,
    sign_in,
    static,
)
from tallymark.web.services import Services

_ROUTES: Final[tuple[Callable[[Services], list[HTTPRouteHandler]], ...]] = (
    static.build_routes,
    sign_in.build_routes,
    home.build_routes,
    needs.build_routes,
    events.build_routes,
    quarantine.build_routes,
    explore.build_routes,
    dashboards.build_routes,
    dashboard_edit.build_routes,
    embeds.build_routes,
    metrics.build_routes,
    definition_edit.build_routes,
    alerts.build_routes,
    settings.build_routes,
)


def build_routes(services: Services) -> list[HTTPRouteHandler]:
    """Return the routes of all pages."""
    return [route for build in _ROUTES for route in build(services)]
