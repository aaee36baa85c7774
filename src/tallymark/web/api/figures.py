"""A metric's figures over the API, with n, interval and comparison; and what its change is made of.

`GET /v1/metrics/{name}/figures` and `GET /v1/metrics/{name}/explain`.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from litestar import Request, Response, get
from litestar.handlers import HTTPRouteHandler

from tallymark.errors import RequestRefused
from tallymark.metrics.periods import COMPARISONS, Comparison
from tallymark.plan.kinds.metric import Span
from tallymark.web.access import require_key
from tallymark.web.answers import render_json
from tallymark.web.asking import open_asker
from tallymark.web.services import Services

FIELDS: Final = ("from", "to", "interval", "timezone", "filters", "breakdown", "limit", "others", "compare")
_KEY: Final = "key"


def build_routes(services: Services) -> list[HTTPRouteHandler]:
    """Return the routes."""

    @get(
        "/v1/metrics/{name:str}/figures",
        summary="A metric's figures",
        tags=["metrics"],
        security=[{"read": []}],
    )
    async def get_figures(request: Request[Any, Any, Any], name: str) -> Response[bytes]:
        """Return the figures from `from` up to `to`, per `interval`, by `breakdown` (fields with commas between).

        `filters` is a JSON list as in a question; `compare` is previous, week or year. With `others=true` the groups
        beyond `limit` are one more row.
        """
        holder = require_key(request, services, "read")
        fields = dict(request.query_params)
        span, comparison = parse_span(fields), parse_comparison(fields)
        services.uses.note(holder.project, "metric", name, f"a key of scope {holder.scope}")
        asker = await services.run(open_asker, services, holder.project)
        return render_json(await services.run(asker.compared, name, span, comparison))

    @get(
        "/v1/metrics/{name:str}/explain",
        summary="What a metric's change is made of",
        tags=["metrics"],
        security=[{"read": []}],
    )
    async def get_explanation(request: Request[Any, Any, Any], name: str) -> Response[bytes]:
        """Return which values of the fields in `breakdown` account for the change since the time of `compare`."""
        holder = require_key(request, services, "read")
        fields = dict(request.query_params)
        span, comparison = parse_span(fields), parse_comparison(fields) or "previous"
        asker = await services.run(open_asker, services, holder.project)
        return render_json(await services.run(asker.explain, name, span, comparison, span.breakdown))

    return [get_figures, get_explanation]


def parse_span(fields: dict[str, str]) -> Span:
    """Read a span from the fields of an address; raises RequestRefused (invalid_question) that says what is allowed."""
    unknown = [name for name in fields if name not in (*FIELDS, _KEY)]
    if unknown:
        message = f"There is no {unknown[0][:80]!r}. Allowed: {', '.join(FIELDS)}."
        raise RequestRefused("invalid_question", message, at=unknown[0][:80])
    value: dict[str, Any] = {"start": fields.get("from", ""), "end": fields.get("to", "")}
    value["interval"] = fields.get("interval") or None
    value["timezone"] = fields.get("timezone") or "UTC"
    value["breakdown"] = [name for name in fields.get("breakdown", "").split(",") if name]
    try:
        value["filters"] = msgspec.json.decode(fields.get("filters") or "[]")
        value["limit"] = int(fields.get("limit") or 50)
        value["others"] = fields.get("others", "") in ("1", "true")
        return msgspec.convert(value, Span)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise RequestRefused("invalid_question", str(error)) from None


def parse_comparison(fields: dict[str, str]) -> Comparison | None:
    """Read what to compare with; raises RequestRefused."""
    text = fields.get("compare", "")
    for comparison in COMPARISONS:
        if text == comparison:
            return comparison
    if text:
        raise RequestRefused("invalid_question", f"compare is one of {', '.join(COMPARISONS)}.", at="compare")
    return None
