"""Judged records: exactly the records that have durable verdicts, with them."""

from __future__ import annotations

from contextlib import closing

import pytest

from tallymark.journal.judged import JudgedReader, Stretch
from tallymark.journal.verdict_writer import VerdictWriter
from tallymark.journal.verdicts import RecordVerdicts, verdicts_path


def _judge(log: VerdictWriter, *numbers: int) -> None:
    log.append([RecordVerdicts(number, "default", "http", 1, 1) for number in numbers], numbers[-1] + 1)


@pytest.fixture
def log(shard):
    shard.open()
    with closing(VerdictWriter(shard.folder, file_bytes=1)) as made:
        yield made


def _numbers(
    reader: JudgedReader, number: int = 0, max_bytes: int = 10**6, end: int | None = None
) -> list[int]:
    return [item.record.number for item in reader.read_from(number, max_bytes, end).records]


def test_records_come_once_they_are_judged(shard, log):
    """What is durable and not judged is not read; what is judged is, up to the end that is asked for."""
    with closing(JudgedReader(shard.folder)) as reader:
        shard.append(6)
        assert _numbers(reader) == []
        _judge(log, 0, 1, 2)
        assert (reader.end(), _numbers(reader)) == (3, [0, 1, 2])
        _judge(log, 3, 4)
        assert _numbers(reader, 3) == [3, 4]
        assert _numbers(reader, 1, end=3) == [1, 2]
        assert _numbers(reader, 0, max_bytes=1) == [0]
        (item,) = reader.read_from(2, 1).records
        assert item.all_new
        assert item.verdicts.tolist() == [0]
        assert reader.read_from(0, 10**6) == reader.read_from(0, 10**6)
        assert reader.read_from(5, 10**6) == Stretch([], 5)


def test_records_whose_verdicts_are_damaged_are_skipped_and_counted(shard, log):
    """Without a verdict nobody knows whether an event is new: the record is left out, and reading goes on behind it."""
    shard.append(5)
    for number in range(5):
        _judge(log, number)
    path = verdicts_path(shard.folder, 1)
    path.write_bytes(path.read_bytes()[:-1])
    with closing(JudgedReader(shard.folder)) as reader:
        assert _numbers(reader) == [0, 2, 3, 4]
        assert reader.read_from(0, 10**6).damaged == 1
        assert (reader.read_from(1, 10**6, 2).following, reader.read_from(1, 10**6, 2).damaged) == (2, 1)
        alone = reader.read_from(1, 1)
        assert (alone.records, alone.following) == ([], 2)
        assert _numbers(reader, alone.following, max_bytes=1) == [2]


def test_a_record_that_was_damaged_after_it_was_judged(shard, log):
    """A damaged record is left out and counted, whatever its verdicts were."""
    shard.append(3)
    _judge(log, 0, 1, 2)
    (path,) = shard.segments()
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b'{"n":1,', b'{"n":7,'))
    with closing(JudgedReader(shard.folder)) as reader:
        found = reader.read_from(0, 10**6)
        assert [item.record.number for item in found.records] == [0, 2]
        assert (found.following, found.damaged, [item.number for item in found.unread]) == (3, 1, [1])


def test_damage_at_the_end_does_not_hold_anybody_up(shard, log):
    """Where nothing that follows can be read, reading goes on behind it, and each record is counted once."""
    shard.append(4)
    _judge(log, 0, 1, 2, 3)
    (path,) = shard.segments()
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b'{"n":2,', b'{"n":7,').replace(b'{"n":3,', b'{"n":7,'))
    with closing(JudgedReader(shard.folder)) as reader:
        found = reader.read_from(0, 10**6)
        assert [item.record.number for item in found.records] == [0, 1]
        assert (found.following, found.damaged) == (4, 2)
        alone = reader.read_from(2, 10**6)
        assert (alone.records, alone.following, alone.damaged) == ([], 4, 2)
