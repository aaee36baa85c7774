"""`/quarantine`: events that failed, by code, with samples and what to do; and the button that replays them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

import msgspec
from litestar import Request, Response
from litestar.handlers import HTTPRouteHandler

from tallymark.errors import EVENT_CODES, RequestRefused
from tallymark.ledger.quarantine import (
    QuarantineCount,
    QuarantinePage,
    RefusedEvent,
    count_quarantined,
    list_quarantined,
    list_refused,
)
from tallymark.web.answers import parse_count
from tallymark.web.api.ledger import read_ledger
from tallymark.web.api.quarantine import ReplayOrder, replay
from tallymark.web.pages.html import build_link, render_html, render_move
from tallymark.web.pages.routes import get_page, post_page
from tallymark.web.pages.sessions import Visit, open_form, open_visit
from tallymark.web.parameters import handled, number, one_of
from tallymark.web.services import Services

# What a replay did, as its answer's address says.
_REPLAYED: Final = (number("accepted", 0, 99_999), number("failed", 0, 99_999))
_SAMPLES: Final = 20
_REFUSED_SPAN: Final = timedelta(days=30)


def build_routes(services: Services) -> list[HTTPRouteHandler]:
    """Return the routes."""

    @get_page("/quarantine", one_of("code", EVENT_CODES), handled("before"), *_REPLAYED)
    async def show_quarantine(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Show counts by code, and samples."""
        visit = await open_visit(request, services)
        before = parse_count(visit.fields.get("before"), "before", 0, 2**62)
        values = await services.read(visit.project, _read_quarantine, services, visit, before)
        return render_html(request, "quarantine.html", visit.page("/quarantine", **values))

    @post_page("/quarantine/replay")
    async def replay_events(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Send one event or all of a code through the intake again, then show what became of them."""
        visit = await open_form(request, services)
        identity, code = visit.fields.get("id", ""), visit.fields.get("code", "")
        if identity:
            order = ReplayOrder(ids=[parse_count(identity, "id", 0, 2**62)])
        elif code in EVENT_CODES:
            order = ReplayOrder(code=code)
        else:
            raise RequestRefused("invalid_request", "Say which events to replay: one by its id, or a code.")
        answer = await replay(services, visit.project, order)
        return render_move(
            build_link(
                "/quarantine",
                project=visit.project,
                code=visit.fields.get("back", ""),
                accepted=answer.accepted,
                failed=len(answer.rejected),
            )
        )

    return [show_quarantine, replay_events]


def _read_quarantine(services: Services, visit: Visit, before: int) -> dict[str, Any]:
    chosen = visit.fields.get("code", "")
    counts: list[QuarantineCount] = []
    page = QuarantinePage([])
    refused: dict[str, int] = {}
    described: list[RefusedEvent] = []
    if services.ledger.exists():
        now = services.clock.now()
        counts = count_quarantined(services.ledger, visit.project)
        page = list_quarantined(services.ledger, visit.project, code=chosen, before_id=before, limit=_SAMPLES)
        report = read_ledger(services, visit.project, now - _REFUSED_SPAN, now, "day")
        refused = report.totals.refused
        described = list_refused(services.ledger, visit.project, _SAMPLES)
    return {
        "chosen": chosen,
        "counts": [(count, EVENT_CODES.get(count.code)) for count in counts],
        "samples": [msgspec.structs.asdict(event) for event in page.events],
        "older": page.next_before,
        "note": page.note,
        "refused": [
            (code, events, EVENT_CODES.get(code))
            for code, events in sorted(refused.items(), key=lambda item: -item[1])
        ],
        "described": described,
        "codes": EVENT_CODES,
        "replayed": _parse_result(visit),
        "now": services.clock.now(),
    }


def _parse_result(visit: Visit) -> tuple[int, int] | None:
    """Return how many events a replay took and refused, as its answer's address says."""
    accepted, failed = visit.fields.get("accepted", ""), visit.fields.get("failed", "")
    return (int(accepted), int(failed)) if accepted and failed else None
