"""Events that wait, bounded by count and by bytes; the oldest makes room for the newest.

Comes in: encoded events from any thread. Goes out: batches, to one sender, which settles each or gives it back.
The lock is re-entrant, since a signal handler or a finalizer may record in the middle of a record; so no call
stands between reading and writing a count, where the interpreter would let one in.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from tallymark.client.drops import Drops

# What one waiting event costs beside its own bytes: the object's header and its place in the queue.
OVERHEAD = 48


class Buffer:
    """A bounded queue of encoded events with an account of everything that ever entered it.

    `notify` is called, without the lock, when a first event waits, when `batch_events` or `batch_bytes` wait, and
    after close.
    """

    def __init__(
        self,
        max_events: int,
        max_bytes: int,
        drops: Drops,
        batch_events: int = 500,
        batch_bytes: int = 512 * 1024,
    ) -> None:
        self.max_events = max_events
        self.max_bytes = max_bytes
        self.notify: Callable[[], None] = lambda: None
        self._drops = drops
        self._batch_events = batch_events
        self._batch_bytes = batch_bytes
        self.reset()

    def reset(self) -> None:
        """Begin empty, with a lock of its own: a child process does not send what its parent holds."""
        self.lock = threading.RLock()
        self._changed = threading.Condition(self.lock)
        self._queue: deque[bytes] = deque()
        self.queued_bytes = 0
        self.taken_events = 0
        self.taken_bytes = 0
        self.spooled = 0
        self.added = 0
        self.closed = False
        self.abandoned = False
        self._set_marks()

    def _set_marks(self) -> None:
        self._most_events = self.max_events - self.taken_events
        self._most_bytes = self.max_bytes - self.taken_bytes

    def add(self, line: bytes) -> None:
        """Take an event; where there is no room the oldest makes room, and after close it is counted as `closed`."""
        size = len(line) + OVERHEAD
        with self.lock:
            self.added += 1
            queue = self._queue
            queue.append(line)
            held = self.queued_bytes = self.queued_bytes + size
            waiting = len(queue)
            if (
                1 < waiting <= self._most_events
                and waiting != self._batch_events
                and held <= self._most_bytes
                and not held - size < self._batch_bytes <= held
                and not self.closed
            ):
                return
            if self.closed:
                queue.pop()
                self.queued_bytes -= size
                self._drops.count("closed", 1, line)
            else:
                self._evict()
        self.notify()

    def _evict(self) -> None:
        """Drop the oldest until the limits hold. A batch on its way counts and cannot be dropped."""
        queue = self._queue
        first = None
        count = 0
        while queue and (self.queued_bytes > self._most_bytes or len(queue) > self._most_events):
            line = queue.popleft()
            first = first if first is not None else line
            size = len(line) + OVERHEAD
            self.queued_bytes -= size
            count += 1
        if count:
            self._drops.count("queue_full", count, first)
            self._changed.notify_all()

    def count_lost(self, reason: str, events: int, sample: bytes | None) -> None:
        """Account for events that never came this far: recorded and dropped at once."""
        with self.lock:
            self.added += events
            self._drops.count(reason, events, sample)

    def take(self, max_events: int, max_bytes: int) -> list[bytes]:
        """Take the oldest events for a batch, at least one if there is one; settle or give back afterwards."""
        with self.lock:
            batch: list[bytes] = []
            while self._queue and len(batch) < max_events:
                batch.append(self._queue.popleft())
            size = sum(map(len, batch))
            while size > max_bytes and len(batch) > 1:
                line = batch.pop()
                size -= len(line)
                self._queue.appendleft(line)
            held = size + OVERHEAD * len(batch)
            self.queued_bytes -= held
            self.taken_bytes += held
            self.taken_events += len(batch)
            self._set_marks()
        return batch

    def _release(self, batch: Sequence[bytes]) -> int:
        held = sum(map(len, batch)) + OVERHEAD * len(batch)
        self.taken_bytes -= held
        self.taken_events -= len(batch)
        self._set_marks()
        return held

    def settle(self, batch: Sequence[bytes]) -> None:
        """Say that the batch is done with, one way or the other."""
        with self.lock:
            self._release(batch)
            self._changed.notify_all()

    def give_back(self, batch: Sequence[bytes]) -> None:
        """Put a batch back to where it was: the oldest, and so the first to make room."""
        with self.lock:
            self.queued_bytes += self._release(batch)
            self._queue.extendleft(reversed(batch))
            if self.abandoned:
                self._drop_queue("closed")
            else:
                self._evict()

    def move_to_spool(self, batch: Sequence[bytes]) -> None:
        """Say that a batch that was taken waits on disk now."""
        with self.lock:
            self._release(batch)
            self.spooled += len(batch)
            self._changed.notify_all()

    def adopt(self, events: int) -> None:
        """Account for events that another process left on disk."""
        with self.lock:
            self.added += events
            self.spooled += events

    def settle_spooled(self, events: int) -> None:
        """Say that events on disk are done with."""
        with self.lock:
            self.spooled -= events
            self._changed.notify_all()

    def close(self) -> None:
        """Take nothing more; what waits may still be sent."""
        with self.lock:
            self.closed = True

    def reopen(self) -> None:
        """Take events again."""
        with self.lock:
            self.closed = self.abandoned = False

    def abandon(self, reason: str = "closed") -> None:
        """Drop everything that waits in memory for `reason`, and as `closed` what is given back from now on."""
        with self.lock:
            self.closed = self.abandoned = True
            self._drop_queue(reason)

    def _drop_queue(self, reason: str) -> None:
        count = len(self._queue)
        if count:
            self._drops.count(reason, count, self._queue[0])
            self._queue.clear()
            self.queued_bytes = 0
        self._changed.notify_all()

    def has_room(self, size: int) -> bool:
        """Tell whether an event of `size` bytes fits without another making room, or could not fit at all."""
        empty = not self._queue and not self.taken_events
        fits = self.queued_bytes + self.taken_bytes + size + OVERHEAD <= self.max_bytes
        return empty or self.closed or (fits and self.in_memory < self.max_events)

    @property
    def in_memory(self) -> int:
        """Events queued and on their way."""
        return len(self._queue) + self.taken_events

    @property
    def waiting(self) -> int:
        """Events in memory and on disk."""
        return self.in_memory + self.spooled

    @property
    def queued(self) -> int:
        """Events that nobody has taken yet."""
        return len(self._queue)

    @property
    def gone(self) -> int:
        """Events that entered once and are no longer here. First in, first out: those added first."""
        return self.added - self.waiting

    def wait_until(self, done: Callable[[], bool], deadline: float) -> bool:
        """Wait until `done` says so after some change; False when the monotonic `deadline` comes first."""
        with self._changed:
            while not done():
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(min(left, 3600.0))
            return True
