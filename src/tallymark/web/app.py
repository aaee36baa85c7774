"""The reading side as one Litestar application: API, pages, and how errors are answered."""

from __future__ import annotations

from typing import Any

from litestar import Litestar, Request, Response
from litestar.exceptions import HTTPException, MethodNotAllowedException, NotFoundException

from tallymark.errors import RequestRefused, TallymarkError
from tallymark.web.answers import answer_error, answer_fault, answer_http_exception, answer_refusal
from tallymark.web.api import ROUTES, clickhouse
from tallymark.web.openapi import CONFIG, add_intake, add_requests
from tallymark.web.pages import build_routes as build_page_routes
from tallymark.web.pages.routes import show_http_error
from tallymark.web.parameters import check_parameters
from tallymark.web.services import Services

_BODY_BYTES = 1024 * 1024


def answer_missing(
    request: Request[Any, Any, Any], error: NotFoundException | MethodNotAllowedException
) -> Response[bytes]:
    """Answer an unknown address or method: a page for a person in a browser, JSON for everybody else."""
    if isinstance(error, MethodNotAllowedException) and request.scope["path"].startswith("/clickhouse"):
        return clickhouse.answer_http_exception(request, error)
    wants_page = "text/html" in request.headers.get("accept", "")
    return show_http_error(request, error) if wants_page else answer_http_exception(request, error)


def build_app(services: Services) -> Litestar:
    """Join all routes into one application."""
    routes = [route for build_routes in ROUTES for route in build_routes(services)]
    routes += build_page_routes(services)
    app = Litestar(
        routes,
        openapi_config=CONFIG,
        before_request=check_parameters,
        exception_handlers={
            RequestRefused: answer_refusal,
            TallymarkError: answer_error,
            NotFoundException: answer_missing,
            MethodNotAllowedException: answer_missing,
            HTTPException: answer_http_exception,
            Exception: answer_fault,
        },
        # Everything but events is small; the intake has bounds of its own.
        request_max_body_size=_BODY_BYTES,
    )
    add_intake(app.openapi_schema)
    add_requests(app.openapi_schema, routes)
    return app
