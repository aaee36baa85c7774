"""Pictures for messages, which may be late and must not make a message late.

Comes in: what a message is about. Goes out: a PNG, or nothing. Asking the store and drawing are done one picture after another
beside the telling; a message that has waited `wait_seconds` goes without. A drawing process that falls or hangs is replaced.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Final

import structlog

from tallymark.alerts.batches import Batch
from tallymark.web.pictures import Drawer, render_picture

log = structlog.get_logger("tallymark.alerts")

# How long the drawing process may take before it is ended.
_HANG_SECONDS: Final = 20.0

# Returns the specification of what a message is about, b"" where there is nothing to draw.
Build = Callable[[Batch], bytes]


class MessagePictures:
    """Draws for several threads. `close` ends the drawing process."""

    def __init__(self, build: Build, *, wait_seconds: float, hang_seconds: float = _HANG_SECONDS) -> None:
        self._build = build
        self._wait_seconds = wait_seconds
        self._hang_seconds = hang_seconds
        self._drawer = Drawer()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="alert-picture")
        self._lock = threading.Lock()
        self._late: Future[bytes] | None = None

    def draw(self, batch: Batch) -> bytes:
        """Return the picture of what a message is about, b'' where there is none in time. Never raises."""
        with self._lock:
            if self._late is not None and not self._late.done():
                # Somebody waited in vain already: nobody else has to.
                return b""
        future: Future[bytes] | None = None
        try:
            future = self._thread.submit(self._draw, batch)
            return future.result(self._wait_seconds)
        except Exception as error:  # noqa: BLE001 - whatever goes wrong with a picture, the message goes out
            if future is not None and not future.cancel() and not future.done():
                with self._lock:
                    self._late = future
            reason = str(error) or type(error).__name__
            log.warning(
                "alert_without_picture", alert=batch.alert, error=reason, fix="the message goes without"
            )
            return b""

    def close(self) -> None:
        """Let go of the thread and the process."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._drawer.close()

    def _draw(self, batch: Batch) -> bytes:
        spec = self._build(batch)
        if not spec:
            return b""
        try:
            return self._drawer.open().submit(render_picture, spec, "png").result(self._hang_seconds)
        except (TimeoutError, BrokenProcessPool):
            self._drawer.close()
            raise
