"""`POST /v1/query`: a question in, columns and rows out, as JSON, NDJSON or CSV."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from litestar import Request, Response, get, post
from litestar.handlers import HTTPRouteHandler

from tallymark.catalog.snapshot import KeyHolder
from tallymark.errors import RequestRefused
from tallymark.queries.names import MOST_FIELDS, MOST_NAMES, find_event_names, find_fields
from tallymark.queries.parse import MAX_BYTES, parse_question
from tallymark.queries.result import MEDIA_TYPES, Answer, render_answer
from tallymark.queries.run import run_question
from tallymark.web.access import require_key
from tallymark.web.answers import parse_count, render_json
from tallymark.web.parameters import KEY, free, handled
from tallymark.web.services import Services

# NDJSON and CSV have no place for notes: they stand here, as a JSON list of texts in ASCII.
NOTES_HEADER = "Tallymark-Notes"


# A list may be shorter than what there is: this is how much that is.
TOTAL_HEADER = "Tallymark-Total"


def render_list(found: Sequence[Any], total: int) -> Response[bytes]:
    """Return the beginning of a list, and in a header how long it is in all."""
    response = render_json(found)
    response.headers[TOTAL_HEADER] = str(total)
    return response


def choose_media_type(accept: str) -> str:
    """Return the first media type of an Accept header that we have; JSON when it asks for nothing of ours."""
    for item in accept.split(","):
        name = item.partition(";")[0].strip().lower()
        if name in MEDIA_TYPES:
            return name
    return MEDIA_TYPES[0]


def run_for(services: Services, project: str, raw: bytes | dict[str, Any]) -> Answer:
    """Parse and run a question for a project; blocking. Raises RequestRefused and StoreError."""
    return run_question(parse_question(raw), services.store, project, services.query_limits)


def build_routes(services: Services) -> list[HTTPRouteHandler]:
    """Return the routes."""

    @post(
        "/v1/query",
        status_code=200,
        summary="Ask a question",
        tags=["questions"],
        security=[{"read": []}],
        takes=(KEY,),
    )
    async def ask(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Answer a trend, ratio, funnel or change."""
        holder: KeyHolder = require_key(request, services, "read")
        raw = await request.body()
        if len(raw) > MAX_BYTES:
            raise RequestRefused("body_too_large", f"A question may have {MAX_BYTES} bytes.")
        media_type = choose_media_type(request.headers.get("accept", ""))

        def work() -> tuple[bytes, list[str]]:
            # Rendered here too: a large answer takes its time.
            answer = run_for(services, holder.project, raw)
            return render_answer(answer, media_type), answer.notes

        body, notes = await services.ask(holder.project, work)
        headers = {} if media_type == MEDIA_TYPES[0] or not notes else {NOTES_HEADER: json.dumps(notes)}
        return Response(body, media_type=media_type, headers=headers)

    @get(
        "/v1/names",
        summary="Event names that exist",
        tags=["questions"],
        security=[{"read": []}],
        takes=(free("containing"), handled("limit"), KEY),
    )
    async def get_names(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Return the project's most frequent event names with their counts: at most `limit`, those that contain `containing`.

        The header Tallymark-Total says how many there are in all.
        """
        holder = require_key(request, services, "read")
        query = request.query_params
        most = parse_count(query.get("limit"), "limit", MOST_NAMES, MOST_NAMES)
        found = await services.ask(
            holder.project, find_event_names, services.store, holder.project,
            containing=query.get("containing", ""), limit=most, limits=services.query_limits,
        )  # fmt: skip
        return render_list(found.names, found.total)

    @get(
        "/v1/fields",
        summary="Fields that exist",
        tags=["questions"],
        security=[{"read": []}],
        takes=(free("event_name"), free("containing"), handled("limit"), KEY),
    )
    async def get_fields(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Return core fields and the attributes seen, of one event name (`event_name`) or of all, as `/v1/names` returns names."""
        holder = require_key(request, services, "read")
        query = request.query_params
        most = parse_count(query.get("limit"), "limit", MOST_FIELDS, MOST_FIELDS)
        found = await services.ask(
            holder.project, find_fields, services.store, holder.project, query.get("event_name") or None,
            containing=query.get("containing", ""), limit=most, limits=services.query_limits,
        )  # fmt: skip
        return render_list(found.fields, found.total)

    return [ask, get_names, get_fields]
