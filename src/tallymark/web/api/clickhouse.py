"""`/clickhouse`: the store for other people's tools, read-only and for one project.

User name = project, password = read key. The request is handed to the store process under its public role,
which knows that project only; see docs/decisions/0004-project-isolation.md. What is turned away here is answered
as ClickHouse would: its code in a text and in a header, because tools look for it there.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode

from litestar import Request, Response, route
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from litestar.response import Stream

from tallymark.basic_auth import parse_basic
from tallymark.errors import RequestRefused
from tallymark.intake.answers import build_refusal
from tallymark.intake.auth import check_key
from tallymark.store.errors import EngineError
from tallymark.store.requests import PROJECT_HEADER, VISITOR_USER
from tallymark.web.access import name_owner
from tallymark.web.answers import build_http_refusal
from tallymark.web.parameters import ANYTHING
from tallymark.web.services import Services
from tallymark.web.statements import Order, Statement, Work, pass_on

PREFIX = "/clickhouse"
_MOST_BYTES = 1024 * 1024
_FORWARDED = (
    "content-type",
    "content-encoding",
    "accept-encoding",
    "x-clickhouse-format",
    "x-clickhouse-database",
)
_RETURNED = (
    "content-type",
    "content-encoding",
    "x-clickhouse-format",
    "x-clickhouse-summary",
    "x-clickhouse-query-id",
    "x-clickhouse-timezone",
    "x-clickhouse-exception-code",
    "x-clickhouse-server-display-name",
    "retry-after",
)
_CREDENTIALS = ("user", "password", "key", "quota_key")

# Our codes for a request that is turned away, and the one that ClickHouse has for it.
_ENGINE_CODES = {
    "unauthorized": 516,
    "forbidden": 497,
    "method_not_allowed": 1,
    "body_too_large": 229,
    "store_unavailable": 210,
    "too_many_at_once": 202,
    "overloaded": 202,
}
_OTHER_CODE = 1002
_CODE_HEADER = "X-ClickHouse-Exception-Code"


def parse_credentials(request: Request[Any, Any, Any]) -> tuple[str, str]:
    """Return user and password, from wherever ClickHouse's clients put them."""
    headers, query = request.headers, request.query_params
    kind, _, value = headers.get("authorization", "").partition(" ")
    if kind.lower() == "basic":
        return parse_basic(value) or ("", "")
    if kind.lower() == "bearer":
        return "", value.strip()
    user = headers.get("x-clickhouse-user") or query.get("user") or ""
    return user, headers.get("x-clickhouse-key") or query.get("password") or query.get("key") or ""


def answer_refusal(_: Request[Any, Any, Any], refusal: RequestRefused) -> Response[bytes]:
    """Answer what is turned away in ClickHouse's form, under our status."""
    status, headers, _json = build_refusal(refusal)
    error = EngineError(_ENGINE_CODES.get(refusal.code, _OTHER_CODE), refusal.message)
    return Response(
        f"{error.render_text()}\n".encode(),
        status_code=status,
        headers={**headers, "content-type": "text/plain; charset=UTF-8", _CODE_HEADER: str(error.number)},
    )


def answer_http_exception(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """Answer what the framework refused, such as another method, in ClickHouse's form."""
    response = answer_refusal(request, build_http_refusal(error))
    response.headers.update(error.headers or {})
    return response


def build_routes(services: Services) -> list[HTTPRouteHandler]:
    """Return the routes."""
    # Events come first: twice what the intake wants free stays free.
    spare_bytes = 2 * services.disk_reserve_bytes
    work = Work(services.statements, services.statement_answers, services.ledger.parent, spare_bytes)

    def build_statement(project: str, tail: str, request: Request[Any, Any, Any], body: bytes) -> Statement:
        fields = [item for item in request.query_params.multi_items() if item[0] not in _CREDENTIALS]
        headers = {name: value for name in _FORWARDED if (value := request.headers.get(name))}
        headers |= {
            "X-ClickHouse-User": VISITOR_USER,
            "X-ClickHouse-Key": services.store_password,
            PROJECT_HEADER: project,
        }
        target = f"/{quote(tail.lstrip('/'), errors='replace')}?{urlencode(fields)}"
        return Statement(services.store, Order(request.method, target, headers, body))

    @route(
        [PREFIX, f"{PREFIX}/{{tail:path}}"],
        http_method=["GET", "POST"],
        status_code=200,
        summary="ClickHouse's HTTP interface, read-only",
        tags=["clickhouse"],
        security=[{"clickhouse": []}],
        media_type="text/plain",
        exception_handlers={RequestRefused: answer_refusal, HTTPException: answer_http_exception},
        takes=ANYTHING,
    )
    async def pass_to_store(request: Request[Any, Any, Any], tail: str = "") -> Response[Any]:
        """Answer a query as ClickHouse would, with the rows of one project."""
        if tail.strip("/") == "ping":
            # Tools ask this before they send a key; ClickHouse answers it to everybody.
            return Response("Ok.\n", media_type="text/plain")
        user, key = parse_credentials(request)
        holder = check_key(services.snapshots.current(), key, "read")
        if user not in ("", "default", holder.project):
            raise RequestRefused("forbidden", f"The key belongs to another project than {user!r}.")
        name_owner(request, holder.project)
        body = await request.body()
        if len(body) > _MOST_BYTES:
            raise RequestRefused("body_too_large", f"A query may have {_MOST_BYTES} bytes.")
        statement = build_statement(holder.project, tail, request, body)
        answer = await pass_on(work, holder.project, statement)
        headers = {name: value for name in _RETURNED if (value := answer.headers.get(name))}
        return Stream(answer.pieces(), status_code=answer.status, headers=headers)

    return [pass_to_store]
