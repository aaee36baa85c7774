"""The sink that matters: events go to tallymark's intake over HTTP."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator

from tallymark.client.drops import OnDrop
from tallymark.client.importer import Importer
from tallymark.client.sender import build_policy
from tallymark.client.settings import Settings, build_settings
from tallymark.client.sinks.buffered import BufferedSink
from tallymark.client.spool import Spool
from tallymark.client.stats import SendSummary, Stats
from tallymark.client.transport import HttpTransport


def build_spool(settings: Settings) -> Spool | None:
    """Return the spool for this server and key: what is meant for one must not be sent to another."""
    if not settings.spool_dir:
        return None
    target = hashlib.sha256(f"{settings.url}\n{settings.key}".encode()).hexdigest()[:16]
    return Spool(os.path.join(settings.spool_dir, target), settings.spool_bytes)  # noqa: PTH118  text in, text out


class IntakeSink(BufferedSink):
    """Posts events to `{url}/v1/events` in batches, with retries, from one background thread."""

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        settings: Settings | None = None,
        on_drop: OnDrop | None = None,
    ) -> None:
        settings = settings or build_settings({"url": url, "key": key})
        super().__init__(
            settings, on_drop, lambda drops: HttpTransport(settings, drops), build_spool(settings)
        )
        self._importer = self._build_importer()

    def _build_importer(self) -> Importer:
        settings, drops = self.settings, self.drops
        return Importer(lambda: HttpTransport(settings, drops), drops, build_policy(settings), settings)

    def send_all(self, lines: Iterator[bytes], timeout: float | None) -> SendSummary:
        """Send all of them beside the buffer, several batches at a time, so that nothing makes room for anything."""
        return self._importer.run(lines, timeout)

    def stats(self) -> Stats:
        """Return the counts so far, those of `send_all` included."""
        return self._importer.add_to(super().stats())

    def forget(self) -> None:
        """Begin anew in a child process."""
        super().forget()
        self._importer = self._build_importer()
