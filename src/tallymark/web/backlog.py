"""The part of an answer that its reader has not taken yet: a little in memory, the rest in a file.

`statements` pushes the answer from a thread, as fast as the store gives it, and takes it on the event loop, as fast as the
reader does. The order is kept. While the reader keeps up, nothing goes through the file.
"""

from __future__ import annotations

import errno
import os
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import IO, Final

import structlog

from tallymark.errors import ReaderStopped

MEMORY_BYTES: Final = 1024 * 1024
# An answer has at most 128 MiB in the engine; as text it has more.
FILE_BYTES: Final = 256 * 1024 * 1024
# How long the store waits, over the whole answer, for a reader who is a little slower: before it uses the file, and once the file
# is full.
MEMORY_SECONDS: Final = 2.0
FILE_SECONDS: Final = 10.0
_PIECE_BYTES: Final = 64 * 1024

log = structlog.get_logger("tallymark.web")


class Backlog:
    """What waits of one answer. One thread pushes and ends, one reader takes, anybody may close.

    `wake` is called, from the thread that pushes, when the reader may find something. The file is made in `folder`, and
    `spare_bytes` of its disk stay free: events come first.
    """

    def __init__(self, folder: Path, wake: Callable[[], None], spare_bytes: int = 0) -> None:
        self._folder = folder
        self._spare_bytes = spare_bytes
        self._wake = wake
        self._changed = threading.Condition()
        self._memory: deque[bytes] = deque()
        self._in_memory = 0
        # The file is a ring: bytes written and read since the beginning, so that it never grows past its bound.
        self._written = self._read = 0
        self._patience = {"memory": MEMORY_SECONDS, "file": FILE_SECONDS}
        self._ended = False
        self._error: BaseException | None = None
        self._closed = False
        self._file: IO[bytes] | None = None
        # Held while the file is used: it may not be closed meanwhile.
        self._using = threading.Lock()

    @property
    def next_is_in_file(self) -> bool:
        """Whether the next piece is one for `read_file`, which takes the time of the disk."""
        return not self._memory and self._read < self._written

    def push(self, piece: bytes) -> None:
        """Add a piece; blocking. Raises ReaderStopped once it is closed, or where the reader is too far behind."""
        for begin in range(0, len(piece), _PIECE_BYTES):
            part = piece[begin : begin + _PIECE_BYTES]
            if not self._push_in_memory(part):
                self._write(part)
                with self._changed:
                    self._written += len(part)
            self._wake()

    def end(self, error: BaseException | None = None) -> None:
        """Let the reader know that nothing follows; `error` is raised to it after the last piece."""
        with self._changed:
            self._ended, self._error = True, error
        self._wake()

    def take(self) -> bytes | None:
        """Return the next piece, b'' after the last and None where none is in memory. Raises what `end` was given."""
        with self._changed:
            if self._memory:
                piece = self._memory.popleft()
                self._in_memory -= len(piece)
                self._changed.notify_all()
                return piece
            if self._read < self._written or not self._ended:
                return None
            if self._error is not None:
                raise self._error
            return b""

    def read_file(self) -> bytes:
        """Return the next piece of the file; blocking. Raises ReaderStopped where it is closed."""
        place = self._read % FILE_BYTES
        size = min(_PIECE_BYTES, self._written - self._read, FILE_BYTES - place)
        try:
            with self._using:
                if self._closed or self._file is None:
                    raise ReaderStopped
                piece = os.pread(self._file.fileno(), size, place)
        finally:
            if self._closed:
                self._close_file()
        if not piece:
            raise OSError(f"the file of an answer in {self._folder} ends too early")
        with self._changed:
            self._read += len(piece)
            self._changed.notify_all()
        return piece

    def close(self) -> None:
        """Drop what waits, and the file; a push that waits, and each later one, raises ReaderStopped."""
        with self._changed:
            self._closed = True
            self._memory.clear()
            self._changed.notify_all()
        self._close_file()

    def _push_in_memory(self, part: bytes) -> bool:
        """Add a part in memory; return False where it belongs into the file, which has room for it."""
        with self._changed:
            while not self._closed:
                waiting = self._written - self._read
                if not waiting:
                    if not self._memory or self._in_memory + len(part) <= MEMORY_BYTES:
                        self._memory.append(part)
                        self._in_memory += len(part)
                        return True
                    if self._wait("memory"):
                        continue
                if waiting + len(part) <= FILE_BYTES:
                    return False
                if not self._wait("file"):
                    log.warning("answer_not_kept", why="its reader is too far behind", bytes=waiting)
                    raise ReaderStopped
            raise ReaderStopped

    def _wait(self, what: str) -> bool:
        """Wait for the reader; return False once the time for that is used up."""
        left = self._patience[what]
        if left <= 0:
            return False
        began = time.monotonic()
        self._changed.wait(left)
        self._patience[what] = left - (time.monotonic() - began)
        return True

    def _write(self, part: bytes) -> None:
        place = self._written % FILE_BYTES
        try:
            with self._using:
                if self._closed:
                    raise ReaderStopped
                if self._file is None:
                    # Without a name: it is gone with this process, whatever ends that.
                    self._file = tempfile.TemporaryFile(buffering=0, dir=self._folder)  # noqa: SIM115 - closed by `close`
                _check_room(self._file.fileno(), self._spare_bytes)
                until_turn = FILE_BYTES - place
                _write_at(self._file.fileno(), part[:until_turn], place)
                _write_at(self._file.fileno(), part[until_turn:], 0)
        except OSError as error:
            log.warning("answer_not_kept", why=str(error), folder=str(self._folder))
            raise ReaderStopped from error
        finally:
            if self._closed:
                self._close_file()

    def _close_file(self) -> None:
        # Never under somebody who uses it: that one closes it afterwards.
        if self._using.acquire(blocking=False):
            try:
                if self._file is not None:
                    self._file.close()
                    self._file = None
            finally:
                self._using.release()


def _check_room(descriptor: int, spare_bytes: int) -> None:
    room = os.fstatvfs(descriptor)
    if room.f_bavail * room.f_frsize < spare_bytes:
        raise OSError(errno.ENOSPC, f"less than {spare_bytes} bytes of the disk are free")


def _write_at(descriptor: int, part: bytes, place: int) -> None:
    while part:
        done = os.pwrite(descriptor, part, place)
        part, place = part[done:], place + done
