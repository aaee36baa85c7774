"""The intake's HTTP side: from a request at a receiver's address to its answer.

`Intake` holds what all requests share. It is an ASGI application of its own, beside the framework that serves
the rest: at the receivers' addresses every microsecond counts. Requests that are turned away are counted and written
to the journal every few seconds, so that the ledger shows them.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import msgspec
import structlog

from tallymark.catalog.snapshot import KeyHolder, Snapshot, SnapshotSource
from tallymark.clock import SYSTEM_CLOCK, Clock
from tallymark.errors import RequestRefused
from tallymark.event import REPORT_HEADER, SENT_AT_HEADER
from tallymark.intake.accept import Acceptor, Outcome, build_batch
from tallymark.intake.asides import read_asides
from tallymark.intake.auth import check_key, parse_key
from tallymark.intake.body import SenderLeft, drain, read_body
from tallymark.intake.decode import decompress
from tallymark.intake.limits import IntakeLimits, MemoryBudget, RateLimiter, Reservation
from tallymark.intake.parsed import Parsed
from tallymark.intake.receivers import RECEIVERS, Receiver
from tallymark.journal.journal import JournalWriter
from tallymark.journal.record import Record
from tallymark.meters import INTAKE_SECONDS, JOURNAL_WAITING_BYTES, REQUESTS_TURNED_AWAY
from tallymark.pipeline.batch import Arrival
from tallymark.rules.privacy import RULES, PrivacyRules

log = structlog.get_logger("tallymark.intake")

# Nothing keeps the loop for more than a few milliseconds: above these sizes work is done beside it, above the
# smaller one where it costs more by the byte.
_LARGE_BYTES = 256 * 1024
_SMALL_BYTES = 8 * 1024
_OBJECTS = 4
_RECEIVERS = {receiver.path: receiver for receiver in RECEIVERS}
PATHS = frozenset(_RECEIVERS)
_TURNED_AWAY_SECONDS = 5.0
_CORS = {"access-control-allow-origin": "*", "access-control-expose-headers": "Retry-After"}
_HEADERS = {**_CORS, "content-type": "application/json"}
_PREFLIGHT = {
    **_CORS,
    "access-control-allow-methods": "POST, OPTIONS",
    "access-control-allow-headers": f"Authorization, Content-Type, Content-Encoding, {SENT_AT_HEADER}, {REPORT_HEADER}",
    "access-control-max-age": "86400",
}
# Status, headers, body.
Answer = tuple[int, Mapping[str, str], bytes]
ASGIScope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
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


@dataclass(slots=True)
class Intake:
    """What all requests share."""

    journal: JournalWriter
    acceptor: Acceptor
    snapshots: SnapshotSource
    secret: bytes
    limits: IntakeLimits = field(default_factory=IntakeLimits)
    clock: Clock = SYSTEM_CLOCK
    budget: MemoryBudget = field(init=False)
    rates: RateLimiter = field(init=False)
    turned_away: Counter[tuple[str, str]] = field(default_factory=Counter)
    _rules: dict[tuple[str, ...], PrivacyRules] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.budget = MemoryBudget(self.limits)
        self.rates = RateLimiter(self.clock)

    def privacy_rules(self, snapshot: Snapshot, project: str) -> PrivacyRules:
        """Return the privacy rules that a project has switched on."""
        row = snapshot.projects.get(project)
        off = row.privacy_off if row else ()
        rules = self._rules.get(off)
        if rules is None:
            rules = PrivacyRules(frozenset(rule for rule in RULES if rule not in off), self.secret)
            self._rules[off] = rules
        return rules

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
            record = self.acceptor.prepare(build_batch(Arrival(project, "http", self.clock.now()), []))
            record.heading.turned_away = codes
            try:
                await self.acceptor.commit(record)
            except RequestRefused:
                self.turned_away.update({(project, code): requests for code, requests in codes.items()})

    async def keep_counting(self) -> None:
        """Write the counts every few seconds until cancelled."""
        while True:
            await asyncio.sleep(_TURNED_AWAY_SECONDS)
            JOURNAL_WAITING_BYTES.set(self.journal.waiting_bytes)
            if self.turned_away:
                await self.write_turned_away()

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI). Whatever goes wrong is answered, and never with a traceback."""
        started = time.perf_counter()
        try:
            answer = await self._answer(scope, receive)
        except Exception:
            log.exception("request_failed", path=scope["path"])
            answer = build_refusal(RequestRefused("internal_error"))
        status, headers, body = answer
        listed = [(name.encode(), value.encode()) for name, value in headers.items()]
        listed.append((b"content-length", str(len(body)).encode()))
        await send({"type": "http.response.start", "status": status, "headers": listed})
        await send({"type": "http.response.body", "body": body})
        INTAKE_SECONDS.observe(time.perf_counter() - started)

    async def _answer(self, scope: ASGIScope, receive: Receive) -> Answer:
        if scope["method"] == "OPTIONS":
            return 204, _PREFLIGHT, b""
        if scope["method"] != "POST":
            status, headers, body = build_refusal(RequestRefused("method_not_allowed"))
            return status, {**headers, "allow": "GET, POST, OPTIONS"}, body
        receiver = _RECEIVERS[scope["path"].rstrip("/")]
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        query = dict(parse_qsl(scope["query_string"].decode("latin-1"))) if scope["query_string"] else {}
        holder: KeyHolder | None = None
        try:
            snapshot = self.snapshots.current()
            holder = check_key(snapshot, parse_key(headers.get("authorization"), query), "write")
            with self.budget.request(holder.project) as reservation:
                self.journal.check()
                body = await read_body(receive, headers, self.limits, reservation)
                told = read_asides(headers, query)
                arrival = Arrival(
                    holder.project,
                    receiver.source,
                    self.clock.now(),
                    told.sent_at,
                    self.privacy_rules(snapshot, holder.project),
                )
                parsed = await self._parse(receiver, body, reservation)
                self._limit_rate(snapshot, holder.project, len(parsed.events))
                record = await self._prepare(arrival, parsed, len(body))
                record.heading.hasty = told.hasty
                if told.report is not None:
                    record.heading.client_instance = told.report.instance
                    record.heading.client_dropped = told.report.dropped
                elif not record.heading.total:
                    return _build_answer(Outcome(0, []), told.notes)
                outcome = await self.acceptor.commit(record)
        except RequestRefused as refusal:
            self.turn_away(holder.project if holder else "", refusal.code)
            if refusal.code == "body_too_large":
                await drain(receive)
            return build_refusal(refusal)
        except SenderLeft:
            return 400, {}, b""
        return _build_answer(outcome, told.notes)

    def _limit_rate(self, snapshot: Snapshot, project: str, events: int) -> None:
        row = snapshot.projects.get(project)
        self.rates.admit(project, events, row.rate_limit if row else 0)

    async def _parse(self, receiver: Receiver, body: bytes, reservation: Reservation) -> Parsed:
        """Decompress and parse a body; what may take milliseconds does so beside the loop."""
        limits = self.limits

        def work() -> tuple[Parsed, int]:
            text = decompress(body, limits.text_bytes)
            return receiver.parse(text, limits.events), 0 if text is body else len(text)

        # A small body that is compressed may be a large one.
        large = len(body) > (_LARGE_BYTES if body[:1] in b"{[" else _SMALL_BYTES)
        parsed, more = await asyncio.to_thread(work) if large else work()
        # Decoded, an event takes several times its text; it is held until the record is durable.
        reservation.take(more + _OBJECTS * (more or len(body)))
        return parsed

    async def _prepare(self, arrival: Arrival, parsed: Parsed, size: int) -> Record:
        """Run the steps; beside the loop where they look at every value."""
        batch = build_batch(arrival, parsed.events, parsed.indexes, parsed.failed, parsed.scan)
        busy = size > _LARGE_BYTES or ((parsed.scan.people or parsed.failed) and size > _SMALL_BYTES)
        return await asyncio.to_thread(self.acceptor.prepare, batch) if busy else self.acceptor.prepare(batch)


def build_refusal(refusal: RequestRefused) -> Answer:
    """Return the answer to a request that is turned away whole."""
    body = {"code": refusal.code, "message": refusal.message, "at": refusal.at, "detail": refusal.message}
    headers = {**_HEADERS}
    if refusal.retry_after is not None:
        headers["retry-after"] = str(refusal.retry_after)
    if refusal.status == 401:
        headers["www-authenticate"] = 'Bearer realm="tallymark"'
    return refusal.status, headers, _encoder.encode(body)


def _build_answer(outcome: Outcome, notes: list[str]) -> Answer:
    rejected = [Rejected(item.index, item.code, item.message, item.place) for item in outcome.failed]
    if not outcome.durable:
        status = 202
    elif rejected:
        status = 207 if outcome.accepted else 400
    else:
        status = 200
    return status, _HEADERS, _encoder.encode(EventsAnswer(outcome.accepted, rejected, notes or msgspec.UNSET))
