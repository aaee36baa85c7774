"""What all copies of a client share: the sink, the counters, and the end of the process.

Comes in: encoded events and counts from `Client`. Goes out: calls of the sink. Every core is known to this module,
so that a fork leaves each child with an empty one and the exit of the process closes each within its time limit.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
import weakref
from collections.abc import Callable

from tallymark.client.aggregate import Aggregator
from tallymark.client.context import Context
from tallymark.client.drops import OnDrop
from tallymark.client.log import warn_once, warn_sometimes
from tallymark.client.settings import Settings
from tallymark.client.sinks import FileSink, IntakeSink, LoggerSink, NoopSink, Sink

# Open ones, kept alive until they are closed; and all, to be switched off at exit.
_cores: set[Core] = set()
_all: weakref.WeakSet[Core] = weakref.WeakSet()


class Core:
    """One sink with one aggregator before it."""

    def __init__(self, settings: Settings, sink: Sink | None, root: Context, on_drop: OnDrop | None) -> None:
        self.settings = settings
        self.sink: Sink = (
            sink if sink is not None and not settings.disabled else build_sink(settings, on_drop)
        )
        # None switches everything off at the price of one comparison.
        self.emit: Callable[[bytes], None] | None = None
        self.aggregator = Aggregator(
            self._emit, self._arm, root, settings.metrics_interval, settings.max_series
        )
        self.use(self.sink)
        _cores.add(self)
        _all.add(self)

    def use(self, sink: Sink) -> Sink:
        """Send events to `sink` from now on; return the one used before."""
        before, self.sink = self.sink, sink
        self.emit = None if type(sink) is NoopSink else sink.emit
        sink.attach(self.aggregator)
        return before

    def _emit(self, line: bytes) -> None:
        self.sink.emit(line)

    def _arm(self) -> None:
        self.sink.wake()

    def lose(self, reason: str, events: int = 1) -> None:
        """Account for an event that could not be made."""
        self.sink.lose(reason, events, None)

    def fault(self) -> None:
        """Account for an event lost to a fault while it was made. Called while handling the exception."""
        try:
            warn_sometimes(
                "fault",
                "tallymark: an event could not be recorded. Fix: look at the values given; report it when they are plain.",
                trace=True,
            )
            self.lose("unserialisable")
        except Exception:  # noqa: BLE001, S110  record() must not raise, whatever happened
            pass

    def fail(self, action: str) -> bool:
        """Log a fault of ours in `action`, called while handling the exception; always False."""
        warn_sometimes(action, f"tallymark: {action} failed. Fix: report it with this trace.", trace=True)
        return False

    def flush(self, timeout: float) -> bool:
        """End the present interval of the counters and wait for the acknowledgement."""
        return self.sink.flush(timeout)

    def close(self, timeout: float) -> bool:
        """Deliver what waits within the time limit and take nothing more."""
        _cores.discard(self)
        self.aggregator.close()
        return self.sink.close(timeout)

    def forget(self) -> None:
        """Begin anew in a child process."""
        self.aggregator.reset()
        self.sink.forget()


def build_sink(settings: Settings, on_drop: OnDrop | None) -> Sink:
    """Make the sink that the settings name."""
    if settings.disabled or settings.sink == "noop":
        return NoopSink()
    if settings.sink == "logger":
        return LoggerSink(on_drop=on_drop)
    if settings.sink.startswith("file:"):
        return FileSink(settings.sink[5:], settings=settings, on_drop=on_drop)
    if not settings.key:
        warn_once(
            "no-key",
            "tallymark: no write key, so nothing is sent. Fix: set TALLYMARK_WRITE_KEY, or give Client(key=...); "
            "set TALLYMARK_DISABLED=1 where nothing should be sent.",
        )
        return NoopSink()
    return IntakeSink(settings=settings, on_drop=on_drop)


def close_all() -> None:
    """Close every client that is still open, all within the longest of their time limits. Runs at exit."""
    cores = list(_cores)
    deadline = time.monotonic() + max((core.settings.close_timeout for core in cores), default=0.0)
    threads: list[threading.Thread] = []
    for core in cores[1:]:
        # Side by side, so that one dead server does not eat up the time of the others.
        thread = threading.Thread(target=_close_quietly, args=(core, deadline), daemon=True)
        try:
            thread.start()
        except (RuntimeError, MemoryError):
            _close_quietly(core, deadline)
        else:
            threads.append(thread)
    for core in cores[:1]:
        _close_quietly(core, deadline)
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    # What finalizers record from here on would run in an interpreter that is half taken down: the encoder's own
    # module may be gone, and with Python 3.13 that ended the process with a segmentation fault.
    for core in list(_all):
        core.emit = None


def _close_quietly(core: Core, deadline: float) -> None:
    try:
        core.close(max(0.0, min(core.settings.close_timeout, deadline - time.monotonic())))
    except Exception:  # noqa: BLE001  the process ends, and nobody could act on it
        warn_sometimes(
            "close", "tallymark: close failed at exit. Fix: report it with this trace.", trace=True
        )


def _forget_all() -> None:
    for core in list(_cores):
        core.forget()


def open_cores() -> list[Core]:
    """Return every core that was not closed."""
    return list(_cores)


atexit.register(close_all)
os.register_at_fork(after_in_child=_forget_all)
