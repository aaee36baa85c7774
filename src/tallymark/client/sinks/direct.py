"""Sinks that are done with an event at once: nothing waits, nothing can be late."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator

from tallymark.client.drops import Drops, Listener, OnDrop
from tallymark.client.sender import Source, discard, poll_leaving
from tallymark.client.stats import SendSummary, Stats
from tallymark.client.worker import Worker


class DirectSink:
    """Hands each event to `take` in the thread that recorded it; a fault there counts as `internal_error`."""

    def __init__(self, on_drop: OnDrop | None = None) -> None:
        self._listener = Listener(on_drop)
        self.drops = Drops(self._listener)
        self._sources: list[Source] = []
        self._leaving: list[Source] = []
        self._ticker = self._build_ticker()
        self.forget()

    def _build_ticker(self) -> Worker:
        return Worker(self._tick, self._poll)

    def take(self, line: bytes) -> None:
        """Do with the event what this sink is for."""
        raise NotImplementedError

    def emit(self, line: bytes) -> None:
        """Take an event; after close it is counted as `closed`."""
        if self._closed:
            self.lose("closed", 1, line)
            return
        try:
            self.take(line)
        except Exception:  # noqa: BLE001  where events go must not matter to who records them
            self.lose("internal_error", 1, line)
            return
        with self._lock:
            self._sent += 1

    def lose(self, reason: str, events: int, sample: bytes | None) -> None:
        """Account for events dropped earlier, and tell the application at once: there is no thread to do it."""
        self.drops.count(reason, events, sample)
        self.drops.tell()

    def send_all(self, lines: Iterator[bytes], timeout: float | None) -> SendSummary:
        """Take all of them."""
        deadline = None if timeout is None else time.monotonic() + timeout
        before = self._sent
        lost = self.drops.total
        error = ""
        for line in lines:
            self.emit(line)
            if deadline is not None and time.monotonic() >= deadline:
                error = f"not done within {timeout} s"
                break
        return SendSummary(sent=self._sent - before, unsent=self.drops.total - lost, error=error)

    def attach(self, source: Source) -> bool:
        """Poll the source from a small thread, started when the source first has something."""
        with self._lock:
            if source not in self._sources:
                self._sources.append(source)
        return True

    def detach(self, source: Source) -> None:
        """Let go of the source once it has given what it has. Never waits."""
        ticker = self._ticker
        if source.due() is not None:
            self._leaving.append(source)
            if not ticker.is_alive:
                poll_leaving(self._sources, self._leaving)
        discard(self._sources, source)
        if ticker.is_alive:
            ticker.wake()

    def wake(self) -> None:
        """Let the thread look when the sources are due."""
        with self._lock:
            self._ticker.wake()

    def _tick(self) -> float | None:
        poll_leaving(self._sources, self._leaving)
        with self._lock:
            if not self._sources and not self._leaving:
                # Nothing can become due. Whoever attaches another source later gets another thread.
                self._ticker.stop()
                self._ticker = self._build_ticker()
                return None
        now = time.monotonic()
        for source in self._sources:
            at = source.due()
            if at is not None and at <= now:
                source.poll()
        due = [max(0.0, at - now) for source in self._sources if (at := source.due()) is not None]
        return min(due) if due else None

    def _poll(self) -> None:
        for source in self._sources:
            source.poll()

    def flush(self, timeout: float) -> bool:
        """Poll the sources; nothing else can wait."""
        self._poll()
        return timeout >= 0

    def close(self, timeout: float) -> bool:
        """Poll the sources and take nothing more."""
        self._poll()
        self._closed = True
        self._ticker.stop()
        return timeout >= 0

    def reopen(self) -> bool:
        """Take events again after close, in the last moments of the process."""
        self._closed = False
        return True

    def stats(self) -> Stats:
        """Return the counts so far."""
        dropped = dict(self.drops.totals)
        return Stats(recorded=self._sent + sum(dropped.values()), sent=self._sent, dropped=dropped)

    def forget(self) -> None:
        """Begin anew in a child process."""
        self.drops.reset()
        self._ticker.reset()
        self._lock = threading.RLock()
        self._sent = 0
        self._closed = False


class NoopSink(DirectSink):
    """Takes everything and does nothing: the off switch."""

    def take(self, line: bytes) -> None:
        """Do nothing."""


class LoggerSink(DirectSink):
    """Logs each event as one line of JSON, by default with the logger `tallymark.events` at level INFO."""

    def __init__(
        self, logger: logging.Logger | None = None, level: int = logging.INFO, on_drop: OnDrop | None = None
    ) -> None:
        super().__init__(on_drop)
        self._logger = logger or logging.getLogger("tallymark.events")
        self._level = level
        self._inside = threading.local()

    def take(self, line: bytes) -> None:
        """Log the event. One that a handler records while it handles another is dropped: it would never end."""
        if getattr(self._inside, "busy", False):
            raise RecursionError("a handler of this logger records events into it")
        self._inside.busy = True
        try:
            self._logger.log(self._level, "%s", line.decode())
        finally:
            self._inside.busy = False
