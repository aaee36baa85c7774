"""Batches on disk that survive the process: what could not be sent waits in a folder until some process can.

Comes in: batches of encoded events. Goes out: the same, oldest first, in this process or a later one. A file is
visible only when it is whole and fsynced; whoever sends it holds its lock, so that processes may share the folder.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from uuid import uuid4

from tallymark.client.log import warn_sometimes

_SUFFIX = ".ndjson"


class Spool:
    """A folder of batches, bounded in bytes."""

    def __init__(self, directory: str, max_bytes: int) -> None:
        self._directory = Path(directory)
        self._max_bytes = max_bytes
        self.reset()

    def reset(self) -> None:
        """Begin anew: files written so far belong to whoever takes them first."""
        self._owner = uuid4().hex[:12]
        self._numbers = count()
        self._own: set[str] = set()
        self._held: tuple[int, Path] | None = None

    def write(self, lines: Sequence[bytes]) -> bool:
        """Keep a batch; False when there is no room or the folder cannot be written."""
        if not lines:
            return True
        body = b"\n".join(lines) + b"\n"
        name = f"{time.time_ns():020d}-{self._owner}-{next(self._numbers):06d}"
        part = self._directory / f"{name}.part"
        try:
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            if self._measure() + len(body) > self._max_bytes:
                return False
            number = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                with os.fdopen(number, "wb") as file:
                    file.write(body)
                    file.flush()
                    os.fsync(file.fileno())
                part.rename(self._directory / (name + _SUFFIX))
            except OSError:
                part.unlink(missing_ok=True)
                raise
        except OSError as error:
            self._warn(error)
            return False
        self._own.add(name + _SUFFIX)
        return True

    def _measure(self) -> int:
        with os.scandir(self._directory) as entries:
            return sum(entry.stat().st_size for entry in entries if entry.is_file())

    def _warn(self, error: OSError) -> None:
        warn_sometimes(
            "spool",
            f"tallymark: the spool {self._directory} cannot be used ({error}). "
            "Fix: make the folder writable, free room, or set TALLYMARK_SPOOL_DIR to another.",
        )

    def _list(self) -> list[str]:
        try:
            return sorted(path.name for path in self._directory.iterdir() if path.suffix == _SUFFIX)
        except OSError:
            return []

    def take(self) -> tuple[list[bytes], bool] | None:
        """Take the oldest batch that nobody else holds, with whether it is our own; settle or give it back."""
        for name in self._list():
            path = self._directory / name
            try:
                number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                continue
            try:
                fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Another process may have sent and removed it between the opening and the lock.
                whole = os.fstat(number).st_nlink > 0
                lines = [line for line in path.read_bytes().split(b"\n") if line] if whole else []
            except OSError:
                lines = []
            if lines:
                self._held = (number, path)
                own = name in self._own
                self._own.add(name)
                return lines, own
            os.close(number)
        return None

    def settle(self) -> None:
        """Remove the batch that was taken: it arrived."""
        if self._held is not None:
            try:
                self._held[1].unlink(missing_ok=True)
            except OSError as error:
                self._warn(error)
            self.give_back()

    def give_back(self) -> None:
        """Leave the batch that was taken for another try."""
        if self._held is not None:
            os.close(self._held[0])
            self._held = None
