"""What is cleared at once is what the step would have let pass one by one."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallymark.event import MAX_ATTRIBUTES, MAX_NAME_BYTES
from tallymark.intake.receivers.events import parse_events
from tallymark.pipeline.batch import Arrival, Batch
from tallymark.pipeline.scan import FULL_SCAN
from tallymark.pipeline.steps.validate import validate

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
_NAMES = st.sampled_from(
    ["a", "", "b c", "é", "ü" * 100, "n" * MAX_NAME_BYTES, "n" * (MAX_NAME_BYTES + 1), "\0", "attributes"]
)
_VALUES = st.recursive(
    st.sampled_from(["x", "{", "[", "}{", "", 1, 2.5, None, True, 2**64, -(2**63) - 1, "1" * 20, "\0"]),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(_NAMES, inner, max_size=2)),
    max_leaves=4,
)  # fmt: skip
_EVENT = st.fixed_dictionaries(
    {
        "event_id": st.sampled_from(["id", "é" * 64, "é" * 65]),
        "event_time": st.sampled_from(["2026-01-31T12:00:00Z", "1969-12-31T00:00:00Z", "2027-01-01T00:00:00Z"]),
        "event_type": st.just("t"),
        "event_name": st.sampled_from(["n", "{"]),
    },
    optional={"attributes": st.dictionaries(_NAMES, _VALUES, max_size=2), "extra": _VALUES},
)  # fmt: skip


def _refused(text: bytes, *, full: bool) -> list[tuple[int, str, str]]:
    parsed = parse_events(text, 100)
    scan = FULL_SCAN if full else parsed.scan
    batch = Batch(Arrival("default", "http", NOW), parsed.events, parsed.indexes, scan)
    validate(batch)
    return [(item.index, item.code, item.place) for item in batch.failed]


@settings(max_examples=600, deadline=None)
@given(events=st.lists(_EVENT, min_size=1, max_size=3), lines=st.booleans())
def test_a_quick_look_refuses_what_a_full_one_does(events, lines):
    """Whatever a body holds, the step refuses the same events with and without what the scan told it."""
    text = b"\n".join(map(msgspec.json.encode, events)) if lines else msgspec.json.encode(events)
    assert _refused(text, full=False) == _refused(text, full=True)


@pytest.mark.parametrize(
    "attributes",
    [
        {"n" * (MAX_NAME_BYTES + 1): 1},
        {"": 1},
        {f"a{number}": 1 for number in range(MAX_ATTRIBUTES + 1)},
        {"extra": {"n" * (MAX_NAME_BYTES + 1): 1}},
    ],
    ids=["long name", "empty name", "too many", "long name inside"],
)
@pytest.mark.parametrize("outside", [False, True], ids=["attributes", "other members"])
def test_refused_wherever_it_stands(attributes, outside):
    """A bad attribute is found in `attributes` and among the other members of an event alike."""
    event = {"event_id": "i", "event_time": "2026-01-31T12:00:00Z", "event_type": "t", "event_name": "n"}
    event |= attributes if outside else {"attributes": attributes}
    assert len(_refused(msgspec.json.encode(event), full=False)) == 1
