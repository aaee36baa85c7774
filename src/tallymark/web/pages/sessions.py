"""Who looks at the pages: the session cookie, the project in the address, and the checks on every form.

Comes in: a request. Goes out: a `Visit`, or an error that the pages turn into the sign-in form or a refusal.
Keys are never taken here and sessions never by the API.
"""

from __future__ import annotations

import asyncio
import base64
import re
import secrets
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlsplit

from litestar import Request

from tallymark.catalog.repository import SessionRow
from tallymark.clock import Clock
from tallymark.errors import RequestRefused
from tallymark.web.access import name_owner
from tallymark.web.addresses import find_address, find_sender
from tallymark.web.services import Services

SESSION_COOKIE: Final = "tallymark_session"
FORM_COOKIE: Final = "tallymark_form"
CSRF_FIELD: Final = "csrf"
_FORM_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{16,64}", re.ASCII)
_FORM_BYTES: Final = 16 * 1024
_FORM_SECONDS: Final = 15.0
_MOST_FIELDS: Final = 1000
_DEFAULT_PROJECT: Final = "default"


class SignInNeeded(Exception):
    """Nobody is signed in; `target` is where to go afterwards."""

    def __init__(self, target: str) -> None:
        super().__init__(target)
        self.target = target


@dataclass(frozen=True, slots=True)
class Visit:
    """A request of somebody who is signed in. `projects` are all that exist, `project` is the one looked at."""

    request: Request[Any, Any, Any]
    session: SessionRow
    token: str
    project: str
    projects: tuple[str, ...]
    fields: dict[str, str]
    pairs: list[tuple[str, str]]
    address: str

    def page(self, here: str, **values: Any) -> dict[str, Any]:
        """Return what every page's template needs, and `values`."""
        return {
            "here": here,
            "person": self.session.person,
            "csrf": mask_token(self.session.csrf),
            "project": self.project,
            "projects": self.projects,
            "address": self.address,
            **values,
        }


async def open_visit(request: Request[Any, Any, Any], services: Services) -> Visit:
    """Return the visit of a GET; raises SignInNeeded, RequestRefused (not_found) for an unknown project."""
    text = request.scope["query_string"].decode("utf-8", "replace")
    pairs = parse_pairs(text)
    session, token = await find_session(request, services)
    if session is None:
        path = request.scope["path"]
        raise SignInNeeded(f"{path}?{text}" if text else path)
    return _visit(request, services, session, token, pairs)


async def open_form(request: Request[Any, Any, Any], services: Services, most: int = _FORM_BYTES) -> Visit:
    """Return the visit of a POST of at most so many bytes after checking where it comes from and its CSRF token.

    Raises SignInNeeded, RequestRefused (forbidden, body_too_large, request_timeout, not_found).
    """
    check_origin(request, services)
    pairs = parse_pairs(await read_form(request, most))
    session, token = await find_session(request, services)
    if session is None:
        raise SignInNeeded("/")
    check_token(dict(pairs).get(CSRF_FIELD, ""), session.csrf)
    return _visit(request, services, session, token, pairs)


def _visit(
    request: Request[Any, Any, Any],
    services: Services,
    session: SessionRow,
    token: str,
    pairs: list[tuple[str, str]],
) -> Visit:
    fields = dict(pairs)
    projects = tuple(sorted(services.snapshots.current().projects))
    project = fields.get("project") or (
        _DEFAULT_PROJECT if _DEFAULT_PROJECT in projects else next(iter(projects), _DEFAULT_PROJECT)
    )
    if project not in projects:
        raise RequestRefused("not_found", f"There is no project {project[:80]!r}.", at="project")
    name_owner(request, project)
    return Visit(
        request, session, token, project, projects, fields, pairs, find_address(services.public_url, request)
    )


async def find_session(request: Request[Any, Any, Any], services: Services) -> tuple[SessionRow | None, str]:
    """Return the session of a request's cookie and its token; None when there is none or it is over."""
    token = request.cookies.get(SESSION_COOKIE, "")
    if not token or len(token) > 200:
        return None, ""
    address = find_sender(services.trusted_proxies, request)
    return await services.sessions.run(address, services.catalog.find_session, token), token


