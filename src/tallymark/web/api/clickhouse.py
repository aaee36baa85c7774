"""`/clickhouse`: the store for other people's tools, read-only and for one project.

User name = project, password = read key. The request is handed to the store process under its public role,
which knows that project only; see docs/decisions/0004-project-isolation.md. What is turned away here is answered
as ClickHouse would: its code in a text and in a header, because tools look for it there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

import urllib3
from litestar import Request, Response, route
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from litestar.response import Stream

from tallymark.errors import RequestRefused
from tallymark.intake.answers import build_refusal
from tallymark.intake.auth import check_key, parse_basic
from tallymark.store.errors import EngineError, StoreUnavailable
from tallymark.store.requests import PROJECT_HEADER, VISITOR_USER
from tallymark.web.access import name_owner
from tallymark.web.services import Services

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
)
_CREDENTIALS = ("user", "password", "key", "quota_key")
_CHUNK = 64 * 1024
# A question of another tool waits at most 30 s for its place and runs at most 60 s.
_ANSWER_SECONDS = 95.0

# Our codes for a request that is turned away, and the one that ClickHouse has for it.
_ENGINE_CODES = {
    "unauthorized": 516,
    "forbidden": 497,
    "method_not_allowed": 1,
    "body_too_large": 229,
    "store_unavailable": 210,
}
_OTHER_CODE = 1002
_CODES_BY_STATUS = {405: "method_not_allowed", 413: "body_too_large"}
_CODE_HEADER = "X-ClickHouse-Exception-Code"


def parse_credentials(request: Request[Any, Any, Any]) -> tuple[str, str]:
    """Return user and password, from wherever ClickHouse's clients put them."""
    headers, query = request.headers, request.query_params
    kind, _, value = headers.get("authorization", "").partition(" ")
    if kind.lower() == "basic":
        return parse_basic(value)
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
    code = _CODES_BY_STATUS.get(error.status_code, "invalid_request")
    refusal = RequestRefused(code if error.status_code < 500 else "internal_error", str(error.detail))
    response = answer_refusal(request, refusal)
    response.headers.update(error.headers or {})
    return response


def build_routes(services: Services) -> list[HTTPRouteHandler]:
    """Return the routes."""
    pool = urllib3.PoolManager(
        num_pools=1, maxsize=16, retries=False, timeout=urllib3.Timeout(connect=5, read=_ANSWER_SECONDS)
    )

    def forward(project: str, method: str, tail: str, request: Request[Any, Any, Any], body: bytes) -> Any:
        fields = [item for item in request.query_params.multi_items() if item[0] not in _CREDENTIALS]
        headers = {name: value for name in _FORWARDED if (value := request.headers.get(name))}
        headers |= {
            "X-ClickHouse-User": VISITOR_USER,
            "X-ClickHouse-Key": services.store_password,
            PROJECT_HEADER: project,
        }
        url = f"{services.store_url}/{quote(tail.lstrip('/'))}?{urlencode(fields)}"
        try:
            services.store.check_alive()
            return pool.request(method, url, headers=headers, body=body or None, preload_content=False)
        except (StoreUnavailable, urllib3.exceptions.HTTPError) as error:
            raise RequestRefused("store_unavailable", retry_after=2) from error

    @route(
        [PREFIX, f"{PREFIX}/{{tail:path}}"],
        http_method=["GET", "POST"],
        status_code=200,
        summary="ClickHouse's HTTP interface, read-only",
        tags=["clickhouse"],
        security=[{"clickhouse": []}],
        media_type="text/plain",
        exception_handlers={RequestRefused: answer_refusal, HTTPException: answer_http_exception},
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
        answer = await services.run(forward, holder.project, request.method, tail, request, body)
        headers = {name: value for name in _RETURNED if (value := answer.headers.get(name))}
        return Stream(_pieces(answer), status_code=answer.status, headers=headers)

    return [pass_to_store]


def _pieces(answer: Any) -> Iterator[bytes]:
    """Pass the answer on as it comes; ending early closes the connection, which ends the query."""
    whole = False
    try:
        yield from answer.stream(_CHUNK, decode_content=False)
        whole = True
    finally:
        if whole:
            answer.release_conn()
        else:
            answer.close()
