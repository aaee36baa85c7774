"""What a client can say about itself. Goes out to the application by `client.stats()`; sinks fill it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """Counts since the process began to use the client: `recorded == sent + waiting + sum(dropped.values())`.

    `sent`: acknowledged by the server or written; `waiting`: in memory, on its way or in the spool;
    `waiting_bytes`: memory that they take; `bytes`: what went over the network, compressed, retries included.
    For a fan-out the counts are sums over its sinks and `parts` holds each sink's own.
    """

    recorded: int = 0
    sent: int = 0
    waiting: int = 0
    waiting_bytes: int = 0
    spooled: int = 0
    dropped: Mapping[str, int] = {}
    retries: int = 0
    bytes: int = 0
    last_error: str = ""
    parts: tuple[Any, ...] = ()


class SendSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the events given to `send_all`.

    `sent`: acknowledged; `refused`: judged and refused by the server, which keeps what it can in quarantine;
    `unsent`: not acknowledged in time, or not to be turned into JSON; `error`: why it ended early, else empty.
    """

    sent: int = 0
    refused: int = 0
    unsent: int = 0
    error: str = ""


def build_sum(parts: tuple[Stats, ...]) -> Stats:
    """Add up the counts of several sinks."""
    dropped: dict[str, int] = {}
    for part in parts:
        for reason, count in part.dropped.items():
            dropped[reason] = dropped.get(reason, 0) + count
    return Stats(
        recorded=sum(part.recorded for part in parts),
        sent=sum(part.sent for part in parts),
        waiting=sum(part.waiting for part in parts),
        waiting_bytes=sum(part.waiting_bytes for part in parts),
        spooled=sum(part.spooled for part in parts),
        dropped=dropped,
        retries=sum(part.retries for part in parts),
        bytes=sum(part.bytes for part in parts),
        last_error=next((part.last_error for part in parts if part.last_error), ""),
        parts=parts,
    )
