"""How busy the host is, how much memory is used, and how long the process took to start. Linux only.

Comes in: the texts of /proc, read in the thread that delivers the client's events. Goes out: gauges of the client's
aggregator. What cannot be read or makes no sense is not recorded. `Client.host_metrics` starts it.
"""

from __future__ import annotations

import math
import os
import socket
import sys
import time
import weakref
from collections.abc import Callable
from typing import Any

from tallymark.client.context import Context
from tallymark.client.core import Core
from tallymark.client.log import warn_fault, warn_once
from tallymark.client.plain import build_repr

DEFAULT_EVERY = 10.0
LEAST_EVERY = 1.0
# A day: longer waits are no use, and the longest ones are more than a thread can wait.
MOST_EVERY = 86_400.0
# The first lines are enough: /proc/stat grows with the processors.
_READ_BYTES = 4096
# user, nice, system, idle, iowait, irq, softirq, steal. The two of guests behind are part of user and nice.
_CPU_FIELDS = 8
_IDLE = slice(3, 5)

# Cores that were asked once; one sampler serves all copies of a client.
_asked: weakref.WeakSet[Core] = weakref.WeakSet()


# Texts of /proc to numbers; see proc_stat(5), proc_meminfo(5), proc_pid_stat(5), proc_pid_statm(5).


def parse_cpu(text: str) -> tuple[int, ...] | None:
    """Return the eight clocks of all processors together, in ticks, from /proc/stat."""
    words = text.partition("\n")[0].split()
    if len(words) < 5 or words[0] != "cpu":
        return None
    try:
        ticks = [int(word) for word in words[1 : _CPU_FIELDS + 1]]
    except ValueError:
        return None
    return (*ticks, *[0] * (_CPU_FIELDS - len(ticks)))


def build_cpu_percent(before: tuple[int, ...], now: tuple[int, ...]) -> float | None:
    """Return how much of the time between two readings all processors were busy; None when no time can be told.

    A single clock may go back a little (iowait does), and then stood still; all together do so after a reset only.
    """
    if sum(now) <= sum(before):
        return None
    passed = [max(0, new - old) for old, new in zip(before, now, strict=True)]
    return 100.0 * (1.0 - sum(passed[_IDLE]) / sum(passed))


def parse_memory_percent(text: str) -> float | None:
    """Return how much of the memory is neither free nor can be freed, from /proc/meminfo."""
    sizes = {words[0]: words[1] for line in text.splitlines() if len(words := line.split()) >= 2}
    try:
        total, available = int(sizes["MemTotal:"]), int(sizes["MemAvailable:"])
    except (KeyError, ValueError):
        return None
    return 100.0 * (total - available) / total if 0 <= available <= total and total else None


def parse_resident_pages(text: str) -> int | None:
    """Return the pages of a process that are in memory, from /proc/self/statm."""
    words = text.split()
    return int(words[1]) if len(words) >= 2 and words[1].isdecimal() else None


def parse_start_ticks(text: str) -> int | None:
    """Return when a process began, in ticks since the host did, from /proc/self/stat."""
    # The second word is the program's name in brackets, which may hold blanks and brackets itself.
    words = text.rpartition(")")[2].split()
    ticks = int(words[19]) if len(words) >= 20 and words[19].isdecimal() else 0
    # Sandboxes that do not know say 0.
    return ticks or None


def check_every(value: Any) -> float:
    """Return seconds between two samples within the limits; says so when they are not what was given."""
    try:
        given = math.nan if isinstance(value, bool) else float(value)
    except Exception:  # noqa: BLE001  any object, with any fault in its conversion
        given = math.nan
    every = min(max(given, LEAST_EVERY), MOST_EVERY) if math.isfinite(given) else DEFAULT_EVERY
    if every != given:
        warn_once(
            "setting:host_metrics(every=...)",
            f"tallymark: host_metrics(every=...) cannot be {build_repr(value)[:80]} and is {every:g}. "
            f"Fix: set it to a number of seconds from {LEAST_EVERY:g} to {MOST_EVERY:g}.",
        )
    return every


