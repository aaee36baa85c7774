"""What was let go, by reason: counted exactly, told to the application, reported to the server later.

Comes in: a reason of `errors.CLIENT_DROP_REASONS`, a number of events and one of them as a sample. Goes out:
running totals, at most one warning a minute per reason, calls of `on_drop`. Sinks own one each.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Mapping
from typing import Any
from uuid import uuid4

import msgspec

from tallymark.client.log import warn_sometimes
from tallymark.errors import CLIENT_DROP_REASONS
from tallymark.event import ClientReport

OnDrop = Callable[[str, int, Mapping[str, Any] | None], object]

_encode = msgspec.json.encode


def parse_sample(line: bytes | None) -> dict[str, Any] | None:
    """Return the event on the line as a dictionary; None where there is none."""
    if line is None:
        return None
    try:
        event = msgspec.json.decode(line)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) else None


class Listener:
    """Holds the application's `on_drop`. Sinks hold it, their threads do not.

    The callback is often a method of an object that holds the client: a thread that held it would keep the client.
    """

    __slots__ = ("__weakref__", "call")

    def __init__(self, on_drop: OnDrop | None) -> None:
        self.call = on_drop


class Drops:
    """Running totals of drops by reason, since this process began to use the sink.

    `listener` is told as long as somebody else holds it.
    """

    def __init__(self, listener: Listener | None = None) -> None:
        self._listener = None if listener is None or listener.call is None else weakref.ref(listener)
        self.reset()

    def reset(self) -> None:
        """Begin anew, as another instance: after a fork the parent keeps the totals."""
        self._lock = threading.RLock()
        self.instance = uuid4().hex
        self.totals: dict[str, int] = {}
        self._untold: dict[str, int] = {}
        self._samples: dict[str, bytes | None] = {}
        self._acknowledged: dict[str, int] = {}

    def count(self, reason: str, events: int, sample: bytes | None = None) -> None:
        """Count `events` let go for `reason`. Cheap; never raises."""
        if events <= 0:
            return
        with self._lock:
            # No call stands between reading and writing a number: a signal handler that counts too cannot come between.
            self.totals.setdefault(reason, 0)
            self.totals[reason] += events
            self._samples.setdefault(reason, sample)
            self._untold.setdefault(reason, 0)
            self._untold[reason] += events

    @property
    def total(self) -> int:
        """Events let go so far, for any reason."""
        return sum(self.totals.values())

    def tell(self) -> None:
        """Warn and call `on_drop` for what was counted since the last time. Never raises."""
        while self._untold:
            with self._lock:
                if not self._untold:
                    return
                reason, events = self._untold.popitem()
                sample = self._samples.pop(reason, None)
            if reason != "filtered":
                known = CLIENT_DROP_REASONS[reason]
                warn_sometimes(
                    f"drop:{self.instance}:{reason}",
                    f"tallymark: {events} events were dropped ({reason}; {self.totals[reason]} in total). "
                    f"{known.meaning} Fix: {known.remedy}",
                )
            self._call(reason, events, sample)

    def _call(self, reason: str, events: int, sample: bytes | None) -> None:
        listener = self._listener() if self._listener is not None else None
        if listener is None or listener.call is None:
            return
        try:
            listener.call(reason, events, parse_sample(sample))
        except Exception:  # noqa: BLE001  a fault in the application's callback must not stop the sender
            warn_sometimes(
                "on_drop",
                "tallymark: on_drop raised an exception. Fix: mend the callback given to Client.",
                trace=True,
            )

    @property
    def is_reported(self) -> bool:
        """Whether the server knows all totals."""
        return self.totals == self._acknowledged

    def build_report(self) -> tuple[str, dict[str, int]] | None:
        """Return the report as JSON and the totals in it, or None when the server knows them already."""
        with self._lock:
            if self.totals == self._acknowledged:
                return None
            totals = dict(self.totals)
        return _encode(ClientReport(instance=self.instance, dropped=totals)).decode(), totals

    def acknowledge(self, totals: dict[str, int]) -> None:
        """Remember that the server has these totals."""
        with self._lock:
            for reason, count in totals.items():
                self._acknowledged[reason] = max(count, self._acknowledged.get(reason, 0))
