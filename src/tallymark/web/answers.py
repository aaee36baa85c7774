"""Answers that all routes share: JSON from typed values, errors by their code, times from a query string."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException

from tallymark.errors import REQUEST_CODES, RequestRefused, TallymarkError
from tallymark.intake.answers import build_refusal
from tallymark.store.errors import StoreError, StoreUnavailable

T = TypeVar("T")

log = structlog.get_logger("tallymark.web")

# Far enough from what a datetime can hold that spans around a time can be computed.
EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)

_encoder = msgspec.json.Encoder()
# What the framework itself refuses, by its status.
_CODE_BY_STATUS = {404: "not_found", 405: "method_not_allowed", 413: "body_too_large"}


def decode_body(raw: bytes, kind: type[T]) -> T:
    """Decode a request's body; raises RequestRefused (invalid_request)."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RequestRefused("invalid_request", str(error)) from error


def render_json(value: object, status_code: int = 200) -> Response[bytes]:
    """Return a typed value as a JSON answer."""
    return Response(_encoder.encode(value), status_code=status_code, media_type="application/json")


def render_refusal(refusal: RequestRefused) -> Response[bytes]:
    """Return a refusal as an answer of the framework's."""
    status, headers, body = build_refusal(refusal)
    return Response(body, status_code=status, headers=headers, media_type="application/json")


def answer_refusal(_: Request[Any, Any, Any], refusal: RequestRefused) -> Response[bytes]:
    """Answer what our own code refused."""
    return render_refusal(refusal)


def answer_error(_: Request[Any, Any, Any], error: TallymarkError) -> Response[bytes]:
    """Answer an error that came up from a room: the store's, above all."""
    if isinstance(error, StoreUnavailable):
        return render_refusal(RequestRefused("store_unavailable", error.message, retry_after=2))
    if isinstance(error, StoreError):
        log.warning("store_error", error=str(error))
        code = "query_too_expensive" if error.code == "query_too_expensive" else "invalid_question"
        return render_refusal(RequestRefused(code, error.message, at=error.at))
    code = error.code if error.code in REQUEST_CODES else "invalid_request"
    return render_refusal(RequestRefused(code, error.message, at=error.at))


def build_http_refusal(error: HTTPException) -> RequestRefused:
    """Return what the framework refused as a refusal of ours."""
    other = "internal_error" if error.status_code >= 500 else "invalid_request"
    return RequestRefused(_CODE_BY_STATUS.get(error.status_code, other), str(error.detail))


def answer_http_exception(_: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """Answer what the framework refused: unknown addresses, wrong methods, malformed parameters."""
    response = render_refusal(build_http_refusal(error))
    response.headers.update(error.headers or {})
    return response


def answer_fault(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Answer a fault of ours: say nothing of its inside, and leave the whole of it in the log."""
    log.error("request_failed", path=request.scope["path"], exc_info=error)
    return render_refusal(RequestRefused("internal_error"))


def parse_time(text: str | None, name: str, default: datetime) -> datetime:
    """Read a time from a query string: ISO 8601 (UTC where it has no zone); raises RequestRefused."""
    if not text:
        return default
    try:
        time = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
        time = time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise RequestRefused(
            "invalid_request", f"{text[:40]!r} is no time. Use 2026-01-31T12:00:00Z.", at=name
        ) from None
    if not EARLIEST <= time <= LATEST:
        raise RequestRefused("invalid_request", f"{text[:40]!r} is not between 1970 and 9000.", at=name)
    return time


def parse_span(query: Any, now: datetime, default: timedelta) -> tuple[datetime, datetime]:
    """Read `from` and `to` (exclusive) from a query string; the last `default` when they are absent."""
    end = parse_time(query.get("to"), "to", now + timedelta(minutes=1))
    start = parse_time(query.get("from"), "from", end - default)
    if start >= end:
        raise RequestRefused("invalid_request", f"'from' ({start}) is not before 'to' ({end}).", at="from")
    return start, end


def parse_count(text: str | None, name: str, default: int, most: int) -> int:
    """Read a whole number between 1 and `most`; raises RequestRefused."""
    if text is None or text == "":
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 19 and 1 <= int(text) <= most):
        raise RequestRefused("invalid_request", f"{text[:40]!r} is no number from 1 to {most}.", at=name)
    return int(text)
