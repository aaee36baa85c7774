"""Whether the disk under the journal answers, and how much room it has; looked at beside the event loop.

A file system that does not answer holds whoever asks it. So a thread of its own asks, once a second at most, and the
journal's writer tells here when it begins to write and when it has. `segments.py` calls it.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Final

from tallymark.clock import Clock

# How long a disk may take before it counts as one that does not answer.
SILENT_SECONDS: Final = 10.0
_LOOK_SECONDS: Final = 1.0
# How long the caller waits for the answer: it takes microseconds where the disk is well.
_WAIT_SECONDS: Final = 0.004


class Room:
    """The free room of a folder's file system, as it was a second ago at most."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock
        self._asked = threading.Event()
        self._told = threading.Event()
        self._closed = False
        self._asked_at: float | None = None
        self._writing_since: float | None = None
        self.free_bytes = self._look()
        self._looked_at = clock.monotonic()
        threading.Thread(target=self._run, name="journal-room", daemon=True).start()

    def find_unresponsive_seconds(self) -> float:
        """Return for how many seconds the disk has owed an answer, once that is too long; else 0."""
        now = self._clock.monotonic()
        since = [at for at in (self._asked_at, self._writing_since) if at is not None]
        silence = max((now - at for at in since), default=0.0)
        return silence if silence > SILENT_SECONDS else 0.0

    def look_again(self) -> bool:
        """Have the room looked at, where the last look is old; tell whether there is a new one."""
        now = self._clock.monotonic()
        if self._asked_at is None:
            if now - self._looked_at < _LOOK_SECONDS:
                return False
            self._asked_at = now
            self._told.clear()
            self._asked.set()
            self._told.wait(_WAIT_SECONDS)
        if not self._told.is_set():
            return False
        self._asked_at, self._looked_at = None, now
        return True

    def put_off(self) -> None:
        """Take what is known for fresh: a write has just shown how it stands."""
        self._looked_at = self._clock.monotonic()

    def begin_write(self) -> None:
        """Take note that the disk is being written to."""
        self._writing_since = self._clock.monotonic()

    def end_write(self) -> None:
        """Take note that it has answered."""
        self._writing_since = None

    def close(self) -> None:
        """Look no more; does not wait for a disk that does not answer."""
        self._closed = True
        self._asked.set()

    def _look(self) -> int:
        state = os.statvfs(self._folder)
        return state.f_bavail * state.f_frsize

    def _run(self) -> None:
        while True:
            self._asked.wait()
            self._asked.clear()
            if self._closed:
                return
            try:
                self.free_bytes = self._look()
            except OSError:
                # Writing will say what it is.
                continue
            finally:
                self._told.set()
