"""What all copies of a client share: the sink, the counters, and how they end.

Comes in: encoded events and counts from `Client`. Goes out: calls of the sink. A core that nobody holds any more
lets its sink end; a fork leaves each child with an empty one; the exit of the process closes each within its time limit.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from functools import partial

from tallymark.client.aggregate import Aggregator
from tallymark.client.context import Context
from tallymark.client.drops import OnDrop
from tallymark.client.log import warn_fault, warn_once, warn_sometimes
from tallymark.client.sender import Sender, Source, retiring
from tallymark.client.settings import Settings
from tallymark.client.sinks import FileSink, IntakeSink, LoggerSink, NoopSink, Sink
from tallymark.client.sinks.sink import find_detach, reopen

# Those that were not closed, and all. Only clients hold them: a dropped client must be able to end.
_cores: weakref.WeakValueDictionary[int, Core] = weakref.WeakValueDictionary()
_all: weakref.WeakValueDictionary[int, Core] = weakref.WeakValueDictionary()
# What the exit waits for dropped clients where no other is open.
_CLOSE_SECONDS = Settings().close_timeout


class _Route:
    """Where the events of a core's counters go at present. It holds neither the core nor, mostly, the sink."""

    __slots__ = ("detach", "emit", "wake")

    def __init__(self, sink: Sink) -> None:
        self.lead(sink)

    def lead(self, sink: Sink) -> None:
        self.emit: Callable[[bytes], None] = sink.emit
        self.wake: Callable[[], None] = sink.wake
        self.detach = find_detach(sink)

    def emit_counts(self, line: bytes) -> None:
        self.emit(line)

    def wake_sink(self) -> None:
        self.wake()


class Recorder:
    """Takes encoded events: `emit` is None where everything is switched off, at the price of one comparison."""

    __slots__ = ("emit",)

    def __init__(self, sink: Sink | None) -> None:
        self.emit: Callable[[bytes], None] | None = None
        self.lead(sink)

    def lead(self, sink: Sink | None) -> None:
        """Pass events to `sink` from now on; None switches off."""
        self.emit = None if sink is None or type(sink) is NoopSink else sink.emit


class Core:
    """One sink with one aggregator before it."""

    def __init__(self, settings: Settings, sink: Sink | None, root: Context, on_drop: OnDrop | None) -> None:
        self.settings = settings
        self.sink: Sink = (
            sink if sink is not None and not settings.disabled else build_sink(settings, on_drop)
        )
        self.recorder: Recorder | _LateRecorder = Recorder(None)
        route = self._route = _Route(self.sink)
        self.aggregator = Aggregator(
            route.emit_counts, route.wake_sink, root, settings.metrics_interval, settings.max_series
        )
        self._sources: list[Source] = []
        self.use(self.sink)
        self.attach(self.aggregator)
        _cores[id(self)] = _all[id(self)] = self
        weakref.finalize(self, _release, route, self.aggregator, self._sources).atexit = False

    def use(self, sink: Sink) -> Sink:
        """Send events to `sink` from now on; return the one used before."""
        before, self.sink = self.sink, sink
        self.recorder.lead(sink)
        self._route.lead(sink)
        sink.attach(self.aggregator)
        return before

    def attach(self, source: Source) -> None:
        """Let the sink poll the source as long as this core lives."""
        self._sources.append(source)
        self.sink.attach(source)

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
        warn_fault(action)
        return False

    def flush(self, timeout: float) -> bool:
        """End the present interval of the counters and wait for the acknowledgement."""
        return self.sink.flush(timeout)

    def close(self, timeout: float) -> bool:
        """Deliver what waits within the time limit and take nothing more."""
        _cores.pop(id(self), None)
        self.aggregator.close()
        return self.sink.close(timeout)

    def forget(self) -> None:
        """Begin anew in a child process."""
        self.aggregator.reset()
        self.sink.forget()


class _LateRecorder:
    """Takes events after the client's own exit handler: what is recorded now is delivered in the call.

    Exit handlers run in reverse order, so those registered before the client was imported run after its own.
    """

    # Of the class, since the modules' names are gone when it matters.
    _is_finalizing = staticmethod(sys.is_finalizing)

    def __init__(self, core: Core) -> None:
        self._core = core
        self._left = core.settings.close_timeout
        self._turn = threading.RLock()
        # Counts are taken again.
        core.aggregator.reopen(self._deliver_counts)

    @property
    def emit(self) -> Callable[[bytes], None] | None:
        """Take an event. None once the interpreter is taken down: the encoder's own module may be gone by then."""
        return None if self._is_finalizing() else self._emit

    def lead(self, sink: Sink | None) -> None:
        """Do nothing: a late recorder takes the core's sink as it is, and nothing switches it off."""

    def _emit(self, line: bytes) -> None:
        self._deliver(lambda: self._core.sink.emit(line))

    def _deliver_counts(self) -> None:
        self._deliver(lambda: None)

    def _deliver(self, record: Callable[[], object]) -> None:
        """Record and deliver within what is left of `close_timeout`; afterwards events are dropped as `closed`."""
        with self._turn:
            start, sink = time.monotonic(), self._core.sink
            opened = self._left > 0 and reopen(sink)
            record()
            if opened:
                sink.close(self._left)
                self._left -= time.monotonic() - start


def _release(route: _Route, aggregator: Aggregator, sources: Iterable[Source]) -> None:
    """Let the sink end: the last copy of the client is gone. A finalizer, so nothing here takes a lock or waits."""
    aggregator.closed = True
    for source in sources:
        route.detach(source)


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
    cores = open_cores()
    deadline = time.monotonic() + max((core.settings.close_timeout for core in cores), default=_CLOSE_SECONDS)
    open_: list[Core | Sender] = [*cores, *retiring]
    closes = [partial(_close_quietly, one.close, one.settings.close_timeout, deadline) for one in open_]
    threads: list[threading.Thread] = []
    for close in closes[1:]:
        # Side by side, so that one dead server does not eat up the time of the others.
        thread = threading.Thread(target=close, daemon=True)
        try:
            thread.start()
        except (RuntimeError, MemoryError):
            close()
        else:
            threads.append(thread)
    for close in closes[:1]:
        close()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    _end_recording(cores)


def _end_recording(closed: list[Core]) -> None:
    """Let what was open until now deliver in the call, and switch off everything else.

    What finalizers record once the interpreter is half taken down must not reach the encoder: its own module may be
    gone, and with Python 3.13 that ended the process with a segmentation fault.
    """
    for core in _list(_all):
        if core in closed and core.recorder.emit is not None:
            core.recorder = _LateRecorder(core)
        else:
            core.recorder.lead(None)


def _close_quietly(close: Callable[[float], object], limit: float, deadline: float) -> None:
    try:
        close(max(0.0, min(limit, deadline - time.monotonic())))
    except Exception:  # noqa: BLE001  the process ends, and nobody could act on it
        warn_sometimes(
            "close", "tallymark: close failed at exit. Fix: report it with this trace.", trace=True
        )


def _forget_all() -> None:
    for core in open_cores():
        core.forget()
    for sender in list(retiring):
        sender.forget()
    retiring.clear()


def _list(cores: weakref.WeakValueDictionary[int, Core]) -> list[Core]:
    # Not by iterating: another thread may make a client meanwhile.
    return [core for reference in cores.valuerefs() if (core := reference()) is not None]


def open_cores() -> list[Core]:
    """Return every core that was not closed."""
    return _list(_cores)


atexit.register(close_all)
os.register_at_fork(after_in_child=_forget_all)
