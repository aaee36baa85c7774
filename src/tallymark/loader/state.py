"""What the loader is doing, in a file of the data folder: whether it gets on, and what last kept it from that.

The loader writes it, also across its own deaths. `/readyz`, the pages, the server's own numbers and the jobs process
read it and tell a loader that stands still by it.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec

from tallymark.clock import SYSTEM_CLOCK, Clock

_FILE: Final = "loader.json"
# A file that says the same is written anew after so many seconds.
_WRITE_SECONDS: Final = 2.0
_ERROR_LENGTH: Final = 1000
# For so long a loader with a backlog may store nothing before it counts as standing still, in seconds. A restart of
# the store, a long insert and a slow disk together take less.
STALLED_SECONDS: Final = 120
_CLOCK_MARGIN: Final = timedelta(seconds=60)


class LoaderReport(msgspec.Struct, frozen=True, kw_only=True):
    """When the loader last got on; the last error, empty once it got on again; rows of a copy, 0 where none runs."""

    moved_at: datetime
    error: str = ""
    error_at: datetime | None = None
    copied: int = 0
    to_copy: int = 0
    # Why the store's table has an older format for now.
    postponed: str = ""


class LoaderState:
    """Keeps the report. The loader's threads call it."""

    def __init__(self, data: Path, clock: Clock = SYSTEM_CLOCK) -> None:
        self._path = data / _FILE
        self._clock = clock
        # What an earlier loader could not do this one has not done either.
        self._report = read_loader_report(data) or LoaderReport(moved_at=clock.now())
        self._report = msgspec.structs.replace(self._report, copied=0, to_copy=0)
        self._written_at = float("-inf")
        # The judging station and the loader are threads of one process.
        self._lock = threading.Lock()
        self._write()

    def say_moved(self) -> None:
        """Note that a batch was stored and counted."""
        failed = bool(self._report.error)
        self._change(
            write=failed or self._is_old(),
            moved_at=self._clock.now(),
            error="",
            error_at=None,
            copied=0,
            to_copy=0,
        )

    def say_copied(self, done: int, total: int) -> None:
        """Note how far the copy of an older table is, in rows."""
        moved = done != self._report.copied or total != self._report.to_copy
        at = self._clock.now() if moved else self._report.moved_at
        self._change(moved_at=at, copied=done, to_copy=total)

    def say_copy_over(self, postponed: str = "") -> None:
        """Note that the store is ready for rows, and why a copy has to wait."""
        self._change(error="", error_at=None, copied=0, to_copy=0, postponed=postponed)

    def say_failed(self, error: str) -> None:
        """Note what the loader met."""
        known = error[:_ERROR_LENGTH] == self._report.error
        if not known or self._is_old():
            self._change(error=error[:_ERROR_LENGTH], error_at=self._clock.now())

    def _is_old(self) -> bool:
        return self._clock.monotonic() - self._written_at >= _WRITE_SECONDS

    def _change(self, *, write: bool = True, **fields: Any) -> None:
        with self._lock:
            self._report = msgspec.structs.replace(self._report, **fields)
            if write:
                self._write()

    def _write(self) -> None:
        """Write the report in place of the last one. A disk that is full is told elsewhere."""
        self._written_at = self._clock.monotonic()
        with suppress(OSError):
            part = self._path.with_suffix(".part")
            part.write_bytes(msgspec.json.encode(self._report))
            part.replace(self._path)


def read_loader_report(data: Path) -> LoaderReport | None:
    """Return the loader's last report; None before the first."""
    try:
        return msgspec.json.decode((data / _FILE).read_bytes(), type=LoaderReport)
    except (OSError, msgspec.MsgspecError):
        return None


class Stall(msgspec.Struct, frozen=True):
    """How long the loader has stood still although events wait, in seconds, and why; 0 while it gets on.

    Past `limit` seconds somebody has to look after it.
    """

    seconds: float = 0.0
    reason: str = ""
    limit: float = STALLED_SECONDS

    @property
    def is_long(self) -> bool:
        """Whether the limit is passed."""
        return self.seconds > self.limit


NO_STALL: Final = Stall()


def find_stall(
    report: LoaderReport | None,
    backlog: tuple[int, int],
    now: datetime,
    watched_since: datetime,
    limit: float = STALLED_SECONDS,
) -> Stall:
    """Judge the loader by its report and the backlog: how many events wait, and since when the oldest does (µs since 1970).

    A loader cannot have moved before there was something to load, and nothing is held against it from before
    `watched_since`, when the server may have been down.
    """
    events, oldest_us = backlog
    if not events:
        return NO_STALL
    since = max(watched_since, datetime.fromtimestamp(oldest_us / 1e6, UTC))
    # A report from later than now is one from before the clock was put back: it says nothing of the time since.
    if report is not None and report.moved_at - now < _CLOCK_MARGIN:
        since = max(since, report.moved_at)
    still = now - since
    if still <= timedelta():
        return NO_STALL
    error = report.error if report else ""
    reason = f"Nothing was stored for {still.total_seconds():.0f} s, and {events:,} events wait."
    return Stall(still.total_seconds(), f"{reason} {error or 'No error was noted.'}", limit)


class LoaderStanding(msgspec.Struct, frozen=True):
    """One word for what the loader does, "working", "retrying", "copying" or "stalled", and what there is to say of it.

    `share` is how much of a copy is done, from 0 to 1; None where there is none.
    """

    word: str
    message: str = ""
    share: float | None = None


def describe(report: LoaderReport | None, stall: Stall) -> LoaderStanding:
    """Return what people are told of the loader."""
    if stall.is_long:
        return LoaderStanding("stalled", stall.reason)
    if report is None:
        return LoaderStanding("working")
    if report.to_copy:
        share = min(1.0, report.copied / report.to_copy)
        return LoaderStanding(
            "copying",
            f"Stored events are copied into new partitions: {share:.0%} ({report.copied:,} of {report.to_copy:,}). "
            "New events are kept in the journal until then.",
            share,
        )
    if report.error:
        return LoaderStanding("retrying", report.error)
    return LoaderStanding("working", report.postponed)
