"""The bounds of the HTTP server: on connections, on the time and bytes of requests, on answers that nobody reads."""

from __future__ import annotations

from dataclasses import dataclass, replace

_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Bounds:
    """All in seconds, bytes or counts. Times are looked at once a second."""

    # Connections at once, and from one address; 0: no bound by address. Loopback has none: a proxy stands there.
    connections: int = 4096
    per_address: int = 512
    # Connections past the bound that are kept for the moment in which they are told 503.
    refusals: int = 64

    # From a connection's or a request's first byte to the end of its headers, and between two requests.
    head_seconds: float = 10.0
    idle_seconds: float = 60.0
    head_bytes: int = 64 * 1024
    headers: int = 200
    # Between two pieces of a body.
    piece_seconds: float = 30.0
    # What is read of a body, and thrown away, once its request has its answer: a sender in the middle of it sees that.
    waste_bytes: int = 32 * _MIB
    # How long a connection that was told to close goes on reading, so that its client can read why.
    linger_seconds: float = 2.0
    # One connection gets so many requests, and so many bytes of a chunked body, before the others have their turn.
    turn_requests: int = 16
    turn_bytes: int = 16 * 1024

    # Of a body that the application has not asked for yet.
    held_body_bytes: int = 64 * 1024
    # From a request's head to the head of its answer: what hangs inside must not hold its client for ever.
    answer_seconds: float = 150.0
    # An answer goes to the system in such pieces, each when the ones before are gone.
    piece_bytes: int = 32 * 1024
    # A reader has to take `write_bytes` of its answer, or all that is left of it, within `write_seconds`.
    write_seconds: float = 30.0
    write_bytes: int = 16 * 1024
    # Answers that wait for their readers, together and of one project (or address, where there is no project).
    # Smaller ones than `counted_bytes` are not counted.
    answer_bytes: int = 128 * _MIB
    owner_bytes: int = 32 * _MIB
    counted_bytes: int = 16 * 1024

    # Less than the supervisor's patience: the journal is closed afterwards.
    stop_seconds: float = 8.0


# Descriptors that are not for connections: journal, ledger, catalog, store, pictures, the segments that a trace reads.
_RESERVE = 192
_FEWEST = 16


def fit_bounds(bounds: Bounds, descriptors: int) -> Bounds:
    """Return bounds on connections that leave enough of the process's file descriptors for everything else."""
    room = descriptors - min(_RESERVE, descriptors // 2)
    refusals = min(bounds.refusals, room // 16)
    return replace(
        bounds, connections=max(_FEWEST, min(bounds.connections, room - refusals)), refusals=refusals
    )
