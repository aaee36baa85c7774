"""A sink that appends events to a file, one JSON object per line."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from tallymark.client.drops import OnDrop
from tallymark.client.retry import Outcome
from tallymark.client.settings import Settings
from tallymark.client.sinks.buffered import BufferedSink


class _FileDelivery:
    """Appends whole batches; a batch that did not fit is taken back, so that no line is torn or doubled."""

    takes_reports = False

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self.sent_bytes = 0
        self.deadline: float | None = None

    def deliver(self, lines: Sequence[bytes]) -> Outcome:
        body = b"".join(line + b"\n" for line in lines)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # O_APPEND: processes that share the file do not write into each other's lines.
            number = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                self._write(number, body)
            finally:
                os.close(number)
        except OSError as error:
            return Outcome(retry=True, error=f"{type(error).__name__}: {error}")
        self.sent_bytes += len(body)
        return Outcome(accepted=len(lines))

    @staticmethod
    def _write(number: int, body: bytes) -> None:
        written = os.write(number, body)
        if written == len(body):
            return
        try:
            while written < len(body):
                written += os.write(number, body[written:])
        except OSError:
            # The disk is full in the middle: a line break keeps the torn line from spoiling the next one.
            os.ftruncate(number, max(0, os.fstat(number).st_size - written))
            raise

    def abort(self) -> None:
        """Nothing to end: writing to a file ends by itself."""

    def close(self) -> None:
        """Nothing is held open between batches."""

    def forget(self) -> None:
        """Nothing is held open between batches."""


class FileSink(BufferedSink):
    """Appends events to `path` in the background. With a full disk or an unwritable path it tries again."""

    def __init__(
        self, path: str | os.PathLike[str], *, settings: Settings | None = None, on_drop: OnDrop | None = None
    ) -> None:
        super().__init__(settings or Settings(), on_drop, lambda _: _FileDelivery(path))
