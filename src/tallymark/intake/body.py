"""Reading a request's body from the wire, bounded in bytes and in time.

A sender that lies about the length, sends without end or drips its bytes is cut off; what was read is counted
against the intake's memory while it is held.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from tallymark.errors import RequestRefused
from tallymark.intake.limits import IntakeLimits, Reservation

_DRAIN_SECONDS, _DRAIN_BYTES = 2.0, 32 * 1024 * 1024
Receive = Callable[[], Awaitable[Any]]


class SenderLeft(Exception):
    """The sender closed the connection before its body was complete."""


async def read_body(
    receive: Receive, headers: Mapping[str, str], limits: IntakeLimits, reservation: Reservation
) -> bytes:
    """Return the whole body.

    Raises RequestRefused: body_too_large, request_timeout, overloaded; SenderLeft when the connection closed.
    """
    announced = headers.get("content-length", "")
    if announced.isdigit() and int(announced) > limits.body_bytes:
        raise _too_large(limits)
    pieces: list[bytes] = []
    size = 0
    loop = asyncio.get_running_loop()
    deadline = loop.time() + limits.body_seconds
    try:
        async with asyncio.timeout_at(loop.time() + limits.chunk_seconds) as patience:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise SenderLeft
                piece = message.get("body", b"")
                size += len(piece)
                if size > limits.body_bytes:
                    raise _too_large(limits)
                reservation.take(len(piece))
                pieces.append(piece)
                if not message.get("more_body", False):
                    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
                patience.reschedule(min(deadline, loop.time() + limits.chunk_seconds))
    except TimeoutError as error:
        raise RequestRefused("request_timeout", retry_after=1) from error


async def drain(receive: Receive) -> None:
    """Read on for a moment after a refusal, so that a sender in the middle of its body gets to see the answer."""
    size = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_DRAIN_SECONDS):
            while size < _DRAIN_BYTES:
                message = await receive()
                size += len(message.get("body", b""))
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    return


def _too_large(limits: IntakeLimits) -> RequestRefused:
    return RequestRefused(
        "body_too_large", f"A body may have {limits.body_bytes} bytes. Send smaller batches."
    )
