"""The web process as one Litestar application: intake routes, API, pages, and how errors are answered."""

from __future__ import annotations

from collections.abc import Sequence

from litestar import Litestar
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme

from tallymark import __version__
from tallymark.errors import RequestRefused, TallymarkError
from tallymark.web.answers import answer_error, answer_fault, answer_http_exception, answer_refusal
from tallymark.web.api import ROUTES
from tallymark.web.services import Services

_OPENAPI = OpenAPIConfig(
    title="tallymark",
    version=__version__,
    description="Every event is accounted for. A key says whose events and what may be done with them.",
    path="/v1/openapi",
    render_plugins=[JsonRenderPlugin(path="/openapi.json")],
    components=Components(
        security_schemes={
            "write": SecurityScheme(type="http", scheme="bearer", description="A write key."),
            "read": SecurityScheme(type="http", scheme="bearer", description="A read key."),
            "admin": SecurityScheme(type="http", scheme="bearer", description="An admin key."),
            "clickhouse": SecurityScheme(type="http", scheme="basic", description="Project and read key."),
        }
    ),
)


def build_app(services: Services, intake_routes: Sequence[HTTPRouteHandler]) -> Litestar:
    """Join all routes into one application."""
    routes = [*intake_routes]
    for build_routes in ROUTES:
        routes += build_routes(services)
    return Litestar(
        routes,
        openapi_config=_OPENAPI,
        exception_handlers={
            RequestRefused: answer_refusal,
            TallymarkError: answer_error,
            HTTPException: answer_http_exception,
            Exception: answer_fault,
        },
        # Bodies are bounded where they are read, each route by its own limit.
        request_max_body_size=None,
    )
