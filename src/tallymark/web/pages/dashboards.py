"""`/dashboards`: all of a project. `/dashboard`: one, with one time and one set of filters for all of its panels.

The whole state stands in the link. With `part=panels` the answer is the inside alone, which the page's script fetches again.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, get_args

import msgspec
from litestar import Request, Response
from litestar.handlers import HTTPRouteHandler

from tallymark.catalog.definitions import Definition
from tallymark.errors import RequestRefused, TallymarkError
from tallymark.plan.kinds.dashboard import Dashboard, Panel
from tallymark.plan.kinds.metric import Span
from tallymark.plan.objects import decode_object, render_yaml
from tallymark.queries.filters import build_filters as check_filters
from tallymark.queries.question import Filters, Interval
from tallymark.queries.sql import Parameters
from tallymark.web.asking import Asker, open_asker
from tallymark.web.bells import Bell, list_bells
from tallymark.web.boards import find_dashboard, find_panel, parse_gone
from tallymark.web.exports import FORMATS, PICTURE, export_panel, make_view
from tallymark.web.filter_rows import CONDITIONS, OPERATOR_WORDS, build_filters, find_row_input, parse_rows
from tallymark.web.pages.html import SECURITY_HEADERS, build_link, render_html
from tallymark.web.pages.routes import get_page
from tallymark.web.pages.sessions import Visit, open_visit
from tallymark.web.pages.static import runtime_version
from tallymark.web.panels import PanelOrder, View, build_busy_view, run_panel
from tallymark.web.parameters import flag, free, handled, one_of
from tallymark.web.services import Services
from tallymark.web.shades import Shade, find_shades
from tallymark.web.shares import RETRY_AFTER
from tallymark.web.spans import PRESETS, TIMES, Wanted, find_span, own_time, read_wanted
from tallymark.web.tables import build_table

_BUSY: Final = (
    "Too much is asked at once. This panel comes in a few seconds; without scripts, load the page again."
)
# What of an address says which dashboard is shown, and how.
_SHOWS: Final = (handled("name"), *TIMES, *CONDITIONS, flag("edit"), free("gone"))
# The part that is the inside alone.
_PANELS: Final = "panels"
# Fields of the address that say nothing of what is shown: which part is asked for, and what has the focus.
_PASSING: Final = ("part", "pressed")
# A panel's figures as a page; the other forms are files.
_TABLE: Final = "table"
_MOST_ROWS: Final = 2_000


def build_routes(services: Services) -> list[HTTPRouteHandler]:
    """Return the routes."""

    @get_page("/dashboards")
    async def show_dashboards(request: Request[Any, Any, Any]) -> Response[bytes]:
        """List the project's dashboards."""
        visit = await open_visit(request, services)
        found = await services.read(visit.project, services.definitions.list, visit.project, "dashboard")
        listed = [(decode_object("dashboard", one.body), one) for one in found]
        return render_html(
            request, "dashboards.html", visit.page("/dashboards", listed=listed, now=services.clock.now())
        )

    @get_page("/dashboard", *_SHOWS, one_of("part", (_PANELS,)), free("pressed"))
    async def show_dashboard(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Show one dashboard."""
        visit = await open_visit(request, services)
        definition, dashboard = await _find(services, visit)
        _note(services, visit, dashboard.name, dashboard.uses())
        values = await _read(services, visit, definition, dashboard)
        template = "dashboard_panels.html" if visit.fields.get("part") == _PANELS else "dashboard.html"
        response = render_html(request, template, visit.page("/dashboards", **values), values["status"])
        if any(view.busy for view in values["views"]):
            response.headers["Retry-After"] = str(RETRY_AFTER)
        return response

    @get_page("/dashboard/panel", *_SHOWS, handled("panel"), one_of("form", (_TABLE, *FORMATS)), *PICTURE)
    async def show_export(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Give one panel in another form: `form` is table (a page), svg, png, csv, json, vl or question."""
        visit = await open_visit(request, services)
        _, dashboard = await _find(services, visit)
        panel = find_panel(dashboard, visit.fields.get("panel", ""))
        _note(services, visit, dashboard.name, panel.metrics)
        span = _find_span(services, visit, dashboard)
        asker = await services.read(visit.project, open_asker, services, visit.project)
        form = visit.fields.get("form", "")
        order = PanelOrder(asker, panel, span, sender=visit.session.person)
        view = await make_view(order, form)
        if form == _TABLE:
            return render_html(request, "panel_table.html", _read_table(visit, view, span))
        made = await export_panel(order, view, form, visit.fields)
        headers = {**SECURITY_HEADERS, "Cache-Control": "no-store"}
        if form in ("csv", "png", "svg"):
            headers["Content-Disposition"] = f'attachment; filename="{dashboard.name}-{panel.name}.{form}"'
        return Response(made.body, media_type=made.media_type, headers=headers)

    return [show_dashboards, show_dashboard, show_export]


def _note(services: Services, visit: Visit, dashboard: str, metrics: tuple[str, ...]) -> None:
    """Count a look at a dashboard, which is one at what it shows."""
    who = visit.session.person
    services.uses.note(visit.project, "dashboard", dashboard, who)
    for name in metrics:
        services.uses.note(visit.project, "metric", name, who)


def _find_span(services: Services, visit: Visit, dashboard: Dashboard) -> Span:
    """Return the time and the conditions that the address asks for, or the dashboard's own; raises RequestRefused."""
    filters = (*dashboard.filters, *_parse_filters(visit))
    return find_span(_read_wanted(visit, dashboard), services.clock.now(), filters)


def _read_wanted(visit: Visit, dashboard: Dashboard) -> Wanted:
    return read_wanted(visit.fields, own_time(dashboard))


async def _find(services: Services, visit: Visit) -> tuple[Definition, Dashboard]:
    return await services.read(
        visit.project, find_dashboard, services, visit.project, visit.fields.get("name", "")
    )


async def _read(
    services: Services, visit: Visit, definition: Definition, dashboard: Dashboard
) -> dict[str, Any]:
    """Run all panels, side by side, and gather what the page shows."""
    wanted = _read_wanted(visit, dashboard)
    error, views, bells, span, status = None, list[View](), dict[str, list[Bell]](), None, 200
    rows = parse_rows(visit.fields)
    editing = bool(visit.fields.get("edit")) and not definition.origin
    names = {panel.name for panel in dashboard.panels}
    gone = [one for one in parse_gone(visit.fields) if one in names] if editing else []
    try:
        span = _find_span(services, visit, dashboard)
        views, bells = await run_panels(services, visit, dashboard, span)
        if views and all(view.busy for view in views):
            status = 503
    except TallymarkError as failed:
        status = failed.status if isinstance(failed, RequestRefused) else 400
        error = {"message": failed.message, "at": find_row_input(failed.at), "code": failed.code}

    def link(**changes: str) -> str:
        times = ("last", "from", "to") if "last" in changes else ()
        kept = {name: value for name, value in visit.fields.items() if name not in (*times, *_PASSING)}
        return build_link("/dashboard", {**kept, "project": visit.project, **changes})

    return {
        "dashboard": dashboard,
        "definition": definition,
        "views": views,
        "bells": bells,
        "error": error,
        "status": status,
        "wanted": wanted,
        "span": span,
        "rows": rows,
        "operators": OPERATOR_WORDS,
        "intervals": get_args(Interval),
        "presets": [(title, link(last=last), wanted.last == last) for title, last in PRESETS],
        "again": link(part=_PANELS),
        "forms": {panel.name: _list_forms(visit, panel.name) for panel in dashboard.panels},
        "editing": editing,
        "gone": gone,
        "marked": " ".join(gone),
        "undo": {one: link(gone=" ".join(other for other in gone if other != one)) for one in gone},
        "keep_all": link(gone=""),
        "pressed": visit.fields.get("pressed", ""),
        "yaml": render_yaml({"dashboard": [dashboard]}),
        "runtime": runtime_version(),
        "now": services.clock.now(),
    }


def _read_table(visit: Visit, view: View, span: Span) -> dict[str, Any]:
    """Return what the page of a panel's figures shows: its text alternative, also without scripts."""
    titles = [one.title or one.name for one in view.metrics] or [view.title]
    tables = [
        (
            titles[min(place, len(titles) - 1)],
            build_table(asked, _MOST_ROWS, interval=view.panel.interval or span.interval),
        )
        for place, asked in enumerate(view.asked)
    ]
    kept = {name: value for name, value in visit.fields.items() if name not in ("form", "panel", *_PASSING)}
    back = build_link("/dashboard", {**kept, "project": visit.project}) + f"#panel-{view.panel.name}"
    return visit.page("/dashboards", view=view, span=span, tables=tables, back=back)


def _list_forms(visit: Visit, panel: str) -> list[tuple[str, str]]:
    """Return (form, address) of the forms that a panel can be had in, for the time and conditions of the page."""
    kept = {name: value for name, value in visit.fields.items() if name not in _PASSING} | {
        "project": visit.project
    }
    return [
        (form, build_link("/dashboard/panel", {**kept, "panel": panel, "form": form}))
        for form in (_TABLE, *FORMATS)
    ]


async def run_panels(
    services: Services, visit: Visit, dashboard: Dashboard, span: Span
) -> tuple[list[View], dict[str, list[Bell]]]:
    """Run a dashboard's panels side by side; a panel that fails tells it in its place. Beside them, who watches each."""
    project, person = visit.project, visit.session.person
    asker, bells, shades = await services.read(project, _prepare, services, project, dashboard, span)

    async def run(panel: Panel) -> View:
        try:
            return await run_panel(PanelOrder(asker, panel, span, shades.get(panel.name, ()), sender=person))
        except RequestRefused as refused:
            if refused.retry_after is None:
                raise
            return build_busy_view(panel, _BUSY)

    return list(await asyncio.gather(*map(run, dashboard.panels))), bells


def _prepare(
    services: Services, project: str, dashboard: Dashboard, span: Span
) -> tuple[Asker, dict[str, list[Bell]], dict[str, tuple[Shade, ...]]]:
    by_metric = list_bells(services, project)
    bells = {
        panel.name: [bell for name in dict.fromkeys(panel.metrics) for bell in by_metric.get(name, ())]
        for panel in dashboard.panels
    }
    return open_asker(services, project), bells, find_shades(services, project, bells, span)


def _parse_filters(visit: Visit) -> Filters:
    """Return the conditions of the address; raises RequestRefused."""
    try:
        filters = tuple(build_filters(parse_rows(visit.fields)))
    except msgspec.ValidationError as error:
        raise RequestRefused("invalid_question", str(error), at="filters") from None
    check_filters(filters, "filters", Parameters())
    return filters
