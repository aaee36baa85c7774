"""Allowing a panel to be shown elsewhere: the order, its checks, the embed. The API and the pages call it; blocking."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import msgspec

from tallymark.catalog.embeds import Embed
from tallymark.errors import RequestRefused
from tallymark.plan.kinds.dashboard import Dashboard
from tallymark.plan.objects import decode_object
from tallymark.queries.filters import build_filters
from tallymark.queries.question import Filters
from tallymark.queries.sql import Parameters
from tallymark.web.services import Services


class EmbedOrder(msgspec.Struct, forbid_unknown_fields=True):
    """A panel to be shown for so many days, under conditions that its viewers cannot lift."""

    dashboard: str
    panel: str
    filters: Filters = ()
    days: Annotated[int, msgspec.Meta(ge=1, le=3660)] = 365


def create_embed(services: Services, project: str, order: EmbedOrder, who: str) -> Embed:
    """Allow a panel to be shown; blocking. Raises RequestRefused for a panel that there is not, or a bad condition."""
    definition = services.definitions.find(project, "dashboard", order.dashboard)
    dashboard: Dashboard | None = decode_object("dashboard", definition.body) if definition else None
    if dashboard is None:
        raise RequestRefused("not_found", f"There is no dashboard {order.dashboard[:80]!r}.", at="dashboard")
    names = [panel.name for panel in dashboard.panels]
    if order.panel not in names:
        message = f"There is no panel {order.panel[:80]!r}. Panels: {', '.join(names)}."
        raise RequestRefused("not_found", message, at="panel")
    build_filters(order.filters, "filters", Parameters())
    expires = services.clock.now() + timedelta(days=order.days)
    filters = msgspec.json.encode(order.filters).decode()
    return services.embeds.create(project, dashboard.name, order.panel, filters, who, expires)
