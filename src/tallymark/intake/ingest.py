"""One request to a receiver, from its head to its answer. `IngestRequest._accept` is the whole way, top to bottom.

The HTTP server makes an `Exchange` and calls `begin`, `advance`, `expire` and `leave`. What takes milliseconds, because
a body is large, compressed or broken, is done beside the event loop.

The coroutine runs without a task. So it goes on in the turn of the loop in which the bytes came: a refusal by the head
stops the body, bounds are kept piece by piece, and records that come together share a sync of the disk.
"""

from __future__ import annotations

import asyncio
import time
import types
from collections.abc import Callable, Coroutine, Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import parse_qsl

import structlog

from tallymark.catalog.snapshot import Snapshot
from tallymark.errors import RequestRefused
from tallymark.event import ClientReport
from tallymark.intake.accept import redact_all_failed
from tallymark.intake.answers import Answer, build_preflight
from tallymark.intake.auth import check_scope, find_holder
from tallymark.intake.decode import decompress, is_compressed
from tallymark.intake.limits import Reservation
from tallymark.intake.parsed import Parsed
from tallymark.intake.receiver import Head, Match, ReceivedRequest
from tallymark.intake.workers import Job
from tallymark.journal.record import Record
from tallymark.meters import INTAKE_SECONDS
from tallymark.networks import find_client, find_neighbourhood
from tallymark.pipeline.batch import Arrival, Batch
from tallymark.pipeline.run import run_steps

if TYPE_CHECKING:
    from tallymark.intake.app import Intake, Shares

T = TypeVar("T")

log = structlog.get_logger("tallymark.intake")

# Nothing keeps the loop for more than a few milliseconds: above these sizes work is done beside it, above the
# smaller one where it costs more by the byte.
_LARGE_BYTES = 256 * 1024
_SMALL_BYTES = 8 * 1024
# So much text may have a body whose project is not known yet.
_UNKNOWN_BYTES = 8 * 1024 * 1024
# Decoded, an event takes several times its text; it is held until the record is durable.
_OBJECTS = 4


class SenderLeft(Exception):
    """The sender is gone before its request was read, or before it was its turn."""


class Exchange(Protocol):
    """The HTTP side of one request. Its body grows until `complete`; a second answer is ignored."""

    method: str
    path: str
    query: bytes
    headers: list[tuple[bytes, bytes]]
    # Bytes of the body that are there.
    size: int

    @property
    def peer(self) -> str:
        """The address at the other end of the connection."""
        ...

    @property
    def complete(self) -> bool:
        """Whether the body is whole."""
        ...

    def claim(self, owner: str) -> None:
        """Take note that a project stands for the request: the answer is its, and the connection does not make room."""
        ...

    def welcome(self) -> None:
        """Ask for the body."""
        ...

    def read(self) -> bytes:
        """Return the body and let go of it; once."""
        ...

    def answer(self, status: int, headers: Mapping[str, str], body: bytes, *, close: bool = False) -> None:
        """Send the answer; `close` ends the connection behind it."""
        ...


