"""`/embed/TOKEN`: one panel inside another site, and as a picture or figures where no script runs.

No cookie is read or set, no other page can be reached from here, and the token's fixed conditions hold whatever the
address says. Which sites may frame it is the setting `embed_ancestors`.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
import structlog
from litestar import Request, Response
from litestar.handlers import HTTPRouteHandler

from tallymark.catalog.embeds import Embed
from tallymark.errors import RequestRefused, TallymarkError
from tallymark.plan.kinds.dashboard import Panel
from tallymark.plan.kinds.metric import Span
from tallymark.queries.question import Filters
from tallymark.web.asking import Asker, open_asker
from tallymark.web.boards import find_dashboard, find_panel
from tallymark.web.embed_tokens import is_valid, parse_number
from tallymark.web.exports import (
    FORMATS_FOR_GUESTS,
    PICTURE,
    THEME,
    Exported,
    export_panel,
    make_view,
    show_guests,
)
from tallymark.web.pages.html import POLICY, environment
from tallymark.web.pages.routes import get_page
from tallymark.web.pages.static import runtime_version
from tallymark.web.panels import PanelOrder, View
from tallymark.web.parameters import ANYTHING, check_values
from tallymark.web.services import Services
from tallymark.web.spans import find_span, own_time

log = structlog.get_logger("tallymark.web")

_FAULT: Final = "A fault of ours. The server's log says more."
_OWN_ANCESTORS: Final = "frame-ancestors 'none'"


def build_routes(services: Services) -> list[HTTPRouteHandler]:
    """Return the routes."""
    headers = build_headers(services.embed_ancestors)

    @get_page("/embed/{token:str}", *ANYTHING)
    async def show_embed(request: Request[Any, Any, Any], token: str) -> Response[bytes]:
        """Show the panel alone; `?theme=dark` or light, else as the viewer's system says."""
        view, span, problem, status = None, None, "", 200
        try:
            check_values(request, (THEME,))
            order, view = await _open(services, token)
            span = order.span
        except TallymarkError as error:
            # Told inside the frame: an error page of ours would not be shown there.
            problem, status = error.message, error.status if isinstance(error, RequestRefused) else 503
        except Exception:
            log.exception("embed_failed")
            problem, status = _FAULT, 500
        theme = request.query_params.get("theme", "")
        values = {
            "view": view,
            "span": span,
            "problem": problem,
            "theme": theme if theme in THEME.values else "",
            "runtime": runtime_version(),
        }
        text = environment().get_template("embed.html").render(values)
        return Response(
            text.encode("utf-8", "replace"), status_code=status, media_type="text/html", headers=headers
        )

    @get_page("/embed/{token:str}/{file:str}", *ANYTHING)
    async def show_export(request: Request[Any, Any, Any], token: str, file: str) -> Response[bytes]:
        """Give the panel as `panel.svg`, `.png`, `.csv` or `.json`; see `exports`. What goes wrong is said as plain text."""
        kind = file.removeprefix("panel.")
        fields = dict(request.query_params)
        try:
            check_values(request, PICTURE)
            order, view = await _open(services, token, kind)
            made: Exported = await export_panel(order, view, kind, fields, FORMATS_FOR_GUESTS)
        except TallymarkError as error:
            return _say(error, headers)
        except Exception:
            log.exception("embed_failed", file=file)
            return _say(TallymarkError("internal_error", _FAULT), headers, 500)
        return Response(made.body, media_type=made.media_type, headers=headers)

    @get_page("/embed/{token:str}/{file:str}/{rest:path}", *ANYTHING)
    async def show_nothing(token: str, file: str, rest: str) -> Response[bytes]:
        """Say that there is nothing, without a link to any page."""
        del token, file, rest
        return _say(RequestRefused("not_found", "This address does not show anything."), headers)

    return [show_embed, show_export, show_nothing]


def _say(error: TallymarkError, headers: dict[str, str], status: int = 503) -> Response[bytes]:
    """Return what is wrong as text that leads nowhere: a page of ours would have links."""
    if isinstance(error, RequestRefused):
        status = error.status
        if error.retry_after is not None:
            headers = {**headers, "Retry-After": str(error.retry_after)}
    text = f"{error.at + ': ' if error.at else ''}{error.message}\n".encode("utf-8", "replace")
    return Response(text, status_code=status, media_type="text/plain", headers=headers)


def build_headers(ancestors: str) -> dict[str, str]:
    """Return the headers of an embed: any of the allowed sites may frame it, and pictures may be shown anywhere."""
    allowed = f"frame-ancestors {ancestors}" if ancestors else _OWN_ANCESTORS
    return {
        "Content-Security-Policy": POLICY.replace(_OWN_ANCESTORS, allowed),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Resource-Policy": "cross-origin",
        "Cache-Control": "no-store",
    }


async def _open(services: Services, token: str, kind: str = "") -> tuple[PanelOrder, View]:
    """Return what a token shows, for one of a panel's forms; raises RequestRefused (not_found) for one that is altered, over or revoked."""
    number = parse_number(token)
    embed = (
        await services.read(f"embed {number}", services.embeds.find, number) if number is not None else None
    )
    if embed is None or not is_valid(token, embed, services.secret, services.clock.now()):
        raise RequestRefused("not_found", "This address does not show anything, or not any more.")
    asker, panel, span = await services.read(embed.project, _read, services, embed)
    # Nothing leads from an embedded panel to any other page.
    order = PanelOrder(asker, panel, span, linked=False, sender=f"embed {embed.id}")
    view = show_guests(await make_view(order, kind))
    for metric in view.metrics:
        services.uses.note(embed.project, "metric", metric.name, "an embed")
    return order, view


def _read(services: Services, embed: Embed) -> tuple[Asker, Panel, Span]:
    try:
        _, dashboard = find_dashboard(services, embed.project, embed.dashboard)
        panel = find_panel(dashboard, embed.panel)
    except RequestRefused:
        # Names of what there is are nothing for a guest.
        raise RequestRefused("not_found", "The panel that this address showed is gone.") from None
    filters = msgspec.json.decode(embed.filters, type=Filters)
    span = find_span(own_time(dashboard), services.clock.now(), (*dashboard.filters, *filters))
    return open_asker(services, embed.project), panel, span
