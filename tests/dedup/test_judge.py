"""Verdicts: the first one wins, in any batching and through any restart, as a dictionary would have it."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tallymark.dedup import index as index_module
from tallymark.dedup.index import DedupIndex
from tallymark.dedup.judge import Verdict, judge_records

_EVENTS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 2)), max_size=8)


def test_repeats_within_a_batch(tmp_path, build_record):
    """Within one record and between records judged together the earliest is new, and all others point to it."""
    index = DedupIndex(tmp_path)
    first, second = judge_records(
        index, [build_record(3, [(1, 5), (1, 5), (2, 5), (1, 6)]), build_record(4, [(2, 5), (2, 7), (9, 9)])]
    )
    new, repeated, conflict = Verdict.NEW, Verdict.DUPLICATE, Verdict.CONFLICT
    assert list(first.verdicts) == [new, repeated, new, conflict]
    assert list(second.verdicts) == [repeated, conflict, new]
    assert [int(second.first_records[place]) for place in (0, 1)] == [3, 3]
    assert not first.all_new
    (third,) = judge_records(index, [build_record(5, [(77, 1)])])
    assert third.all_new


def test_records_without_accepted_events(tmp_path, build_record):
    """A record that holds nothing but failures is judged too."""
    index = DedupIndex(tmp_path)
    assert judge_records(index, []) == []
    (judged,) = judge_records(index, [build_record(0, [])])
    assert judged.all_new
    assert index.ids == 0


@settings(max_examples=150, deadline=None)
@given(
    batches=st.lists(st.lists(_EVENTS, max_size=4), min_size=1, max_size=10),
    ends=st.lists(
        st.sampled_from(["go on", "flush", "flush and restart", "crash"]), min_size=10, max_size=10
    ),
    tiny=st.booleans(),
)
def test_verdicts_equal_a_dictionary(build_record, batches, ends, tiny):
    """Any batching, flushing, restarting and crashing gives the verdicts that one dictionary would give."""
    folder = Path(tempfile.mkdtemp(prefix="dedup-"))
    capacity, index_module._MIN_CAPACITY = index_module._MIN_CAPACITY, 8 if tiny else 1000
    try:
        index, journal, model, number = DedupIndex(folder), [], {}, 0
        for batch, end in zip(batches, ends, strict=False):
            records = [build_record(number + place, events) for place, events in enumerate(batch)]
            number += len(records)
            journal += records
            for judged in judge_records(index, records):
                assert list(judged.verdicts) == [_judge(model, events) for events in _split(judged.record)]
            if end.startswith("flush"):
                index.flush(number, 0)
            if end in ("flush and restart", "crash"):
                index = DedupIndex(folder)
                # As the loader does: what was committed and not written is judged again.
                judge_records(index, [record for record in journal if record.number >= index.record])
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


def test_horizon_begins_with_the_first_id(tmp_path, build_record):
    """The horizon is the receive time of the oldest id, also when many records are judged at once after a restart."""
    index = DedupIndex(tmp_path)

    judge_records(
        index, [build_record(number, [(number, 1)], received_us=number * 10**6) for number in (5, 6, 7)]
    )

    assert index.oldest_us() == 5 * 10**6
