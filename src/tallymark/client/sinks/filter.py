"""A sink that lets pass what a predicate of the application's allows, on to another sink."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tallymark.client.drops import parse_sample
from tallymark.client.log import warn_sometimes
from tallymark.client.sender import Source
from tallymark.client.sinks.sink import Sink, detach, reopen
from tallymark.client.stats import SendSummary, Stats

Predicate = Callable[[dict[str, Any]], object]


class FilterSink:
    """Passes on events for which `predicate(event)` is true; the others count as `filtered`.

    The predicate runs in the recording thread with the event as a dictionary. When it raises, the event passes: a
    fault in a filter should not lose data, and is logged.
    """

    def __init__(self, predicate: Predicate, sink: Sink) -> None:
        self._predicate = predicate
        self._sink = sink

    def _allows(self, line: bytes) -> bool:
        try:
            event = parse_sample(line)
            return event is None or bool(self._predicate(event))
        except Exception:  # noqa: BLE001  the application's code may raise anything
            warn_sometimes(
                "filter",
                "tallymark: the predicate of a filter raised an exception and the event passed. Fix: mend the predicate.",
                trace=True,
            )
            return True

    def emit(self, line: bytes) -> None:
        """Pass the event on, or count it."""
        if self._allows(line):
            self._sink.emit(line)
        else:
            self._sink.lose("filtered", 1, line)

    def lose(self, reason: str, events: int, sample: bytes | None) -> None:
        """Pass it on."""
        self._sink.lose(reason, events, sample)

    def send_all(self, lines: Iterator[bytes], timeout: float | None) -> SendSummary:
        """Send what the predicate allows; the others count as `filtered`, not as unsent."""
        return self._sink.send_all(self._build_allowed(lines), timeout)

    def _build_allowed(self, lines: Iterator[bytes]) -> Iterator[bytes]:
        for line in lines:
            if self._allows(line):
                yield line
            else:
                self._sink.lose("filtered", 1, line)

    def attach(self, source: Source) -> bool:
        """Pass it on."""
        return self._sink.attach(source)

    def detach(self, source: Source) -> None:
        """Pass it on."""
        detach(self._sink, source)

    def wake(self) -> None:
        """Pass it on."""
        self._sink.wake()

    def flush(self, timeout: float) -> bool:
        """Pass it on."""
        return self._sink.flush(timeout)

    def close(self, timeout: float) -> bool:
        """Pass it on."""
        return self._sink.close(timeout)

    def reopen(self) -> bool:
        """Pass it on."""
        return reopen(self._sink)

    def stats(self) -> Stats:
        """Return the counts of the sink behind."""
        return self._sink.stats()

    def forget(self) -> None:
        """Pass it on."""
        self._sink.forget()
