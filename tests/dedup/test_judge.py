"""Verdicts: the first one wins, in any batching and through any restart, as a dictionary would have it."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tallymark.dedup import index as index_module
from tallymark.dedup.index import DedupIndex
from tallymark.dedup.judge import judge_records
from tallymark.journal.verdicts import Verdict

_EVENTS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 2)), max_size=8)


def _kinds(verdicts) -> list[int]:
    return verdicts.expand()[0].tolist()


def test_repeats_within_a_batch(tmp_path, build_record, judge):
    """Within one record and between records judged together the earliest is new, and all others point to it."""
    index = DedupIndex(tmp_path)
    first, second = judge(
        index, [build_record(3, [(1, 5), (1, 5), (2, 5), (1, 6)]), build_record(4, [(2, 5), (2, 7), (9, 9)])]
    )
    new, repeated, conflict = Verdict.NEW, Verdict.DUPLICATE, Verdict.CONFLICT
    assert _kinds(first) == [new, repeated, new, conflict]
    assert _kinds(second) == [repeated, conflict, new]
    assert second.expand()[1].tolist() == [3, 3, 0]
    assert (first.accepted, first.new, second.new) == (4, 2, 1)
    (third,) = judge(index, [build_record(5, [(77, 1)])])
    assert (third.new, third.positions) == (1, b"")


def test_records_without_accepted_events(tmp_path, build_record, judge):
    """A record that holds nothing but failures is judged too."""
    index = DedupIndex(tmp_path)
    (judged,) = judge(index, [build_record(0, [])])
    assert (judged.number, judged.accepted, judged.new) == (0, 0, 0)
    assert index.ids == 0


def test_judging_alone_is_not_remembered(tmp_path, build_record):
    """The index learns what was new only when it is told: until then the same records get the same verdicts."""
    index = DedupIndex(tmp_path)
    record = build_record(0, [(1, 1), (2, 2)])
    for _ in range(2):
        judged = judge_records(index, [record])
        assert judged.verdicts[0].new == 2
    judged.remember(index)
    assert judge_records(index, [build_record(1, [(1, 1), (3, 3)])]).verdicts[0].new == 1


def test_an_index_that_is_ahead(tmp_path, build_record, judge):
    """Records that the index has learned from already get the verdicts that they had: their own ids are new."""
    index = DedupIndex(tmp_path)
    records = [build_record(0, [(1, 1), (2, 2)]), build_record(1, [(1, 1), (3, 3), (3, 3)])]
    first = [_kinds(item) for item in judge(index, records)]
    assert [_kinds(item) for item in judge_records(index, records).verdicts] == first


@settings(max_examples=150, deadline=None)
@given(
    batches=st.lists(st.lists(_EVENTS, max_size=4), min_size=1, max_size=10),
    ends=st.lists(
        st.sampled_from(["go on", "flush", "flush and restart", "crash"]), min_size=10, max_size=10
    ),
    tiny=st.booleans(),
)
def test_verdicts_equal_a_dictionary(build_record, judge, batches, ends, tiny):
    """Any batching, flushing, restarting and crashing gives the verdicts that one dictionary would give."""
    folder = Path(tempfile.mkdtemp(prefix="dedup-"))
    capacity, index_module._MIN_CAPACITY = index_module._MIN_CAPACITY, 8 if tiny else 1000
    try:
        index, journal, model, number = DedupIndex(folder), [], {}, 0
        for batch, end in zip(batches, ends, strict=False):
            records = [build_record(number + place, events) for place, events in enumerate(batch)]
            number += len(records)
            journal += records
            for record, judged in zip(records, judge(index, records), strict=True):
                assert _kinds(judged) == [_judge(model, events) for events in _split(record)]
            if end.startswith("flush"):
                index.flush(number, 0)
            if end in ("flush and restart", "crash"):
                index = DedupIndex(folder)
                # What was judged and not written is learned again.
                judge(index, [record for record in journal if record.number >= index.record])
        assert index.ids == len(model)
    finally:
        index_module._MIN_CAPACITY = capacity
        shutil.rmtree(folder)


def _split(record) -> list[tuple[bytes, bytes]]:
    raw = record.fingerprints
    return [(raw[at : at + 16], raw[at + 16 : at + 24]) for at in range(0, len(raw), 24)]


def _judge(model: dict[bytes, bytes], event: tuple[bytes, bytes]) -> int:
    identity, content = event
    if identity not in model:
        model[identity] = content
        return Verdict.NEW
    return Verdict.DUPLICATE if model[identity] == content else Verdict.CONFLICT


def test_horizon_begins_with_the_first_id(tmp_path, build_record, judge):
    """The horizon is the receive time of the oldest id, also when many records are judged at once after a restart."""
    index = DedupIndex(tmp_path)

    judge(index, [build_record(number, [(number, 1)], received_us=number * 10**6) for number in (5, 6, 7)])

    assert index.oldest_us() == 5 * 10**6
