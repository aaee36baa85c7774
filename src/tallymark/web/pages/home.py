"""`/`: is it healthy, is the ledger balanced, what arrives now. `/live` is its moving part alone.

The page's script asks for `/live` every few seconds and puts in what has changed.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from litestar import Request, Response
from litestar.handlers import HTTPRouteHandler

from tallymark.errors import RequestRefused, TallymarkError
from tallymark.ledger.report import LedgerReport, Lines, Outside
from tallymark.queries.events import list_arrivals
from tallymark.web.alert_states import Troubles, find_troubles
from tallymark.web.api.health import Readiness, read_readiness
from tallymark.web.api.ledger import read_ledger
from tallymark.web.charts import build_balance_chart
from tallymark.web.pages.balance import (
    SPANS,
    Span,
    build_buckets,
    build_outside,
    build_terms,
    choose_span,
    find_bounds,
)
from tallymark.web.pages.html import SECURITY_HEADERS, render_html
from tallymark.web.pages.routes import get_page
from tallymark.web.pages.sessions import Visit, open_visit
from tallymark.web.pages.snippets import build_send_snippets
from tallymark.web.pages.static import runtime_version
from tallymark.web.parameters import free, one_of
from tallymark.web.services import Services
from tallymark.web.shapes import shape_attributes

_SPAN: Final = one_of("span", (span.name for span in SPANS))
_ARRIVALS: Final = 12
_LOOKS_BACK: Final = (timedelta(seconds=10), timedelta(minutes=1), timedelta(minutes=15))
_ANY_TIME: Final = timedelta(days=3650)


def build_routes(services: Services) -> list[HTTPRouteHandler]:
    """Return the routes."""
    received = _Received()

    @get_page("/", _SPAN)
    async def show_home(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Show health, ledger and arrivals."""
        visit = await open_visit(request, services)
        span = choose_span(visit.fields.get("span", ""))
        values = await services.ask(visit.project, _read_home, services, visit, span, received)
        values |= {
            "spans": SPANS,
            "runtime": runtime_version(),
        }
        return render_html(request, "home.html", visit.page("/", **values))

    @get_page("/live", _SPAN, free("seen"))
    async def show_live(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Return the moving parts, or 204 when nothing has changed since `seen`."""
        visit = await open_visit(request, services)
        span = choose_span(visit.fields.get("span", ""))
        values = await services.ask(
            visit.project, _read_home, services, visit, span, received, visit.fields.get("seen", "")
        )
        if not values:
            return Response(b"", status_code=204, headers={**SECURITY_HEADERS, "Cache-Control": "no-store"})
        return render_html(request, "home_live.html", visit.page("/", **values))

    return [show_home, show_live]


def _read_home(
    services: Services, visit: Visit, span: Span, received: _Received, seen: str = ""
) -> dict[str, Any]:
    """Read what the page shows; blocking. An empty answer when nothing differs from `seen`."""
    now = services.clock.now()
    start, end = find_bounds(span, now)
    readiness = read_readiness(services)
    report = _read_ledger(services, visit.project, start, end, span.interval)
    troubles = find_troubles(services, visit.project, visit.session.person)
    state = _digest(readiness, report, start, troubles)
    if seen and seen == state:
        return {}
    ever = received.look(services, visit.project, report)
    arrivals, problem = _read_arrivals(services, visit.project) if ever else ([], "")
    return {
        "state": state,
        "now": now,
        "span": span,
        "start": start,
        "end": end,
        "readiness": readiness,
        "troubles": troubles,
        "report": report,
        "terms": build_terms(report.totals),
        "outside": build_outside(report),
        "chart": build_balance_chart(build_buckets(report, span, start, end)),
        "arrivals": arrivals,
        "problem": problem,
        "ever": ever,
        "snippets": [] if ever else build_send_snippets(visit.address),
        "rate": _last_minute(report) if span.interval == "minute" else None,
    }


def _read_ledger(
    services: Services, project: str, start: datetime, end: datetime, interval: str
) -> LedgerReport:
    """Read the ledger, an empty one as long as the loader has not made it."""
    try:
        return read_ledger(services, project, start, end, interval)
    except RequestRefused as refusal:
        if refusal.code != "store_unavailable":
            raise
        return LedgerReport(project, Lines(), True, [], Outside())


class _Received:
    """Remembers which projects have ever received an event, so that an idle one is looked through only once."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def look(self, services: Services, project: str, report: LedgerReport) -> bool:
        if project not in self._known:
            now = services.clock.now()
            if (
                report.totals.received
                or _read_ledger(services, project, now - _ANY_TIME, now, "day").totals.received
            ):
                self._known.add(project)
        return project in self._known


def _last_minute(report: LedgerReport) -> int:
    """Return the events received in the newest minute that has any."""
    newest = max((row["time"] for row in report.rows), default=None)
    return sum(row["received"] for row in report.rows if row["time"] == newest)


def _read_arrivals(services: Services, project: str) -> tuple[list[dict[str, Any]], str]:
    """Return the events that arrived last. Looks back only as far as it must: events are kept by their own time."""
    found: list[dict[str, Any]] = []
    now = services.clock.now()
    try:
        for back in _LOOKS_BACK:
            found = list_arrivals(services.store, project, now - back, limit=_ARRIVALS)
            if len(found) == _ARRIVALS:
                break
    except TallymarkError as error:
        return [], error.message
    return [{**event, "short": shape_attributes(event["attributes"])} for event in found], ""


def _digest(readiness: Readiness, report: LedgerReport, start: Any, troubles: Troubles) -> str:
    """Return a mark of all that the page shows; ages that only grow while nothing moves are left out."""
    state = msgspec.structs.replace(readiness, lag_seconds=round(readiness.lag_seconds))
    shown = [state, report.totals, report.outside, start, troubles.mark]
    return hashlib.sha256(msgspec.json.encode(shown)).hexdigest()[:16]
