"""`/settings`: projects, the keys of one, and its privacy switches."""

from __future__ import annotations

from typing import Any, Final

from litestar import Request, Response
from litestar.handlers import HTTPRouteHandler

from tallymark.catalog.repository import SCOPES
from tallymark.errors import RequestRefused
from tallymark.rules.privacy import RULES
from tallymark.web.answers import parse_count
from tallymark.web.pages.html import build_link, render_html, render_move
from tallymark.web.pages.routes import get_page, post_page
from tallymark.web.pages.sessions import Visit, open_form, open_visit
from tallymark.web.pages.snippets import build_send_snippets
from tallymark.web.parameters import flag
from tallymark.web.services import Services

SCOPE_MEANINGS: Final = {
    "write": "sends events; may stand in a web page",
    "read": "asks questions, reads events and the ledger",
    "admin": "both, and keys and replays; never in a web page",
}
RULE_MEANINGS: Final = {
    "email": "E-mail addresses",
    "card": "Payment card numbers",
    "url_token": "Tokens, passwords and keys",
    "ip_address": "IP addresses",
    "user_agent": "User agents, down to browser, version and system",
}


def build_routes(services: Services) -> list[HTTPRouteHandler]:
    """Return the routes."""
    catalog = services.catalog

    async def answer(
        visit: Visit, *, made: str = "", refusal: RequestRefused | None = None
    ) -> Response[bytes]:
        keys = await services.read(visit.project, catalog.list_keys, visit.project)
        row = services.snapshots.current().projects[visit.project]
        values = visit.page(
            "/settings",
            keys=keys,
            row=row,
            scopes=SCOPE_MEANINGS,
            rules=[(rule, RULE_MEANINGS.get(rule, rule)) for rule in RULES],
            made=made,
            error={"at": refusal.at, "message": refusal.message} if refusal else None,
            saved=visit.request.method == "GET" and visit.fields.get("saved") == "1",
            snippets=build_send_snippets(visit.address) if made else [],
        )
        return render_html(visit.request, "settings.html", values, refusal.status if refusal else 200)

    async def done(visit: Visit, project: str = "") -> Response[bytes]:
        await services.read(visit.project, services.snapshots.look)
        return render_move(build_link("/settings", project=project or visit.project, saved=1))

    @get_page("/settings", flag("saved"))
    async def show_settings(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Show keys and switches of the project."""
        return await answer(await open_visit(request, services))

    @post_page("/settings/projects")
    async def make_project(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Make a project and go there."""
        visit = await open_form(request, services)
        name = visit.fields.get("name", "").strip()
        try:
            await services.read(visit.project, catalog.create_project, name)
        except RequestRefused as refusal:
            return await answer(visit, refusal=refusal)
        return await done(visit, name)

    @post_page("/settings/keys")
    async def make_key(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Make a key and show it, this once."""
        visit = await open_form(request, services)
        scope = visit.fields.get("scope", "")
        if scope not in SCOPES:
            raise RequestRefused("invalid_request", f"There is no scope {scope[:40]!r}.", at="scope")
        label = visit.fields.get("label", "").strip()[:128]
        key = await services.read(visit.project, catalog.create_key, visit.project, scope, label)
        await services.read(visit.project, services.snapshots.look)
        return await answer(visit, made=key)

    @post_page("/settings/keys/revoke")
    async def revoke_key(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Make a key useless at once."""
        visit = await open_form(request, services)
        identity = parse_count(visit.fields.get("id"), "id", 0, 2**31 - 1)
        await services.read(visit.project, catalog.revoke_key, identity, visit.project)
        return await done(visit)

    @post_page("/settings/privacy")
    async def change_privacy(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Switch privacy rules on and off."""
        visit = await open_form(request, services)
        off = [rule for rule in RULES if f"rule.{rule}" not in visit.fields]
        await services.read(visit.project, catalog.change_project, visit.project, privacy_off=off)
        return await done(visit)

    return [show_settings, make_project, make_key, revoke_key, change_privacy]
