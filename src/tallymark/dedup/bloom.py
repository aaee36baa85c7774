"""A Bloom filter whose probes touch one 64-bit word per id, so that an id costs one cache miss.

The index asks it first: most ids are new, and "no" is certain. Register-blocked filters are described in
Putze, Sanders, Singler: "Cache-, Hash- and Space-Efficient Bloom Filters" (2007).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]

BITS_PER_ID = 20
_PROBES = 6
_ONE = np.uint64(1)
_SIX_BITS = np.uint64(63)


class BloomFilter:
    """Room for `capacity` ids; at that fill about 0.4 % of unknown ids are taken for known."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._words: Words = np.zeros(max(1, capacity * BITS_PER_ID // 64), dtype=np.uint64)

    @property
    def nbytes(self) -> int:
        """Memory in bytes."""
        return self._words.nbytes

    def add(self, high: Words, low: Words) -> None:
        """Remember ids, given as the two halves of their fingerprints."""
        # Several ids may share a word: `bitwise_or.at` keeps all their bits.
        np.bitwise_or.at(self._words, self._places(high), _masks(low))

    def may_hold(self, high: Words, low: Words) -> NDArray[np.bool_]:
        """Return False for every id that is certainly unknown."""
        masks = _masks(low)
        found: NDArray[np.bool_] = (self._words[self._places(high)] & masks) == masks
        return found

    def _places(self, high: Words) -> NDArray[np.intp]:
        return (high % np.uint64(len(self._words))).astype(np.intp)


def _masks(low: Words) -> Words:
    masks = np.zeros(len(low), dtype=np.uint64)
    for probe in range(_PROBES):
        masks |= _ONE << ((low >> np.uint64(6 * probe)) & _SIX_BITS)
    return masks
