"""The loop between a buffer and a far side: batches, retries, and the end with a deadline.

Comes in: events in a `Buffer`, a `deliver` that tries a batch once. Goes out: every event settled as sent or
dropped for a reason. Sinks that deliver in the background own one; it runs in their worker thread.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from tallymark.client.buffer import Buffer
from tallymark.client.drops import Drops
from tallymark.client.retry import Outcome, RetryPolicy
from tallymark.client.settings import Settings
from tallymark.client.spool import Spool
from tallymark.client.worker import Worker


class Delivery(Protocol):
    """A far side that a sender delivers to."""

    sent_bytes: int
    # Whether the far side wants to know what was dropped.
    takes_reports: bool
    # Monotonic time at which a delivery has to end, besides its own limit.
    deadline: float | None

    def deliver(self, lines: Sequence[bytes]) -> Outcome:
        """Try a batch once, within a time limit; no lines: only what else there is to say. Never raises."""
        ...

    def abort(self) -> None:
        """End a delivery that hangs; called from another thread."""
        ...

    def close(self) -> None:
        """Let go of what is held open."""
        ...

    def forget(self) -> None:
        """After a fork: let go without touching what the parent uses."""
        ...


class Source(Protocol):
    """Something that makes events of its own in time, such as summed counters."""

    def due(self) -> float | None:
        """Return the monotonic time at which it wants to be polled; None: nothing waits."""
        ...

    def poll(self) -> None:
        """Emit what has gathered."""
        ...


# Senders whose sinks are gone and that still deliver.
retiring: set[Sender] = set()


def discard(sources: list[Source], source: Source) -> None:
    """Take the source out of the list where it is in it."""
    with contextlib.suppress(ValueError):
        sources.remove(source)


def poll_leaving(sources: list[Source], leaving: list[Source]) -> None:
    """Poll for the last time what leaves, and forget it."""
    while leaving:
        source = leaving.pop()
        source.poll()
        discard(sources, source)


class Sender:
    """Delivers what waits in a buffer, in its own thread or in the thread that closes."""

    def __init__(
        self,
        settings: Settings,
        buffer: Buffer,
        drops: Drops,
        delivery: Delivery,
        *,
        batch_bytes: int,
        spool: Spool | None = None,
        clock: Callable[[], float] = time.monotonic,
        policy: RetryPolicy | None = None,
    ) -> None:
        self.settings = settings
        self._buffer = buffer
        self._drops = drops
        self.delivery = delivery
        self._clock = clock
        self._policy = policy or build_policy(settings)
        self.sources: list[Source] = []
        self._leaving: list[Source] = []
        self._batch_bytes = batch_bytes
        self._spool = spool
        self.worker = Worker(self.step, lambda: self.close(settings.close_timeout), self.delivery.close)
        self.reset()

    def reset(self) -> None:
        """Begin anew in a child process."""
        self._turn = threading.RLock()
        self.worker.reset()
        self.sent = 0
        self.retries = 0
        self.last_error = ""
        self._due: float | None = None
        self._not_before = 0.0
        self._report_not_before = 0.0
        self._resting = False
        self._attempts = 0
        self._first_attempt = 0.0
        self._asked_to_wait = False
        self._hurry = 0
        self._retire_at: float | None = None
        self._limit_events = self.settings.batch_events

    # What the thread does.

    def step(self) -> float | None:
        """Deliver what is ready; return the seconds until there may be more to do, None: until woken."""
        with self._turn:
            self._poll_sources()
            until = self._retire_at
            delay = self._deliver_ready() if until is None else self._deliver_last(until)
            self._drops.tell()
        due = [delay] if delay is not None else []
        due += [max(0.0, at - self._clock()) for source in self.sources if (at := source.due()) is not None]
        return min(due) if due else None

    def _poll_sources(self) -> None:
        poll_leaving(self.sources, self._leaving)
        now = self._clock()
        for source in self.sources:
            at = source.due()
            if at is not None and (at <= now or self._hurry):
                source.poll()

    def _deliver_ready(self) -> float | None:
        while not self.worker.stopping:
            now = self._clock()
            self._resting = now < self._not_before
            if self._resting:
                return self._rest(now)
            if self._spool is not None and (taken := self._spool.take()) is not None:
                self._attempt_spooled(self._spool, *taken)
                continue
            queued = self._buffer.queued
            if queued == 0 and (self._drops.is_reported or not self.delivery.takes_reports):
                self._due = None
                return None
            if queued == 0 and now < self._report_not_before:
                return self._report_not_before - now
            if not self._is_ready(queued, now):
                return max(0.0, (self._due or now) - now)
            self._attempt(self._buffer.take(self._limit_events, self._batch_bytes))
        return None

    def _deliver_last(self, deadline: float) -> float | None:
        """Deliver for a sink that nobody holds any more; once that is done, or its time is over, the thread ends."""
        self.delivery.deadline = deadline
        delay = self._deliver_ready()
        left = deadline - self._clock()
        # The counters may come after the sink: what ends together ends in any order.
        done = self._is_finished() and not self.sources and not self._leaving
        if left > 0 and not done:
            return left if delay is None else min(left, delay)
        self._buffer.close()
        self._end()
        self.worker.stop()
        retiring.discard(self)
        return None

    def _rest(self, now: float) -> float:
        """Return the seconds until the next try; what gathers meanwhile goes to disk, where there is a spool."""
        left = self._not_before - now
        if self._spool is None:
            return left
        self._spill(self._spool)
        return min(left, self.settings.flush_interval)

    def _spill(self, spool: Spool) -> None:
        """Move what waits from memory to disk, as far as it has room."""
        while batch := self._buffer.take(self.settings.batch_events, self._batch_bytes):
            if not spool.write(batch):
                self._buffer.give_back(batch)
                return
            self._buffer.move_to_spool(batch)

    def _attempt_spooled(self, spool: Spool, batch: list[bytes], is_own: bool) -> None:
        """Try a batch from disk once. It is kept until the server has judged it, however long that takes."""
        if not is_own:
            self._buffer.adopt(len(batch))
        self._attempts += 1
        outcome = self.delivery.deliver(batch)
        if outcome.error:
            self.last_error = outcome.error
        if outcome.split:
            middle = len(batch) // 2
            if spool.write(batch[:middle]) and spool.write(batch[middle:]):
                spool.settle()
                return
            outcome = Outcome(retry=True, error=outcome.error)
        if outcome.retry:
            spool.give_back()
            self.retries += 1
            self._rest_after(outcome)
            return
        spool.settle()
        with self._buffer.lock:
            self._buffer.settle_spooled(len(batch))
            self._count(batch, outcome)

    def _is_ready(self, queued: int, now: float) -> bool:
        if self._due is None:
            self._due = now + self.settings.flush_interval
        full = queued >= self._limit_events or self._buffer.queued_bytes >= self._batch_bytes
        return full or now >= self._due or self._hurry > 0 or self._retire_at is not None

    def _attempt(self, batch: list[bytes]) -> None:
        """Try a batch once and settle it, or put it back and set the time of the next try."""
        if not self._attempts:
            self._first_attempt = self._clock()
        self._attempts += 1
        try:
            outcome = self.delivery.deliver(batch)
        except BaseException:
            self._buffer.give_back(batch)
            raise
        if outcome.error:
            self.last_error = outcome.error
        if outcome.split:
            self._limit_events = max(1, len(batch) // 2)
            self._attempts = 0
            self._buffer.give_back(batch)
        elif outcome.retry:
            self._plan_retry(batch, outcome)
        else:
            self._settle(batch, outcome)

    def _plan_retry(self, batch: list[bytes], outcome: Outcome) -> None:
        age = self._clock() - self._first_attempt
        if batch and self._spool is not None and self._spool.write(batch):
            self._buffer.move_to_spool(batch)
            self.retries += 1
        elif batch and self._policy.is_exhausted(self._attempts, age):
            with self._buffer.lock:
                self._drops.count("retries_exhausted", len(batch), batch[0])
                self._buffer.settle(batch)
            self._attempts = 0
        else:
            self._buffer.give_back(batch)
            self.retries += 1
        self._rest_after(outcome)

    def _rest_after(self, outcome: Outcome) -> None:
        delay = self._policy.build_delay(max(1, self._attempts), outcome.wait)
        if self._hurry and outcome.wait is None:
            delay = min(delay, self._policy.base)
        self._asked_to_wait = outcome.wait is not None
        self._not_before = self._clock() + delay

    def _count(self, batch: list[bytes], outcome: Outcome) -> None:
        self._attempts = 0
        self._asked_to_wait = False
        self.sent += outcome.accepted
        if outcome.refused:
            self._drops.count("refused", len(outcome.refused), batch[outcome.refused[0]])

    def _settle(self, batch: list[bytes], outcome: Outcome) -> None:
        with self._buffer.lock:
            self._count(batch, outcome)
            self._buffer.settle(batch)
        # After a batch that was too large, grow back with care.
        self._limit_events = min(self.settings.batch_events, self._limit_events * 2)
        if not batch and not self._drops.is_reported:
            # The server answered and yet did not take the report: asking again at once would help nobody.
            self._report_not_before = self._clock() + self._policy.cap
        if not self._buffer.queued:
            self._due = None

    # What callers ask for.

    def note(self) -> None:
        """Say that there is something to look at; wakes the thread unless it rests until a retry."""
        if self._buffer.closed:
            self._drops.tell()
        elif not self._resting:
            self.worker.wake()

    def flush(self, timeout: float) -> bool:
        """Deliver all that waits now; True when it was acknowledged and nothing was lost meanwhile."""
        deadline = time.monotonic() + timeout
        self._poll_all()
        target = self._buffer.added
        lost = self._drops.total
        done = self._finish(lambda: self._buffer.gone >= target, deadline)
        return done and self._drops.total == lost

    def _poll_all(self) -> None:
        poll_leaving(self.sources, self._leaving)
        for source in self.sources:
            source.poll()

    def _finish(self, done: Callable[[], bool], deadline: float) -> bool:
        """Deliver without waiting for full batches until `done`, here or in the thread; Retry-After still counts."""
        if done():
            return True
        with self._buffer.lock:
            self._hurry += 1
        try:
            if not self._asked_to_wait:
                self._not_before = 0.0
            self._report_not_before = 0.0
            self.worker.wake()
            if self.worker.is_alive and not self.worker.is_current:
                return self._buffer.wait_until(done, deadline)
            return self._drain(done, deadline)
        finally:
            with self._buffer.lock:
                self._hurry -= 1

    def _drain(self, done: Callable[[], bool], deadline: float) -> bool:
        """Deliver in the calling thread: there is no other."""
        self.delivery.deadline = deadline
        try:
            while not done():
                delay = self.step()
                left = deadline - time.monotonic()
                if left <= 0 or delay is None:
                    break
                time.sleep(min(left, delay))
        finally:
            self.delivery.deadline = None
        return done()

    def close(self, timeout: float) -> bool:
        """Deliver what waits within `timeout` seconds, spool or drop the rest; True when nothing was dropped."""
        deadline = time.monotonic() + max(0.0, timeout)
        self._retire_at = None
        self._poll_all()
        self._buffer.close()
        self._finish(self._is_finished, deadline)
        self.worker.stop()
        if self._buffer.in_memory:
            # The request on its way fails at once, and its batch is given back, or goes to disk.
            self.delivery.abort()
            self.worker.join(0.2)
        done = self._end()
        self.worker.join(max(0.1, min(1.0, deadline - time.monotonic())) if done else 0.1)
        if not self.worker.is_alive:
            self.delivery.close()
        self._drops.tell()
        retiring.discard(self)
        return done

    def _end(self) -> bool:
        """Move what is left to the spool, or drop it; True when nothing was dropped."""
        if self._spool is not None:
            self._spill(self._spool)
        done = self._buffer.in_memory == 0
        if not done:
            self._buffer.abandon("closed" if self._spool is None else "spool_full")
        return done

    def retire(self, timeout: float) -> None:
        """Deliver what waits within `timeout` seconds and end: nobody holds the sink any more.

        Called by a finalizer, so in any thread at any moment: it takes no lock and does not wait.
        """
        self._retire_at = self._clock() + timeout
        if not self.worker.is_alive and not self._buffer.in_memory and not self._leaving:
            self.delivery.close()
            return
        retiring.add(self)
        if not self._asked_to_wait:
            self._not_before = 0.0
        self.worker.wake()

    def detach(self, source: Source) -> None:
        """Poll the source a last time in the thread, and let go of it. As `retire`, it does not wait."""
        if source.due() is not None:
            self._leaving.append(source)
            if self._retire_at is not None:
                retiring.add(self)
            self.worker.wake()
        discard(self.sources, source)

    def reopen(self) -> bool:
        """Take events again after close, for the next close to deliver; False while the thread still runs."""
        if self.worker.is_alive:
            return False
        self.worker.reset()
        self.worker.forbid()
        self._not_before = 0.0
        self._buffer.reopen()
        return True

    def _is_finished(self) -> bool:
        return self._buffer.waiting == 0 and (self._drops.is_reported or not self.delivery.takes_reports)

    def forget(self) -> None:
        """After a fork: begin anew in the child."""
        self.delivery.forget()
        if self._spool is not None:
            self._spool.give_back()
            self._spool.reset()
        self.reset()


def build_policy(settings: Settings) -> RetryPolicy:
    """Return the retry policy that the settings ask for."""
    return RetryPolicy(
        base=settings.retry_base,
        cap=settings.retry_cap,
        after_cap=settings.retry_after_cap,
        max_age=settings.retry_max_age,
        max_attempts=settings.retry_max_attempts,
    )
