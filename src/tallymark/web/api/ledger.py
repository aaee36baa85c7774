"""`GET /v1/ledger`: the equation, exact, for a stretch of time."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from litestar import Request, Response, get
from litestar.handlers import HTTPRouteHandler

from tallymark.errors import RequestRefused
from tallymark.ledger.report import INTERVAL_MINUTES, LedgerReport, build_report
from tallymark.web.access import require_key
from tallymark.web.answers import parse_span, render_json
from tallymark.web.parameters import KEY, handled
from tallymark.web.services import Services

_MOST_ROWS = 50_000


def read_ledger(
    services: Services, project: str, start: datetime, end: datetime, interval: str
) -> LedgerReport:
    """Read the ledger of a project; blocking. Empty before the loader has made one."""
    if interval not in INTERVAL_MINUTES:
        allowed = ", ".join(INTERVAL_MINUTES)
        raise RequestRefused(
            "invalid_request", f"There is no interval {interval!r}. Intervals: {allowed}.", at="interval"
        )
    if (end - start).total_seconds() / 60 / INTERVAL_MINUTES[interval] > _MOST_ROWS and interval != "day":
        message = (
            f"More than {_MOST_ROWS} rows of one {interval}. Ask for a shorter time or a longer interval."
        )
        raise RequestRefused("invalid_request", message, at="interval")
    if not services.ledger.exists():
        raise RequestRefused(
            "store_unavailable", "The ledger is being made; ask again in a moment.", retry_after=1
        )
    return build_report(services.ledger, services.tail, project, start, end, interval)


def build_routes(services: Services) -> list[HTTPRouteHandler]:
    """Return the routes."""

    @get(
        "/v1/ledger",
        summary="What became of every event",
        tags=["ledger"],
        security=[{"read": []}],
        takes=(handled("from"), handled("to"), handled("interval"), KEY),
    )
    async def get_ledger(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Return received, stored and every other line, by minute, hour or day of receipt (default: last day)."""
        holder = require_key(request, services, "read")
        query = request.query_params
        start, end = parse_span(query, services.clock.now(), timedelta(days=1))
        interval = query.get("interval") or "minute"
        return render_json(
            await services.read(holder.project, read_ledger, services, holder.project, start, end, interval)
        )

    return [get_ledger]
