"""Figures are written with the digits that their interval supports, and no more."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark.metrics.digits import places_for, write_figure, write_range


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


@pytest.mark.parametrize(
    ("low", "high", "unit", "whole", "text"),
    [
        (812.3, 1203.9, "", True, "820 to 1,200"),
        (13.2, 27.9, "", True, "14 to 27"),
        (0, 3, "orders", True, "0 to 3 orders"),
        (0.4312, 0.5188, "ratio", False, "43.2 to 51.8 %"),
        (0.9, 1.0, "ratio", False, "90.0 to 100.0 %"),
        (12.3456, 12.9, "s", False, "12.35 to 12.90 s"),
        (-3.2, 4.8, "", False, "-3.2 to 4.8"),
        (9.99, 9.99 * (1 + 1e-9), "EUR", False, "9.990 EUR"),
        (0.0, 0.0, "", False, "0"),
    ],
)
def test_written_ranges(low, high, unit, whole, text):
    """A range has one digit more than half of it needs, and both ends lie inside."""
    assert write_range(low, high, unit, whole=whole) == text


@given(low=st.floats(-1e6, 1e6), width=st.floats(1e-3, 1e6))
def test_a_written_range_lies_inside(low, width):
    """What lies outside of a range is never written as if it lay inside, and the ends do not cross."""
    written = [float(end.replace(",", "")) for end in write_range(low, low + width).split(" to ")]
    if len(written) == 2:
        slack = 1e-6 * max(abs(low), width)
        assert low - slack <= written[0] <= written[1] <= low + width + slack
