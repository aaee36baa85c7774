"""A sink that delivers in the background: a bounded buffer, a sender, and the counts of both."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Iterator
from functools import partial

from tallymark.client.buffer import Buffer
from tallymark.client.drops import Drops, Listener, OnDrop
from tallymark.client.sender import Delivery, Sender, Source
from tallymark.client.settings import Settings
from tallymark.client.spool import Spool
from tallymark.client.stats import SendSummary, Stats

BuildDelivery = Callable[[Drops], Delivery]


class BufferedSink:
    """Keeps events in memory until the delivery that `build` returns has taken them."""

    def __init__(
        self, settings: Settings, on_drop: OnDrop | None, build: BuildDelivery, spool: Spool | None = None
    ) -> None:
        self.settings = settings
        self._listener = Listener(on_drop)
        self.drops = drops = Drops(self._listener)
        # A small memory limit still needs room for more than one batch.
        batch_bytes = max(1024, min(settings.batch_bytes, settings.max_buffer_bytes // 4))
        self.buffer = Buffer(
            settings.max_buffer_events, settings.max_buffer_bytes, drops, settings.batch_events, batch_bytes
        )
        self.sender = Sender(settings, self.buffer, drops, build(drops), batch_bytes=batch_bytes, spool=spool)
        self.buffer.notify = self.sender.note
        # The sender's thread holds the sender and not this sink, so that a sink that nobody holds can end.
        weakref.finalize(self, self.sender.retire, settings.request_timeout).atexit = False
        # The buffer's own method: what every recorded event goes through has no detours.
        self._add = self.buffer.add

    @property
    def emit(self) -> Callable[[bytes], None]:
        """Take an event; the oldest makes room when the buffer is full."""
        return self._add

    def lose(self, reason: str, events: int, sample: bytes | None) -> None:
        """Account for events dropped earlier."""
        self.buffer.count_lost(reason, events, sample)
        if self.buffer.closed:
            self.drops.tell()
        else:
            self.sender.worker.wake()

    def send_all(self, lines: Iterator[bytes], timeout: float | None) -> SendSummary:
        """Put all of them into the buffer as it has room, and wait until they are gone."""
        deadline = time.monotonic() + (1e9 if timeout is None else timeout)
        sent, lost, refused = self.sender.sent, self.drops.total, self.drops.totals.get("refused", 0)
        done = True
        for line in lines:
            done = self.buffer.wait_until(partial(self.buffer.has_room, len(line)), deadline)
            if not done:
                self.lose("retries_exhausted", 1, line)
                break
            self.emit(line)
        done = self.sender.flush(max(0.0, deadline - time.monotonic())) and done
        refused = self.drops.totals.get("refused", 0) - refused
        return SendSummary(
            sent=self.sender.sent - sent,
            refused=refused,
            unsent=self.drops.total - lost - refused,
            error="" if done else self.sender.last_error or f"not done within {timeout} s",
        )

    def attach(self, source: Source) -> bool:
        """Poll the source from the sender's thread."""
        if source not in self.sender.sources:
            self.sender.sources.append(source)
        return True

    @property
    def detach(self) -> Callable[[Source], None]:
        """Let go of a source once the sender's thread has polled it for the last time. Never waits."""
        return self.sender.detach

    @property
    def wake(self) -> Callable[[], None]:
        """Let the sender look when its sources are due."""
        return self.sender.worker.wake

    def flush(self, timeout: float) -> bool:
        """Wait until what was emitted is acknowledged."""
        return self.sender.flush(timeout)

    def close(self, timeout: float) -> bool:
        """Deliver what waits within the time limit."""
        return self.sender.close(timeout)

    def reopen(self) -> bool:
        """Take events again after close, to be delivered by the next close; False while a request still hangs."""
        return self.sender.reopen()

    def stats(self) -> Stats:
        """Return the counts so far, taken together under the buffer's lock."""
        with self.buffer.lock:
            return Stats(
                recorded=self.buffer.added,
                sent=self.sender.sent,
                waiting=self.buffer.waiting,
                waiting_bytes=self.buffer.queued_bytes + self.buffer.taken_bytes,
                spooled=self.buffer.spooled,
                dropped=dict(self.drops.totals),
                retries=self.sender.retries,
                bytes=self.sender.delivery.sent_bytes,
                last_error=self.sender.last_error,
            )

    def forget(self) -> None:
        """Begin anew in a child process."""
        self.drops.reset()
        self.buffer.reset()
        self.sender.forget()
