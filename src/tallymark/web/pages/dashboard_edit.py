"""Changing dashboards in the pages: make one, add a panel, arrange, remove, embed. Forms only, so that a keyboard does.

What the mouse drags is sent as the same form. Each form says which version of the dashboard it was made from; when
somebody else was quicker nothing is overwritten.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
from litestar import Request, Response
from litestar.handlers import HTTPRouteHandler

from tallymark.errors import RequestRefused
from tallymark.plan.kinds import BY_NAME
from tallymark.plan.kinds.dashboard import COLUMNS, MAX_PANELS, Dashboard, Panel
from tallymark.plan.objects import parse_object
from tallymark.web.answers import parse_count
from tallymark.web.boards import find_dashboard, parse_gone
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
# As in the type of a panel.
_NARROWEST, _TALLEST = 2, 10


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
        await services.read(
            visit.project,
            save_object,
            services,
            visit.project,
            _KIND,
            dashboard,
            seen=0,
            who=visit.session.person,
        )
        return _go(visit, dashboard.name)

    @post_page("/dashboard/add")
    async def add_panel(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Put a metric on a dashboard as a panel of the chosen kind."""
        visit = await open_form(request, services)
        metric, kind = visit.fields.get("metric", ""), visit.fields.get("kind", "")
        breakdown = visit.fields.get("by", "").replace(",", " ").split()
        change = _change(
            services,
            visit,
            lambda dashboard: (*dashboard.panels, build_panel(dashboard, metric, kind, breakdown)),
        )
        return await _lead_back(visit, change)

    @post_page("/dashboard/arrange")
    async def arrange(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Move or resize one panel: by a step, or to the place `to` and the size `width` and `height`.

        `remove` only marks it, for the page that follows; `save` takes the marked ones, `gone`, away.
        """
        visit = await open_form(request, services)
        name, action = visit.fields.get("panel", ""), visit.fields.get("action", "")
        if action == "remove":
            gone = (*parse_gone(visit.fields), name)
            return _go(visit, visit.fields.get("name", ""), f"{name}:{action}", gone)
        change = _change(
            services,
            visit,
            lambda dashboard: arrange_panels(dashboard.panels, name, action, visit.fields),
            pressed=f"{name}:{action}",
        )
        return await _lead_back(visit, change)

    @post_page("/dashboard/remove")
    async def remove_dashboard(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Remove a dashboard that was made here."""
        visit = await open_form(request, services)
        return await _lead_back(visit, _remove(services, visit))

    @post_page("/dashboard/embed")
    async def embed_panel(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Make an address for one panel, and show it."""
        visit = await open_form(request, services)
        return await _lead_back(visit, _embed(services, visit))

    return [make_dashboard, add_panel, arrange, remove_dashboard, embed_panel]


def build_panel(dashboard: Dashboard, metric: str, kind: str, breakdown: Sequence[str]) -> Panel:
    """Return a panel of a metric under a name that is free on the dashboard; raises RequestRefused (invalid_definition)."""
    if len(dashboard.panels) >= MAX_PANELS:
        message = f"The dashboard has {MAX_PANELS} panels, the most that one can have. Remove one first."
        raise RequestRefused("invalid_definition", message, at="panels")
    taken = {panel.name for panel in dashboard.panels}
    base = metric[:56] or "panel"
    name = next(one for one in (base, *(f"{base}_{n}" for n in range(2, 99))) if one not in taken)
    width, height = _SIZES.get(kind, (6, 4))
    sizes = {"width": width, "height": height}
    given = {"name": name, "kind": kind, "metrics": [metric], "breakdown": list(breakdown), **sizes}
    try:
        return msgspec.convert(given, Panel)
    except msgspec.ValidationError as error:
        raise RequestRefused("invalid_definition", str(error), at="panel") from None


def arrange_panels(
    panels: tuple[Panel, ...], name: str, action: str, fields: Mapping[str, str]
) -> tuple[Panel, ...]:
    """Return the panels with one moved (earlier, later, place) or resized (wider, narrower, taller, lower, size).

    `place` reads the place from `to`, counted from 1, `size` reads `width` and `height`. `save` takes those in `gone` away.
    """
    if action == "save":
        gone = parse_gone(fields)
        return tuple(panel for panel in panels if panel.name not in gone)
    at = next((number for number, panel in enumerate(panels) if panel.name == name), None)
    if at is None:
        raise RequestRefused("not_found", f"There is no panel {name[:80]!r}.", at="panel")
    panel, others = panels[at], [one for one in panels if one.name != name]
    steps = {"earlier": at - 1, "later": at + 1}
    if action in steps or action == "place":
        wanted = steps[action] if action in steps else _parse_number(fields, "to", 1, len(panels)) - 1
        others.insert(max(0, min(len(others), wanted)), panel)
        return tuple(others)
    width, height = panel.width, panel.height
    sizes = {
        "wider": (min(COLUMNS, width + 1), height),
        "narrower": (max(_NARROWEST, width - 1), height),
        "taller": (width, min(_TALLEST, height + 1)),
        "lower": (width, max(1, height - 1)),
    }
    if action == "size":
        width = _parse_number(fields, "width", _NARROWEST, COLUMNS)
        height = _parse_number(fields, "height", 1, _TALLEST)
    elif action in sizes:
        width, height = sizes[action]
    else:
        allowed = ", ".join([*steps, "place", *sizes, "size", "remove", "save"])
        raise RequestRefused("invalid_request", f"{action[:40]!r} is none of {allowed}.", at="action")
    others.insert(at, msgspec.structs.replace(panel, width=width, height=height))
    return tuple(others)


def _parse_number(fields: Mapping[str, str], name: str, least: int, most: int) -> int:
    text = fields.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) < 6 and least <= int(text) <= most):
        raise RequestRefused(
            "invalid_request", f"{text[:40]!r} is no number from {least} to {most}.", at=name
        )
    return int(text)


async def _change(
    services: Services,
    visit: Visit,
    build: Callable[[Dashboard], tuple[Panel, ...]],
    pressed: str = "",
) -> Response[bytes]:
    """Write a dashboard with other panels, over the version that the form was made from.

    `pressed` is `panel:action`, the button that has the focus on the next page.
    """
    name = visit.fields.get("name", "")
    found, dashboard = await services.read(visit.project, find_dashboard, services, visit.project, name)
    changed = msgspec.structs.replace(dashboard, panels=build(dashboard))
    # A form that does not say a version adds to whatever is there.
    seen = parse_count(visit.fields.get("version"), "version", found.version, 2**31)
    await services.read(
        visit.project,
        save_object,
        services,
        visit.project,
        _KIND,
        changed,
        seen=seen,
        who=visit.session.person,
    )
    kept = {panel.name for panel in changed.panels}
    gone = tuple(one for one in parse_gone(visit.fields) if one in kept)
    return _go(visit, name, pressed if changed.panels else "", gone)


async def _remove(services: Services, visit: Visit) -> Response[bytes]:
    name, who = visit.fields.get("name", ""), visit.session.person
    seen = parse_count(visit.fields.get("version"), "version", 0, 2**31)
    await services.read(
        visit.project, remove_object, services, visit.project, _KIND, name, seen=seen, who=who
    )
    return render_move(build_link("/dashboards", project=visit.project))


async def _embed(services: Services, visit: Visit) -> Response[bytes]:
    order = EmbedOrder(visit.fields.get("name", ""), visit.fields.get("panel", ""), days=_EMBED_DAYS)
    embed = await services.read(
        visit.project, create_embed, services, visit.project, order, visit.session.person
    )
    url = f"{visit.address}/embed/{sign_token(embed, services.secret)}"
    values = visit.page("/dashboards", url=url, embed=embed, framed=bool(services.embed_ancestors))
    return render_html(visit.request, "embed_made.html", values)


async def _lead_back(visit: Visit, change: Awaitable[Response[bytes]]) -> Response[bytes]:
    """Return what a form leads to; where it is refused a page that says why and leads back to its dashboard."""
    try:
        return await change
    except RequestRefused as refused:
        project, name = visit.project, visit.fields.get("name", "")
        gone = refused.code == "not_found" and refused.at != "panel"
        back = (
            build_link("/dashboard", project=project, name=name, edit=1),
            "Back to the dashboard as it is now",
        )
        ways = [(build_link("/dashboards", project=project), "Look through the dashboards")]
        values = {
            "title": "Nothing was changed",
            "code": refused.code,
            "message": refused.message,
            "at": refused.at,
            "ways": ways if gone else [back, *ways],
        }
        return render_html(visit.request, "error.html", values, refused.status)


def _go(visit: Visit, name: str, pressed: str = "", gone: Sequence[str] = ()) -> Response[bytes]:
    fields = {"project": visit.project, "name": name, "edit": 1, "pressed": pressed, "gone": " ".join(gone)}
    return render_move(build_link("/dashboard", fields))
