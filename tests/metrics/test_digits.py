"""Figures are written with the digits that their interval supports, and no more."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark.metrics.digits import places_for, write_figure


@pytest.mark.parametrize(
    ("value", "low", "high", "unit", "text"),
    [
        (0.43127, 0.41, 0.45, "ratio", "43 %"),
        (0.43127, 0.4310, 0.4315, "ratio", "43.13 %"),
        (0.43127, 0.1, 0.8, "ratio", "40 %"),
        (1234.56, 1100, 1400, "min", "1,200 min"),
        (12.3456, 12.3, 12.4, "min", "12.35 min"),
        (336_776, None, None, "flights", "336,776 flights"),
        (12.639_07, None, None, "min", "12.64 min"),
        (None, None, None, "min", "–"),
        (0.0, None, None, "", "0"),
        (0.000_012_345, None, None, "s", "0.00001234 s"),
        (5.0, 5.0, 5.0, "s", "5 s"),
    ],
)  # fmt: skip
def test_written(value, low, high, unit, text):
    """Half the interval's first digit decides; without one counts are whole and the rest has four digits."""
    assert write_figure(value, low, high, unit) == text


@given(value=st.floats(-1e6, 1e6), reach=st.floats(1e-6, 1e5))
def test_rounding_stays_inside_the_interval(value, reach):
    """What is written never lies outside the interval that it was rounded by."""
    low, high = value - reach, value + reach
    if high <= low:
        return
    assert low <= round(value, places_for(value, low, high)) <= high
