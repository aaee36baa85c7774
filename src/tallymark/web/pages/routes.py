"""How a page is mounted: outside the API's description, with errors that are pages too.

Each module of this room decorates its handlers with `get_page` or `post_page`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import structlog
from litestar import Request, Response, get, post
from litestar.exceptions import HTTPException, MethodNotAllowedException, NotFoundException
from litestar.handlers import HTTPRouteHandler

from tallymark.errors import RequestRefused, TallymarkError
from tallymark.store.errors import StoreError, StoreUnavailable
from tallymark.web.pages.html import build_link, render_html, render_move
from tallymark.web.pages.packing import pack_answers
from tallymark.web.pages.sessions import SignInNeeded, parse_target
from tallymark.web.parameters import ANYTHING, Parameter, handled

log = structlog.get_logger("tallymark.web")

_TITLES: Final = {
    400: "That is not understood",
    403: "That is not allowed",
    404: "There is no such page",
    405: "That is not understood",
    413: "That is too much",
    422: "That takes too long",
    429: "That is too much at once",
    503: "That cannot be reached now",
}
# Where somebody goes on from an address that begins so: the same page as it is without conditions.
_WAYS: Final = {
    "alert": ("/alerts", "Look through the alerts"),
    "alerts": ("/alerts", "Look through the alerts"),
    "dashboard": ("/dashboards", "Look through the dashboards"),
    "definition": ("/catalogue", "Look through the metrics"),
    "event": ("/events", "Look through the events"),
    "events": ("/events", "Look through the events"),
    "explore": ("/explore", "Begin a new question"),
    "explore.csv": ("/explore", "Begin a new question"),
    "metric": ("/catalogue", "Look through the metrics"),
    "quarantine": ("/quarantine", "Go to the quarantine"),
    "settings": ("/settings", "Go to the settings"),
    "sign-in": ("/sign-in", "Sign in"),
}


# The page says where there is no such project.
_PROJECT: Final = handled("project")


def ask_to_sign_in(_: Request[Any, Any, Any], error: SignInNeeded) -> Response[bytes]:
    """Lead to the sign-in form and back."""
    # What is too long to come back to is left out.
    target = "" if parse_target(error.target) == "/" else error.target
    return render_move(build_link("/sign-in", next=target))


def find_status(error: TallymarkError) -> int:
    """Return the HTTP status that an error is answered with, by itself or within a page."""
    if isinstance(error, StoreUnavailable):
        return 503
    return error.status if isinstance(error, RequestRefused) else 400


def show_error(request: Request[Any, Any, Any], error: TallymarkError) -> Response[bytes]:
    """Show an error that says what is wrong and what to do."""
    if isinstance(error, StoreError) and not isinstance(error, StoreUnavailable):
        log.warning("store_error", error=str(error))
    response = _render(request, find_status(error), error.code, error.message, error.at)
    if isinstance(error, RequestRefused) and error.retry_after is not None:
        response.headers["Retry-After"] = str(error.retry_after)
    return response


def show_http_error(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """Show what the framework refused."""
    response = _render(request, error.status_code, "", str(error.detail))
    response.headers.update(error.headers or {})
    return response


def show_fault(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Show that something of ours failed; the log has the rest."""
    log.error("page_failed", path=request.scope["path"], exc_info=error)
    return _render(request, 500, "internal_error", "A fault of ours. The server's log says more.")


def _render(
    request: Request[Any, Any, Any], status: int, code: str, message: str, at: str = ""
) -> Response[bytes]:
    values = {
        "title": _TITLES.get(status, "That did not work"),
        "code": code,
        "message": message,
        "at": at,
        "ways": _find_ways(request, at),
    }
    return render_html(request, "error.html", values, status)


def _find_ways(request: Request[Any, Any, Any], at: str) -> list[tuple[str, str]]:
    """Return (address, words) of where to go on: the page without what was wrong, and home."""
    # A project that does not exist is left behind, any other is kept.
    project = "" if at == "project" else request.query_params.get("project", "")
    way = _WAYS.get(request.scope["path"].split("/")[1])
    ways = [way] if way else []
    return [
        (build_link(path, project=project), words) for path, words in [*ways, ("/", "Go to the home page")]
    ]


# The application answers the same errors as JSON, and of two handlers the one of the nearest class wins, whichever
# layer it stands in: so each class that has one there has one here.
_HANDLERS: Final[dict[int | type[Exception], Callable[..., Any]]] = {
    SignInNeeded: ask_to_sign_in,
    RequestRefused: show_error,
    TallymarkError: show_error,
    NotFoundException: show_http_error,
    MethodNotAllowedException: show_http_error,
    HTTPException: show_http_error,
    Exception: show_fault,
}


def get_page(path: str | list[str], *takes: Parameter) -> Callable[[Callable[..., Any]], HTTPRouteHandler]:
    """Return a decorator that mounts a handler for GET; `takes` are the parameters of its address, beside the project."""
    return get(
        path,
        include_in_schema=False,
        exception_handlers=_HANDLERS,
        middleware=[pack_answers],
        takes=takes if takes == ANYTHING else (_PROJECT, *takes),
    )


def post_page(path: str) -> Callable[[Callable[..., Any]], HTTPRouteHandler]:
    """Return a decorator that mounts a handler for POST; its answers are not compressed (see `packing`)."""
    return post(path, status_code=200, include_in_schema=False, exception_handlers=_HANDLERS, takes=())
