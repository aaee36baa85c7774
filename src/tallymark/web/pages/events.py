"""`/events`: the newest events and search. `/event?id=`: one event whole, and its way through all stations.

The id stands in the query string, because it may be any text.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from litestar import Request, Response
from litestar.handlers import HTTPRouteHandler

from tallymark.errors import DROP_REASONS, EVENT_CODES, RequestRefused, TallymarkError
from tallymark.event import MAX_ID_BYTES
from tallymark.queries.events import EventPage, find_event, list_events
from tallymark.queries.names import EventNames, FieldInfos, find_event_names, find_fields
from tallymark.queries.period import list_clock_notes, parse_zone
from tallymark.web.api.events import Trace, read_trace
from tallymark.web.filter_rows import (
    CONDITIONS,
    OPERATOR_WORDS,
    FilterRow,
    build_filters,
    find_row_input,
    parse_rows,
    render_rows,
)
from tallymark.web.pages.html import render_html, render_move
from tallymark.web.pages.kept import find_kept
from tallymark.web.pages.routes import find_status, get_page
from tallymark.web.pages.sessions import Visit, open_visit
from tallymark.web.pages.snippets import build_send_snippets
from tallymark.web.parameters import free, handled
from tallymark.web.services import Services
from tallymark.web.shapes import shape_attributes, shape_duration

_TIMES: Final = (handled("from"), handled("to"), handled("tz"))
_PAGE: Final = 50
_GROUPS: Final = (
    (
        "Event",
        (
            "event_id",
            "event_type",
            "event_name",
            "event_time",
            "client_time",
            "received_at",
            "skew_ms",
            "value",
            "truncated",
            "source",
            "streams",
        ),
    ),
    ("Who", ("session_id", "user_id", "install_id", "device_id")),
    ("Service", ("service_", "is_dev")),
    ("Agent", ("agent_",)),
    ("Page", ("page_",)),
    ("Performer", ("performer_",)),
    ("Sketch", ("sketch_",)),
)


def build_routes(services: Services) -> list[HTTPRouteHandler]:
    """Return the routes."""

    @get_page("/events", free("id"), free("name"), *_TIMES, handled("before"), *CONDITIONS)
    async def show_events(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Show the newest events that meet the conditions."""
        visit = await open_visit(request, services)
        if (wanted := visit.fields.get("id", "")).strip():
            return render_move("/event?" + urlencode({"project": visit.project, "id": wanted}))
        canonical = _render_state(visit)
        before = [(name, value) for name, value in visit.pairs if name == "before" and value]
        if [*canonical, *before] != visit.pairs:
            return render_move("/events?" + urlencode([*canonical, *before]))
        values = await services.ask(visit.project, _read_events, services, visit)
        return render_html(request, "events.html", visit.page("/events", **values), values["status"])

    @get_page("/event", handled("id"))
    async def show_event(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Show one event and its trace; also of an id that was never stored."""
        visit = await open_visit(request, services)
        event_id = visit.fields.get("id", "")
        if not event_id or len(event_id.encode()) > MAX_ID_BYTES:
            message = f"The address names no event: its id has 1 to {MAX_ID_BYTES} bytes."
            raise RequestRefused("not_found", message, at="id")
        values = await services.ask(visit.project, _read_event, services, visit.project, event_id)
        return render_html(
            request, "event.html", visit.page("/events", **values), 200 if values["known"] else 404
        )

    return [show_events, show_event]


def _render_state(visit: Visit) -> list[tuple[str, str]]:
    """Return the fields that say what is searched, in one order and without empty ones."""
    fields = visit.fields
    pairs = [("project", visit.project)]
    # Blanks at the ends belong to an event's name.
    pairs += [("name", fields["name"])] if fields.get("name") else []
    pairs += [(name, value) for name in ("from", "to", "tz") if (value := fields.get(name, "").strip())]
    return pairs + render_rows(parse_rows(visit.fields))


def _read_events(services: Services, visit: Visit) -> dict[str, Any]:
    fields, rows = visit.fields, parse_rows(visit.fields)
    names, known, error, page = EventNames([], 0), FieldInfos([], 0), None, EventPage([], None)
    status = 200
    notes: tuple[str, ...] = ()
    store, project, limits, name = (
        services.store,
        visit.project,
        services.query_limits,
        fields.get("name", ""),
    )
    try:
        names = find_event_names(store, project, always=[name] if name else [], limits=limits)
        if names.total:
            known = find_fields(store, project, name or None, limits=limits)
        page = _search(services, visit, rows)
        zone = parse_zone(fields.get("tz") or "UTC")
        notes = list_clock_notes(fields.get("from", ""), fields.get("to", ""), zone)
    except msgspec.ValidationError as failed:
        error, status = {"at": "f", "message": str(failed)}, 400
    except TallymarkError as failed:
        error, status = {"at": _place(failed.at), "message": failed.message}, find_status(failed)
    state = _render_state(visit)
    return {
        "fields": fields,
        "rows": rows,
        "operators": OPERATOR_WORDS,
        "names": names.names,
        "names_total": names.total,
        "known": known.fields,
        "known_total": known.total,
        "error": error,
        "status": status,
        "notes": (*notes, page.note) if page.note else notes,
        "events": [{**event, "short": shape_attributes(event["attributes"])} for event in page.events],
        "older": "/events?" + urlencode([*state, ("before", page.next_cursor)]) if page.next_cursor else "",
        "newest": "/events?" + urlencode(state) if fields.get("before") else "",
        "searched": len(state) > 1,
        "snippets": build_send_snippets(visit.address),
        "now": services.clock.now(),
        "today": services.clock.now() - timedelta(days=1),
    }


def _search(services: Services, visit: Visit, rows: Sequence[FilterRow]) -> EventPage:
    fields = visit.fields
    return list_events(
        services.store,
        visit.project,
        event_name=fields.get("name") or None,
        filters=build_filters(rows),
        start=fields.get("from") or None,
        end=fields.get("to") or None,
        timezone=fields.get("tz") or "UTC",
        cursor=fields.get("before") or None,
        limit=_PAGE,
    )


def _place(at: str) -> str:
    """Return the form's name for a place in the search."""
    return find_row_input({"start": "from", "end": "to", "timezone": "tz", "cursor": "before"}.get(at, at))


def _read_event(services: Services, project: str, event_id: str) -> dict[str, Any]:
    event, problem, trace = None, "", None
    kept = find_kept(services.ledger, project, event_id)
    try:
        event = find_event(services.store, project, event_id)
    except TallymarkError as error:
        problem = error.message
    try:
        # Journal and ledger know of the event also while the store does not answer.
        trace = read_trace(services, project, event_id)
    except TallymarkError as error:
        problem = problem or error.message
    return {
        "event_id": event_id,
        "event": event,
        "groups": group_fields(event) if event else [],
        "problem": problem,
        "trace": trace,
        "stations": _build_path(trace, event) if trace else [],
        "kept": kept,
        "name": event["event_name"] if event else next((one.event_name for one in kept), ""),
        "known": bool(event) or bool(kept) or bool(trace and trace.stations) or bool(problem),
    }


def group_fields(event: dict[str, Any]) -> list[tuple[str, list[tuple[str, Any]]]]:
    """Return an event's fields under headings, in the order in which people look for them."""
    left = {name: value for name, value in event.items() if name != "attributes"}
    groups = []
    for title, prefixes in _GROUPS:
        names = [
            name
            for prefix in prefixes
            for name in left
            if name == prefix or (prefix.endswith("_") and name.startswith(prefix))
        ]
        found = [(name, left.pop(name)) for name in names]
        if found:
            groups.append((title, found))
    if left:
        groups.append(("Other", list(left.items())))
    if event["attributes"]:
        groups.append(("Attributes", sorted(event["attributes"].items())))
    return groups


_WORDS: Final = {
    "happened": "The event happened, by the client's clock.",
    "received": "Received: on disk, before the answer.",
    "new": "Judged: seen for the first time.",
    "stored": "Stored: questions count it.",
    "duplicate": "Judged: a repetition. The first one stays.",
    "conflict": "Judged: the same id with other content. The first one stays.",
    "quarantined": "Failed a check and was kept for replay.",
    "replayed": "Sent through the intake again.",
    "refused": "Failed a check and was not kept.",
    "dropped": "A rule ended it.",
    "in_flight": "On disk; waits for the loader.",
}


def describe_skew(milliseconds: int) -> str:
    """Say by how much a client's clock was off: what is added to its times is positive when it was behind."""
    side = "behind" if milliseconds > 0 else "ahead"
    seconds = abs(milliseconds) / 1000
    minutes, rest = divmod(round(seconds), 60)
    length = f"{minutes} min {rest} s" if 60 <= seconds < 3_600 and rest else shape_duration(seconds)
    return f"that clock was {length} {side}; the event's time is corrected by this"


def _build_path(trace: Trace, event: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Return the stations with words, the remedy for a code, and the time since the one before."""
    skew_ms = event.get("skew_ms", 0) if event else 0
    path: list[dict[str, Any]] = []
    for station in trace.stations:
        code = EVENT_CODES.get(station.reason) or DROP_REASONS.get(station.reason)
        since = (station.time - path[-1]["time"]).total_seconds() if path else None
        corrected = station.station == "client" and skew_ms
        path.append(
            {
                **msgspec.structs.asdict(station),
                "detail": describe_skew(skew_ms) if corrected else station.detail,
                "words": _WORDS.get(station.verdict, station.verdict),
                "remedy": code.remedy if code else "",
                "since": since,
            }
        )
    return path
