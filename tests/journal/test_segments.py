"""The writer: what it acknowledges is durable, whatever the disk does to the rest."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import itertools
import os
import shutil
import threading
import time

import pytest

from tallymark.clock import FixedClock
from tallymark.errors import FormatError, RequestRefused
from tallymark.journal.files import HEADER_BYTES, DurableEnd, SegmentHeader, parse_header, render_header
from tallymark.journal.record import render_frame, render_payload
from tallymark.journal.segments import SegmentWriter
from tallymark.journal.verify import verify_shard


class FailingSync:
    """Syncs like the disk, until it is told to fail; counts its calls."""

    def __init__(self) -> None:
        self.calls = 0
        self.error = 0

    def __call__(self, descriptor: int) -> None:
        self.calls += 1
        if self.error:
            raise OSError(self.error, os.strerror(self.error))
        os.fdatasync(descriptor)


def test_what_is_acknowledged_is_read(shard):
    """Records come back in order, whole, also after a restart."""
    shard.open()
    assert shard.append(5) == [None] * 5
    assert shard.contents() == [0, 1, 2, 3, 4]
    shard.close()
    shard.open()
    shard.append(2)
    assert shard.contents() == [0, 1, 2, 3, 4, 5, 6]
    assert shard.read()[3].rows.startswith(b'{"n":3,')


def test_many_appends_share_a_sync(shard):
    """Requests that wait together are made durable by few syncs."""
    sync = FailingSync()
    shard.open(sync=sync)
    before = sync.calls
    shard.append(500)
    assert len(shard.contents()) == 500
    assert sync.calls - before <= 50


def test_segments_roll_by_size(shard):
    """A full segment is followed by the next, and reading does not notice."""
    shard.open(segment_bytes=2000)
    for _ in range(20):
        shard.append(2, size=200)
    assert len(shard.segments()) > 4
    assert shard.contents() == list(range(40))


def test_second_writer_is_locked_out(shard):
    """One shard has one writer at a time."""
    shard.open()
    with pytest.raises(BlockingIOError):
        SegmentWriter(shard.folder)


def test_no_file_frees_a_shard(shard):
    """The lock is on the folder: a second writer stays out also when the lock file was deleted, or is not there yet."""
    shard.open()
    shard.append(1)
    for _ in range(2):
        (shard.folder / "lock").unlink(missing_ok=True)
        with pytest.raises(BlockingIOError):
            SegmentWriter(shard.folder)
    shard.append(1)
    assert shard.contents() == [0, 1]


def test_an_earlier_programs_lock_counts(shard):
    """A program that locks only the file, as earlier ones did, keeps this one out, and is kept out by it."""
    shard.folder.mkdir()
    with (shard.folder / "lock").open("w") as earlier:
        fcntl.flock(earlier, fcntl.LOCK_EX)
        with pytest.raises(BlockingIOError):
            shard.open()
    shard.open()
    with (shard.folder / "lock").open("r+") as earlier, pytest.raises(BlockingIOError):
        fcntl.flock(earlier, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize("put_back", [False, True])
def test_a_folder_that_was_replaced_takes_nothing(shard, put_back):
    """Moved away, with another one in its place or none, nothing is acknowledged; back again, it goes on."""
    clock = FixedClock()
    shard.open(clock=clock)
    shard.append(1)
    aside = shard.folder.with_name("aside")
    shard.folder.rename(aside)
    if put_back:
        shard.folder.mkdir()
    clock.advance(2)
    (refusal,) = shard.append(1)
    assert refusal.code == "journal_unavailable"
    assert "moved, deleted or replaced" in refusal.message
    if put_back:
        shard.folder.rmdir()
    aside.rename(shard.folder)
    assert shard.append(1) == [None]
    assert shard.contents() == [0, 2]


def test_a_second_writer_is_noticed(shard):
    """Where the published end was moved by somebody else, nothing more is acknowledged, and nothing is overwritten."""
    shard.open()
    shard.append(2)
    stranger = DurableEnd(shard.folder, writable=True)
    stranger.set(40)
    (refusal,) = shard.append(1)
    assert refusal.code == "journal_unavailable"
    assert "another program" in refusal.message
    assert stranger.get() == 40
    stranger.close()


def test_a_deleted_segment_is_left(shard):
    """What comes after somebody deleted the segment goes to a new one, and the check names what is missing."""
    clock = FixedClock()
    shard.open(clock=clock)
    shard.append(2)
    shard.segments()[-1].unlink()
    clock.advance(2)
    assert shard.append(2) == [None, None]
    assert shard.contents() == [2, 3]
    report = verify_shard(shard.folder, shard.writer.durable_number)
    assert (report.records, report.first_number) == (2, 2)


def test_failed_sync_acknowledges_nothing_and_abandons_the_segment(shard):
    """After EIO from fsync nothing of that group is acknowledged or read, and the next goes to a new segment."""
    sync = FailingSync()
    shard.open(sync=sync)
    shard.append(2)
    sync.error = errno.EIO
    refusal, other = shard.append(2)
    assert refusal.code == other.code == "journal_unavailable"
    assert refusal.retry_after
    sync.error = 0
    assert shard.append(1) == [None]
    assert len(shard.segments()) == 2
    assert shard.contents() == [0, 1, 4]


def test_abandoned_records_stay_abandoned_after_a_restart(shard, monkeypatch):
    """What a failed sync left in a segment that could not be cut is never read, however often the server starts."""
    sync = FailingSync()
    shard.open(sync=sync)
    shard.append(2)
    with monkeypatch.context() as patch:

        def refuse(descriptor: int, size: int) -> None:
            raise OSError(errno.EIO, "no cutting either")

        patch.setattr("tallymark.journal.segments.os.ftruncate", refuse)
        sync.error = errno.EIO
        assert shard.append(3)[0].code == "journal_unavailable"
    sync.error = 0
    shard.append(1)
    for _ in range(3):
        assert shard.contents()[:3] == [0, 1, 5]
        shard.close()
        shard.open()
        shard.append(1)
    assert shard.contents() == [0, 1, 5, 6, 7, 8]
    report = verify_shard(shard.folder, shard.writer.durable_number)
    assert (report.abandoned_records, report.records) == (3, 6)
    # Whether their senders know is not to be seen from the journal: it is never called sound.
    (problem,) = report.problems
    assert "3 records with 3 events stand behind record 2" in problem


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_no_room_while_writing(shard, monkeypatch, code):
    """A write that finds no room is taken back whole and answered `disk_full`; with room again it goes on unaided."""
    clock = FixedClock()
    shard.open(clock=clock)
    shard.append(2)
    write = os.write

    def write_half(descriptor: int, parts: list[bytes]) -> int:
        return write(descriptor, b"".join(parts)[:60])

    def write_no_more(descriptor: int, data: bytes) -> int:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr("tallymark.journal.segments.os.writev", write_half)
        patch.setattr("tallymark.journal.segments.os.write", write_no_more)
        (refusal,) = shard.append(1)
    assert (refusal.code, refusal.status) == ("disk_full", 503)
    with pytest.raises(RequestRefused, match="disk_full"):
        shard.writer.check()
    clock.advance(2)
    shard.writer.check()
    shard.append(1)
    assert shard.contents() == [0, 1, 3]
    assert verify_shard(shard.folder, shard.writer.durable_number).problems == []


def test_no_room_for_a_new_segment(shard, monkeypatch):
    """A segment that cannot be begun is answered `disk_full`, leaves nothing behind, and is begun later."""
    clock = FixedClock()
    shard.open(clock=clock, segment_bytes=1024)
    shard.append(1, size=2000)
    opened = os.open

    def refuse(path, flags: int, mode: int = 0o777, **options) -> int:
        if str(path).endswith(".log") and flags & os.O_CREAT:
            raise OSError(errno.ENOSPC, "no room")
        return opened(path, flags, mode, **options)

    with monkeypatch.context() as patch:
        patch.setattr("tallymark.journal.segments.os.open", refuse)
        assert shard.append(1)[0].code == "disk_full"
    clock.advance(2)
    assert shard.append(1) == [None]
    assert shard.contents() == [0, 2]


def wait_until(condition) -> bool:
    """Wait for what another thread does; False after a minute."""
    deadline = time.monotonic() + 60
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.001)
    return True


def refusal_of(writer) -> str:
    """Return the code with which the journal would refuse a record now; '' where it takes it."""
    try:
        writer.check()
    except RequestRefused as refusal:
        return refusal.code
    return ""


def test_disk_that_does_not_answer_about_its_room(shard, monkeypatch):
    """A file system that holds whoever asks it holds no one here: records are refused once it is silent for too long."""
    clock, answered = FixedClock(), threading.Event()
    shard.open(clock=clock)
    real = os.statvfs

    def hang(path):
        answered.wait(60)
        return real(path)

    with monkeypatch.context() as patch:
        patch.setattr("tallymark.journal.room.os.statvfs", hang)
        clock.advance(2)
        began = time.monotonic()
        assert refusal_of(shard.writer) == ""
        clock.advance(11)
        with pytest.raises(RequestRefused, match="has not answered for 11 s"):
            shard.writer.check()
        assert time.monotonic() - began < 30
        answered.set()
        assert wait_until(lambda: refusal_of(shard.writer) == "")
    assert shard.append(1) == [None]


def test_disk_that_does_not_take_a_write(shard, build_record):
    """While a sync hangs nothing more is taken, after a while; when it ends, what waited is durable and all goes on."""
    clock, answered, hanging = FixedClock(), threading.Event(), threading.Event()

    def sync(descriptor: int) -> None:
        if hanging.is_set():
            answered.wait(60)
        os.fdatasync(descriptor)

    writer = shard.open(clock=clock, sync=sync)
    hanging.set()

    async def write() -> None:
        done = writer.append(build_record(0, 100))
        assert await asyncio.to_thread(wait_until, lambda: writer._room._writing_since is not None)
        assert refusal_of(writer) == ""
        clock.advance(11)
        assert refusal_of(writer) == "journal_unavailable"
        answered.set()
        await done

    shard.loop.run_until_complete(write())
    assert wait_until(lambda: refusal_of(writer) == "")


def test_reserve_turns_requests_away_before_the_disk_is_full(shard, monkeypatch):
    """Below the reserve nothing is admitted; above it again, requests pass, a second later at most."""
    clock = FixedClock()
    shard.open(clock=clock, reserve_bytes=1000)
    room = os.statvfs(shard.folder)

    class Full:
        f_bavail, f_frsize = 0, 4096

    with monkeypatch.context() as patch:
        patch.setattr("tallymark.journal.room.os.statvfs", lambda _: Full)
        clock.advance(2)
        assert wait_until(lambda: refusal_of(shard.writer) == "disk_full")
    assert room.f_bavail
    clock.advance(2)
    assert wait_until(lambda: refusal_of(shard.writer) == "")
    assert shard.append(1) == [None]


def fill_queue(writer, shard, build_record, projects, refused, most, others=()):
    """Fill the queue: records of `projects` in turn until one is refused, with at most `most` bytes waiting, then one of each of `others`.

    Once all of them are durable the queue is empty, and takes records again.
    """

    def append(project):
        record = build_record(0, 300)
        record.heading.project = project
        return writer.append(record)

    async def fill() -> None:
        held, senders = [], itertools.cycle(projects)
        with pytest.raises(RequestRefused, match=refused):  # noqa: PT012 - the queue fills at some append
            while True:
                held.append(append(next(senders)))
        assert writer.waiting_bytes <= most
        held += [append(project) for project in others]
        for done in held:
            await done

    shard.loop.run_until_complete(fill())
    assert writer.waiting_bytes == 0
    assert shard.append(1) == [None]


def test_queue_is_bounded(shard, build_record):
    """More bytes than may wait for the disk are refused with `overloaded`, whoever sends them, and room comes back."""
    writer = shard.open(max_waiting_bytes=2000)
    fill_queue(writer, shard, build_record, "abc", "More is asked at once", 2000)


def test_one_project_fills_half_of_the_queue(shard, build_record):
    """Past its half a project is refused and told that it is its share; another's record passes, and room comes back."""
    writer = shard.open(max_waiting_bytes=2000)
    fill_queue(writer, shard, build_record, "a", r"overloaded.*its share is 1,000", 1000, others="b")


