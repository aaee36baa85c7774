"""One request to a receiver, from its head to its answer: who sends it, its body as it grows, its events, the journal.

The HTTP server makes an `Exchange` and calls `begin`, `advance` and `expire`; nothing here waits. A body that takes
milliseconds, because it is large or not well-formed, is worked on beside the event loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ParamSpec, Protocol, TypeVar
from urllib.parse import parse_qsl

import structlog

from tallymark.catalog.snapshot import Snapshot
from tallymark.errors import RequestRefused
from tallymark.intake.accept import Outcome, build_batch
from tallymark.intake.answers import ALLOWED, Answer, build_answer, build_preflight, build_refusal
from tallymark.intake.asides import read_asides
from tallymark.intake.auth import check_scope, find_holder, parse_key
from tallymark.intake.decode import decompress
from tallymark.intake.limits import Reservation
from tallymark.intake.parsed import Parsed
from tallymark.intake.receivers import Receiver
from tallymark.intake.workers import Job
from tallymark.journal.record import Record
from tallymark.meters import INTAKE_SECONDS
from tallymark.pipeline.batch import Arrival

if TYPE_CHECKING:
    from tallymark.intake.app import Intake

P = ParamSpec("P")
T = TypeVar("T")

log = structlog.get_logger("tallymark.intake")

# Nothing keeps the loop for more than a few milliseconds: above these sizes work is done beside it, above the
# smaller one where it costs more by the byte.
_LARGE_BYTES = 256 * 1024
_SMALL_BYTES = 8 * 1024
# Decoded, an event takes several times its text; it is held until the record is durable.
_OBJECTS = 4


class Exchange(Protocol):
    """The HTTP side of one request. Its body grows until `complete`; a second answer is ignored."""

    method: str
    path: str
    query: bytes
    headers: list[tuple[bytes, bytes]]
    # The project whose answer it is, once that is known.
    owner: str
    # Bytes of the body that are there.
    size: int

    @property
    def complete(self) -> bool:
        """Whether the body is whole."""
        ...

    def read(self) -> bytes:
        """Return the body and let go of it; once."""
        ...

    def answer(self, status: int, headers: Mapping[str, str], body: bytes, *, close: bool = False) -> None:
        """Send the answer; `close` ends the connection behind it."""
        ...


class Upload:
    """The intake's side of one request."""

    __slots__ = (
        "_asides", "_began", "_exchange", "_headers", "_intake", "_job", "_project", "_query", "_receiver", "_reservation", "_size",
        "_snapshot", "_working",
    )  # fmt: skip

    def __init__(self, intake: Intake, exchange: Exchange, receiver: Receiver) -> None:
        self._intake = intake
        self._exchange = exchange
        self._receiver = receiver
        self._project = ""
        self._reservation: Reservation | None = None
        # The latest work beside the event loop, where there was any.
        self._job: Job | None = None
        self._size = 0
        self._began = time.perf_counter()
        # From here on the body is of no interest any more: it is worked on, or answered already.
        self._working = False

    def begin(self) -> None:
        """Judge the head: who is turned away by it is so at once."""
        exchange = self._exchange
        if exchange.method == "OPTIONS":
            asked = [value for name, value in exchange.headers if name == b"access-control-request-headers"]
            self._answer(build_preflight(b",".join(asked).decode("latin-1")))
            return
        self._run(self._judge_head)

    def advance(self) -> None:
        """Take note that the body has grown, or is whole."""
        if not self._working and self._reservation is not None:
            self._run(self._grow, self._reservation)

    def expire(self, pause: float, total: float) -> None:
        """Refuse a body that has stood still for `pause` seconds, or taken `total`, where that is too long."""
        limits = self._intake.limits
        if not self._working and (pause > limits.chunk_seconds or total > limits.body_seconds):
            self._refuse(RequestRefused("request_timeout", retry_after=1), close=True)

    def leave(self) -> None:
        """Let go: the sender is gone. What is worked on already goes on, and is counted; what waits for its turn is dropped.

        A hasty sender does not wait for its answer, so it may be gone: its body keeps its turn.
        """
        waited = self._job is not None and not self._asides.hasty and self._intake.workers.withdraw(self._job)
        if waited or not self._working:
            self._close()

    def _judge_head(self) -> None:
        intake, exchange = self._intake, self._exchange
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in exchange.headers}
        self._headers = headers
        self._query = dict(parse_qsl(exchange.query.decode("latin-1"))) if exchange.query else {}
        if self._exchange.method != "POST":
            raise RequestRefused("method_not_allowed")
        self._snapshot: Snapshot = intake.snapshots.current()
        holder = find_holder(self._snapshot, parse_key(headers.get("authorization"), self._query))
        # Known before its scope is judged: a 403 is this project's, and nobody else's to see.
        self._project = exchange.owner = holder.project
        check_scope(holder, "write")
        self._reservation = intake.budget.request(holder.project)
        intake.journal.check()
        announced = headers.get("content-length", "")
        if announced.isdigit():
            self._bound(int(announced))

    def _grow(self, reservation: Reservation) -> None:
        size = self._exchange.size
        self._bound(size)
        reservation.take(size - self._size)
        self._size = size
        if self._exchange.complete:
            self._working = True
            self._finish(self._exchange.read(), reservation)

    def _bound(self, size: int) -> None:
        allowed = self._intake.limits.body_bytes
        if size > allowed:
            raise RequestRefused("body_too_large", f"A body may have {allowed} bytes. Send smaller batches.")

    # Once the body is whole

    def _finish(self, body: bytes, reservation: Reservation) -> None:
        self._asides = read_asides(self._headers, self._query)
        parsed = self._parse_quickly(body)
        if parsed is None:
            self._run_beside(lambda: self._parse(body), lambda parsed: self._accept(parsed, reservation))
        else:
            self._accept(parsed, reservation)

    def _parse_quickly(self, body: bytes) -> tuple[Parsed, int] | None:
        """Parse a body that is small and well-formed; None for all others."""
        text = self._read_small(body)
        if text is None:
            return None
        parsed = self._receiver.parse_well_formed(text, self._intake.limits.events)
        return None if parsed is None else (parsed, _count_added(text, body))

    def _read_small(self, body: bytes) -> bytes | None:
        """Return the text of a body that is small, as it came and decompressed; None for a larger one."""
        if body[:1] in b"{[":
            return body if len(body) <= _LARGE_BYTES else None
        if len(body) > _SMALL_BYTES:
            return None
        try:
            return decompress(body, min(_LARGE_BYTES, self._intake.limits.text_bytes))
        except RequestRefused as refusal:
            if refusal.code != "body_too_large":
                raise
            return None

    def _parse(self, body: bytes) -> tuple[Parsed, int]:
        """Decompress and parse; also return the bytes that decompressing added."""
        limits = self._intake.limits
        text = decompress(body, limits.text_bytes)
        return self._receiver.parse(text, limits.events), _count_added(text, body)

    def _accept(self, outcome: tuple[Parsed, int], reservation: Reservation) -> None:
        """Hold what the events take, and run the steps; beside the loop where they look at every value."""
        parsed, more = outcome
        intake, project = self._intake, self._project
        size = more or self._size
        reservation.take(more + _OBJECTS * size)
        row = self._snapshot.projects.get(project)
        intake.rates.admit(project, len(parsed.events), row.rate_limit if row else 0)
        rules = intake.privacy_rules(self._snapshot, project)
        arrival = Arrival(project, self._receiver.source, intake.clock.now(), self._asides.sent_at, rules)
        batch = build_batch(
            arrival, parsed.events, parsed.indexes, parsed.failed, parsed.scan, plain=parsed.plain
        )
        # A failure takes two bytes, and longer than an event.
        if size > _LARGE_BYTES or parsed.failed or (parsed.scan.people and size > _SMALL_BYTES):
            self._run_beside(lambda: intake.acceptor.prepare(batch), self._commit)
        else:
            self._commit(intake.acceptor.prepare(batch))

    def _commit(self, record: Record) -> None:
        heading, report = record.heading, self._asides.report
        heading.hasty = self._asides.hasty
        if report is not None:
            heading.client_instance, heading.client_dropped = report.instance, report.dropped
        elif not heading.total:
            self._answer(build_answer(Outcome(0, []), self._asides.notes))
            return
        durable = self._intake.acceptor.submit(record)
        if heading.hasty:
            self._conclude(record)
        else:
            durable.add_done_callback(lambda done: self._run(self._settle, done, record))

    def _settle(self, durable: asyncio.Future[None], record: Record) -> None:
        durable.result()
        self._conclude(record)

    def _conclude(self, record: Record) -> None:
        self._answer(build_answer(self._intake.acceptor.conclude(record), self._asides.notes))

    # Answers

    def _run(self, step: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        """Take a step; whatever goes wrong in it is answered, and never with a traceback."""
        try:
            step(*args, **kwargs)
        except RequestRefused as refusal:
            self._refuse(refusal)
        except Exception:
            log.exception("request_failed", path=self._exchange.path)
            self._refuse(RequestRefused("internal_error"))

    def _run_beside(self, work: Callable[[], T], then: Callable[[T], None]) -> None:
        """Do work beside the event loop, when it is the project's turn, and go on with what comes of it."""
        self._job = Job(self._project, work, lambda done: self._run(lambda: then(done.result())))
        self._intake.workers.submit(self._job)

    def _refuse(self, refusal: RequestRefused, *, close: bool = False) -> None:
        self._intake.turn_away(self._project, refusal.code)
        status, headers, body = build_refusal(refusal)
        if refusal.code == "method_not_allowed":
            headers = {**headers, "allow": ALLOWED}
        self._answer((status, headers, body), close=close)

    def _answer(self, answer: Answer, *, close: bool = False) -> None:
        self._close()
        self._exchange.answer(*answer, close=close)
        INTAKE_SECONDS.observe(time.perf_counter() - self._began)

    def _close(self) -> None:
        self._working = True
        if self._reservation is not None:
            self._reservation.close()


def _count_added(text: bytes, body: bytes) -> int:
    """Return the bytes that decompressing added."""
    return 0 if text is body else len(text)
