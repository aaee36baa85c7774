"""Figures are written with the digits that their interval supports, and no more."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark.metrics.digits import EXACT, places_for, write_estimate, write_figure, write_range
from tallymark.queries.kinds.ratio import wilson_interval


@pytest.mark.parametrize(
    ("value", "low", "high", "unit", "text"),
    [
        (0.43127, 0.41, 0.45, "ratio", "43.1 %"),
        (0.43127, 0.4310, 0.4315, "ratio", "43.127 %"),
        (0.43127, 0.1, 0.8, "ratio", "43.1 %"),
        (1234.56, 1100, 1400, "min", "1,230 min"),
        (12.3456, 12.3, 12.4, "min", "12.346 min"),
        (336_776, None, None, "flights", "336,776 flights"),
        (12.639_07, None, None, "min", "12.64 min"),
        (None, None, None, "min", "–"),
        (0.0, None, None, "", "0"),
        (0.000_012_345, None, None, "s", "0.00001234 s"),
        (5.0, 5.0, 5.0, "s", "5 s"),
    ],
)  # fmt: skip
def test_written(value, low, high, unit, text):
    """Two digits of half the interval decide, and shares have a decimal; without one figures have four digits, whole ones all."""
    assert write_figure(value, low, high, unit) == text


@pytest.mark.parametrize(
    ("value", "n", "unit", "text"),
    [
        (12.639_07, 1, "min", "13 min"), (12.639_07, 100, "min", "13 min"), (12.639_07, 1000, "min", "12.6 min"),
        (12.639_07, 10**6, "min", "12.64 min"), (0.98784, 902, "ratio", "99 %"), (1234.5, 3, "ms", "1,200 ms"),
        (1234.0, 3, "ms", "1,200 ms"), (5.0, 3, "", "5"), (0.0, 3, "", "0"), (5e-324, 10**9, "", "4.941e-324"), (1.5, 0, "", "1.5"),
    ],
)  # fmt: skip
def test_an_estimate_without_an_interval(value, n, unit, text):
    """It has the digits of a standard error of |figure| / √n, at least two and at most four; n of an interval is not looked at."""
    assert write_figure(value, None, None, unit, n) == text
    assert write_figure(value, 0.0, 2.0, unit, n) == write_figure(value, 0.0, 2.0, unit)


def test_37_of_64():
    """37 of 64 is 57.8 %, 45.6 to 69.1: an interval has the places of its figure, near a limit as well."""
    low, high = wilson_interval(37, 64)
    assert write_estimate(37 / 64, low, high, "ratio") == ("57.8 %", "45.6 to 69.1 %")
    assert write_estimate(37 / 64, low, high, "ratio", beside=0.578) == ("57.81 %", "45.61 to 69.13 %")


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(1248025.57, "EUR", "1,248,025.57 EUR"), (0.1 + 0.2, "", "0.3"), (336_776, "", "336,776"), (2**63, "", "9,223,372,036,854,775,808"),
     (1200.0, "", "1,200"), (0.578, "ratio", "57.8 %"), (1e308, "", "1e+308"), (5e-324, "", "4.94065645841247e-324"), (-0.0, "", "0"), (0, "ratio", "0 %")],
)  # fmt: skip
def test_what_is_exact_is_written_in_full(value, unit, text):
    """A sum of money has its cents, a count all of its digits."""
    assert write_figure(value, None, None, unit, EXACT) == text


finite = st.floats(allow_nan=False, allow_infinity=False)


@given(
    value=finite,
    low=finite,
    high=finite,
    unit=st.sampled_from(["", "ratio", "EUR"]),
    n=st.none() | st.integers(0, 10**12) | st.just(EXACT),
)
def test_any_finite_figures_can_be_written(value, low, high, unit, n):
    """Whatever doubles there are, they are written, the range between two of them as well."""
    text, interval = write_estimate(value, min(low, high), max(low, high), unit, n, beside=low)
    assert text
    assert " to " in interval
    assert write_figure(value, None, None, unit, n)
    assert write_range(min(low, high), max(low, high), unit)


@given(value=st.floats(0.001, 1e9), reach=st.floats(1e-6, 1e8), unit=st.sampled_from(["", "ratio"]))
def test_an_interval_has_the_places_of_its_figure(value, reach, unit):
    """Never is an interval written more coarsely than the figure in it."""
    text, interval = write_estimate(value, value - reach, value + reach, unit)
    places = {
        len(one.partition(".")[2])
        for one in (text.removesuffix(" %"), *interval.removesuffix(" %").split(" to "))
    }
    if not any("e" in one for one in (text, interval)):
        assert len(places) == 1


@given(value=st.floats(-1e6, 1e6), first=st.integers(0, 10**9), second=st.integers(0, 10**9))
def test_more_events_never_take_digits_away(value, first, second):
    """Two to four digits, and with a larger n as many or more; without n as many as any n allows."""
    few, many = sorted((first, second))
    assert places_for(value, None, None, few) <= places_for(value, None, None, many)
    assert places_for(value, None, None, many) <= places_for(value, None, None)


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
