"""The verdict log: what was published is read, in order and from anywhere; what was not does not exist."""

from __future__ import annotations

import os
import struct
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark.errors import FormatError
from tallymark.journal.verdict_writer import VerdictWriter
from tallymark.journal.verdicts import (
    HEADER_BYTES,
    RecordVerdicts,
    Verdict,
    VerdictReader,
    list_verdict_files,
    verdicts_path,
)
from tallymark.journal.verify import Report, verify_verdicts


def build(
    number: int, accepted: int = 3, repeats: dict[int, tuple[int, int]] | None = None
) -> RecordVerdicts:
    """Build the verdicts of a record; `repeats` gives verdict and first record by position."""
    found = sorted((repeats or {}).items())
    return RecordVerdicts(
        number,
        "default",
        "http",
        1_000_000 + number,
        accepted,
        1,
        2,
        struct.pack(f"<{len(found)}I", *(position for position, _ in found)),
        bytes(verdict for _, (verdict, _) in found),
        struct.pack(f"<{len(found)}Q", *(first for _, (_, first) in found)),
    )


def append(log: VerdictWriter, *verdicts: RecordVerdicts) -> None:
    log.append(list(verdicts), verdicts[-1].number + 1)


class Disk:
    """Syncs, and fails when it is told to."""

    failing = False

    def sync(self, descriptor: int) -> None:
        if self.failing:
            raise OSError(5, "failed")
        os.fdatasync(descriptor)


@pytest.fixture
def disk():
    return Disk()


@pytest.fixture
def open_log(tmp_path, disk):
    """Return what opens the writer of the test's log, closing the one before."""
    made = []

    def make(**options) -> VerdictWriter:
        while made:
            made.pop().close()
        made.append(VerdictWriter(tmp_path, sync=disk.sync, **options))
        return made[-1]

    yield make
    while made:
        made.pop().close()


def read(folder, number=0, end=None) -> list[RecordVerdicts]:
    with closing(VerdictReader(folder)) as reader:
        return list(reader.read(number, end))


def numbers(folder, number=0, end=None) -> list[int]:
    return [found.number for found in read(folder, number, end)]


def test_verdicts_come_back(tmp_path, open_log):
    """Counts, verdicts and first records are read as they were written; all other events are new."""
    log = open_log()
    assert (log.end, read(tmp_path)) == (0, [])
    written = [build(0), build(1, 4, {1: (Verdict.DUPLICATE, 0), 3: (Verdict.CONFLICT, 7)}), build(5, 0)]
    append(log, *written[:2])
    append(log, *written[2:])
    assert read(tmp_path) == written
    verdicts, first_records = written[1].expand()
    assert verdicts.tolist() == [0, 1, 0, 2]
    assert first_records.tolist() == [0, 0, 0, 7]
    assert (written[1].new, written[1].total) == (2, 7)
    assert log.end == 6


@given(rounds=st.lists(st.integers(1, 5), min_size=1, max_size=20), data=st.data())
def test_reading_from_anywhere(tmp_path_factory, rounds, data):
    """From any number to any end, over files of any size and through restarts, exactly these records are read."""
    folder = tmp_path_factory.mktemp("log")
    number = 0
    for size in rounds:
        with closing(VerdictWriter(folder, file_bytes=data.draw(st.sampled_from([1, 300, 10**6])))) as log:
            append(log, *(build(number + place) for place in range(size)))
            number += size
    begin = data.draw(st.integers(0, number))
    end = data.draw(st.integers(begin, number + 2))
    assert numbers(folder, begin, end) == list(range(begin, min(end, number)))


def test_reading_on(tmp_path, open_log):
    """One reader sees each record once while the log grows, also where it stops in the middle of a round."""
    log = open_log(file_bytes=200)
    with closing(VerdictReader(tmp_path)) as reader:
        seen = []
        for first in range(0, 30, 3):
            append(log, *(build(first + place) for place in range(3)))
            seen += [found.number for found in reader.read(len(seen), first + 2)]
        seen += [found.number for found in reader.read(len(seen))]
    assert seen == list(range(30))


def test_a_failed_round_does_not_exist(tmp_path, open_log, disk):
    """After a failed sync neither readers nor the next start see that round; the one made instead counts."""
    log = open_log()
    append(log, build(0))
    disk.failing = True
    for _ in range(2):
        with pytest.raises(OSError, match="failed"):
            append(log, build(1, accepted=9))
    assert (log.end, numbers(tmp_path)) == (1, [0])
    disk.failing = False
    append(log, build(1), build(2))
    assert read(tmp_path) == [build(0), build(1), build(2)]
    assert open_log().end == 3
    assert read(tmp_path) == [build(0), build(1), build(2)]


