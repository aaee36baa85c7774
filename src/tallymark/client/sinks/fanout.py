"""A sink that gives every event to several others; none delays another."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import islice

from tallymark.client.sender import Source
from tallymark.client.sinks.sink import Sink, detach, reopen
from tallymark.client.stats import SendSummary, Stats, build_sum

_CHUNK = 5000


class FanOutSink:
    """Gives every event to each of `sinks`, which count, retry and drop for themselves."""

    def __init__(self, *sinks: Sink) -> None:
        if not sinks:
            raise ValueError("a fan-out needs at least one sink: FanOutSink(first, second, ...)")
        self._sinks = sinks

    @property
    def emit(self) -> Callable[[bytes], None]:
        """Give the event to each."""
        emits = [sink.emit for sink in self._sinks]

        def emit(line: bytes) -> None:
            for one in emits:
                one(line)

        return emit

    def lose(self, reason: str, events: int, sample: bytes | None) -> None:
        """Tell each."""
        for sink in self._sinks:
            sink.lose(reason, events, sample)

    def send_all(self, lines: Iterator[bytes], timeout: float | None) -> SendSummary:
        """Send in portions to each in turn; the summary adds up over the sinks."""
        deadline = None if timeout is None else time.monotonic() + timeout
        sent = refused = unsent = 0
        error = ""
        while not error and (chunk := list(islice(lines, _CHUNK))):
            for sink in self._sinks:
                left = None if deadline is None else max(0.0, deadline - time.monotonic())
                part = sink.send_all(iter(chunk), left)
                sent, refused, unsent = sent + part.sent, refused + part.refused, unsent + part.unsent
                error = error or part.error
        return SendSummary(sent=sent, refused=refused, unsent=unsent, error=error)

    def attach(self, source: Source) -> bool:
        """Attach to the first: one poll is enough, its events go to all."""
        return self._sinks[0].attach(source)

    def detach(self, source: Source) -> None:
        """Let the first, which polls it, let go of it."""
        detach(self._sinks[0], source)

    def wake(self) -> None:
        """Wake the first, which polls."""
        self._sinks[0].wake()

    def flush(self, timeout: float) -> bool:
        """Flush each within the same time limit."""
        deadline = time.monotonic() + timeout
        done = [sink.flush(max(0.0, deadline - time.monotonic())) for sink in self._sinks]
        return all(done)

    def close(self, timeout: float) -> bool:
        """Close each within the same time limit."""
        deadline = time.monotonic() + timeout
        done = [sink.close(max(0.0, deadline - time.monotonic())) for sink in self._sinks]
        return all(done)

    def reopen(self) -> bool:
        """Open again what can be opened; False when nothing can."""
        opened = [reopen(sink) for sink in self._sinks]
        return any(opened)

    def stats(self) -> Stats:
        """Return sums over the sinks, with each sink's own counts in `parts`."""
        return build_sum(tuple(sink.stats() for sink in self._sinks))

    def forget(self) -> None:
        """Begin anew in a child process."""
        for sink in self._sinks:
            sink.forget()
