"""The filter never denies an id that it has seen, and rarely claims one that it has not."""

from __future__ import annotations

import numpy as np
import pytest

from tallymark.dedup.bloom import BloomFilter


@pytest.mark.parametrize("capacity", [1, 100, 100_000])
def test_full_filter(capacity):
    """At its capacity a filter knows all its ids and takes under two percent of others for known."""
    dice = np.random.default_rng(2)
    known = dice.integers(0, 2**64, (2, capacity), dtype=np.uint64)
    other = dice.integers(0, 2**64, (2, 100_000), dtype=np.uint64)
    bloom = BloomFilter(capacity)
    bloom.add(known[0], known[1])
    assert bloom.may_hold(known[0], known[1]).all()
    if capacity >= 100:
        assert bloom.may_hold(other[0], other[1]).mean() < 0.02
    assert bloom.nbytes <= max(8, capacity * 2.5 + 8)