class HostSampler:
    """A source of gauges (see `sender.Source`) that is polled by the thread that delivers a core's events.

    That thread comes back to life in a forked child with its first event, and so does this.
    """

    def __init__(
        self,
        core: Core,
        context: Context,
        every: float,
        *,
        proc: str = "/proc",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        # Not the core: the thread that polls this must not keep a client that everybody else has dropped.
        self._core = weakref.ref(core)
        self._aggregator = core.aggregator
        self._context = context
        self._proc = proc
        self._clock = clock
        self.every = every
        self.host = socket.gethostname()
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._cpu: tuple[int, ...] | None = None
        self._due = self._clock()

    def _is_off(self) -> bool:
        core = self._core()
        return core is None or self._aggregator.closed or core.recorder.emit is None

    def due(self) -> float | None:
        """Return the monotonic time of the next sample; None after close."""
        if self._is_off():
            return None
        # In a new child at once: a time before any reading of the clock, or whoever compares would come back for ever.
        return self._due if self._pid == os.getpid() else 0.0

    def poll(self) -> None:
        """Sample when it is time, whoever asks: flush does too. Never raises, or no event would be delivered."""
        try:
            if self._claim():
                try:
                    self.sample()
                finally:
                    # From the end: the aggregator's interval that the sample began is over just before the next.
                    self._due = self._clock() + self.every
        except Exception:  # noqa: BLE001  a fault of ours must not become one of the host
            warn_fault("host_metrics")

    def _claim(self) -> bool:
        """Take the present sample for this thread; False when it is not time, or another one has it."""
        # The core's lock, since a fork renews it.
        with self._aggregator.lock:
            if self._is_off():
                return False
            if self._pid != os.getpid():
                self._begin()
            now = self._clock()
            if now < self._due:
                return False
            self._due = now + self.every
            return True

    def sample(self) -> None:
        """Record what there is to know now. The processors' load needs two samples."""
        cpu = parse_cpu(self._read("stat"))
        if cpu is not None:
            if self._cpu is not None:
                self._record("host_cpu", "%", build_cpu_percent(self._cpu, cpu))
            self._cpu = cpu
        self._record("host_memory", "%", parse_memory_percent(self._read("meminfo")))
        pages = parse_resident_pages(self._read("self/statm"))
        if pages is not None:
            self._record("process_memory", "B", pages * os.sysconf("SC_PAGE_SIZE"))

    def _record(self, name: str, unit: str, value: float | None) -> None:
        if value is None:
            return
        # Not by Client.gauge: it knows no unit, adds what is ambient in the thread that happens to flush, and counts
        # an event as lost when the client is closed meanwhile.
        aggregator = self._aggregator
        with aggregator.lock:
            series = aggregator.find("gauge", name, self._context, {"host": self.host}, unit, None)
            if series is not None:
                series.total = round(value, 2)

    def measure_start(self) -> float | None:
        """Return the seconds since the operating system began this process, within one tick (mostly 10 ms)."""
        ticks = parse_start_ticks(self._read("self/stat"))
        if ticks is None:
            return None
        # Both count the time that the host slept.
        seconds = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
        return seconds if seconds >= 0 else None

    def _read(self, name: str) -> str:
        try:
            with open(f"{self._proc}/{name}", "rb", buffering=0) as file:  # noqa: PTH123  cheaper than a Path
                return (file.read(_READ_BYTES) or b"").decode(errors="replace")
        except OSError:
            return ""


def start_sampler(core: Core, context: Context, every: Any) -> HostSampler | None:
    """Let the core's thread sample from now on; None where it does already, where nothing is sent, and off Linux."""
    if core.recorder.emit is None:
        return None
    seconds = check_every(every)
    with core.aggregator.lock:
        if core.aggregator.closed or core in _asked:
            return None
        _asked.add(core)
    if sys.platform != "linux":
        return None
    sampler = HostSampler(core, context, seconds)
    core.attach(sampler)
    core.sink.wake()
    return sampler
