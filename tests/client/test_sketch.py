"""The sketch against exact quantiles and against the reference implementation of DDSketch."""

from __future__ import annotations

import math
import random

import ddsketch
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallymark.client.sketch import MAX_BINS, RELATIVE_ACCURACY, Sketch, build_sketch

QUANTILES = (0, 0.01, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 1)


def exact(values, q):
    """Return the value at the rank that the paper names: floor(q * (n - 1))."""
    return sorted(values)[math.floor(q * (len(values) - 1))]


def assert_close(sketch, values):
    for q in QUANTILES:
        true = exact(values, q)
        assert abs(sketch.quantile(q) - true) <= RELATIVE_ACCURACY * abs(true) * (1 + 1e-9), (q, true)


def draw(shape, count=20_000):
    source = random.Random(7)
    makers = {
        "lognormal": lambda: source.lognormvariate(0, 2),
        "uniform": lambda: source.uniform(-5, 5),
        "pareto": lambda: source.paretovariate(1.1),
        "negative": lambda: -source.expovariate(1),
        "mixed": lambda: source.choice([0, 0, source.gauss(0, 100)]),
        "one value": lambda: 0.25,
        "tiny": lambda: source.random() * 1e-12,
    }
    return [makers[shape]() for _ in range(count)]


@pytest.mark.parametrize(
    "shape", ["lognormal", "uniform", "pareto", "negative", "mixed", "one value", "tiny"]
)
def test_quantiles_lie_within_one_percent(shape):
    """Every quantile is within the stated relative error of the exact one, whatever the distribution."""
    values = draw(shape)
    sketch = build_sketch(values)
    assert_close(sketch, values)
    assert (sketch.count, sketch.minimum, sketch.maximum) == (len(values), min(values), max(values))
    assert math.isclose(sketch.sum, math.fsum(values), rel_tol=1e-9, abs_tol=1e-6)
    assert sum(count for _, count in sketch.bins()) == len(values)


@pytest.mark.parametrize("shape", ["lognormal", "uniform", "pareto", "negative"])
def test_the_reference_implementation_agrees(shape):
    """Quantiles differ from those of the package ddsketch by no more than both errors together."""
    values = draw(shape)
    sketch, reference = build_sketch(values), ddsketch.DDSketch(RELATIVE_ACCURACY)
    for value in values:
        reference.add(value)
    for q in QUANTILES[1:-1]:
        theirs = reference.get_quantile_value(q)
        assert abs(sketch.quantile(q) - theirs) <= 2.1 * RELATIVE_ACCURACY * abs(theirs)


NUMBERS = st.floats(min_value=-1e6, max_value=1e6).filter(lambda number: number == 0 or abs(number) > 1e-2)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(NUMBERS, max_size=40), min_size=1, max_size=5))
def test_merged_parts_equal_the_whole(parts):
    """Sketches of parts, merged, have the bins of the sketch of everything, in any order."""
    whole = build_sketch(value for part in parts for value in part)
    merged = Sketch()
    for part in reversed(parts):
        merged.merge(build_sketch(part))
    assert merged.bins() == whole.bins()
    assert merged.count == whole.count
    assert math.isclose(merged.sum, whole.sum, rel_tol=1e-9, abs_tol=1e-6)
    if whole.count:
        assert_close(merged, [value for part in parts for value in part])


def test_a_full_sketch_merges_its_smallest_magnitudes():
    """Past the bound the lowest bins collapse: counts stay right, and high quantiles keep their accuracy."""
    values = [1.05**power for power in range(-3000, 3000)]
    sketch = build_sketch(values)
    assert len(sketch.bins()) <= MAX_BINS
    assert sketch.count == sum(count for _, count in sketch.bins()) == 6000
    for q in (0.9, 0.99, 1):
        true = exact(values, q)
        assert abs(sketch.quantile(q) - true) <= RELATIVE_ACCURACY * true * (1 + 1e-9)


def test_both_signs_share_the_bound():
    """Bins of negative and positive values together stay within the bound."""
    sketch = build_sketch(sign * 1.03**power for power in range(-1500, 1500) for sign in (1, -1))
    assert len(sketch.bins()) <= MAX_BINS
    assert sketch.bins() == sorted(sketch.bins())


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_refused(value):
    """A sketch takes finite numbers only and is unchanged by the attempt."""
    sketch = build_sketch([1.0])
    with pytest.raises(ValueError, match="finite"):
        sketch.add(value)
    assert sketch.count == 1


def test_extremes_of_the_float_range_stay_finite():
    """The largest and smallest floats neither overflow nor vanish."""
    values = [1.7e308, -1.7e308, 5e-324, 1e-299]
    sketch = build_sketch(values)
    assert all(math.isfinite(value) for value, _ in sketch.bins())
    assert sketch.count == 4


def test_an_empty_sketch_and_a_wrong_quantile_say_so():
    """Nothing seen has no quantile; a quantile outside 0 to 1 and a foreign accuracy are refused."""
    assert math.isnan(Sketch().quantile(0.5))
    with pytest.raises(ValueError, match="between 0 and 1"):
        Sketch().quantile(2)
    with pytest.raises(ValueError, match="do not merge"):
        Sketch().merge(Sketch(0.02))
    with pytest.raises(ValueError, match="accuracy"):
        Sketch(0)
