"""Many events at once, delivered while the caller waits: imports and migrations.

Comes in: an iterator of encoded events. Goes out: a `SendSummary` that says of each what became of it. A few
threads post batches side by side, so that one is packed while another waits for the server; memory holds a
handful of batches at most. The intake sink calls it.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import msgspec

from tallymark.client.drops import Drops
from tallymark.client.retry import Outcome, RetryPolicy
from tallymark.client.settings import Settings
from tallymark.client.stats import SendSummary, Stats

_THREADS = 3
_FOREVER = 1e9


class Transport(Protocol):
    """What posts a batch; each thread has its own."""

    sent_bytes: int
    deadline: float | None

    def deliver(self, lines: Sequence[bytes]) -> Outcome:
        """Try a batch once."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


class _Counts:
    def __init__(self) -> None:
        self.added = self.sent = self.refused = self.unsent = self.retries = self.bytes = 0


class _Run:
    """One call of `send_all`."""

    def __init__(self, importer: Importer, deadline: float) -> None:
        self.importer = importer
        self.deadline = deadline
        self.batches: queue.SimpleQueue[list[bytes] | None] = queue.SimpleQueue()
        self.slots = threading.Semaphore(_THREADS + 1)
        self.stopping = threading.Event()
        self.counts = _Counts()
        self.error = ""
        self.threads: list[threading.Thread] = []

    def start(self) -> bool:
        for _ in range(_THREADS):
            thread = threading.Thread(target=self._work, name="tallymark-import", daemon=True)
            try:
                thread.start()
            except (RuntimeError, MemoryError):
                break
            self.threads.append(thread)
        return bool(self.threads)

    def _work(self) -> None:
        transport = self.importer.open()
        transport.deadline = self.deadline
        try:
            while (batch := self.batches.get()) is not None:
                try:
                    self.deliver(transport, batch)
                except Exception as error:  # noqa: BLE001  a fault of ours must neither hang the caller nor lose count
                    self.error = f"{type(error).__name__}: {error}"
                    self.give_up(batch, "internal_error")
                finally:
                    self.slots.release()
        finally:
            transport.close()

    def deliver(self, transport: Transport, batch: list[bytes]) -> None:
        """Try until the batch is settled, the policy gives up, or time is over."""
        importer = self.importer
        began = time.monotonic()
        attempt = 0
        while not self.stopping.is_set() and time.monotonic() < self.deadline:
            attempt += 1
            before = transport.sent_bytes
            outcome = transport.deliver(batch)
            importer.count(self, bytes=transport.sent_bytes - before)
            if outcome.split:
                middle = len(batch) // 2
                self.deliver(transport, batch[:middle])
                self.deliver(transport, batch[middle:])
                return
            if not outcome.retry:
                self._settle(batch, outcome)
                return
            self.error = outcome.error
            if importer.policy.is_exhausted(attempt, time.monotonic() - began):
                break
            importer.count(self, retries=1)
            delay = importer.policy.build_delay(attempt, outcome.wait)
            self.stopping.wait(min(delay, max(0.0, self.deadline - time.monotonic())))
        self.give_up(batch)

    def _settle(self, batch: list[bytes], outcome: Outcome) -> None:
        self.importer.count(self, sent=outcome.accepted, refused=len(outcome.refused))
        if outcome.refused:
            self.importer.drops.count("refused", len(outcome.refused), batch[outcome.refused[0]])
        if outcome.final:
            # A wrong key or address: the next batch would be turned away too.
            self.error = outcome.error
            self.stopping.set()
        elif not outcome.refused:
            self.error = ""

    def give_up(self, batch: list[bytes], reason: str = "retries_exhausted") -> None:
        self.importer.count(self, unsent=len(batch))
        self.importer.drops.count(reason, len(batch), batch[0] if batch else None)

    def put(self, batch: list[bytes]) -> bool:
        """Hand a batch to the threads, waiting for one to be free; False when time is over."""
        self.importer.count(self, added=len(batch))
        if not self.threads:
            self.deliver(self.importer.inline, batch)
            return not self.is_over()
        if not self.slots.acquire(
            timeout=min(max(0.0, self.deadline - time.monotonic()), threading.TIMEOUT_MAX)
        ):
            self.give_up(batch)
            return False
        self.batches.put(batch)
        return not self.is_over()

    def is_over(self) -> bool:
        return self.stopping.is_set() or time.monotonic() >= self.deadline

    def finish(self) -> None:
        self.end()
        for thread in self.threads:
            thread.join()

    def end(self) -> None:
        """Let the threads end after what was put so far; they close their connections."""
        for _ in self.threads:
            self.batches.put(None)
        self.importer.close_inline()