class IngestRequest:
    """The intake's side of one request."""

    __slots__ = (
        "_exchange", "_hasty", "_head", "_intake", "_job", "_match", "_project", "_reading", "_reservation", "_shares", "_size",
        "_snapshot", "_way",
    )  # fmt: skip

    def __init__(self, intake: Intake, exchange: Exchange, match: Match) -> None:
        self._intake = intake
        self._exchange = exchange
        self._match = match
        self._snapshot: Snapshot = intake.snapshots.current()
        self._project = ""
        # Who pays for the request: its project, or its address while its key is not known.
        self._shares = intake.projects
        self._reservation: Reservation | None = None
        # The latest work beside the event loop.
        self._job: Job[Any] | None = None
        self._size = 0
        # Whether it waits for the rest of the body; whether its sender does not wait for the answer.
        self._reading = self._hasty = False
        # Until the head was read.
        self._head = Head(exchange.method, exchange.path)
        self._way: Coroutine[Any, None, None] = self._run()

    # What the HTTP server tells

    def begin(self) -> None:
        """Start to work on the request; its head is there."""
        self._go_on()

    def advance(self) -> None:
        """Take note that the body has grown, or is whole."""
        if not self._reading:
            return
        try:
            self._grow()
        except RequestRefused as refusal:
            self._go_on(error=refusal)
        else:
            if self._exchange.complete:
                self._go_on()

    def expire(self, pause: float, total: float) -> None:
        """Refuse a body that has stood still for `pause` seconds, or taken `total`, where that is too long."""
        limits = self._intake.limits
        if self._reading and (pause > limits.chunk_seconds or total > limits.body_seconds):
            self._go_on(error=RequestRefused("request_timeout", retry_after=1))

    def leave(self) -> None:
        """Let go: the sender is gone. What is worked on already goes on, and is counted; what waits for its turn is dropped.

        A hasty sender does not wait for its answer, so it may be gone: its body keeps its turn.
        """
        if self._reading:
            self._go_on(error=SenderLeft())
        elif self._job is not None and not self._hasty and self._shares.workers.withdraw(self._job):
            self._job.done.set_exception(SenderLeft())

    # The way

    def _go_on(self, _: asyncio.Future[Any] | None = None, *, error: Exception | None = None) -> None:
        """Run on until something has to be waited for: the body (None), or a future."""
        self._reading = False
        try:
            future = self._way.send(None) if error is None else self._way.throw(error)
        except (StopIteration, asyncio.CancelledError):
            # Ended, or the process ends and what it waited for with it.
            return
        if future is not None:
            future.add_done_callback(self._go_on)

    async def _run(self) -> None:
        began = time.perf_counter()
        close = False
        try:
            answer = await self._accept()
        except SenderLeft:
            return
        except RequestRefused as refusal:
            answer, close = self._refuse(refusal), refusal.code == "request_timeout"
        except Exception:
            log.exception("request_failed", path=self._exchange.path)
            answer = self._refuse(RequestRefused("internal_error"))
        finally:
            if self._reservation is not None:
                self._reservation.close()
        self._exchange.answer(*answer, close=close)
        INTAKE_SECONDS.observe(time.perf_counter() - began)

    async def _accept(self) -> Answer:
        """Take the request from its head to the journal; raises RequestRefused at any station."""
        receiver, head = self._match.receiver, self._read_head()
        if answer := self._answer_without_events(head):
            return answer
        key = self._choose_key(receiver.identify(head, None))
        if key or not receiver.key_in_body:
            self._charge_project(key)
        else:
            self._charge_address(head)
        body = await self._read_body(head)
        text = await self._decompress(body)
        if not self._project:
            key = await self._identify(head, text)
            self._charge_project(key)
        request = ReceivedRequest(head, text, key, self._intake.clock.now(), self._intake.limits.events)
        parsed = await self._parse(request)
        self._admit(parsed)
        batch, beside = self._build_batch(request, parsed)
        notes, report = parsed.notes, parsed.report
        # The batch has all of it; while the disk writes, nothing else is held.
        del body, text, request, parsed
        fingerprint = self._intake.acceptor.build_record
        record = await self._work_on(batch, (run_steps, redact_all_failed), fingerprint, beside=beside)
        del batch
        await self._append(record, report)
        return receiver.render(head, self._intake.acceptor.conclude(record, notes))

    # Its stations

    def _read_head(self) -> Head:
        exchange = self._exchange
        headers = _read_headers(exchange.headers)
        query = dict(parse_qsl(exchange.query.decode("latin-1"))) if exchange.query else {}
        self._head = head = Head(exchange.method, exchange.path, query, headers, self._match.parameters)
        self._hasty = self._match.receiver.is_hasty(head)
        return head

    def _answer_without_events(self, head: Head) -> Answer | None:
        """Answer a preflight, and a route that brings no events; refuse what is no POST."""
        if head.method == "OPTIONS":
            return build_preflight(head.headers.get("access-control-request-headers", ""))
        if head.method not in self._match.route.methods:
            raise RequestRefused("method_not_allowed")
        answer = self._match.route.answer
        return None if answer is None else answer(head)

    def _charge_project(self, key: str) -> None:
        """Find the key's project; from here on the request is at its expense."""
        # A body may have taken a minute: what was changed meanwhile counts.
        self._snapshot = self._intake.snapshots.current()
        holder = find_holder(self._snapshot, key)
        # Known before its scope is judged: a 403 is this project's, and nobody else's to see.
        self._project = holder.project
        self._exchange.claim(holder.project)
        check_scope(holder, "write")
        self._charge(self._intake.projects, holder.project)

    def _charge_address(self, head: Head) -> None:
        """Let the client's address pay for reading and decompressing, until the body says whose it is."""
        forwarded_for = head.headers.get("x-forwarded-for", "")
        address = find_client(self._exchange.peer, forwarded_for, self._intake.trusted_proxies)
        self._charge(self._intake.addresses, find_neighbourhood(address) or address)

    def _charge(self, shares: Shares, holder: str) -> None:
        """Hold a place, and what the request has taken so far, at a holder's expense, and at nobody else's."""
        before, self._reservation = self._reservation, None
        if before is not None:
            before.close()
        self._shares = shares
        self._reservation = shares.budget.request(holder)
        if before is not None:
            self._reservation.take(before.bytes)

    async def _read_body(self, head: Head) -> bytes:
        """Wait until the body is whole, within its bounds."""
        self._intake.journal.check()
        announced = head.headers.get("content-length", "")
        if announced.isdigit():
            self._bound(int(announced))
        exchange = self._exchange
        self._grow()
        if not exchange.complete:
            exchange.welcome()
            self._reading = True
            await _wait_for_body()
        return exchange.read()

    def _grow(self) -> None:
        """Count what has come of the body."""
        size = self._exchange.size
        self._bound(size)
        self._take(size - self._size)
        self._size = size

    def _bound(self, size: int) -> None:
        allowed = self._intake.limits.body_bytes
        if size > allowed:
            raise RequestRefused("body_too_large", f"A body may have {allowed} bytes. Send smaller batches.")

    def _take(self, size: int) -> None:
        assert self._reservation is not None  # noqa: S101 - somebody has been charged by now
        self._reservation.take(size)

    async def _decompress(self, body: bytes) -> bytes:
        most = self._intake.limits.text_bytes
        if not self._project:
            most = min(most, _UNKNOWN_BYTES)
        if not is_compressed(body):
            return decompress(body, most)
        text = _decompress_small(body, most)
        if text is None:
            text = await self._beside(lambda: decompress(body, most))
        self._take(len(text))
        return text

    def _choose_key(self, keys: Sequence[str]) -> str:
        """Return the first key that is known; where none is, the first, which is refused."""
        known = (key for key in keys if self._snapshot.find_key(key) is not None)
        return next(known, keys[0] if keys else "")

    async def _identify(self, head: Head, text: bytes) -> str:
        """Find the key in the body."""
        if not text or text.isspace():
            raise RequestRefused("empty_body")
        receiver = self._match.receiver
        if len(text) > _SMALL_BYTES:
            return self._choose_key(await self._beside(lambda: receiver.identify(head, text)))
        return self._choose_key(receiver.identify(head, text))

    async def _parse(self, request: ReceivedRequest) -> Parsed:
        receiver, size = self._match.receiver, len(request.text)
        self._take(_OBJECTS * size)
        parsed = receiver.parse_quickly(request) if size <= _LARGE_BYTES else None
        return await self._beside(lambda: receiver.parse(request)) if parsed is None else parsed

    def _admit(self, parsed: Parsed) -> None:
        """Hold the project to its rate."""
        row = self._snapshot.projects.get(self._project)
        self._intake.rates.admit(self._project, len(parsed.events), row.rate_limit if row else 0)

    def _build_batch(self, request: ReceivedRequest, parsed: Parsed) -> tuple[Batch, bool]:
        """Return the events as a batch, and whether working on it takes too long for the event loop."""
        size = len(request.text)
        rules = self._intake.privacy_rules(self._snapshot, self._project)
        source = self._match.receiver.source
        arrival = Arrival(self._project, source, request.received_at, parsed.sent_at, rules)
        # A failure takes two bytes, and longer than an event; values that are not checked yet are looked at one by one.
        costly = parsed.scan.people or not parsed.checked
        beside = size > _LARGE_BYTES or bool(parsed.failed) or (costly and size > _SMALL_BYTES)
        return parsed.build_batch(arrival), beside

    async def _work_on(
        self,
        batch: Batch,
        changes: Sequence[Callable[[Batch], None]],
        build: Callable[[Batch], Record],
        *,
        beside: bool,
    ) -> Record:
        """Change the batch, one station after the other, and return the record that is built of it."""

        def work() -> Record:
            for change in changes:
                change(batch)
            return build(batch)

        return await self._beside(work) if beside else work()

    async def _append(self, record: Record, report: ClientReport | None) -> None:
        """Write the record to the journal; wait until it is durable, unless the sender does not."""
        heading = record.heading
        if report is not None:
            heading.client_instance, heading.client_dropped = report.instance, report.dropped
        elif not heading.total:
            return
        heading.hasty = self._hasty
        durable = self._intake.acceptor.submit(record)
        if not heading.hasty:
            await durable

    # What stations share

    async def _beside(self, work: Callable[[], T]) -> T:
        """Do work beside the event loop, when it is the holder's turn."""
        assert self._reservation is not None  # noqa: S101 - somebody has been charged by now
        job = self._shares.workers.submit(self._reservation.holder, work)
        self._job = job
        try:
            return await job.done
        finally:
            self._job = None

    def _refuse(self, refusal: RequestRefused) -> Answer:
        self._intake.turn_away(self._project, refusal.code)
        status, headers, body = self._match.receiver.refuse(self._head, refusal)
        if refusal.code == "method_not_allowed":
            headers = {**headers, "allow": self._match.route.list_allowed()}
        return status, headers, body


@types.coroutine
def _wait_for_body() -> Generator[None, None, None]:
    """Wait until the server says that the body is whole; raises what ends it before."""
    yield


def _read_headers(pairs: list[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return headers by name; the values of one that stands several times are joined by commas."""
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in pairs}
    if len(headers) < len(pairs):
        headers.clear()
        for name, value in pairs:
            key, text = name.decode("latin-1"), value.decode("latin-1")
            headers[key] = f"{headers[key]},{text}" if key in headers else text
    return headers


def _decompress_small(body: bytes, max_bytes: int) -> bytes | None:
    """Return the text of a body that is small, as it came and decompressed; None for a larger one."""
    if len(body) > _SMALL_BYTES:
        return None
    try:
        return decompress(body, min(_LARGE_BYTES, max_bytes))
    except RequestRefused as refusal:
        if refusal.code != "body_too_large":
            raise
        return None
