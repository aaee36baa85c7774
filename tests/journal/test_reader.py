"""The reading end: durable records in order, from any number on, past any damage."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from tallymark.journal.files import HEADER_BYTES
from tallymark.journal.reader import SegmentReader
from tallymark.journal.record import render_frame, render_payload
from tallymark.journal.verify import verify_shard


@pytest.fixture
def reader(shard):
    made = SegmentReader(shard.folder)
    yield made
    made.close()


@pytest.fixture
def rolled(shard):
    """Forty records in many small segments; the writer stays open."""
    shard.open(segment_bytes=2000)
    for _ in range(20):
        shard.append(2, size=200)
    return shard


def test_no_journal_yet(tmp_path):
    """Before there is a journal, reading finds nothing."""
    reader = SegmentReader(tmp_path / "none")
    assert reader.durable_number() == 0
    assert reader.read_from(0, 1000) == []


@pytest.mark.parametrize("start", [0, 1, 7, 38, 39, 40, 99])
def test_reads_from_any_number(rolled, reader, start):
    """Reading begins exactly where it is told to."""
    assert [number for number, _ in reader.read_headings(start)] == list(range(start, 40))


def test_reads_on_in_pieces(rolled, reader):
    """A reader that takes a little at a time sees each record once, at least one each time."""
    found = []
    while records := reader.read_from(found[-1].number + 1 if found else 0, 1):
        assert len(records) == 1
        found += records
    assert [record.number for record in found] == list(range(40))


def test_reader_follows_the_writer(shard, reader):
    """A reader that has seen everything sees what is appended later, also across segments."""
    shard.open(segment_bytes=1000)
    seen = []
    for turn in range(12):
        shard.append(1 + turn % 3)
        seen += [record.number for record in reader.read_from(len(seen), 10_000)]
    assert seen == list(range(24))


def test_records_past_the_durable_end_are_not_read(shard, build_record, reader):
    """What is written but not synced does not exist for a reader."""
    shard.open()
    shard.append(2)
    with shard.segments()[0].open("ab") as file:
        file.write(b"".join(render_frame(render_payload(build_record(2)), 2)))
    assert [record.number for record in reader.read_from(0, 10_000)] == [0, 1]
    assert reader.damaged_records == 0


@pytest.mark.parametrize("region", ["magic", "length", "checksum", "number", "heading", "rows"])
def test_flipped_bit_costs_one_record(shard, region):
    """A flipped bit anywhere in a record costs that record alone; it is counted, and verify names its place."""
    shard.open()
    shard.append(5)
    (path,) = shard.segments()
    raw = bytearray(path.read_bytes())
    size = (len(raw) - HEADER_BYTES) // 5
    offset = {"magic": 1, "length": 5, "checksum": 9, "number": 14, "heading": 30, "rows": size - 5}[region]
    raw[HEADER_BYTES + 2 * size + offset] ^= 0x10
    path.write_bytes(raw)
    reader = SegmentReader(shard.folder)
    assert [record.number for record in reader.read_from(0, 10_000)] == [0, 1, 3, 4]
    assert reader.damaged_records == 1
    reader.close()
    report = verify_shard(shard.folder, 5)
    assert report.records == 4
    assert f"offset {HEADER_BYTES + 2 * size}" in report.problems[0]


def test_zeros_in_the_middle_of_a_segment(shard):
    """A stretch of zeros costs the records that it covers, and no other."""
    shard.open()
    shard.append(9)
    (path,) = shard.segments()
    raw = bytearray(path.read_bytes())
    size = (len(raw) - HEADER_BYTES) // 9
    raw[HEADER_BYTES + 3 * size : HEADER_BYTES + 5 * size] = bytes(2 * size)
    path.write_bytes(raw)
    assert shard.numbers() == [0, 1, 2, 5, 6, 7, 8]


def test_missing_segment_is_a_gap(rolled):
    """Without one segment the others are read, the server starts, and verify says what is missing."""
    victim = rolled.segments()[3]
    first, after = int(victim.stem[8:]), int(rolled.segments()[4].stem[8:])
    rolled.close()
    victim.unlink()
    rolled.open()
    kept = [number for number in range(40) if not first <= number < after]
    assert rolled.contents() == kept
    assert rolled.append(1) == [None]
    assert rolled.contents() == [*kept, 40]
    report = verify_shard(rolled.folder, rolled.writer.durable_number)
    assert report.records == len(kept) + 1
    (problem,) = report.problems
    assert f"{after - first} records before {after} are missing" in problem


def test_sound_journal_has_no_problems(rolled):
    """Verify counts what is there and finds nothing to complain of, also after restarts and releases."""
    reader = SegmentReader(rolled.folder)
    assert reader.release(reader.find_releasable(10, 2**62)) > 0
    reader.close()
    rolled.close()
    for _ in range(3):
        rolled.open()
        rolled.append(1)
        end = rolled.writer.durable_number
        rolled.close()
    report = verify_shard(rolled.folder, end)
    assert report.problems == []
    assert report.events == report.records == len(rolled.contents())
    assert report.last_number == end - 1
    assert report.bytes == sum(path.stat().st_size for path in rolled.segments())


def test_start_after_files_were_taken_away_is_no_problem_for_verify(shard):
    """Numbers that jump because the ledger was ahead are a gap by intent, not a missing segment."""
    shard.open()
    shard.append(2)
    shard.close()
    shard.open(at_least=10)
    shard.append(2)
    assert verify_shard(shard.folder, shard.writer.durable_number).problems == []
    assert shard.contents() == [0, 1, 2, 3]
    assert shard.numbers()[2] >= 10


def test_release_takes_whole_segments_from_the_front(rolled, reader):
    """Release removes what is wholly before the number and old enough, never the last segment, never a hole."""
    everything = rolled.segments()
    assert reader.release(reader.find_releasable(40, 0)) == 0
    assert reader.release(reader.find_releasable(0, 2**62)) == 0
    assert reader.release(reader.find_releasable(11, 2**62)) > 0
    rest = rolled.segments()
    assert everything[-len(rest) :] == rest
    assert rolled.numbers()[0] <= 11
    assert rolled.numbers() == list(range(rolled.numbers()[0], 40))
    reader.release(reader.find_releasable(40, 2**62))
    assert rolled.segments() == everything[-1:]
    assert rolled.append(1) == [None]


def test_damaged_header_does_not_stop_release(rolled, reader):
    """Segments go on being removed past one whose header is damaged: the disk must not fill up for that."""
    path = rolled.segments()[2]
    raw = bytearray(path.read_bytes())
    raw[10] ^= 1
    path.write_bytes(raw)
    reader.release(reader.find_releasable(40, 2**62))
    assert len(rolled.segments()) == 1


def test_release_that_is_cut_short_leaves_no_hole(rolled, reader, monkeypatch):
    """When removal stops half way, what is gone is a prefix."""
    passed = []

    def stop(name: str) -> None:
        passed.append(name)
        if len(passed) == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr("tallymark.journal.reader.reach", stop)
    before = rolled.segments()
    with pytest.raises(KeyboardInterrupt):
        reader.release(reader.find_releasable(40, 2**62))
    assert rolled.segments() == before[2:]


def _write(folder: str, make_shard, count: int) -> None:
    shard = make_shard(Path(folder))
    shard.open(segment_bytes=5000)
    for _ in range(count):
        shard.append(3, size=100)
    shard.close()
    shard.loop.close()


def test_an_end_that_is_being_made_is_no_end_yet(shard):
    """Between the making of the file and its length a reader sees an empty journal, and afterwards what is there."""
    shard.folder.mkdir()
    (shard.folder / "durable-end").touch()
    reader = SegmentReader(shard.folder)
    assert reader.durable_number() == 0
    shard.open()
    shard.append(3)
    assert reader.durable_number() == 3
    reader.close()


def test_reader_beside_a_writing_process(shard, make_shard):
    """A reader in another process than the writer's sees each record once, in order, while they are written."""
    rounds = 200
    writer = multiprocessing.get_context("fork").Process(
        target=_write, args=(str(shard.folder), make_shard, rounds)
    )
    writer.start()
    reader = SegmentReader(shard.folder)
    seen: list[int] = []
    try:
        while len(seen) < 3 * rounds:
            seen += [record.number for record in reader.read_from(len(seen), 2000)]
            assert seen[-1:] == [len(seen) - 1] or not seen
            if not writer.is_alive() and reader.durable_number() <= len(seen):
                break
        assert seen == list(range(3 * rounds))
        assert reader.damaged_records == 0
    finally:
        reader.close()
        writer.join(60)
    assert writer.exitcode == 0
