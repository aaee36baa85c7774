"""The intake's HTTP side: `POST /v1/events`, from the request to its answer.

`Intake` holds what all requests share; the server's wiring makes one and mounts `build_routes`. Requests that
are turned away are counted and written to the journal every few seconds, so that the ledger shows them.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec
import structlog
from litestar import Request, Response, route
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import ResponseSpec

from tallymark.catalog.snapshot import KeyHolder, Snapshot, SnapshotSource
from tallymark.clock import SYSTEM_CLOCK, Clock
from tallymark.errors import RequestRefused
from tallymark.event import ClientReport
from tallymark.intake.accept import Acceptor, Outcome, build_batch
from tallymark.intake.auth import check_key, parse_key
from tallymark.intake.body import SenderLeft, read_body
from tallymark.intake.decode import decompress
from tallymark.intake.limits import IntakeLimits, MemoryBudget, RateLimiter, Reservation
from tallymark.intake.receivers.events import Parsed, parse_events
from tallymark.journal.segments import SegmentWriter
from tallymark.meters import INTAKE_SECONDS, JOURNAL_WAITING_BYTES, REQUESTS_TURNED_AWAY
from tallymark.pipeline.batch import Arrival
from tallymark.rules.privacy import RULES, PrivacyRules

log = structlog.get_logger("tallymark.intake")

SENT_AT_HEADER = "tallymark-sent-at"
REPORT_HEADER = "tallymark-client-report"
# Larger bodies are inflated and decoded beside the loop, so that others are not kept waiting.
_LARGE_BYTES = 256 * 1024
_TURNED_AWAY_SECONDS = 5.0
_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Retry-After",
}
_PREFLIGHT = {
    **_CORS,
    "Access-Control-Allow-Methods": "POST, OPTIONS",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Content-Encoding, Tallymark-Sent-At, Tallymark-Client-Report",
    "Access-Control-Max-Age": "86400",
}
_encoder = msgspec.json.Encoder()
_report = msgspec.json.Decoder(ClientReport)


class Rejected(msgspec.Struct):
    """An event that was not accepted: its place in the request, a code of docs/codes.md, and where it failed."""

    index: int
    code: str
    message: str
    at: str


class EventsAnswer(msgspec.Struct):
    """What `POST /v1/events` answers."""

    accepted: int
    rejected: list[Rejected]


@dataclass(slots=True)
class Intake:
    """What all requests share."""

    journal: SegmentWriter
    acceptor: Acceptor
    snapshots: SnapshotSource
    secret: bytes
    limits: IntakeLimits = field(default_factory=IntakeLimits)
    clock: Clock = SYSTEM_CLOCK
    budget: MemoryBudget = field(init=False)
    rates: RateLimiter = field(init=False)
    turned_away: Counter[tuple[str, str]] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.budget = MemoryBudget(self.limits)
        self.rates = RateLimiter(self.clock)

    def privacy_rules(self, snapshot: Snapshot, project: str) -> PrivacyRules:
        """Return the privacy rules that a project has switched on."""
        row = snapshot.projects.get(project)
        off = row.privacy_off if row else ()
        return PrivacyRules(frozenset(rule for rule in RULES if rule not in off), self.secret)

    def turn_away(self, project: str, code: str) -> None:
        """Count a request that was refused whole; `project` is '' when its key is unknown."""
        self.turned_away[project, code] += 1
        REQUESTS_TURNED_AWAY.labels(code).inc()

    async def write_turned_away(self) -> None:
        """Put the counts of refused requests into the journal; keeps them when it cannot be written."""
        counts, self.turned_away = self.turned_away, Counter()
        by_project: dict[str, dict[str, int]] = {}
        for (project, code), requests in counts.items():
            by_project.setdefault(project, {})[code] = requests
        for project, codes in by_project.items():
            batch = build_batch(Arrival(project, "http", self.clock.now()), [])
            try:
                await self.acceptor.accept(batch, turned_away=codes)
            except RequestRefused:
                self.turned_away.update({(project, code): requests for code, requests in codes.items()})

    async def keep_counting(self) -> None:
        """Write the counts every few seconds until cancelled."""
        while True:
            await asyncio.sleep(_TURNED_AWAY_SECONDS)
            JOURNAL_WAITING_BYTES.set(self.journal.waiting_bytes)
            if self.turned_away:
                await self.write_turned_away()

    async def receive_events(self, request: Request[Any, Any, Any]) -> Response[bytes]:
        """Answer one `POST /v1/events`."""
        started = time.perf_counter()
        holder: KeyHolder | None = None
        try:
            snapshot = self.snapshots.current()
            query = request.query_params
            holder = check_key(snapshot, parse_key(request.headers.get("authorization"), query), "write")
            with self.budget.request() as reservation:
                self.journal.check()
                body = await read_body(request.receive, request.headers, self.limits, reservation)
                outcome = await self._judge(request, holder, snapshot, body, reservation)
        except RequestRefused as refusal:
            self.turn_away(holder.project if holder else "", refusal.code)
            return render_refusal(refusal)
        except SenderLeft:
            return Response(b"", status_code=400)
        INTAKE_SECONDS.observe(time.perf_counter() - started)
        return _render_outcome(outcome)

    async def _judge(
        self,
        request: Request[Any, Any, Any],
        holder: KeyHolder,
        snapshot: Snapshot,
        body: bytes,
        reservation: Reservation,
    ) -> Outcome:
        received_at = self.clock.now()
        query = request.query_params
        parsed = await self._parse(body, reservation)
        project = snapshot.projects.get(holder.project)
        self.rates.admit(holder.project, len(parsed.events), project.rate_limit if project else 0)
        sent_at = parse_sent_at(request.headers.get(SENT_AT_HEADER) or query.get("sent_at"))
        rules = self.privacy_rules(snapshot, holder.project)
        batch = build_batch(Arrival(holder.project, "http", received_at, sent_at, rules), parsed.events)
        batch.indexes, batch.failed, batch.scan = parsed.indexes, parsed.failed, parsed.scan
        report = parse_report(request.headers.get(REPORT_HEADER))
        if not batch.events and not batch.failed and report is None:
            return Outcome(0, [])
        hasty = query.get("hasty", "").lower() in ("1", "true", "yes")
        return await self.acceptor.accept(batch, hasty=hasty, report=report)

    async def _parse(self, body: bytes, reservation: Reservation) -> Parsed:
        limits = self.limits
        if len(body) <= _LARGE_BYTES:
            text = decompress(body, limits.text_bytes)
        else:
            text = await asyncio.to_thread(decompress, body, limits.text_bytes)
        if text is not body:
            reservation.take(len(text))
        if len(text) <= _LARGE_BYTES:
            return parse_events(text, limits.events)
        return await asyncio.to_thread(parse_events, text, limits.events)


def build_routes(intake: Intake) -> list[HTTPRouteHandler]:
    """Return the intake's routes."""

    # One handler for both methods: the framework makes an OPTIONS handler of its own for every path without.
    @route(
        "/v1/events",
        http_method=["POST", "OPTIONS"],
        status_code=200,
        summary="Send events",
        tags=["intake"],
        security=[{"write": []}],
        responses={
            200: ResponseSpec(EventsAnswer, description="All accepted and durable."),
            202: ResponseSpec(EventsAnswer, description="Taken in haste (?hasty=true): not durable yet."),
            207: ResponseSpec(
                EventsAnswer, description="Some were refused; those are listed and quarantined."
            ),
            400: ResponseSpec(EventsAnswer, description="All were refused, or the body could not be read."),
        },
    )
    async def send_events(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Take one JSON object, an array of objects, or one object per line; plain, gzip, zlib or zstd."""
        if request.method == "OPTIONS":
            return Response(b"", status_code=204, headers=_PREFLIGHT)
        return await intake.receive_events(request)

    return [send_events]


def render_refusal(refusal: RequestRefused) -> Response[bytes]:
    """Return the answer to a request that is turned away whole."""
    body = {"code": refusal.code, "message": refusal.message, "at": refusal.at, "detail": refusal.message}
    headers = dict(_CORS)
    if refusal.retry_after is not None:
        headers["Retry-After"] = str(refusal.retry_after)
    if refusal.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="tallymark"'
    return Response(
        _encoder.encode(body), status_code=refusal.status, headers=headers, media_type="application/json"
    )


def parse_sent_at(text: str | None) -> datetime | None:
    """Read the time at which the client says that it sent the batch; None when it says nothing sensible."""
    if not text:
        return None
    try:
        sent_at = msgspec.convert(text.replace(" ", "+"), type=datetime)
    except msgspec.ValidationError:
        return None
    return sent_at if sent_at.tzinfo else sent_at.replace(tzinfo=UTC)


def parse_report(text: str | None) -> ClientReport | None:
    """Read a client's report of what it dropped; None when there is none, or none that can be read."""
    if not text:
        return None
    try:
        report = _report.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return report if report.dropped else None


def _render_outcome(outcome: Outcome) -> Response[bytes]:
    rejected = [Rejected(item.index, item.code, item.message, item.place) for item in outcome.failed]
    if not outcome.durable:
        status = 202
    elif rejected:
        status = 207 if outcome.accepted else 400
    else:
        status = 200
    answer = EventsAnswer(outcome.accepted, rejected)
    return Response(_encoder.encode(answer), status_code=status, headers=_CORS, media_type="application/json")
