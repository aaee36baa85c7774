"""For the tests of applications: see what was recorded without a server.

`capture()` lets every client of the process record into a list for as long as a `with` block lasts;
`CaptureSink` can be given to one client: `Client(sink=CaptureSink())`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from tallymark.client.client import Client
from tallymark.client.core import open_cores
from tallymark.client.sinks.direct import DirectSink

__all__ = ["CaptureSink", "capture"]


class CaptureSink(DirectSink):
    """Keeps every event as a dictionary, at once; reading them ends the counters' present interval."""

    def __init__(self) -> None:
        self._captured: list[dict[str, Any]] = []
        super().__init__()

    def take(self, line: bytes) -> None:
        """Keep the event."""
        self._captured.append(msgspec.json.decode(line))

    @property
    def events(self) -> list[dict[str, Any]]:
        """All events so far, oldest first."""
        self.flush(0)
        return list(self._captured)

    def named(self, event_name: str) -> list[dict[str, Any]]:
        """Return the events of this name, oldest first."""
        return [event for event in self.events if event.get("event_name") == event_name]

    def clear(self) -> None:
        """Forget what was captured."""
        self.flush(0)
        self._captured.clear()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.events)

    def __len__(self) -> int:
        return len(self.events)

    def __getitem__(self, place: int) -> dict[str, Any]:
        return self.events[place]


@contextmanager
def capture(client: Client | None = None) -> Iterator[CaptureSink]:
    """Capture what `client` and its copies record inside the block, or all clients that exist when it begins.

    Nothing of it is sent. Switched-off clients are captured too. Counters begin and end with the block.
    """
    sink = CaptureSink()
    cores = open_cores() if client is None else [client._core]  # noqa: SLF001  a client shows its core to nobody else
    replaced = []
    for core in cores:
        core.aggregator.poll()
        replaced.append((core, core.use(sink)))
    try:
        yield sink
    finally:
        sink.flush(0)
        for core, before in replaced:
            core.use(before)
            # Or a thread of the sink would go on waiting for counts that go elsewhere now.
            sink.detach(core.aggregator)
