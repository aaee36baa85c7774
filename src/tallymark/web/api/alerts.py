"""Alerts over the API: how they stand, what they did, previews, silences, receivers. Their definitions are `/v1/alerts`."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any

import msgspec
from litestar import Request, Response, delete, get, post
from litestar.handlers import HTTPRouteHandler

from tallymark.errors import RequestRefused
from tallymark.plan.changes import collect_objects
from tallymark.plan.kinds import BY_NAME
from tallymark.plan.objects import check_object, parse_object
from tallymark.web.access import require_key
from tallymark.web.alert_receivers import add_receiver, try_receiver
from tallymark.web.alert_states import find_alert, list_alerts, list_history
from tallymark.web.answers import decode_body, parse_count, parse_span, render_json
from tallymark.web.api.alert_bodies import build_alert_body, build_change_body, build_preview_body
from tallymark.web.parameters import KEY, free, handled
from tallymark.web.previews import LAST_WEEK, preview_alert
from tallymark.web.services import Services

_TAGS = ["alerts"]
_READ, _ADMIN = [{"read": list[str]()}], [{"admin": list[str]()}]


class SilenceOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a silence takes: an alert ('' for all), why, and until when; `acknowledge` says that somebody is at its present trouble."""

    reason: str
    until: datetime
    alert: str = ""
    acknowledge: bool = False


class ReceiverOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a receiver takes: a name, an address as apprise knows them, and whose alerts it is told."""

    name: str
    url: str
    owners: list[str]


def build_routes(services: Services) -> list[HTTPRouteHandler]:
    """Return the routes."""
    return [*_build_reading(services), *_build_silences(services), *_build_receivers(services)]


def _build_reading(services: Services) -> list[HTTPRouteHandler]:
    @get("/v1/alerting", summary="How all alerts stand", tags=_TAGS, security=_READ, takes=(KEY,))
    async def list_states(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Return all alerts, the worst first, with the last figures of each value, and when they were judged."""
        holder = require_key(request, services, "read")
        found = await services.read(holder.project, list_alerts, services, holder.project)
        pulse = services.desk.read_pulse()
        judged = (
            {"at": pulse.at, "complete": pulse.complete, "took_seconds": pulse.took_seconds}
            if pulse
            else None
        )
        return render_json({"alerts": [build_alert_body(one) for one in found], "judged": judged})

    @get(
        "/v1/alerting/history",
        summary="What alerts did",
        tags=_TAGS,
        security=_READ,
        takes=(free("alert"), handled("limit"), KEY),
    )
    async def list_changes(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Return the changes of all alerts, or of `alert`, the newest first, with the figures that caused them and who was told."""
        holder = require_key(request, services, "read")
        alert = request.query_params.get("alert", "")
        most = parse_count(request.query_params.get("limit"), "limit", 100, 1000)
        found = await services.read(holder.project, list_history, services, holder.project, alert, most)
        return render_json(
            {"changes": [{**build_change_body(one.change), "told": one.deliveries} for one in found]}
        )

    @get(
        "/v1/alerts/{name:str}/preview",
        summary="When an alert would have fired",
        tags=_TAGS,
        security=_READ,
        takes=(handled("from"), handled("to"), KEY),
    )
    async def preview_present(request: Request[Any, Any, Any], name: str) -> Response[bytes]:
        """Replay an alert from `from` to `to`, the last seven days without them."""
        holder = require_key(request, services, "read")
        shown = await services.read(holder.project, find_alert, services, holder.project, name)
        body = msgspec.to_builtins(shown.alert)
        return await preview(request, holder.project, body)

    @post(
        "/v1/alerting/preview",
        status_code=200,
        summary="When a new alert would fire",
        tags=_TAGS,
        security=_READ,
        takes=(handled("from"), handled("to"), KEY),
    )
    async def preview_new(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Replay the alert in the body, which need not be saved."""
        holder = require_key(request, services, "read")
        return await preview(request, holder.project, decode_body(await request.body(), dict[str, Any]))

    async def preview(request: Request[Any, Any, Any], project: str, body: Any) -> Response[bytes]:
        start, end = parse_span(request.query_params, services.clock.now(), LAST_WEEK)

        def run() -> Any:
            objects = collect_objects(services.definitions.list(project))
            alert = parse_object(BY_NAME["alert"], body)
            check_object(BY_NAME["alert"], alert, objects)
            found = preview_alert(services, project, alert, objects["metric"], start, end)
            return build_preview_body(found, alert, objects["metric"])

        return render_json(await services.ask(project, run))

    return [list_states, list_changes, preview_present, preview_new]


def _build_silences(services: Services) -> list[HTTPRouteHandler]:
    silences = services.desk.silences

    @get("/v1/silences", summary="What nobody is told about", tags=_TAGS, security=_READ, takes=(KEY,))
    async def list_silences(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Return the silences and acknowledgements that hold now."""
        holder = require_key(request, services, "read")
        return render_json(
            {
                "silences": await services.read(
                    holder.project, silences.list, holder.project, services.clock.now()
                )
            }
        )

    @post(
        "/v1/silences", status_code=201, summary="Silence an alert", tags=_TAGS, security=_ADMIN, takes=(KEY,)
    )
    async def make_silence(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Silence an alert, or all: `{"alert": "checkout", "reason": "A move", "until": "2026-01-31T12:00:00Z"}`.

        With `"acknowledge": true` it is an acknowledgement of the alert's present trouble.
        """
        holder = require_key(request, services, "admin")
        order = decode_body(await request.body(), SilenceOrder)
        shown = (
            await services.read(holder.project, find_alert, services, holder.project, order.alert)
            if order.alert
            else None
        )
        incident = shown.incident if shown is not None and order.acknowledge else 0
        if order.acknowledge and not incident:
            raise RequestRefused(
                "conflict", "There is no trouble now that could be acknowledged.", at="acknowledge"
            )
        if order.until.tzinfo is None:
            raise RequestRefused(
                "invalid_request", "The end needs a time zone: 2026-01-31T12:00:00Z.", at="until"
            )
        now = services.clock.now()
        made = await services.read(
            holder.project, partial(silences.create, incident=incident),
            holder.project, order.alert, order.reason, "an admin key", now, order.until,
        )  # fmt: skip
        return render_json(made, 201)

    @delete(
        "/v1/silences/{number:int}",
        status_code=200,
        summary="End a silence",
        tags=_TAGS,
        security=_ADMIN,
        takes=(KEY,),
    )
    async def end_silence(request: Request[Any, Any, Any], number: int) -> Response[bytes]:
        """End a silence at once."""
        holder = require_key(request, services, "admin")
        if not 0 < number < 2**31:
            raise RequestRefused("not_found", f"There is no silence {number} that holds.", at="id")
        await services.read(holder.project, silences.end, number, holder.project, services.clock.now())
        return render_json({"ended": number})

    return [list_silences, make_silence, end_silence]


def _build_receivers(services: Services) -> list[HTTPRouteHandler]:
    receivers = services.desk.receivers

    @get("/v1/receivers", summary="Who is told", tags=_TAGS, security=_ADMIN, takes=(KEY,))
    async def list_receivers(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Return the receivers with what of their addresses may be shown, their last success and their last error."""
        holder = require_key(request, services, "admin")
        return render_json({"receivers": await services.read(holder.project, receivers.list, holder.project)})

    @post(
        "/v1/receivers", status_code=201, summary="Add a receiver", tags=_TAGS, security=_ADMIN, takes=(KEY,)
    )
    async def make_receiver(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Add a receiver, or give one another address: `{"name": "growth_chat", "url": "slack://...", "owners": ["growth"]}`."""
        holder = require_key(request, services, "admin")
        order = decode_body(await request.body(), ReceiverOrder)
        added = await services.send(
            holder.project,
            add_receiver,
            services,
            holder.project,
            order.name,
            order.url,
            order.owners,
            "an admin key",
        )
        return render_json({"name": order.name, "hint": added.hint, "warning": added.warning}, 201)

    @post(
        "/v1/receivers/{name:str}/test",
        status_code=200,
        summary="Try a receiver",
        tags=_TAGS,
        security=_ADMIN,
        takes=(KEY,),
    )
    async def test_one(request: Request[Any, Any, Any], name: str) -> Response[bytes]:
        """Send a test message, and say whether it arrived."""
        holder = require_key(request, services, "admin")
        error = await services.send(holder.project, try_receiver, services, holder.project, name)
        return render_json({"arrived": not error, "error": error})

    @delete(
        "/v1/receivers/{name:str}",
        status_code=200,
        summary="Remove a receiver",
        tags=_TAGS,
        security=_ADMIN,
        takes=(KEY,),
    )
    async def remove_receiver(request: Request[Any, Any, Any], name: str) -> Response[bytes]:
        """Take a receiver away."""
        holder = require_key(request, services, "admin")
        await services.read(holder.project, receivers.remove, holder.project, name)
        return render_json({"removed": name})

    return [list_receivers, make_receiver, test_one, remove_receiver]
