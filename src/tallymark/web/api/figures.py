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
from tallymark.queries.fields import parse_breakdown
from tallymark.queries.question import GROUPS, MAX_LIMIT
from tallymark.web.access import require_key
from tallymark.web.answers import render_json
from tallymark.web.asking import open_asker
from tallymark.web.services import Services

# The columns that an answer has besides those of the breakdown.
_COLUMNS: Final = ("time", GROUPS, "figure", "n", "low", "high", "enough")
_OTHERS: Final = {"": False, "0": False, "false": False, "1": True, "true": True}
FIELDS: Final = ("from", "to", "interval", "timezone", "filters", "breakdown", "limit", "others", "compare")
_KEY: Final = "key"
_DEFAULT_LIMIT: Final = 50


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
        services.uses.note(holder.project, "metric", name, f"a key of scope {holder.scope}")
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
        value["limit"] = _parse_limit(fields.get("limit", ""))
        value["others"] = _parse_others(fields.get("others", ""))
        parse_breakdown(value["breakdown"], _COLUMNS)
        return msgspec.convert(value, Span)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise RequestRefused("invalid_question", str(error)) from None


def _parse_limit(text: str) -> int:
    if not text:
        return _DEFAULT_LIMIT
    if not (text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= MAX_LIMIT):
        message = f"{text[:40]!r} is no number of groups. Allowed: 1 to {MAX_LIMIT:,}."
        raise RequestRefused("invalid_question", message, at="limit")
    return int(text)


def _parse_others(text: str) -> bool:
    if text not in _OTHERS:
        raise RequestRefused("invalid_question", f"others is true or false, not {text[:40]!r}.", at="others")
    return _OTHERS[text]


def parse_comparison(fields: dict[str, str]) -> Comparison | None:
    """Read what to compare with; raises RequestRefused."""
    text = fields.get("compare", "")
    for comparison in COMPARISONS:
        if text == comparison:
            return comparison
    if text:
        raise RequestRefused("invalid_question", f"compare is one of {', '.join(COMPARISONS)}.", at="compare")
    return None
