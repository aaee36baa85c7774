"""Telling: messages that are due go out, one after another to each receiver, to several receivers at once.

Comes in: notices, addresses, and who draws. Goes out: messages through `outlets`. A receiver that hangs holds up nobody else.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import msgspec
import structlog

from tallymark.alerts.links import build_links
from tallymark.alerts.messages import build_message
from tallymark.alerts.notices import Batch, Notices
from tallymark.alerts.outlets import PICTURE_NAME, Message, Outlets
from tallymark.catalog.receivers import Receivers
from tallymark.clock import Clock
from tallymark.crashpoints import reach
from tallymark.errors import TallymarkError

log = structlog.get_logger("tallymark.alerts")

# Draws the chart of what a message is about; b"" where it cannot.
Draw = Callable[[Batch], bytes]


@dataclass(slots=True)
class Teller:
    """Sends what is due each time `run_once` is called. One process tells."""

    notices: Notices
    receivers: Receivers
    outlets: Outlets
    draw: Draw
    clock: Clock
    public_url: str
    secret: bytes
    pool: ThreadPoolExecutor
    _busy: set[int] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run_once(self) -> int:
        """Begin to send what is due; returns how many messages that are. To a receiver that is being told nothing more is begun."""
        with self._lock:
            batches = self.notices.claim(self.clock.now(), frozenset(self._busy))
            queues: dict[int, list[Batch]] = {}
            for batch in sorted(batches, key=lambda one: one.id):
                queues.setdefault(batch.receiver, []).append(batch)
            self._busy |= set(queues)
        for receiver, queue in queues.items():
            self.pool.submit(self._tell_all, receiver, queue)
        return len(batches)

    def _tell_all(self, receiver: int, queue: list[Batch]) -> None:
        try:
            for batch in queue:
                self._tell(batch)
        finally:
            with self._lock:
                self._busy.discard(receiver)

    def _tell(self, batch: Batch) -> None:
        """Send one message and note what came of it. Whatever goes wrong is a failed attempt, which is tried again."""
        reach("alerts.after_claim_before_send")
        try:
            error = self._send(batch)
        except TallymarkError as failed:
            error = failed.message
        except Exception as failed:
            log.exception("alert_message_failed", alert=batch.alert)
            error = f"A fault of ours: {type(failed).__name__}."
        reach("alerts.after_send_before_note")
        self.notices.finish(batch, error, self.clock.now())
        told = {
            "project": batch.project,
            "alert": batch.alert,
            "receiver": batch.receiver,
            "attempt": batch.attempt,
        }
        if error:
            log.warning("alert_not_told", **told, error=error, fix="it is tried again; look at the receiver")
        else:
            log.info("alert_told", **told)

    def _send(self, batch: Batch) -> str:
        address = self.receivers.open_address(batch.receiver)
        if not address:
            return "The receiver is gone."
        now = self.clock.now()
        message: Message = build_message(batch, build_links(batch, self.public_url, self.secret, now), now)
        picture = self.draw(batch)
        if picture:
            shown = (
                f'<p><img src="cid:{PICTURE_NAME}" alt="The course of the metric" style="max-width:100%"></p>'
            )
            message = msgspec.structs.replace(message, picture=picture, html=message.html + shown)
        return self.outlets.send(address, message)
