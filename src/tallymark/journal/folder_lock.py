"""One writer per folder. The lock is on the folder itself: deleting a file in it frees nothing.

The supervisor holds the data folder with it, the journal's writer its shard. Earlier programs locked a file in the
folder; that file is locked as well, so that an earlier program and this one never write side by side.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class FolderLock:
    """Holds `folder` until it is closed or the process ends. Raises BlockingIOError when another process holds it.

    Other errors of the operating system pass through: a file system that cannot lock folders is none to use.
    `file` is the name of the file that earlier programs locked; it may hold a note on who holds the folder.
    """

    def __init__(self, folder: Path, file: str) -> None:
        self.folder = folder
        self._descriptors: list[int] = []
        self._descriptors.append(os.open(folder, os.O_RDONLY | os.O_DIRECTORY))
        try:
            fcntl.flock(self._descriptors[0], fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._descriptors.append(os.open(folder / file, os.O_RDWR | os.O_CREAT, 0o600))
            fcntl.flock(self._descriptors[1], fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.close()
            raise

    def fileno(self) -> int:
        """Return the descriptor of the folder: it stays the same folder, wherever it is moved."""
        return self._descriptors[0]

    def is_in_place(self) -> bool:
        """Tell whether the folder still stands under its name: it may have been moved, deleted or replaced."""
        try:
            return os.path.samestat(os.fstat(self.fileno()), self.folder.stat())
        except FileNotFoundError:
            return False

    def write_note(self, note: bytes) -> None:
        """Leave a note in the lock file for whoever is turned away."""
        os.ftruncate(self._descriptors[1], 0)
        os.pwrite(self._descriptors[1], note, 0)

    def close(self) -> None:
        """Let go of the folder."""
        while self._descriptors:
            os.close(self._descriptors.pop())
