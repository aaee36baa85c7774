"""What the intake answers: counts and rejected events, or why a whole request was turned away."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from tallymark.errors import RequestRefused
from tallymark.event import REPORT_HEADER, SENT_AT_HEADER
from tallymark.intake.accept import Outcome

# Status, headers, body.
Answer = tuple[int, Mapping[str, str], bytes]

ALLOWED = "GET, POST, OPTIONS"
_CORS = {"access-control-allow-origin": "*", "access-control-expose-headers": "Retry-After"}
_HEADERS = {**_CORS, "content-type": "application/json"}
_OURS = ("Authorization", "Content-Type", "Content-Encoding", SENT_AT_HEADER, REPORT_HEADER)
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,128}", re.ASCII)
_MOST_TOKENS = 64
_encoder = msgspec.json.Encoder()


class Rejected(msgspec.Struct):
    """An event that was not accepted: its place in the request, a code of docs/codes.md, and where it failed."""

    index: int
    code: str
    message: str
    at: str


class EventsAnswer(msgspec.Struct):
    """What `POST /v1/events` answers; `notes` tell what of the request was not understood and left aside."""

    accepted: int
    rejected: list[Rejected]
    notes: list[str] | msgspec.UnsetType = msgspec.UNSET


def build_preflight(asked: str) -> Answer:
    """Return the answer to a preflight: what a browser asks to send may be sent.

    Tracing libraries add headers of theirs to every request; we do not read them, and they must not cost an event.
    `asked` is Access-Control-Request-Headers; what is no header's name in it is left out.
    """
    names = {name.lower(): name for name in _OURS}
    for name in asked.split(",")[:_MOST_TOKENS]:
        if _TOKEN.fullmatch(name.strip()):
            names.setdefault(name.strip().lower(), name.strip())
    headers = {
        **_CORS,
        "access-control-allow-methods": "POST, OPTIONS",
        "access-control-allow-headers": ", ".join(names.values()),
        "access-control-max-age": "86400",
        "vary": "Access-Control-Request-Headers",
    }
    return 204, headers, b""


def build_answer(outcome: Outcome, notes: list[str]) -> Answer:
    """Return the answer to a request whose events were judged."""
    rejected = [Rejected(item.index, item.code, item.message, item.place) for item in outcome.failed]
    if not outcome.durable:
        status = 202
    elif rejected:
        status = 207 if outcome.accepted else 400
    else:
        status = 200
    return (
        status,
        _HEADERS,
        _encoder.encode(EventsAnswer(outcome.accepted, rejected, notes or msgspec.UNSET)),
    )


def build_refusal(refusal: RequestRefused) -> Answer:
    """Return the answer to a request that is turned away whole."""
    body = {"code": refusal.code, "message": refusal.message, "at": refusal.at, "detail": refusal.message}
    headers = {**_HEADERS}
    if refusal.retry_after is not None:
        headers["retry-after"] = str(refusal.retry_after)
    if refusal.status == 401:
        headers["www-authenticate"] = 'Bearer realm="tallymark"'
    return refusal.status, headers, _encoder.encode(body)
