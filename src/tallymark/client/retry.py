"""When to try again: exponential backoff with full jitter, Retry-After, and an end.

Comes in: what an attempt came to. Goes out: seconds to wait. Pure but for the random number; `sender` asks.
Full jitter after M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one attempt to deliver a batch.

    `accepted` events were taken and those at `refused` (indexes) never will be. With `retry` nothing is known to
    have arrived, and `wait` holds the seconds that the far side asked for. `split`: too large, halves may pass.
    `final`: the request as such was turned away (a wrong key), so the next one would be too.
    """

    accepted: int = 0
    refused: tuple[int, ...] = ()
    retry: bool = False
    wait: float | None = None
    split: bool = False
    final: bool = False
    error: str = ""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """`base` and `cap` of the backoff, the longest Retry-After that is honoured, and when to give up; seconds."""

    base: float = 0.5
    cap: float = 30.0
    after_cap: float = 300.0
    max_age: float = 3600.0
    max_attempts: int = 1000
    # Of our own: an application that seeded Python's generator gets the numbers that it expects. And after a fork no two
    # processes wait equally long.
    draw: Callable[[], float] = field(default=random.SystemRandom().random)

    def build_delay(self, attempt: int, wait: float | None) -> float:
        """Return the seconds before attempt number `attempt + 1`; never less than asked for, up to the cap."""
        ceiling = min(self.cap, self.base * 2.0 ** min(attempt - 1, 60))
        jitter = ceiling * self.draw()
        return jitter if wait is None else max(min(wait, self.after_cap), jitter)

    def is_exhausted(self, attempt: int, age: float) -> bool:
        """Tell whether a batch tried `attempt` times within `age` seconds is to be given up."""
        return attempt >= self.max_attempts or age >= self.max_age


def parse_retry_after(text: str | None, now: datetime) -> float | None:
    """Read a Retry-After header (seconds, or an HTTP date) as seconds from `now`; None where it says nothing.

    RFC 9110, section 10.2.3.
    """
    if not text:
        return None
    text = text.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, IndexError, TypeError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())
