"""Places for work are counted, and a place that is taken is given back."""

from __future__ import annotations

import pytest

from tallymark.fair_queue import Bounds
from tallymark.store.errors import EngineError
from tallymark.store.service import Lane


def test_a_full_lane_says_so():
    """One more than there are places is refused with ClickHouse's code, and a place is free again after an error."""
    lane = Lane("questions", Bounds(places=1, each=1), wait=0.0)
    with pytest.raises(EngineError) as full, lane.place(), lane.place():
        pass
    assert (full.value.number, "Maximum: 1" in full.value.message) == (202, True)
    with lane.place():
        pass
