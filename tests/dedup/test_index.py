"""The index remembers every id of the horizon, through any restart, in few files."""

from __future__ import annotations

import numpy as np
import pytest

from tallymark.dedup.index import DedupIndex
from tallymark.dedup.judge import judge_records
from tallymark.errors import FormatError

DAY_US = 86_400_000_000


def _verdicts(index, *records) -> list[list[int]]:
    judged = judge_records(index, list(records))
    judged.remember(index)
    return [item.expand()[0].tolist() for item in judged.verdicts]


def test_ids_survive_a_flush_and_a_restart(tmp_path, build_record):
    """After a restart an id is known from its file, with its content and the record where it came first."""
    index = DedupIndex(tmp_path)
    _verdicts(index, build_record(7, [(1, 10), (2, 20)]))
    index.flush(8, 0)
    again = DedupIndex(tmp_path)
    assert (again.record, again.ids) == (8, 2)
    (judged,) = judge_records(again, [build_record(9, [(1, 10), (2, 99), (3, 30)])]).verdicts
    verdicts, first_records = judged.expand()
    assert verdicts.tolist() == [1, 2, 0]
    assert first_records.tolist() == [7, 7, 0]


def test_ids_not_flushed_are_not_known_after_a_restart(tmp_path, build_record):
    """What was only in memory is gone: the judging station learns it again from the journal and the verdict log."""
    index = DedupIndex(tmp_path)
    _verdicts(index, build_record(0, [(1, 1)]))
    index.flush(1, 0)
    _verdicts(index, build_record(1, [(2, 2)]))
    again = DedupIndex(tmp_path)
    assert (again.record, again.ids) == (1, 1)


def test_crash_during_flush_leaves_the_state_before(tmp_path, build_record, monkeypatch):
    """A flush that does not come to its end changes nothing, and its files are cleared away."""
    index = DedupIndex(tmp_path)
    _verdicts(index, build_record(0, [(1, 1)]))
    index.flush(1, 0)
    _verdicts(index, build_record(1, [(2, 2)]))

    def die(name: str) -> None:
        assert name == "dedup.during_flush"
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("tallymark.dedup.index.reach", die)
        with pytest.raises(KeyboardInterrupt):
            index.flush(2, 0)
    assert len(list(tmp_path.glob("run-*.ids"))) == 2
    again = DedupIndex(tmp_path)
    assert (again.record, again.ids) == (1, 1)
    assert len(list(tmp_path.glob("run-*.ids"))) == 1
    assert _verdicts(again, build_record(1, [(2, 2), (1, 1)])) == [[0, 1]]
    again.flush(2, 0)
    assert DedupIndex(tmp_path).ids == 2


def test_many_flushes_leave_few_files(tmp_path, build_record):
    """Runs are merged as they come, so that a look-up never has many files to search."""
    index = DedupIndex(tmp_path)
    for number in range(60):
        _verdicts(index, build_record(number, [(number * 10 + place, 1) for place in range(10)]))
        index.flush(number + 1, 0)
    assert len(list(tmp_path.glob("run-*.ids"))) <= 12
    again = DedupIndex(tmp_path)
    assert again.ids == 600
    assert _verdicts(again, build_record(60, [(event, 1) for event in range(600)])) == [[1] * 600]


def test_wants_flush_after_so_many_ids(tmp_path, build_record):
    """Memory is bounded by ids, and a flush empties it."""
    index = DedupIndex(tmp_path, memory_ids=10)
    _verdicts(index, build_record(0, [(event, 1) for event in range(9)]))
    assert not index.wants_flush()
    _verdicts(index, build_record(1, [(9, 1)]))
    assert index.wants_flush()
    index.flush(2, 0)
    assert not index.wants_flush()


def test_generations_grow_with_what_is_there(tmp_path, build_record, monkeypatch):
    """When a filter is full the next generation takes over, and ids of all of them are known."""
    monkeypatch.setattr("tallymark.dedup.index._MIN_CAPACITY", 64)
    index = DedupIndex(tmp_path)
    for number in range(40):
        _verdicts(index, build_record(number, [(number * 20 + place, 1) for place in range(20)]))
        if number % 7 == 0:
            index.flush(number + 1, 0)
    index.flush(40, 0)
    again = DedupIndex(tmp_path)
    assert 1 < len(again._generations) < 12
    assert _verdicts(again, build_record(41, [(event, 1) for event in range(800)])) == [[1] * 800]
    assert again.filter_bytes < 800 * 20


def test_horizon_forgets_whole_generations(tmp_path, build_record, monkeypatch):
    """What is older than the horizon is forgotten; what is younger never is; the oldest id's time is told."""
    monkeypatch.setattr("tallymark.dedup.index._MIN_CAPACITY", 10)
    index = DedupIndex(tmp_path, horizon_days=8)
    for day in range(20):
        _verdicts(index, build_record(day, [(day, 1)], day * DAY_US))
        index.flush(day + 1, day * DAY_US)
    again = DedupIndex(tmp_path, horizon_days=8)
    (verdicts,) = _verdicts(again, build_record(20, [(day, 1) for day in range(20)], 19 * DAY_US))
    assert all(verdicts[12:]), "inside the horizon"
    assert not any(verdicts[:8]), "well beyond the horizon"
    oldest = DedupIndex(tmp_path, horizon_days=8).oldest_us()
    assert 8 * DAY_US < oldest <= 12 * DAY_US


def test_newer_format_is_refused(tmp_path, monkeypatch):
    """An index that a newer program wrote is refused by name."""
    with monkeypatch.context() as patch:
        patch.setattr("tallymark.dedup.index.FORMAT_VERSION", 2)
        DedupIndex(tmp_path).flush(1, 0)
    with pytest.raises(FormatError, match="format 2"):
        DedupIndex(tmp_path)


def test_unknown_ids_are_unknown_however_the_filter_answers(tmp_path):
    """A filter's false alarm is settled by the runs: no new id is ever taken for a known one."""
    index = DedupIndex(tmp_path)
    numbers = np.arange(50_000, dtype=np.uint64)
    dice = np.random.default_rng(1)
    known = dice.integers(0, 2**63, (2, 50_000), dtype=np.uint64)
    index.add(known[0], known[1], numbers, numbers, 1, 1)
    other = dice.integers(0, 2**63, (2, 50_000), dtype=np.uint64)
    assert not index.find(other[0], other[1])[0].any()
    found, content, record = index.find(known[0], known[1])
    assert found.all()
    assert (content == numbers).all()
    assert (record == numbers).all()