def check_origin(request: Request[Any, Any, Any], services: Services) -> None:
    """Refuse a form that another site sent: by Sec-Fetch-Site, else by Origin; the token is checked besides."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        if site not in ("same-origin", "none"):
            raise RequestRefused("forbidden", "The form was sent from another site.")
        return
    origin = request.headers.get("origin")
    if origin is None:
        return
    own = {request.headers.get("host", ""), urlsplit(services.public_url).netloc}
    if find_site(origin) not in own - {""}:
        raise RequestRefused("forbidden", "The form was sent from another site.")


def find_site(origin: str) -> str:
    """Return host and port of an Origin header; '' where it names none, such as `null`."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def parse_form_token(text: str) -> str:
    """Return the form cookie's token where it is one that we could have made, else ''."""
    return text if _FORM_TOKEN.fullmatch(text) else ""


def mask_token(token: str) -> str:
    """Return a CSRF token as it stands in a page: different in each, so that no compressed page gives it away."""
    given = token.encode()
    mask = secrets.token_bytes(len(given))
    masked = bytes(one ^ other for one, other in zip(given, mask, strict=True))
    return base64.urlsafe_b64encode(mask + masked).decode()


def unmask_token(text: str) -> bytes:
    """Return the token of what `mask_token` made, something else for everything else."""
    try:
        both = base64.b64decode(text.encode(), altchars=b"-_", validate=True)
    except ValueError:
        return b""
    half = len(both) // 2
    return bytes(one ^ other for one, other in zip(both[:half], both[half:], strict=False))


def check_token(given: str, expected: str) -> None:
    """Refuse a form whose CSRF token, masked as it stands in a page, is not the expected one."""
    if not secrets.compare_digest(unmask_token(given), expected.encode()):
        raise RequestRefused(
            "forbidden", "The form is too old or was not sent from this page. Load it again."
        )


async def read_form(request: Request[Any, Any, Any], most: int = _FORM_BYTES) -> str:
    """Return the text of a form's body; raises RequestRefused (body_too_large, request_timeout, invalid_request)."""
    body = b""
    try:
        async with asyncio.timeout(_FORM_SECONDS):
            while True:
                message = await request.receive()
                if message["type"] != "http.request":
                    raise RequestRefused("invalid_request", "The form did not arrive whole.")
                body += message["body"]
                if len(body) > most:
                    raise RequestRefused("body_too_large", f"A form may have {most:,} bytes.")
                if not message["more_body"]:
                    return body.decode("utf-8", "replace")
    except TimeoutError as error:
        raise RequestRefused("request_timeout") from error


def parse_pairs(text: str) -> list[tuple[str, str]]:
    """Return the fields of a query string or form; raises RequestRefused when there are too many."""
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="replace")
    except ValueError as error:
        raise RequestRefused("invalid_request", f"A form has at most {_MOST_FIELDS} fields.") from error
    return [(name, value.replace("\0", "")) for name, value in pairs]


def parse_target(text: str) -> str:
    """Return an address on this server to go to after signing in, `/` for anything else."""
    if not text.startswith("/") or text[1:2] in ("/", "\\") or len(text) > 8000:
        return "/"
    return quote(text, safe="/?&=%+:,;@!$'()*~.-_[]") if text.isprintable() else "/"


class Attempts:
    """Failed sign-ins by name and address: after `MOST` of them within `SECONDS` every try fails for a while."""

    MOST: Final = 10
    SECONDS: Final = 300.0
    _REMEMBERED: Final = 10_000

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failed: OrderedDict[tuple[str, str], list[float]] = OrderedDict()

    def is_blocked(self, who: tuple[str, str]) -> bool:
        """Tell whether tries of this name from this address fail now, whatever the password."""
        return len(self._recent(who)) >= self.MOST

    def fail(self, who: tuple[str, str]) -> None:
        """Remember a failed try; the longest unused names are forgotten first."""
        self._failed[who] = [*self._recent(who), self._clock.monotonic()][-self.MOST :]
        self._failed.move_to_end(who)
        while len(self._failed) > self._REMEMBERED:
            self._failed.popitem(last=False)

    def succeed(self, who: tuple[str, str]) -> None:
        """Forget the failed tries."""
        self._failed.pop(who, None)

    def _recent(self, who: tuple[str, str]) -> list[float]:
        since = self._clock.monotonic() - self.SECONDS
        return [time for time in self._failed.get(who, ()) if time > since]
