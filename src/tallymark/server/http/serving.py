"""What all connections of a server share: the application, the intake's door, bounds, room, the budget of answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from email.utils import formatdate

import structlog

from tallymark.meters import ANSWERS_REFUSED
from tallymark.server.http.answer_budget import AnswerBudget
from tallymark.server.http.asgi import ASGIApp
from tallymark.server.http.bounds import Bounds
from tallymark.server.http.connections import Connections
from tallymark.server.http.request import Request, Taker

log = structlog.get_logger("tallymark.web")

_LOG_SECONDS = 10.0
# Takes a request, or leaves it to the application.
Opener = Callable[[Request], Taker | None]


@dataclass(slots=True)
class Serving:
    """`opener` is offered each request first; `date` is a header's line, fresh every second."""

    app: ASGIApp
    opener: Opener
    bounds: Bounds
    connections: Connections
    budget: AnswerBudget = field(init=False)
    date: bytes = b""
    stopping: bool = False
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _refusal_said_at: float = float("-inf")

    def __post_init__(self) -> None:
        self.budget = AnswerBudget(self.bounds)
        self.tell_date()

    def tell_date(self) -> None:
        """Write the present second into the date's line."""
        self.date = f"date: {formatdate(usegmt=True)}\r\n".encode()

    def tell_refused(self, owner: str, size: int) -> None:
        """Count and log an answer for which there was no room; logged every few seconds at most."""
        ANSWERS_REFUSED.inc()
        now = time.monotonic()
        if now - self._refusal_said_at > _LOG_SECONDS:
            self._refusal_said_at = now
            fix = "its readers do not read what they asked for"
            log.warning("answer_refused", owner=owner, bytes=size, waiting_bytes=self.budget.bytes, fix=fix)

    def start_task(self, work: Coroutine[None, None, None]) -> None:
        """Start the application's side of a request, and hold on to it."""
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
