"""`/sign-in` and `/sign-out`: a password for a session cookie, and back.

The form answers the same to an unknown name, a wrong password and too many tries.
"""

from __future__ import annotations

import secrets
from typing import Any, Final

from litestar import Request, Response
from litestar.datastructures import Cookie
from litestar.handlers import HTTPRouteHandler

from tallymark.catalog.repository import SESSION_DAYS
from tallymark.web.addresses import find_address, find_sender
from tallymark.web.pages.html import render_html, render_move
from tallymark.web.pages.routes import get_page, post_page
from tallymark.web.pages.sessions import (
    CSRF_FIELD,
    FORM_COOKIE,
    SESSION_COOKIE,
    Attempts,
    check_origin,
    check_token,
    find_session,
    mask_token,
    open_form,
    parse_form_token,
    parse_pairs,
    parse_target,
    read_form,
)
from tallymark.web.parameters import formed
from tallymark.web.services import Services

_NEXT: Final = formed(
    "next",
    lambda text: text == "/" or parse_target(text) != "/",
    "an address on this server, such as /events",
)
_MOST_NAME: Final = 200
_MOST_PASSWORD: Final = 1000
_REFUSED: Final = "Name or password is wrong. After ten failed tries every try fails for five minutes."


def build_routes(services: Services) -> list[HTTPRouteHandler]:
    """Return the routes."""
    attempts = Attempts(services.clock)

    async def try_password(name: str, password: str, address: str) -> str | None:
        who = (name, address)
        if attempts.is_blocked(who) or not name or not password:
            return None
        found = await services.passwords.run_for(
            address, name, lambda: services.catalog.sign_in(name, password)
        )
        if found is None:
            attempts.fail(who)
            return None
        attempts.succeed(who)
        return found[0]

    @get_page("/sign-in", _NEXT)
    async def show_sign_in(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Show the form."""
        target = parse_target(request.query_params.get("next", "/"))
        session, _ = await find_session(request, services)
        if session is not None:
            return render_move(target)
        return _render_form(request, services, target)

    @post_page("/sign-in")
    async def sign_in(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Open a session."""
        check_origin(request, services)
        fields = dict(parse_pairs(await read_form(request)))
        token = parse_form_token(request.cookies.get(FORM_COOKIE, ""))
        check_token(fields.get(CSRF_FIELD, ""), token or secrets.token_hex())
        target = parse_target(fields.get("next", "/"))
        address = find_sender(services.trusted_proxies, request)
        name, password = fields.get("name", "")[:_MOST_NAME], fields.get("password", "")[:_MOST_PASSWORD]
        session = await try_password(name, password, address)
        if session is None:
            return _render_form(request, services, target, name, _REFUSED)
        response = render_move(target)
        secure = is_secure(request, services)
        response.set_cookie(
            Cookie(
                SESSION_COOKIE,
                value=session,
                httponly=True,
                secure=secure,
                samesite="lax",
                path="/",
                max_age=SESSION_DAYS * 86_400,
            )
        )
        return response

    @post_page("/sign-out")
    async def sign_out(request: Request[Any, Any, Any]) -> Response[bytes]:
        """End the session, in the catalog and in the browser."""
        visit = await open_form(request, services)
        await services.read(visit.project, services.catalog.end_session, visit.token)
        response = render_move("/sign-in")
        response.delete_cookie(SESSION_COOKIE, path="/")
        response.headers["Clear-Site-Data"] = '"storage"'
        return response

    return [show_sign_in, sign_in, sign_out]


def is_secure(request: Request[Any, Any, Any], services: Services) -> bool:
    """Tell whether people reach the server over https."""
    return find_address(services.public_url, request).startswith("https://")


def _render_form(
    request: Request[Any, Any, Any], services: Services, target: str, name: str = "", error: str = ""
) -> Response[bytes]:
    token = parse_form_token(request.cookies.get(FORM_COOKIE, "")) or secrets.token_urlsafe(24)
    values = {"csrf": mask_token(token), "target": target, "name": name, "error": error}
    response = render_html(request, "sign_in.html", values, 401 if error else 200)
    response.set_cookie(
        Cookie(
            FORM_COOKIE,
            value=token,
            httponly=True,
            secure=is_secure(request, services),
            samesite="strict",
            path="/sign-in",
        )
    )
    return response
