"""The contract of a protocol: what a receiver declares, what it is given and what it returns.

`ingest.py` calls the receiver of a request's route, `replay.py` the one that brought a quarantined event. Each file
in `receivers/` implements one protocol.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

import msgspec

from tallymark.errors import RequestRefused
from tallymark.intake.accept import Outcome
from tallymark.intake.answers import Answer, build_refusal
from tallymark.intake.parsed import Parsed


class Head(msgspec.Struct, frozen=True):
    """A request without its body. Names of headers are in small letters; `parameters` are the path's named parts."""

    method: str
    path: str
    query: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}
    parameters: Mapping[str, str] = {}


class ReceivedRequest(msgspec.Struct, frozen=True):
    """A whole request: `text` is the decompressed body, `key` the project's, `received_at` (UTC) when it was complete.

    A request with more than `max_events` is refused.
    """

    head: Head
    text: bytes
    key: str
    received_at: datetime
    max_events: int


@dataclass(frozen=True, slots=True)
class Route:
    """A path of a receiver, such as '/v1/events' or '/api/{project}/envelope'; it also matches with a final slash.

    `answer` is given for routes that bring no events: they are answered from the head, without a key, and leave
    nothing in the journal. `methods` are the receiver's. GET is the application's where it is none of them, and `reads`
    says that the application has something to read at this path.
    """

    path: str
    answer: Callable[[Head], Answer] | None = None
    methods: tuple[str, ...] = ("POST",)
    reads: bool = False

    def list_allowed(self) -> str:
        """Return the methods of the path for the header `Allow`."""
        return ", ".join((*(("GET",) if self.reads else ()), *self.methods, "OPTIONS"))


class Receiver(ABC):
    """A protocol. One object serves all requests, so it holds no state.

    `source` is its name in the ledger and in the store. `key_in_body` says that the key may stand in the body; such a
    body is read and decompressed at its address's expense until the key is known.
    """

    source: ClassVar[str]
    routes: ClassVar[tuple[Route, ...]]
    key_in_body: ClassVar[bool] = False

    @abstractmethod
    def identify(self, head: Head, text: bytes | None) -> Sequence[str]:
        """Return what may be the project's key, likeliest first; nothing where there is none.

        The first one that is known counts. `text` is None when only the head is there. Where `key_in_body` is set and the head holds no key, it is called
        again with the decompressed body.
        """

    @abstractmethod
    def parse(self, request: ReceivedRequest) -> Parsed:
        """Return every event of the request, and a failure with a code for each element that is none.

        Runs beside the event loop. Raises RequestRefused for a text that is nothing of this protocol.
        """

    def parse_quickly(self, request: ReceivedRequest) -> Parsed | None:  # noqa: ARG002 - for receivers that can
        """Return what `parse` would where that takes less than a few milliseconds, else None. Runs in the event loop."""
        return None

    @abstractmethod
    def parse_kept(self, bodies: Sequence[bytes]) -> Parsed:
        """Return the events of quarantined bodies (JSON), for a replay; the index is the place in `bodies`.

        A body is an event as `parse` kept it, or, where a step refused it, in tallymark's own form.
        """

    @abstractmethod
    def render(self, head: Head, outcome: Outcome) -> Answer:
        """Return the protocol's answer to a request whose events are on their way, in the form that `head` asks for."""

    def refuse(self, head: Head, refusal: RequestRefused) -> Answer:  # noqa: ARG002 - for receivers with several forms
        """Return the protocol's answer to a request that is refused whole."""
        return build_refusal(refusal)

    def is_hasty(self, head: Head) -> bool:  # noqa: ARG002 - for receivers that can
        """Tell whether the sender does not wait until its events are durable."""
        return False


@dataclass(frozen=True, slots=True)
class Match:
    """Who answers a path: receiver, route, and the path's named parts."""

    receiver: Receiver
    route: Route
    parameters: Mapping[str, str]


_NAMED = re.compile(r"\\{(\w+)\\}")


class Router:
    """Finds the receiver of a path."""

    def __init__(self, receivers: Sequence[Receiver]) -> None:
        self._exact: dict[str, Match] = {}
        self._patterns: list[tuple[re.Pattern[str], Receiver, Route]] = []
        for receiver in receivers:
            for route in receiver.routes:
                pattern = _NAMED.sub(r"(?P<\1>[^/]+)", re.escape(route.path))
                if "{" in route.path:
                    self._patterns.append((re.compile(pattern), receiver, route))
                elif route.path in self._exact:
                    raise ValueError(f"two receivers want {route.path}")
                else:
                    self._exact[route.path] = Match(receiver, route, {})

    def find(self, path: str) -> Match | None:
        """Return who answers a path; None where no receiver does."""
        path = path.rstrip("/")
        found = self._exact.get(path)
        if found is not None:
            return found
        for pattern, receiver, route in self._patterns:
            matched = pattern.fullmatch(path)
            if matched:
                return Match(receiver, route, matched.groupdict())
        return None
