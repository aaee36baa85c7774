"""A mergeable sketch of many numbers: DDSketch, with quantiles within 1 % of the true value.

Comes in: finite numbers. Goes out: representative values and how often each was seen. Made after C. Masson,
J. E. Rim, H. K. Lee, "DDSketch: A Fast and Fully-Mergeable Quantile Sketch with Relative-Error Guarantees",
PVLDB 12(12), 2019. `aggregate` keeps one per series and interval.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

RELATIVE_ACCURACY = 0.01
# Both stores together. At 1 % a thousand bins span a factor of about 8e8 between smallest and largest magnitude.
MAX_BINS = 1024
# Magnitudes below this count as zero: their logarithm would leave the range of normal floats.
_LEAST = 1e-300
_LARGEST = 1.7e308


class Sketch:
    """Counts of values in bins whose borders grow by a constant factor.

    A value lies within `accuracy` (relative) of its bin's representative. Once there are more than `max_bins`
    bins, those of the smallest magnitudes are merged: then quantiles that fall there lose the guarantee.
    """

    __slots__ = (
        "_gamma",
        "_log_gamma",
        "accuracy",
        "count",
        "max_bins",
        "maximum",
        "minimum",
        "negative",
        "positive",
        "sum",
        "zero",
    )

    def __init__(self, accuracy: float = RELATIVE_ACCURACY, max_bins: int = MAX_BINS) -> None:
        if not 0 < accuracy < 1 or max_bins < 2:
            raise ValueError(
                f"a sketch needs 0 < accuracy < 1 and max_bins >= 2, not {accuracy} and {max_bins}"
            )
        self.accuracy = accuracy
        self.max_bins = max_bins
        self._gamma = (1 + accuracy) / (1 - accuracy)
        self._log_gamma = math.log(self._gamma)
        self.positive: dict[int, int] = {}
        self.negative: dict[int, int] = {}
        self.zero = 0
        self.count = 0
        self.sum = 0.0
        self.minimum = math.inf
        self.maximum = -math.inf

    def add(self, value: float, count: int = 1) -> None:
        """Count a finite value `count` times (at least once)."""
        if not -_LARGEST <= value <= _LARGEST or count < 1:
            raise ValueError(f"a sketch takes finite numbers, at least once, not {value!r} {count} times")
        if value > _LEAST:
            self._put(self.positive, math.ceil(math.log(value) / self._log_gamma), count)
        elif value < -_LEAST:
            self._put(self.negative, math.ceil(math.log(-value) / self._log_gamma), count)
        else:
            self.zero += count
        self.count += count
        self.sum += value * count
        # Not min() and max(): a call would let in a signal handler between reading and writing.
        if value < self.minimum:  # noqa: PLR1730  see above
            self.minimum = value
        if value > self.maximum:  # noqa: PLR1730  see above
            self.maximum = value

    def _put(self, store: dict[int, int], index: int, count: int) -> None:
        if index in store:
            store[index] += count
            return
        store[index] = count
        while len(self.positive) + len(self.negative) > self.max_bins:
            self._collapse()

    def _collapse(self) -> None:
        """Merge the two bins of the smallest magnitudes in the store that has more of them."""
        store = self.positive if len(self.positive) >= len(self.negative) else self.negative
        lowest = min(store)
        moved = store.pop(lowest)
        store[min(store)] += moved

    def merge(self, other: Sketch) -> None:
        """Add everything that another sketch of the same accuracy has seen."""
        if other.accuracy != self.accuracy:
            raise ValueError(f"sketches of accuracy {self.accuracy} and {other.accuracy} do not merge")
        for mine, theirs in ((self.positive, other.positive), (self.negative, other.negative)):
            for index, count in list(theirs.items()):
                self._put(mine, index, count)
        self.zero += other.zero
        self.count += other.count
        self.sum += other.sum
        self.minimum = min(self.minimum, other.minimum)
        self.maximum = max(self.maximum, other.maximum)

    def _represent(self, index: int) -> float:
        # 2 * gamma^i / (gamma + 1): equally far, relatively, from both borders of the bin.
        exponent = index * self._log_gamma + math.log(2 / (1 + self._gamma))
        return math.exp(exponent) if exponent < 709 else _LARGEST

    def bins(self) -> list[tuple[float, int]]:
        """Return representative values in ascending order, each with its count."""
        ordered: list[tuple[float, int]] = [
            (-self._represent(index), self.negative[index]) for index in sorted(self.negative, reverse=True)
        ]
        if self.zero:
            ordered.append((0.0, self.zero))
        ordered += [(self._represent(index), self.positive[index]) for index in sorted(self.positive)]
        # No true value lies outside what was seen, so moving a representative inside brings it nearer.
        return [(min(max(value, self.minimum), self.maximum), count) for value, count in ordered]

    def quantile(self, q: float) -> float:
        """Return the value at rank `q * (count - 1)`, 0 <= q <= 1, within the accuracy; NaN where nothing was seen."""
        if not 0 <= q <= 1:
            raise ValueError(f"a quantile lies between 0 and 1, not at {q!r}")
        if not self.count:
            return math.nan
        rank = q * (self.count - 1)
        seen = 0
        for value, count in self.bins():
            seen += count
            if seen > rank:
                return value
        return self.maximum


def build_sketch(values: Iterable[float]) -> Sketch:
    """Sketch the finite values."""
    sketch = Sketch()
    for value in values:
        sketch.add(value)
    return sketch
