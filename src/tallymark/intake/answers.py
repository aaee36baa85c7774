"""Answers that receivers share: counts and rejected events, why a whole request was refused, CORS preflights.

Receivers render their answers with it where their protocol has no form of its own; the server's other parts render
refusals with it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from tallymark.errors import RequestRefused
from tallymark.event import REPORT_HEADER, SENT_AT_HEADER
from tallymark.intake.accept import Outcome

# Status, headers, body.
Answer = tuple[int, Mapping[str, str], bytes]

_CORS = {"access-control-allow-origin": "*", "access-control-expose-headers": "Retry-After"}
HEADERS = {**_CORS, "content-type": "application/json"}
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


def build_answer(outcome: Outcome) -> Answer:
    """Return the answer of our own protocol to a request whose events were judged."""
    rejected = list_rejected(outcome)
    if not outcome.durable:
        status = 202
    elif rejected:
        status = 207 if outcome.accepted else 400
    else:
        status = 200
    return (
        status,
        HEADERS,
        _encoder.encode(EventsAnswer(outcome.accepted, rejected, outcome.notes or msgspec.UNSET)),
    )


def list_rejected(outcome: Outcome) -> list[Rejected]:
    """Return the events that were not accepted, as answers name them."""
    return [Rejected(item.index, item.code, item.message, item.place) for item in outcome.failed]


def build_refusal(refusal: RequestRefused, **more: object) -> Answer:
    """Return the answer to a request that is refused whole; `more` are members of the body that a protocol adds."""
    body = {
        "code": refusal.code,
        "message": refusal.message,
        "at": refusal.at,
        "detail": refusal.message,
        **more,
    }
    headers = {**HEADERS}
    if refusal.retry_after is not None:
        headers["retry-after"] = str(refusal.retry_after)
    if refusal.status == 401:
        headers["www-authenticate"] = 'Bearer realm="tallymark"'
    return refusal.status, headers, _encoder.encode(body)
