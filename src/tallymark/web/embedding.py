"""Allowing a panel to be shown elsewhere: the order, its checks, the embed. The API and the pages call it; blocking."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import msgspec

from tallymark.catalog.embeds import Embed
from tallymark.queries.filters import build_filters
from tallymark.queries.question import Filters
from tallymark.queries.sql import Parameters
from tallymark.web.boards import find_dashboard, find_panel
from tallymark.web.services import Services


class EmbedOrder(msgspec.Struct, forbid_unknown_fields=True):
    """A panel to be shown for so many days, under conditions that its viewers cannot lift."""

    dashboard: str
    panel: str
    filters: Filters = ()
    days: Annotated[int, msgspec.Meta(ge=1, le=3660)] = 365


def create_embed(services: Services, project: str, order: EmbedOrder, who: str) -> Embed:
    """Allow a panel to be shown; blocking. Raises RequestRefused for a panel that there is not, or a bad condition."""
    _, dashboard = find_dashboard(services, project, order.dashboard, at="dashboard")
    panel = find_panel(dashboard, order.panel)
    build_filters(order.filters, "filters", Parameters())
    expires = services.clock.now() + timedelta(days=order.days)
    filters = msgspec.json.encode(order.filters).decode()
    return services.embeds.create(project, dashboard.name, panel.name, filters, who, expires)