@pytest.mark.parametrize("cut", [1, 10, 25])
def test_a_torn_tail(tmp_path, open_log, cut):
    """A round that is not whole is cut off at the next start, and the log goes on behind the last whole one."""
    log = open_log()
    append(log, build(0))
    append(log, build(1))
    ((_, path),) = list_verdict_files(tmp_path)
    os.truncate(path, path.stat().st_size - cut)
    log = open_log()
    assert (log.end, numbers(tmp_path)) == (1, [0])
    append(log, build(1), build(2))
    assert numbers(tmp_path) == [0, 1, 2]


def test_written_and_not_published(tmp_path, open_log, monkeypatch):
    """A round that a killed process wrote and did not publish is whole after a restart, and then final."""
    log = open_log()

    def die(name: str) -> None:
        if name == "verdicts.after_sync_before_publishing":
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("tallymark.journal.verdict_writer.reach", die)
        with pytest.raises(KeyboardInterrupt):
            append(log, build(0))
    assert numbers(tmp_path) == []
    assert open_log().end == 1
    assert numbers(tmp_path) == [0]


@pytest.mark.parametrize("file_bytes", [1, 10**6])
def test_damage_is_left_out(tmp_path, open_log, file_bytes):
    """A damaged round costs its own verdicts; those before and behind it are read, in the same file and in others."""
    log = open_log(file_bytes=file_bytes)
    for number in range(4):
        append(log, build(number))
    files = list_verdict_files(tmp_path)
    path = files[-1][1] if len(files) == 1 else verdicts_path(tmp_path, 1)
    raw = bytearray(path.read_bytes())
    size = (len(raw) - HEADER_BYTES) * len(files) // 4
    raw[HEADER_BYTES + size * (len(files) == 1) + size - 1] ^= 1
    path.write_bytes(raw)
    assert numbers(tmp_path) == [0, 2, 3]


def test_release_takes_whole_files_from_the_front(tmp_path, open_log):
    """Files go that are wholly before the number; the last one stays, and reading begins behind what is gone."""
    log = open_log(file_bytes=1)
    for number in range(5):
        append(log, build(number))
    assert log.release(0) == 0
    assert log.release(3) == 3
    assert numbers(tmp_path) == [3, 4]
    with closing(VerdictReader(tmp_path)) as reader:
        assert reader.begin() == 3
    assert log.release(100) == 1
    assert numbers(tmp_path) == [4]
    assert open_log().end == 5


def test_begin_counts_only_without_a_log(tmp_path, open_log):
    """A log that is there goes on where it ended, wherever one would begin."""
    log = open_log(begin=7)
    assert log.end == 7
    append(log, build(7))
    assert open_log(begin=3).end == 8
    assert numbers(tmp_path) == [7]


def test_a_newer_format_is_refused(tmp_path, open_log, monkeypatch):
    """A log that a newer program wrote is refused by name, by the writer and by readers."""
    with monkeypatch.context() as patch:
        patch.setattr("tallymark.journal.verdicts.FORMAT_VERSION", 2)
        append(open_log(), build(0))
    with pytest.raises(FormatError, match="format 2"):
        read(tmp_path)
    with pytest.raises(FormatError, match="format 2"):
        open_log()


def test_verify_names_what_is_missing(tmp_path, open_log, disk):
    """Verify finds a sound log sound, also with a round that was never published, and names damage and gaps."""

    def problems() -> list[str]:
        report = Report()
        verify_verdicts(report, tmp_path, log.end)
        return report.problems

    log = open_log()
    append(log, build(0), build(1))
    disk.failing = True
    with pytest.raises(OSError, match="failed"):
        append(log, build(2))
    disk.failing = False
    append(log, build(2), build(3))
    append(log, build(4))
    assert problems() == []
    path = verdicts_path(tmp_path, 2)
    raw = path.read_bytes()
    path.write_bytes(raw[:-1])
    assert any("verdicts of records 4 to 4 are missing" in problem for problem in problems())
    path.write_bytes(b"?" + raw[1:])
    assert problems() == [f"{path.name}: the header is damaged"]
