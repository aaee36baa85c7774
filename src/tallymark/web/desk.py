"""What the web process holds open for alerts: what the jobs process judged, silences, receivers and how to try them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tallymark.alerts.book import Book
from tallymark.alerts.notices import Notices
from tallymark.alerts.outlets import Outlets
from tallymark.alerts.pulse import Pulse, read_pulse
from tallymark.alerts.silences import Silences
from tallymark.catalog.receivers import Receivers
from tallymark.catalog.repository import Catalog
from tallymark.catalog.sealing import open_sealer

_QUESTIONS: Final = 3
# Receivers that are tried, and addresses that are looked at, at once.
_TRIED: Final = 2


@dataclass(slots=True)
class Desk:
    """What the web process holds open for alerts."""

    book: Book
    notices: Notices
    silences: Silences
    receivers: Receivers
    outlets: Outlets
    data: Path
    pool: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(_QUESTIONS, thread_name_prefix="preview")
    )

    def close(self) -> None:
        """Let go of threads and processes."""
        self.pool.shutdown(wait=False, cancel_futures=True)
        self.outlets.close()

    def read_pulse(self) -> Pulse | None:
        """Return what the last round was like; None before the first."""
        return read_pulse(self.data)


def open_desk(catalog: Catalog, data: Path, inward: tuple[str, ...]) -> Desk:
    """Open what the web process needs of alerts."""
    receivers = Receivers(catalog, open_sealer(data))
    return Desk(
        Book(catalog), Notices(catalog), Silences(catalog), receivers, Outlets(inward, most=_TRIED), data
    )
