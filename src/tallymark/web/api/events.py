"""Single events: the newest ones, one by its id, and its trace through all stations."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from litestar import Request, Response, get
from litestar.handlers import HTTPRouteHandler

from tallymark.errors import RequestRefused
from tallymark.ledger.trace import Station, trace_event
from tallymark.queries.events import list_events
from tallymark.store.errors import StoreUnavailable
from tallymark.store.schema import EVENTS_TABLE
from tallymark.web.access import require_key
from tallymark.web.answers import parse_count, render_json
from tallymark.web.parameters import KEY, free, handled
from tallymark.web.services import Services


class Trace(msgspec.Struct):
    """Where an event went. `verdict`: stored, duplicate, quarantined, refused, dropped, in_flight or unknown.

    `store_answered` is False where journal and ledger alone were asked, because the store did not answer.
    """

    event_id: str
    verdict: str
    message: str
    stations: list[Station]
    store_answered: bool = True


_MESSAGES = {
    "stored": "The event is in the store.",
    "in_flight": "The event is durable in the journal and waits for the loader.",
    "duplicate": "Only repetitions of the event are known; the first one is not in the store any more.",
    "conflict": "Only repetitions with other content are known; the first one is not in the store any more.",
    "quarantined": "The event failed a check and waits in quarantine; see its code.",
    "replayed": "The event was replayed from quarantine.",
    "refused": "The event failed a check and was not kept; see its code.",
    "dropped": "A rule ended the event; see its reason.",
    "unknown": "No event with this id was received, or it is older than what is remembered of events that were not stored.",
}
# Instead of the above where the store did not answer: they say something of it.
_WITHOUT_STORE = {
    "duplicate": "Repetitions of the event are known.",
    "conflict": "Repetitions of the event with other content are known.",
}
_NO_ANSWER = "The store did not answer: whether the event is stored cannot be said now."
_STORED = (
    f"SELECT client_time, received_at, stored_at, journal_record, skew_ms, source FROM {EVENTS_TABLE}"  # noqa: S608 - constant text
    " WHERE project = {project:String} AND event_id = {event_id:String} LIMIT 10"
)
# What is said of an event of which several things are known: the first of these.
_ORDER = ("stored", "in_flight", "quarantined", "replayed", "refused", "dropped", "conflict", "duplicate")


def read_trace(services: Services, project: str, event_id: str) -> Trace:
    """Follow an event through intake, journal, dedup, quarantine and store; blocking.

    Where the store does not answer, journal and ledger say what they know. Raises RequestRefused
    (store_unavailable) where that is nothing.
    """
    stations: list[Station] = []
    if services.ledger.exists():
        stations = trace_event(services.ledger, services.journal_folder, project, event_id)
    store_answered = True
    try:
        stations += _find_stored(services, project, event_id)
    except StoreUnavailable as error:
        store_answered = False
        if not stations:
            message = f"Journal and ledger know nothing of the event. {_NO_ANSWER}"
            raise RequestRefused("store_unavailable", message, retry_after=2) from error
    # By time, but for the client's: its clock may be anything.
    stations.sort(key=lambda station: (station.station != "client", station.time))
    verdicts = {station.verdict for station in stations}
    verdict = next((name for name in _ORDER if name in verdicts), "unknown")
    message = _MESSAGES[verdict]
    if not store_answered:
        message = f"{_WITHOUT_STORE.get(verdict, message)} {_NO_ANSWER}"
    return Trace(event_id, verdict, message, stations, store_answered)


def _find_stored(services: Services, project: str, event_id: str) -> list[Station]:
    """Return the stations of the stored event. Raises StoreError, StoreUnavailable."""
    stored = services.store.query_rows(
        _STORED, {"project": project, "event_id": event_id}, services.query_limits.settings()
    )
    return [station for row in stored.rows for station in _stored_stations(*row)]


def _stored_stations(
    client_time: datetime, received_at: datetime, stored_at: datetime, record: int, skew_ms: int, source: str
) -> list[Station]:
    detail = f"the client's clock was corrected by {skew_ms} ms" if skew_ms else ""
    return [
        Station(client_time, "client", "happened", "", detail, source),
        Station(received_at, "journal", "received", "", "", source, record),
        Station(stored_at, "dedup", "new", "", "", source, record),
        Station(stored_at, "store", "stored", "", "", source, record),
    ]


def build_routes(services: Services) -> list[HTTPRouteHandler]:
    """Return the routes."""

    @get(
        "/v1/events",
        summary="Newest events",
        tags=["events"],
        security=[{"read": []}],
        takes=(free("event_name"), handled("limit"), handled("before"), KEY),
    )
    async def get_events(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Return stored events, newest first; `?event_name=`, `?limit=` (1-500), `?before=` to page on."""
        holder = require_key(request, services, "read")
        query = request.query_params
        limit = parse_count(query.get("limit"), "limit", 50, 500)

        def work() -> Response[bytes]:
            event_name, cursor = query.get("event_name") or None, query.get("before") or None
            page = list_events(
                services.store, holder.project, event_name=event_name, cursor=cursor, limit=limit
            )
            return render_json(page)

        return await services.ask(holder.project, work)

    @get(
        "/v1/events/{event_id:str}/trace",
        summary="Follow one event",
        tags=["events"],
        security=[{"read": []}],
        takes=(KEY,),
    )
    async def get_trace(request: Request[Any, Any, Any], event_id: str) -> Response[bytes]:
        """Return each station of an event with time and verdict; an unknown id gets a plain answer."""
        holder = require_key(request, services, "read")
        return render_json(await services.ask(holder.project, read_trace, services, holder.project, event_id))

    @get(
        "/v1/trace",
        summary="Follow one event whose id has slashes",
        tags=["events"],
        security=[{"read": []}],
        takes=(free("event_id"), KEY),
    )
    async def get_trace_by_query(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Return the same for `?event_id=`."""
        holder = require_key(request, services, "read")
        event_id = request.query_params.get("event_id", "")
        if not event_id:
            raise RequestRefused("invalid_request", "Say which event: ?event_id=ID.", at="event_id")
        return render_json(await services.ask(holder.project, read_trace, services, holder.project, event_id))

    return [get_events, get_trace, get_trace_by_query]
