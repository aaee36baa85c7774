"""What every sink can do: the contract between a client and where its events go."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from tallymark.client.sender import Source
from tallymark.client.stats import SendSummary, Stats


class Sink(Protocol):
    """Takes encoded events, one JSON object each without line breaks. No method raises.

    A sink may have two methods more, see `detach` and `reopen` below.
    """

    def emit(self, line: bytes) -> None:
        """Take an event, in the thread that recorded it, without blocking it."""
        ...

    def lose(self, reason: str, events: int, sample: bytes | None) -> None:
        """Account for events that were recorded and dropped before they could be emitted."""
        ...

    def send_all(self, lines: Iterator[bytes], timeout: float | None) -> SendSummary:
        """Deliver all of them, blocking as long as it takes, at most `timeout` seconds."""
        ...

    def attach(self, source: Source) -> bool:
        """Poll `source` when it is due; False where the sink has no thread to do so."""
        ...

    def wake(self) -> None:
        """Look at the attached sources again: one of them has a new due time."""
        ...

    def flush(self, timeout: float) -> bool:
        """Wait until all that was emitted is acknowledged; False when it was not within `timeout` seconds."""
        ...

    def close(self, timeout: float) -> bool:
        """Deliver what waits within `timeout` seconds and take nothing more; False when something was dropped."""
        ...

    def stats(self) -> Stats:
        """Return the counts so far."""
        ...

    def forget(self) -> None:
        """Begin anew in a child process: what waited is the parent's to send."""
        ...


def detach(sink: Sink, source: Source) -> None:
    """Let a sink that can do so let go of a source whose client is gone, once the source has given what it has.

    Called by a finalizer, so in any thread at any moment: it must not wait.
    """
    find_detach(sink)(source)


def find_detach(sink: Sink) -> Callable[[Source], object]:
    """Return what `detach` calls, which need not hold the sink."""
    method: Callable[[Source], object] = getattr(sink, "detach", lambda _: None)
    return method


def reopen(sink: Sink) -> bool:
    """Let a closed sink take events again until its next close; False where it cannot.

    For what is recorded between the client's own exit handler and the end of the process.
    """
    method: Callable[[], bool] | None = getattr(sink, "reopen", None)
    return method() if method is not None else False