class Importer:
    """Delivers what `send_all` is given; keeps counts over all calls."""

    def __init__(
        self, open_: Callable[[], Transport], drops: Drops, policy: RetryPolicy, settings: Settings
    ) -> None:
        self.open = open_
        self.drops = drops
        self.policy = policy
        self._settings = settings
        self._lock = threading.Lock()
        self._total = _Counts()
        self._last_error = ""
        self._inline: Transport | None = None

    @property
    def inline(self) -> Transport:
        """The transport of the calling thread, for when no thread can be started."""
        if self._inline is None:
            self._inline = self.open()
        return self._inline

    def close_inline(self) -> None:
        """Close the connection of the calling thread, where one was needed."""
        inline, self._inline = self._inline, None
        if inline is not None:
            inline.close()

    def count(self, run: _Run, **changes: int) -> None:
        """Add to the counts of the call and to the totals."""
        with self._lock:
            for name, change in changes.items():
                for counts in (run.counts, self._total):
                    setattr(counts, name, getattr(counts, name) + change)

    def run(self, lines: Iterator[bytes], timeout: float | None) -> SendSummary:
        """Deliver all lines; what the iterator raises is raised on, after what came before it was delivered."""
        run = _Run(self, time.monotonic() + (_FOREVER if timeout is None else max(0.0, timeout)))
        run.start()
        try:
            for batch in self._build_batches(lines):
                if not run.put(batch):
                    break
        except Exception:
            run.finish()
            raise
        except BaseException:
            # An interrupt: nobody waits for the threads, and they must not wait for more.
            run.stopping.set()
            run.end()
            raise
        finally:
            if run.error:
                self._last_error = run.error
        run.finish()
        self.drops.tell()
        counts = run.counts
        done = counts.sent + counts.refused == counts.added and not run.is_over()
        late = f"not done within {timeout} s" if time.monotonic() >= run.deadline else ""
        error = "" if done else run.error or late
        self._last_error = run.error or self._last_error
        return SendSummary(sent=counts.sent, refused=counts.refused, unsent=counts.unsent, error=error)

    def _build_batches(self, lines: Iterator[bytes]) -> Iterator[list[bytes]]:
        most, limit = self._settings.batch_events, self._settings.batch_bytes
        batch: list[bytes] = []
        size = 0
        try:
            for line in lines:
                if batch and (len(batch) >= most or size + len(line) > limit):
                    yield batch
                    batch, size = [], 0
                batch.append(line)
                size += len(line)
        except Exception:
            # The caller's own iterable raised: what came before is delivered first.
            if batch:
                yield batch
            raise
        if batch:
            yield batch

    def add_to(self, stats: Stats) -> Stats:
        """Return the sink's counts with those of the imports."""
        with self._lock:
            total = self._total
            return msgspec.structs.replace(
                stats,
                recorded=stats.recorded + total.added,
                sent=stats.sent + total.sent,
                waiting=stats.waiting + total.added - total.sent - total.refused - total.unsent,
                retries=stats.retries + total.retries,
                bytes=stats.bytes + total.bytes,
                last_error=stats.last_error or self._last_error,
            )
