"""Changing dashboards in the pages: make one, add a panel, arrange, remove, embed. Forms only, so that a keyboard does.

Each form says which version of the dashboard it was made from; when somebody else was quicker nothing is overwritten.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec
from litestar import Request, Response
from litestar.handlers import HTTPRouteHandler

from tallymark.errors import RequestRefused
from tallymark.plan.kinds import BY_NAME
from tallymark.plan.kinds.dashboard import COLUMNS, Dashboard, Panel
from tallymark.plan.objects import parse_object
from tallymark.web.answers import parse_count
from tallymark.web.boards import find_dashboard
from tallymark.web.defining import remove_object, save_object
from tallymark.web.embed_tokens import sign_token
from tallymark.web.embedding import EmbedOrder, create_embed
from tallymark.web.pages.html import build_link, render_html, render_move
from tallymark.web.pages.routes import post_page
from tallymark.web.pages.sessions import Visit, open_form
from tallymark.web.services import Services

_KIND: Final = BY_NAME["dashboard"]
_SIZES: Final[dict[str, tuple[int, int]]] = {"number": (3, 2), "table": (6, 4), "funnel": (6, 4)}
_EMBED_DAYS: Final = 365


def build_routes(services: Services) -> list[HTTPRouteHandler]:
    """Return the routes."""

    @post_page("/dashboard/make")
    async def make_dashboard(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Make an empty dashboard of the last 30 days, and go there."""
        visit = await open_form(request, services)
        given = {
            "name": visit.fields.get("name", "").strip(),
            "title": visit.fields.get("title", "").strip(),
            "last": "30d",
        }
        dashboard = parse_object(_KIND, given)
        await services.run(
            save_object, services, visit.project, _KIND, dashboard, seen=0, who=visit.session.person
        )
        return _go(visit, dashboard.name)

    @post_page("/dashboard/add")
    async def add_panel(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Put a metric on a dashboard as a panel of the chosen kind."""
        visit = await open_form(request, services)
        fields = visit.fields
        width, height = _SIZES.get(fields.get("kind", ""), (6, 4))
        wanted = {
            "kind": fields.get("kind", ""),
            "metrics": [fields.get("metric", "")],
            "breakdown": fields.get("by", "").replace(",", " ").split(),
            "width": width,
            "height": height,
        }

        def add(dashboard: Dashboard) -> tuple[Panel, ...]:
            taken = {panel.name for panel in dashboard.panels}
            base = fields.get("metric", "")[:56] or "panel"
            name = next(one for one in (base, *(f"{base}_{n}" for n in range(2, 99))) if one not in taken)
            try:
                return (*dashboard.panels, msgspec.convert({**wanted, "name": name}, Panel))
            except msgspec.ValidationError as error:
                raise RequestRefused("invalid_definition", str(error), at="panel") from None

        return await _change(services, visit, add)

    @post_page("/dashboard/arrange")
    async def arrange(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Move, widen, narrow, heighten, lower or remove one panel."""
        visit = await open_form(request, services)
        name, action = visit.fields.get("panel", ""), visit.fields.get("action", "")
        return await _change(
            services, visit, lambda dashboard: arrange_panels(dashboard.panels, name, action)
        )

    @post_page("/dashboard/remove")
    async def remove_dashboard(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Remove a dashboard that was made here."""
        visit = await open_form(request, services)
        name, who = visit.fields.get("name", ""), visit.session.person
        seen = parse_count(visit.fields.get("version"), "version", 0, 2**31)
        await services.run(remove_object, services, visit.project, _KIND, name, seen=seen, who=who)
        return render_move(build_link("/dashboards", project=visit.project))

    @post_page("/dashboard/embed")
    async def embed_panel(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Make an address for one panel, and show it."""
        visit = await open_form(request, services)
        order = EmbedOrder(visit.fields.get("name", ""), visit.fields.get("panel", ""), days=_EMBED_DAYS)
        embed = await services.run(create_embed, services, visit.project, order, visit.session.person)
        url = f"{visit.address}/embed/{sign_token(embed, services.secret)}"
        values = visit.page("/dashboards", url=url, embed=embed, framed=bool(services.embed_ancestors))
        return render_html(request, "embed_made.html", values)

    return [make_dashboard, add_panel, arrange, remove_dashboard, embed_panel]


def arrange_panels(panels: tuple[Panel, ...], name: str, action: str) -> tuple[Panel, ...]:
    """Return the panels with one moved (earlier, later), resized (wider, narrower, taller, lower) or removed."""
    place = next((number for number, panel in enumerate(panels) if panel.name == name), None)
    if place is None:
        raise RequestRefused("not_found", f"There is no panel {name[:80]!r}.", at="panel")
    panel, others = panels[place], [one for one in panels if one.name != name]
    if action == "remove":
        return tuple(others)
    moves = {"earlier": -1, "later": 1}
    if action in moves:
        others.insert(max(0, min(len(others), place + moves[action])), panel)
        return tuple(others)
    sizes = {
        "wider": {"width": min(COLUMNS, panel.width + 1)},
        "narrower": {"width": max(2, panel.width - 1)},
        "taller": {"height": min(10, panel.height + 1)},
        "lower": {"height": max(1, panel.height - 1)},
    }
    if action not in sizes:
        allowed = ", ".join([*moves, *sizes, "remove"])
        raise RequestRefused("invalid_request", f"{action[:40]!r} is none of {allowed}.", at="action")
    others.insert(place, msgspec.structs.replace(panel, **sizes[action]))
    return tuple(others)


async def _change(
    services: Services, visit: Visit, build: Callable[[Dashboard], tuple[Panel, ...]]
) -> Response[bytes]:
    """Write a dashboard with other panels, over the version that the form was made from."""
    name = visit.fields.get("name", "")
    found, dashboard = await services.run(find_dashboard, services, visit.project, name)
    changed = msgspec.structs.replace(dashboard, panels=build(dashboard))
    # A form that does not say a version adds to whatever is there.
    seen = parse_count(visit.fields.get("version"), "version", found.version, 2**31)
    await services.run(
        save_object, services, visit.project, _KIND, changed, seen=seen, who=visit.session.person
    )
    return _go(visit, name)


def _go(visit: Visit, name: str) -> Response[bytes]:
    return render_move(build_link("/dashboard", project=visit.project, name=name, edit=1))