def test_a_record_larger_than_the_queue(shard, build_record):
    """One that alone is larger than what may wait passes when nothing waits; it would be refused for ever otherwise."""
    writer = shard.open(max_waiting_bytes=100)

    async def append() -> None:
        await writer.append(build_record(0, 400))

    shard.loop.run_until_complete(append())
    assert writer.waiting_bytes == 0


def test_closed_writer_refuses(shard):
    """While the server stops nothing new is taken."""
    writer = shard.open()
    shard.close()
    with pytest.raises(RequestRefused, match="shutting_down"):
        writer.admit(1)


def test_at_least_keeps_numbers_ahead_of_the_readers(shard):
    """When the journal's files are gone, numbers go on after what the ledger has seen."""
    shard.open()
    shard.append(3)
    shard.close()
    shutil.rmtree(shard.folder)
    shard.open(at_least=3)
    assert shard.append(1) == [None]
    assert shard.numbers()[0] >= 3


# Start on a damaged journal


def _damage(shard, change) -> None:
    """Write five records, stop, and change the bytes of the only segment."""
    shard.open()
    shard.append(5)
    shard.close()
    (path,) = shard.segments()
    raw = bytearray(path.read_bytes())
    change(raw)
    path.write_bytes(raw)


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        (lambda raw: raw.extend(b"TMR1 and then the power went"), [0, 1, 2, 3, 4]),
        (lambda raw: raw.extend(b"\0" * 5000), [0, 1, 2, 3, 4]),
        (lambda raw: raw.__delitem__(slice(-1, None)), [0, 1, 2, 3]),
        (lambda raw: raw.__delitem__(slice(-30, None)), [0, 1, 2, 3]),
        (lambda raw: raw.__setitem__(slice(-200, None), b"\0" * 200), [0, 1, 2]),
        (lambda raw: raw.__setitem__(slice(HEADER_BYTES, None), b"\xff" * (len(raw) - HEADER_BYTES)), []),
    ],
    ids=[
        "torn frame",
        "zeros behind",
        "one byte short",
        "30 bytes short",
        "zeros in the tail",
        "all garbage",
    ],
)
def test_start_cuts_a_damaged_tail(shard, change, kept):
    """A damaged tail is cut off and never stops the start; numbers go on and are never used twice."""
    _damage(shard, change)
    shard.open()
    assert shard.append(1) == [None]
    assert shard.contents() == [*kept, 5]
    assert shard.numbers()[-1] >= 5


