"""The quarantine over HTTP: read it, count it, and send events through the intake again after a fix."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Request, Response, get, post
from litestar.handlers import HTTPRouteHandler

from tallymark.errors import EVENT_CODES, RequestRefused
from tallymark.intake.answers import EventsAnswer, Rejected
from tallymark.intake.replay import MOST_EVENTS
from tallymark.ledger.quarantine import count_quarantined, list_quarantined, list_refused
from tallymark.web.access import require_key
from tallymark.web.answers import decode_body, parse_count, render_json
from tallymark.web.parameters import KEY, handled
from tallymark.web.services import Services


class ReplayOrder(msgspec.Struct, forbid_unknown_fields=True):
    """Which events to replay: by id, or the oldest waiting ones of a code. `limit` is at most 1000.

    `changes` mends each of them first: a JSON merge patch (RFC 7396), in which null takes a member away.
    """

    ids: list[int] = []
    code: str = ""
    limit: int = MOST_EVENTS
    changes: dict[str, Any] = {}


async def replay(services: Services, project: str, order: ReplayOrder) -> EventsAnswer:
    """Send quarantined events through the intake again; what fails is named by its id in quarantine.

    Raises RequestRefused.
    """
    _check_code(order.code)
    rules = services.privacy_rules(services.snapshots.current(), project)
    outcome, chosen = await services.replayer.replay(
        project, rules, ids=order.ids, code=order.code, limit=max(1, order.limit), changes=order.changes
    )
    rejected = [Rejected(chosen[item.index], item.code, item.message, item.place) for item in outcome.failed]
    return EventsAnswer(outcome.accepted, rejected)


def _check_code(code: str) -> None:
    """Refuse a code that no event can have."""
    if code and code not in EVENT_CODES:
        raise RequestRefused(
            "invalid_request", f"There is no code {code[:64]!r}. Codes: {', '.join(EVENT_CODES)}.", at="code"
        )


def build_routes(services: Services) -> list[HTTPRouteHandler]:
    """Return the routes."""

    @get(
        "/v1/quarantine",
        summary="Quarantined events",
        tags=["quarantine"],
        security=[{"read": []}],
        takes=(handled("code"), handled("limit"), handled("before"), KEY),
    )
    async def get_quarantine(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Return counts by code, the newest events, and what is known of the newest that were not kept."""
        holder = require_key(request, services, "read")
        query = request.query_params
        limit = parse_count(query.get("limit"), "limit", 50, 500)
        _check_code(query.get("code", ""))
        before = parse_count(query.get("before"), "before", 0, 2**62)
        if not services.ledger.exists():
            return render_json({"counts": [], "events": [], "refused": []})
        counts = await services.read(holder.project, count_quarantined, services.ledger, holder.project)
        page = await services.read(
            holder.project,
            list_quarantined,
            services.ledger,
            holder.project,
            code=query.get("code", ""),
            before_id=before,
            limit=limit,
        )
        refused = await services.read(holder.project, list_refused, services.ledger, holder.project)
        answer: dict[str, Any] = {"counts": counts, "events": page.events, "refused": refused}
        if page.note:
            answer["note"] = page.note
        return render_json(answer)

    @post(
        "/v1/quarantine/replay",
        status_code=200,
        summary="Replay quarantined events",
        tags=["quarantine"],
        security=[{"admin": []}],
        takes=(KEY,),
    )
    async def post_replay(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Send events through the intake again: `{"ids": [1, 2]}`, `{"code": "time_out_of_range"}` or `{}` for all.

        `{"ids": [1], "changes": {"attributes": {"amount": 3}}}` mends them first.
        """
        holder = require_key(request, services, "admin")
        order = decode_body(await request.body() or b"{}", ReplayOrder)
        return render_json(await replay(services, holder.project, order))

    return [get_quarantine, post_replay]
