"""A metric's figures over the API, with n, interval and comparison; and what its change is made of.

`GET /v1/metrics/{name}/figures` and `GET /v1/metrics/{name}/explain`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from litestar import Request, Response, get
from litestar.handlers import HTTPRouteHandler

from tallymark.errors import RequestRefused
from tallymark.metrics.explain import DEFAULT_VALUES
from tallymark.metrics.periods import COMPARISONS, Comparison
from tallymark.plan.kinds.metric import Span
from tallymark.queries.fields import parse_breakdown
from tallymark.queries.kinds.change import MAX_DIMENSIONS
from tallymark.queries.parse import split_error, tell_allowed
from tallymark.queries.question import DEFAULT_LIMIT, GROUPS, MAX_BREAKDOWNS, MAX_LIMIT
from tallymark.queries.result import Answer
from tallymark.web.access import require_key
from tallymark.web.answers import render_json
from tallymark.web.asking import Asker, open_asker
from tallymark.web.parameters import KEY, handled
from tallymark.web.services import Services

# The columns that an answer has besides those of the breakdown.
_COLUMNS: Final = ("time", GROUPS, "figure", "n", "low", "high", "enough")
_OTHERS: Final = {"": False, "0": False, "false": False, "1": True, "true": True}
FIELDS: Final = ("from", "to", "interval", "timezone", "filters", "breakdown", "limit", "others", "compare")
# A change is not cut into intervals, and what is beyond its limit always stands in one row.
EXPLAIN_FIELDS: Final = tuple(name for name in FIELDS if name not in ("interval", "others"))
_KEY: Final = "key"


def build_routes(services: Services) -> list[HTTPRouteHandler]:
    """Return the routes."""

    @get(
        "/v1/metrics/{name:str}/figures",
        summary="A metric's figures",
        tags=["metrics"],
        security=[{"read": []}],
        takes=(*map(handled, FIELDS), KEY),
    )
    async def get_figures(request: Request[Any, Any, Any], name: str) -> Response[bytes]:
        """Return the figures from `from` up to `to`, per `interval`, by `breakdown` (fields with commas between).

        `filters` is a JSON list as in a question; `compare` is previous, week or year. With `others=true` the groups
        beyond `limit` are one more row.
        """
        holder = require_key(request, services, "read")
        fields = dict(request.query_params)
        span, comparison = parse_span(fields), parse_comparison(fields)
        asker = await services.read(holder.project, open_asker, services, holder.project)
        asker.find(name)
        services.uses.note(holder.project, "metric", name, f"a key of scope {holder.scope}")
        return render_json(await services.ask(holder.project, asker.compared, name, span, comparison))

    @get(
        "/v1/metrics/{name:str}/explain",
        summary="What a metric's change is made of",
        tags=["metrics"],
        security=[{"read": []}],
        takes=(*map(handled, EXPLAIN_FIELDS), KEY),
    )
    async def get_explanation(request: Request[Any, Any, Any], name: str) -> Response[bytes]:
        """Return which values of the fields in `breakdown` account for the change since the time of `compare`.

        1 to 10 fields, of each `limit` values (8 without it) and all others as one; `compare` is previous without it.
        """
        holder = require_key(request, services, "read")
        fields = dict(request.query_params)
        span = parse_span(fields, EXPLAIN_FIELDS, MAX_DIMENSIONS, DEFAULT_VALUES)
        comparison = parse_comparison(fields) or "previous"
        asker = await services.read(holder.project, open_asker, services, holder.project)
        asker.find(name)
        services.uses.note(holder.project, "metric", name, f"a key of scope {holder.scope}")
        return render_json(await services.ask(holder.project, _explain, asker, name, span, comparison))

    return [get_figures, get_explanation]


def _explain(asker: Asker, name: str, span: Span, comparison: Comparison) -> Answer:
    """Ask for an explanation; paths in errors are those of the address."""
    try:
        return asker.explain(name, span, comparison, span.breakdown)
    except RequestRefused as refusal:
        before, found, place = refusal.at.partition("dimensions")
        if before or not found:
            raise
        raise RequestRefused(refusal.code, refusal.message, at=f"breakdown{place}") from None


def parse_span(
    fields: dict[str, str],
    allowed: Sequence[str] = FIELDS,
    most: int = MAX_BREAKDOWNS,
    limit: int = DEFAULT_LIMIT,
) -> Span:
    """Read a span from the fields of an address; raises RequestRefused (invalid_question) that says what is allowed.

    `most` is the number of fields in a breakdown, `limit` holds where the address has none.
    """
    unknown = [name for name in fields if name not in (*allowed, _KEY)]
    if unknown:
        message = f"There is no {unknown[0][:80]!r} here. Allowed: {', '.join(allowed)}."
        raise RequestRefused("invalid_question", message, at=unknown[0][:80])
    value: dict[str, Any] = {"start": fields.get("from", ""), "end": fields.get("to", "")}
    value["interval"] = fields.get("interval") or None
    value["timezone"] = fields.get("timezone") or "UTC"
    value["breakdown"] = [name for name in fields.get("breakdown", "").split(",") if name]
    if len(value["breakdown"]) > most:
        message = f"A breakdown has at most {most} fields here, not {len(value['breakdown'])}."
        raise RequestRefused("invalid_question", message, at="breakdown")
    value["filters"] = _parse_filters(fields.get("filters", ""))
    value["limit"] = _parse_limit(fields.get("limit", ""), limit)
    value["others"] = _parse_others(fields.get("others", ""))
    parse_breakdown(value["breakdown"], _COLUMNS)
    try:
        return msgspec.convert(value, Span)
    except msgspec.ValidationError as error:
        message, at = split_error(error)
        raise RequestRefused("invalid_question", f"{message}.{tell_allowed(Span, at)}", at=at) from None


def _parse_filters(text: str) -> Any:
    try:
        return msgspec.json.decode(text or "[]")
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        message = (
            f'filters is a JSON list such as [{{"field": "agent_os", "op": "eq", "value": "iOS"}}]: {error}.'
        )
        raise RequestRefused("invalid_question", message, at="filters") from None


def _parse_limit(text: str, default: int) -> int:
    if not text:
        return default
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
