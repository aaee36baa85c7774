"""`/needs`: what needs the person who is signed in. The home page's script fetches it as a part (`part=section`)."""

from __future__ import annotations

from typing import Any, Final

from litestar import Request, Response
from litestar.handlers import HTTPRouteHandler

from tallymark.web.judging import Judging
from tallymark.web.needs import MOST, follow_owners, gather_needs
from tallymark.web.pages.html import build_link, render_html, render_move
from tallymark.web.pages.metrics import UNUSED_DAYS
from tallymark.web.pages.routes import get_page, post_page
from tallymark.web.pages.sessions import open_form, open_visit
from tallymark.web.parameters import handled, one_of
from tallymark.web.services import Services

# What needs somebody, as a part of another page.
_SECTION: Final = "section"


def build_routes(services: Services) -> list[HTTPRouteHandler]:
    """Return the routes."""
    judging = Judging(services)

    @get_page("/needs", handled("tz"), one_of("part", (_SECTION,)))
    async def show_needs(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Show the person's metrics that are out of their usual range, and those that nobody looks at."""
        visit = await open_visit(request, services)
        zone = visit.fields.get("tz", "") or "UTC"
        needs = await services.needs.run(
            visit.project,
            gather_needs,
            services,
            judging,
            visit.project,
            visit.session.person,
            zone,
            UNUSED_DAYS,
        )
        is_part = visit.fields.get("part") == _SECTION
        values = visit.page("/", needs=needs, most=MOST, days=UNUSED_DAYS, at="" if is_part else "needs")
        return render_html(request, "needs_section.html" if is_part else "needs.html", values)

    @post_page("/needs/follow")
    async def follow(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Let the person look after the chosen owners, and go back to where the form was."""
        visit = await open_form(request, services)
        marks = [value for name, value in visit.pairs if name == "owner"]
        await services.read(
            visit.project, follow_owners, services, visit.project, visit.session.person, marks
        )
        path = "/needs" if visit.fields.get("at") == "needs" else "/"
        return render_move(build_link(path, project=visit.project) + "#needs")

    return [show_needs, follow]
