"""One HTTP request to the store, read into what it asks: who, which statement, which data, under which settings.

Comes in: headers, the address's query and a readable body. Goes out: a `StoreRequest`; `service` runs it.
A parameter that is neither part of the interface nor a setting of the engine is refused by name.
"""

from __future__ import annotations

import hmac
import uuid
from dataclasses import dataclass, field
from email.message import Message
from typing import Final
from urllib.parse import parse_qsl

from tallymark.basic_auth import parse_basic
from tallymark.store.errors import EngineError

INTERNAL_USER: Final = "tallymark"
VISITOR_USER: Final = "public"
PROJECT_HEADER: Final = "X-Tallymark-Project"

# Of ClickHouse's interface, and not here. Each has the one value that asks for nothing.
_REFUSED: Final = {
    "compress": "0",
    "decompress": "0",
    "client_protocol_version": "0",
    "quota_key": "",
    "role": "",
    "buffer_size": "0",
    "stacktrace": "0",
    "async_insert": "0",
}
# The row filter and the server stand on these.
_RESERVED_SETTINGS: Final = frozenset({"log_comment", "profile", "limit_access"})
# They ask for headers during the wait. The answer's one summary header holds the final figures.
_PROGRESS: Final = frozenset({"send_progress_in_http_headers", "http_headers_progress_interval_ms"})

_SESSION_SECONDS: Final = 60.0
_MAX_SESSION_SECONDS: Final = 3600.0


@dataclass(slots=True)
class StoreRequest:
    """What one request asks. `query` is the text of the URL or form; the statement may go on in the body."""

    user: str
    project: str
    query: str = ""
    database: str = ""
    default_format: str = "TabSeparated"
    query_id: str = ""
    session_id: str = ""
    session_seconds: float = _SESSION_SECONDS
    session_check: bool = False
    wait_end: bool = False
    replace_running: bool = False
    read_only: bool = False
    parameters: dict[str, str] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)


def parse_fields(query_string: str) -> list[tuple[str, str]]:
    """Return the names and values of a URL's query. Raises EngineError where it is not UTF-8."""
    try:
        return parse_qsl(query_string, keep_blank_values=True, errors="strict")
    except (UnicodeDecodeError, ValueError) as error:
        raise EngineError(36, f"The URL's query is not valid: {error}") from None


def run_login(headers: Message, fields: list[tuple[str, str]], password: str) -> StoreRequest:
    """Check who asks. Raises EngineError 516 for a wrong user or password, or visitors without a project."""
    given = dict(fields)
    user, secret = "", ""
    authorization = headers.get("Authorization") or ""
    if headers.get("X-ClickHouse-User") is not None:
        user, secret = headers.get("X-ClickHouse-User") or "", headers.get("X-ClickHouse-Key") or ""
    elif authorization[:6].lower() == "basic ":
        credentials = parse_basic(authorization[6:])
        if credentials is None:
            raise EngineError(516, "The Authorization header is not valid Basic authentication")
        user, secret = credentials
    elif "user" in given:
        user, secret = given["user"], given.get("password", "")
    # Header values arrive as Latin-1; a project's name is UTF-8.
    project = (headers.get(PROJECT_HEADER) or "").encode("latin-1", "replace").decode("utf-8", "replace")
    known = user in {INTERNAL_USER, VISITOR_USER}
    if not hmac.compare_digest(secret.encode(), password.encode()) or not known:
        raise EngineError(516, f"Authentication failed: unknown user {user!r} or wrong password")
    if (user == VISITOR_USER) != bool(project):
        raise EngineError(
            516, f"Authentication failed: user {VISITOR_USER!r} needs the header {PROJECT_HEADER}"
        )
    return StoreRequest(user=user, project=project)


def apply_fields(request: StoreRequest, fields: list[tuple[str, str]], setting_names: frozenset[str]) -> None:
    """Put the URL's or form's fields into `request`. Raises EngineError for what is unknown or not supported."""
    for name, value in fields:
        if name.startswith("param_"):
            request.parameters[name[6:]] = value
        elif name in _REFUSED:
            if value != _REFUSED[name]:
                raise EngineError(48, f"The parameter {name}={value} is not supported by this server")
        elif name in _SETTERS:
            _SETTERS[name](request, value)
        elif name not in _PROGRESS:
            _apply_setting(request, name, value, setting_names)


def apply_headers(request: StoreRequest, headers: Message) -> None:
    """Put the headers' database, format and settings-like values into `request`."""
    request.database = request.database or headers.get("X-ClickHouse-Database") or ""
    fmt = headers.get("X-ClickHouse-Format")
    if fmt:
        request.default_format = fmt
    for name in ("X-ClickHouse-Quota", "X-ClickHouse-SSL-Certificate-Auth"):
        if headers.get(name):
            raise EngineError(48, f"The header {name} is not supported by this server")
    request.query_id = request.query_id or str(uuid.uuid4())
    if "\n" in request.query_id or len(request.query_id) > 256:
        raise EngineError(36, "A query_id has at most 256 characters and no line break")


def _apply_setting(request: StoreRequest, name: str, value: str, setting_names: frozenset[str]) -> None:
    if name in _RESERVED_SETTINGS:
        raise EngineError(452, f"The setting {name} is used by the server itself and cannot be given")
    if name not in setting_names:
        raise EngineError(115, f"Unknown setting or parameter {name!r} in the request")
    request.settings[name] = value


def _parse_seconds(value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        raise EngineError(36, f"Invalid session_timeout {value!r}: a number of seconds is needed") from None
    if not 0 < seconds <= _MAX_SESSION_SECONDS:
        raise EngineError(
            36, f"Invalid session_timeout {value!r}: at most {_MAX_SESSION_SECONDS:.0f} seconds"
        )
    return seconds


def _set_query(request: StoreRequest, value: str) -> None:
    request.query = value


def _set_database(request: StoreRequest, value: str) -> None:
    request.database = value


def _set_format(request: StoreRequest, value: str) -> None:
    request.default_format = value


def _set_query_id(request: StoreRequest, value: str) -> None:
    request.query_id = value


def _set_session(request: StoreRequest, value: str) -> None:
    request.session_id = value


def _set_session_seconds(request: StoreRequest, value: str) -> None:
    request.session_seconds = _parse_seconds(value)


def _set_session_check(request: StoreRequest, value: str) -> None:
    request.session_check = value == "1"


def _set_wait(request: StoreRequest, value: str) -> None:
    request.wait_end = value in {"1", "true"}


def _set_replace(request: StoreRequest, value: str) -> None:
    request.replace_running = value in {"1", "true"}


def _set_nothing(request: StoreRequest, value: str) -> None:
    """User and password were read by the login; compression is the transport's."""


_SETTERS: Final = {
    "query": _set_query,
    "database": _set_database,
    "default_format": _set_format,
    "query_id": _set_query_id,
    "session_id": _set_session,
    "session_timeout": _set_session_seconds,
    "session_check": _set_session_check,
    "wait_end_of_query": _set_wait,
    "replace_running_query": _set_replace,
    "user": _set_nothing,
    "password": _set_nothing,
    "enable_http_compression": _set_nothing,
    "cancel_http_readonly_queries_on_client_close": _set_nothing,
}
