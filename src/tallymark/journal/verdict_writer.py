"""The writing end of the verdict log: one sync and one published number for a round of verdicts.

The loader process judges and is the one writer. What was published is never changed or cut off: after a failure or damage
a new file says by its name where the one before it ends.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Final

import structlog

from tallymark.crashpoints import reach
from tallymark.journal.files import DurableEnd, make_folder, publish_first, sync_folder
from tallymark.journal.frames import scan_frames
from tallymark.journal.record import Payload, render_frame
from tallymark.journal.verdicts import (
    END_FILE,
    HEADER_BYTES,
    RecordVerdicts,
    VerdictReader,
    check_header,
    list_verdict_files,
    render_header,
    render_round,
    verdicts_path,
)

log = structlog.get_logger("tallymark.journal")

# A call on the disk, so that tests can put a failing one in its place.
Sync = Callable[[int], None]
_FILE_BYTES: Final = 16 * 1024 * 1024


class VerdictWriter:
    """The writer of one shard's log. One process, one thread.

    `begin` is the number of the first record to be judged where there is no log yet.
    """

    def __init__(
        self,
        folder: Path,
        *,
        shard: int = 0,
        begin: int = 0,
        file_bytes: int = _FILE_BYTES,
        sync: Sync = os.fdatasync,
    ) -> None:
        make_folder(folder)
        self._folder = folder
        self._shard = shard
        self._file_bytes = file_bytes
        self._sync = sync
        self._file = -1
        self._size = 0
        recovered = self._recover()
        end = begin if recovered is None else recovered
        publish_first(folder, END_FILE, end)
        self._end = DurableEnd(folder, writable=True, name=END_FILE)
        self._end.set(end)

    @property
    def end(self) -> int:
        """The number after the last record whose verdicts are durable."""
        return self._end.get()

    def append(self, verdicts: list[RecordVerdicts], end: int) -> None:
        """Write the verdicts of a round durably and publish that all records before `end` are judged.

        Numbers rise; one that is left out belongs to a record that could not be read. Raises OSError, and then none of
        them counts.
        """
        try:
            self._write(render_round(verdicts), end)
        except OSError:
            # Whether these bytes are on the disk is unknown now. The next file begins where the published ones end.
            self._close_file()
            raise
        self._end.set(end)
        reach("verdicts.after_publishing")

    def release(self, number: int) -> int:
        """Remove the files wholly before record `number`; return how many. The last one stays."""
        removed = 0
        for (_, path), (following, _) in pairwise(list_verdict_files(self._folder)):
            if following > number:
                break
            path.unlink()
            removed += 1
        if removed:
            sync_folder(self._folder)
        return removed

    def close(self) -> None:
        """Let go of the files."""
        self._close_file()
        self._end.close()

    def _write(self, payload: bytes, end: int) -> None:
        if self._file < 0 or self._size >= self._file_bytes:
            self._open_file()
        frame = b"".join(render_frame(Payload((payload,), len(payload)), end))
        written = 0
        while written < len(frame):
            written += os.write(self._file, frame[written:])
        reach("verdicts.after_write_before_sync")
        self._sync(self._file)
        self._size += written
        reach("verdicts.after_sync_before_publishing")

    def _open_file(self) -> None:
        """Begin a file with the next record. One that has this name already holds nothing that can be read."""
        self._close_file()
        path = verdicts_path(self._folder, self.end)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        try:
            os.write(descriptor, render_header(self._shard, self.end))
            sync_folder(self._folder)
        except OSError:
            os.close(descriptor)
            raise
        self._file, self._size = descriptor, HEADER_BYTES

    def _close_file(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _recover(self) -> int | None:
        """Return the number after the last verdicts that are whole and make them durable; None without a log.

        What follows damage is judged again: the index knows the first record of each id, so the verdicts are the same.
        """
        files = list_verdict_files(self._folder)
        if not files:
            return None
        end, path = files[-1]
        raw = path.read_bytes()
        sound = check_header(raw, path)
        whole = HEADER_BYTES
        for number, _, frame_end, intact in scan_frames(raw, HEADER_BYTES, len(raw)):
            if not intact:
                break
            whole, end = frame_end, number
        published = VerdictReader(self._folder).end()
        if end < published:
            lost = published - end
            log.error(
                "verdicts_lost", file=path.name, first=end, records=lost, fix="nothing: they are judged again"
            )
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
        self._sync(descriptor)
        if sound and whole == len(raw):
            self._file, self._size = descriptor, whole
        else:
            os.close(descriptor)
        return end
