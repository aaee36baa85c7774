"""Telling: messages that are due go out, one after another to each receiver, to several receivers at once.

Comes in: notices, addresses, and who draws. Goes out: messages through `outlets`. A receiver that hangs holds up nobody else.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import msgspec
import structlog

from tallymark.alerts.batches import Batch
from tallymark.alerts.links import build_links
from tallymark.alerts.messages import build_message
from tallymark.alerts.notices import Notices
from tallymark.alerts.outlets import PICTURE_NAME, Message, Outlets
from tallymark.catalog.receivers import Receivers
from tallymark.clock import Clock
from tallymark.crashpoints import reach
from tallymark.errors import TallymarkError

log = structlog.get_logger("tallymark.alerts")

# Draws the chart of what a message is about; b"" where it cannot.
Draw = Callable[[Batch], bytes]

# Receivers that fail, and may hang each time, are told so many at once: for the others there is always somebody.
_MOST_FAILING: Final = 2
_RECOVER: Final = timedelta(minutes=1)


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
    # The messages that each receiver is being sent.
    _queues: dict[int, list[Batch]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _recovered_at: datetime | None = None

    def run_once(self) -> int:
        """Begin to send what is due; returns how many messages that are. To a receiver that is being told nothing more is begun."""
        now = self.clock.now()
        self._recover(now)
        with self._lock:
            busy = frozenset(self._queues)
            failing = sum(queue[0].is_failing for queue in self._queues.values())
        batches = self.notices.claim(now, busy, _MOST_FAILING - failing)
        queues: dict[int, list[Batch]] = {}
        for batch in sorted(batches, key=lambda one: one.id):
            queues.setdefault(batch.receiver, []).append(batch)
        with self._lock:
            self._queues |= queues
        for receiver, queue in queues.items():
            try:
                self.pool.submit(self._tell_all, receiver, queue)
            except RuntimeError:
                # Nobody takes work any more. What was claimed waits again when the next process begins.
                self._forget(receiver)
        return len(batches)

    def _recover(self, now: datetime) -> None:
        """Once a minute let go out again what was claimed and is not being sent: noting what came of it failed."""
        if self._recovered_at is not None and now - self._recovered_at < _RECOVER:
            return
        with self._lock:
            queues = list(self._queues.values())
        held = [notice for queue in queues for batch in queue for notice in batch.notices]
        lost = self.notices.recover(now, held)
        self._recovered_at = now
        if lost:
            log.warning("alert_messages_repeated", notices=lost, fix="nothing: they may have arrived, or not")

    def _tell_all(self, receiver: int, queue: list[Batch]) -> None:
        """Send what one receiver is to be told, until it fails: the rest then comes in its order, and holds up nobody."""
        try:
            for number, batch in enumerate(queue):
                if not self._tell(batch, queue[number + 1 :]):
                    break
        except Exception:
            log.exception(
                "alert_not_noted", receiver=queue[0].name, fix="within a minute it is sent once more"
            )
        finally:
            self._forget(receiver)

    def _forget(self, receiver: int) -> None:
        with self._lock:
            self._queues.pop(receiver, None)

    def _tell(self, batch: Batch, rest: list[Batch]) -> bool:
        """Send one message and note what came of it; returns whether it arrived. Whatever goes wrong is a failed attempt."""
        reach("alerts.after_claim_before_send")
        try:
            error = self._send(batch)
        except TallymarkError as failed:
            error = failed.message
        except Exception as failed:
            log.exception("alert_message_failed", alert=batch.alert)
            error = f"A fault of ours: {type(failed).__name__}."
        reach("alerts.after_send_before_note")
        self.notices.finish(batch, error, self.clock.now(), rest)
        told = {
            "project": batch.project,
            "alerts": sorted(batch.alerts),
            "receiver": batch.name,
            "attempt": batch.attempt,
        }
        if error:
            log.warning("alert_not_told", **told, error=error, fix="it is tried again; look at the receiver")
        else:
            log.info("alert_told", **told)
        return not error

    def _send(self, batch: Batch) -> str:
        address = self.receivers.open_address(batch.receiver, batch.project, batch.name)
        if not address:
            return "The receiver is gone."
        now = self.clock.now()
        message: Message = build_message(batch, build_links(batch, self.public_url, self.secret, now), now)
        picture = b"" if batch.others else self.draw(batch)
        if picture:
            shown = (
                f'<p><img src="cid:{PICTURE_NAME}" alt="The course of the metric" style="max-width:100%"></p>'
            )
            message = msgspec.structs.replace(message, picture=picture, html=message.html + shown)
        return self.outlets.send(address, message)