@pytest.mark.parametrize("lost_end", [False, True], ids=["end known", "end lost"])
@pytest.mark.parametrize("position", [0, 8, 20, 40])
def test_damaged_header_loses_no_record(shard, position, lost_end):
    """A flipped bit in a segment's header costs none of its records and none of their numbers."""

    def flip(raw: bytearray) -> None:
        raw[position] ^= 1

    _damage(shard, flip)
    if lost_end:
        (shard.folder / "durable-end").unlink()
    shard.open()
    assert shard.append(1) == [None]
    assert shard.contents() == [0, 1, 2, 3, 4, 5]
    assert "header is damaged" in verify_shard(shard.folder, shard.writer.durable_number).problems[0]


def test_torn_new_segment_is_removed(shard):
    """A segment whose header was torn while it was made held nothing and goes away."""
    shard.open()
    shard.append(2)
    shard.close()
    torn = shard.folder / f"segment-{2:020d}.log"
    torn.write_bytes(render_header(SegmentHeader(0, 2, 2, 0))[:20])
    shard.open()
    assert shard.append(1) == [None]
    assert shard.contents() == [0, 1, 2]


def test_written_but_unsynced_records_are_made_durable_at_the_start(shard, build_record):
    """What a killed process had written counts as received once the next start has synced it."""
    shard.open()
    shard.append(2)
    shard.close()
    (path,) = shard.segments()
    with path.open("ab") as file:
        file.write(b"".join(render_frame(render_payload(build_record(2)), 2)))
    shard.made = 3
    sync = FailingSync()
    shard.open(sync=sync)
    assert sync.calls >= 2
    assert shard.append(1) == [None]
    assert shard.contents() == [0, 1, 2, 3]


def test_lost_end_file_is_found_again(shard):
    """The published end is only a hint: without it the records themselves tell."""
    shard.open()
    shard.append(4)
    shard.close()
    (shard.folder / "durable-end").unlink()
    shard.open()
    assert shard.append(1) == [None]
    assert shard.contents() == [0, 1, 2, 3, 4]


def test_newer_format_is_refused(shard, monkeypatch):
    """A journal that a newer program wrote is refused by name, not read as damage."""
    with monkeypatch.context() as patch:
        patch.setattr("tallymark.journal.files.FORMAT_VERSION", 2)
        shard.open()
        shard.append(1)
        shard.close()
    with pytest.raises(FormatError, match=r"format 2; this program reads up to 1"):
        shard.open()


def test_header_round_trip(tmp_path):
    """A header says what it was given, and nothing once a bit of it is wrong."""
    header = SegmentHeader(3, 17, 12, 1_700_000_000_000_000)
    raw = render_header(header)
    assert len(raw) == HEADER_BYTES
    assert parse_header(raw, tmp_path) == header
    assert parse_header(raw[:30], tmp_path) is None
    assert parse_header(b"\1" + raw[1:], tmp_path) is None
