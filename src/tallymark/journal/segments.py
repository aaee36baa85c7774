"""The writer of local segments: group commit, one fsync for all requests that wait.

`append` puts a rendered record into a bounded queue; one thread numbers, frames and writes what waits, syncs it once, publishes the
durable end and wakes the requests. The intake calls it; nothing else writes here.
"""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import structlog

from tallymark.clock import SYSTEM_CLOCK, Clock, to_microseconds
from tallymark.crashpoints import reach
from tallymark.errors import RequestRefused
from tallymark.journal.files import (
    HEADER_BYTES,
    DurableEnd,
    SegmentHeader,
    list_segments,
    make_folder,
    parse_header,
    render_header,
    segment_path,
    sync_folder,
)
from tallymark.journal.folder_lock import FolderLock
from tallymark.journal.frames import scan_frames
from tallymark.journal.record import Payload, Record, render_frame, render_payload
from tallymark.journal.room import Room

log = structlog.get_logger("tallymark.journal")

# A call on the disk, so that tests can put a failing or forgetful one in its place.
Sync = Callable[[int], None]
Done = asyncio.Future[None]
# Payloads that wait for the disk, with whom to tell and whose they are.
Group = list[tuple[Payload, Done, str]]
# The longest that a record waits for others to share its sync with; only while more keep coming.
_GATHER_SECONDS = 0.003
# POSIX lets a call take 16; Linux takes 1,024.
_PARTS_AT_ONCE = min(os.sysconf("SC_IOV_MAX"), 1024)
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class SegmentWriter:
    """One shard's writer. Thread-safe towards its own thread only: call it from one event loop.

    `at_least` is the lowest number for the next record: what readers know may be ahead of a journal whose
    files were taken away. `max_waiting_bytes` bounds the queue in front of the disk, of which one project may fill
    half; `reserve_bytes` is the free room below which nothing is written any more, so that readers, deletion and
    administration still can.
    """

    def __init__(
        self,
        folder: Path,
        *,
        shard: int = 0,
        at_least: int = 0,
        segment_bytes: int = 64 * 1024 * 1024,
        max_waiting_bytes: int = 64 * 1024 * 1024,
        reserve_bytes: int = 256 * 1024 * 1024,
        clock: Clock = SYSTEM_CLOCK,
        sync: Sync = os.fdatasync,
    ) -> None:
        make_folder(folder)
        self._folder = folder
        self._shard = shard
        self._segment_bytes = segment_bytes
        self._max_waiting_bytes = max_waiting_bytes
        self._reserve_bytes = reserve_bytes
        self._clock = clock
        self._sync = sync
        self._lock = FolderLock(folder, "lock")
        self._end = DurableEnd(folder, writable=True)
        self._queue: Group = []
        self._waiting_bytes = 0
        self._waiting_of: Counter[str] = Counter()
        self._wake = threading.Condition()
        self._stopping = False
        self._gathered = 0
        self._ready = False
        self._segment = -1
        self._size = 0
        self._unfit = False
        self._refusal: RequestRefused | None = None
        self._placed_at = -1e9
        self._looked = False
        self._room = Room(folder, clock)
        # The number of the next record. They rise without a gap inside a segment; only this thread, and later
        # the writing one, gives them.
        self._next, earlier_end = self._recover(at_least)
        self._open_segment(earlier_end)
        self._end.set(self._next)
        self._thread = threading.Thread(target=self._run, name="journal-writer", daemon=True)
        self._thread.start()

    # What the intake calls

    def admit(self, size: int, project: str = "") -> None:
        """Raise RequestRefused when `size` bytes of a project have no chance: queue or share full, disk full or broken."""
        if self._stopping:
            raise RequestRefused("shutting_down", retry_after=2)
        # A record that is larger than what it may take passes when nothing waits: alone it would be refused for ever.
        held, share = self._waiting_of[project], self._max_waiting_bytes // 2
        if held and held + size > share:
            raise RequestRefused(
                "overloaded",
                f"{held:,} bytes of this project wait for the disk, its share is {share:,}. Try again in a second.",
                retry_after=1,
            )
        if self._waiting_bytes and self._waiting_bytes + size > self._max_waiting_bytes:
            raise RequestRefused("overloaded", retry_after=1)
        self._check_room()
        if self._refusal is not None:
            raise self._refusal

    def append(self, record: Record) -> Done:
        """Queue the record; what is returned is done once the record is durable.

        Raises RequestRefused, now or through the future, with disk_full, journal_unavailable, overloaded or
        shutting_down; then the record is not in the journal and never will be.
        """
        payload, project = render_payload(record), record.heading.project
        self.admit(payload.size, project)
        loop = asyncio.get_running_loop()
        done: Done = loop.create_future()
        with self._wake:
            self._queue.append((payload, done, project))
            self._waiting_bytes += payload.size
            self._waiting_of[project] += payload.size
        self._gathered += 1
        if self._gathered == 1:
            loop.call_soon(self._gather, loop, 0, loop.time() + _GATHER_SECONDS)
        return done

    def _gather(self, loop: asyncio.AbstractEventLoop, before: int, until: float) -> None:
        """Hand what waits to the thread, once a turn of the loop brings no more: what is ready at once shares a sync."""
        if self._gathered > before and loop.time() < until:
            loop.call_soon(self._gather, loop, self._gathered, until)
            return
        self._gathered = 0
        with self._wake:
            self._ready = True
            self._wake.notify()

    @property
    def waiting_bytes(self) -> int:
        """Bytes that wait for the disk."""
        return self._waiting_bytes

    @property
    def durable_number(self) -> int:
        """The number after the last durable record."""
        return self._end.get()

    def check(self) -> None:
        """Raise RequestRefused when the journal cannot be written now."""
        self.admit(0)

    def close(self) -> None:
        """Write what waits, then let go of the files and the lock."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        self._thread.join()
        self._room.close()
        if self._segment >= 0:
            os.close(self._segment)
        self._end.close()
        self._lock.close()

    # Start

    def _recover(self, at_least: int) -> tuple[int, int]:
        """Find the end of what is there; return the next record's number and the end of what is valid."""
        durable = self._end.get()
        following = max(at_least, durable)
        for first, path in reversed(list_segments(self._folder)):
            raw = path.read_bytes()
            # A segment's name is not used twice, even when nothing of it can be read.
            following = max(following, first + 1)
            header = parse_header(raw[:HEADER_BYTES], path)
            if header is None and len(raw) <= HEADER_BYTES:
                continue  # torn while it was made: it never held a record
            last = self._settle_tail(path, raw, durable)
            if last is not None:
                return max(following, last + 1), max(last + 1, durable)
            if header is not None:
                return following, header.earlier_end
            log.error("journal_segment_unreadable", segment=path.name, fix="tallymark journal verify")
        return following, following

    def _settle_tail(self, path: Path, raw: bytes, durable: int) -> int | None:
        """Make the intact records of the last segment durable and cut a torn tail; return the last one's number.

        What a killed process wrote but never synced counts as received once it is durable. Bytes behind the
        last intact record are cut only when no acknowledged record is missing: else they are evidence.
        """
        valid_end, last = HEADER_BYTES, None
        for number, _, frame_end, intact in scan_frames(raw, HEADER_BYTES, len(raw)):
            if intact:
                valid_end, last = frame_end, number
        lost = durable - (last + 1) if last is not None else 0
        if lost > 0:
            log.error("journal_records_lost", segment=path.name, records=lost, fix="tallymark journal verify")
        elif valid_end < len(raw) and last is not None:
            log.warning("journal_tail_cut", segment=path.name, bytes=len(raw) - valid_end)
            os.truncate(path, valid_end)
        descriptor = os.open(path, os.O_RDWR)
        try:
            self._sync(descriptor)
        except OSError as error:
            # Whether what was not acknowledged is on the disk is unknown now; what was acknowledged is.
            log.error("journal_sync_failed", segment=path.name, error=str(error), fix="check the disk")
            return durable - 1 if last is not None and last >= durable else last
        finally:
            os.close(descriptor)
        return last

    def _open_segment(self, earlier_end: int) -> None:
        """Begin a new segment with the next record; its header says where the earlier ones end."""
        if self._segment >= 0:
            os.close(self._segment)
            self._segment = -1
        while (path := segment_path(self._folder, self._next)).exists():
            self._next += 1
        created_us = to_microseconds(self._clock.now())
        header = render_header(SegmentHeader(self._shard, self._next, earlier_end, created_us))
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        try:
            os.write(descriptor, header)
            self._sync(descriptor)
            sync_folder(self._folder)
        except OSError:
            os.close(descriptor)
            path.unlink(missing_ok=True)
            raise
        self._segment, self._size, self._unfit = descriptor, HEADER_BYTES, False

    # The thread

    def _run(self) -> None:
        while True:
            with self._wake:
                # What was handed over may have gone with an earlier group already.
                while not (self._ready and self._queue) and not self._stopping:
                    self._wake.wait()
                if not self._queue:
                    return
                group, self._queue, self._ready = self._queue, [], False
            refusal: RequestRefused | None = None
            self._room.begin_write()
            try:
                self._write(group)
            except RequestRefused as error:
                refusal = error
            except Exception as error:
                log.exception("journal_write_failed")
                refusal = RequestRefused("journal_unavailable", str(error), retry_after=5)
                self._unfit = True
            finally:
                self._room.end_write()
            with self._wake:
                for payload, _, project in group:
                    self._waiting_bytes -= payload.size
                    self._waiting_of[project] -= payload.size
            _answer(group, refusal)

    def _write(self, group: Group) -> None:
        self._check_place()
        try:
            if self._unfit or self._segment < 0 or self._size >= self._segment_bytes:
                self._open_segment(self._end.get())
        except OSError as error:
            raise self._refuse("cannot begin a segment", error) from error
        parts = [
            part
            for place, (payload, _, _) in enumerate(group)
            for part in render_frame(payload, self._next + place)
        ]
        before = self._size
        try:
            written = _write_all(self._segment, parts)
        except OSError as error:
            self._take_back(before)
            raise self._refuse("cannot write", error) from error
        reach("journal.after_write_before_fsync")
        try:
            self._sync(self._segment)
        except OSError as error:
            self._abandon(before)
            raise self._refuse("cannot sync", error) from error
        self._size = before + written
        self._next += len(group)
        self._end.set(self._next)
        reach("journal.after_fsync_before_answer")

    def _check_place(self) -> None:
        """Raise RequestRefused when what is written now would be lost: the folder was replaced, or another writes here.

        A segment that somebody deleted is left for a new one. The disk is asked at most once a second.
        """
        if self._end.get() != self._next:
            raise self._give_up("another program writes to it")
        now = self._clock.monotonic()
        if now - self._placed_at < 1.0:
            return
        self._placed_at = now
        if not self._lock.is_in_place():
            raise self._give_up("its folder was moved, deleted or replaced while the server runs")
        if self._segment >= 0 and os.fstat(self._segment).st_nlink == 0:
            log.error("journal_segment_deleted", folder=str(self._folder), fix="tallymark journal verify")
            self._unfit = True

    def _give_up(self, why: str) -> RequestRefused:
        log.error("journal_unavailable", what=why, folder=str(self._folder), fix="restart the server")
        self._placed_at = -1e9
        message = f"The journal in {self._folder.name} takes no more events: {why}. Restart the server."
        return RequestRefused("journal_unavailable", message, retry_after=5)

    def _abandon(self, size: int) -> None:
        """Leave a segment whose sync failed: the kernel may have thrown the pages away, asking again would lie.

        Nothing of it past `size` exists any more. The next segment's header says so, and is made at once: until
        then a restart would count those records as received.
        """
        self._take_back(size)
        self._unfit = True
        try:
            self._open_segment(self._end.get())
        except OSError:
            log.error("journal_segment_not_replaced", fix="check the disk under the data folder")

    def _take_back(self, size: int) -> None:
        """Cut what was not made durable; when that fails too, the next segment's header tells the end."""
        try:
            os.ftruncate(self._segment, size)
        except OSError:
            self._unfit = True

    def _refuse(self, what: str, error: OSError) -> RequestRefused:
        if error.errno in _NO_ROOM:
            self._refusal = RequestRefused("disk_full", retry_after=10)
            self._room.put_off()
            return self._refusal
        log.error(
            "journal_unavailable", what=what, error=str(error), fix="check the disk under the data folder"
        )
        return RequestRefused("journal_unavailable", f"The journal {what}: {error.strerror}.", retry_after=5)

    def _check_room(self) -> None:
        """Look at the free room, at most once a second, and whether the disk answers."""
        looked = self._room.look_again()
        if silence := self._room.find_unresponsive_seconds():
            message = f"The disk under the data folder has not answered for {silence:.0f} s."
            raise RequestRefused("journal_unavailable", message, retry_after=5)
        if not looked and self._looked:
            return
        self._looked = True
        if self._room.free_bytes < self._reserve_bytes:
            if self._refusal is None:
                log.error(
                    "disk_nearly_full", reserve_bytes=self._reserve_bytes, fix="free room on the data disk"
                )
            self._refusal = RequestRefused("disk_full", retry_after=10)
        elif self._refusal is not None:
            log.info("disk_has_room_again")
            self._refusal = None


def _write_all(descriptor: int, parts: list[bytes]) -> int:
    """Write all parts, one behind the other; return how many bytes that is."""
    total = 0
    for start in range(0, len(parts), _PARTS_AT_ONCE):
        some = parts[start : start + _PARTS_AT_ONCE]
        size, written = sum(map(len, some)), os.writev(descriptor, some)
        if written < size:
            rest = memoryview(b"".join(some))
            while written < size:
                written += os.write(descriptor, rest[written:])
        total += size
    return total


def _answer(group: Group, refusal: RequestRefused | None) -> None:
    """Wake all requests of a group, with one call into their loop."""

    def settle() -> None:
        for _, done, _ in group:
            if done.done():
                continue
            if refusal is None:
                done.set_result(None)
            else:
                done.set_exception(refusal)

    loop = group[0][1].get_loop()
    if not loop.is_closed():
        loop.call_soon_threadsafe(settle)
