"""Figures of values that doubles make hard: far from 0 and close together, of money, of both signs, very large and small."""

from __future__ import annotations

import math
import statistics
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tallymark.metrics.digits import write_figure
from tallymark.metrics.figures import ask_metric
from tallymark.metrics.intervals import mean_interval
from tallymark.plan.kinds.metric import Average, Count, Formula, Quantile, Span, Sum, Unique
from tallymark.queries.kinds.ratio import delta_interval
from tallymark.queries.measures import Z, settle_exactly, settle_sum

DAY = {"from": "2024-01-01", "to": "2024-01-02"}
SPAN = Span(start="2024-01-01", end="2024-01-02")
many = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
OFFSETS = st.sampled_from([0.0, 1.0, 1e8, -1e8, 1e12, 1e15, -1e15])


def measure(ask, project, op, field="value", **more):
    series = [{"event_name": "seen", "name": "figure", "measure": {"op": op, "field": field}}]
    return ask(project, {"kind": "trend", **DAY, "series": series}, **more).rows


def exact_deviation(values):
    numbers = [Fraction(value) for value in values]
    return math.sqrt(statistics.variance(numbers))


@pytest.mark.store
def test_values_far_from_zero_deviate_by_what_they_differ(insert, ask):
    """100000001, 100000002 and 100000003 deviate by 1, and their average has the interval of that."""
    project = insert([{"value": 100_000_000.0 + number} for number in (1, 2, 3)])
    assert measure(ask, project, "deviation") == [[1.0]]
    found = ask_metric(
        Average(name="m", event_name="seen"), SPAN, lambda question: _run(ask, project, question), {}
    )
    figure, n, low, high, enough = found.rows[0]
    assert (figure, n, enough) == (100_000_002.0, 3, True)
    assert high - low == pytest.approx(2 * Z / math.sqrt(3), rel=1e-6)


def _run(ask, project, question):
    import msgspec  # noqa: PLC0415 - here alone

    return ask(project, msgspec.to_builtins(question))


@pytest.mark.store
@many
@given(
    offset=OFFSETS,
    spread=st.lists(st.integers(-1000, 1000), min_size=2, max_size=40),
    scale=st.sampled_from([1.0, 0.125, 1e-3, 1e6]),
)
def test_the_deviation_is_that_of_the_values(insert, ask, offset, spread, scale):
    """Whatever the offset, the deviation is the exact one of the doubles that were sent, and 0 only of equal ones."""
    values = [offset + number * scale for number in spread]
    (row,) = measure(ask, insert([{"value": value} for value in values]), "deviation")
    right = exact_deviation(values)
    # The engine's mean is off by a unit in its last place, at most.
    slack = 4 * math.ulp(max(map(abs, values)))
    assert row[0] == pytest.approx(right, rel=1e-9, abs=slack)
    assert (row[0] == 0) == (len(set(values)) == 1)


@pytest.mark.store
def test_two_neighbouring_doubles_differ(insert, ask):
    """Where doubles can hardly tell values apart their deviation is not 0, and the average's interval has a width."""
    low = 100_000_001.0
    values = [low, math.nextafter(low, math.inf)]
    project = insert([{"value": value} for value in values])
    (deviation,) = measure(ask, project, "deviation")[0]
    assert deviation == pytest.approx(exact_deviation(values))
    ends = mean_interval(low, deviation, 2)
    assert ends[0] < low < ends[1]


@pytest.mark.store
@many
@given(
    groups=st.lists(
        st.tuples(OFFSETS, st.lists(st.integers(-9, 9), min_size=1, max_size=9)), min_size=1, max_size=4
    )
)
def test_groups_and_others_deviate_by_themselves(insert, ask, groups):
    """Each group has the deviation of its own values, whatever the offset of the others; so have all others as one."""
    events = [
        {"value": offset + number, "user_id": f"g{place}"}
        for place, (offset, numbers) in enumerate(groups)
        for number in numbers
    ]
    rows = measure(ask, insert(events), "deviation", breakdown=["user_id"], limit=1, others=True)
    values: dict[str | None, list[float]] = {}
    first = rows[0][0]
    for event in events:
        values.setdefault(
            event["user_id"] if event["user_id"] == first or len(groups) <= 2 else None, []
        ).append(event["value"])
    for name, _, deviation in rows:
        own = values[name]
        if len(own) > 1:
            assert deviation == pytest.approx(
                exact_deviation(own), rel=1e-9, abs=4 * math.ulp(max(map(abs, own)))
            )


@pytest.mark.store
@many
@given(
    offset=st.sampled_from([0.0, 1e8, 1e12]), numbers=st.lists(st.integers(0, 99), min_size=3, max_size=30)
)
def test_a_ratio_of_sums_has_the_interval_of_its_residuals(insert, ask, offset, numbers):
    """The sum of values per event has the exact interval of their average, also far from 0; of one event it has none."""
    values = [offset + number for number in numbers]
    question = {
        "kind": "ratio", **DAY,
        "numerator": {"event_name": "seen", "measure": {"op": "sum", "field": "value"}},
        "denominator": {"event_name": "seen"},
    }  # fmt: skip
    row = ask(insert([{"value": value} for value in values]), question).rows[0]
    exact = [Fraction(value) for value in values]
    mean = sum(exact) / len(exact)
    n = len(values)
    _, _, ratio, low, high = row
    if n == 1:
        assert (low, high) == (None, None)
        return
    reach = Z * math.sqrt(sum((one - mean) ** 2 for one in exact) * n / (n - 1)) / n
    assert (high - low) / 2 == pytest.approx(reach, rel=1e-6, abs=4 * math.ulp(offset or 1.0))
    assert low <= ratio <= high


def test_rounding_is_no_certainty():
    """A difference of sums of squares that rounding swallowed leaves the rounding as the interval, never none at all."""
    low, high = delta_interval(3e9, 1e9, (9e18, 3e18, 1e18))
    assert low < 3.0 < high
    assert mean_interval(1e16, 1e-3, 100) == (math.nextafter(1e16, 0), math.nextafter(1e16, math.inf))
    assert mean_interval(5.0, 0.0, 100) == (5.0, 5.0)
    assert delta_interval(1e300, 1.0, (math.inf, 0, 0)) == (None, None)


money = st.lists(st.integers(-(10**7), 10**9), min_size=1, max_size=60)


@pytest.mark.store
def test_money_adds_up_to_the_cent(insert, ask):
    """1,248,025.57 in amounts of cents is 1248025.57, over all events and by group, with all others as one."""
    cents = [1, 10, 20, 30, 70, 99, 12_345_678, 112_456_649]
    assert sum(cents) == 124_802_557
    events = [{"value": cent / 100, "user_id": f"u{place}"} for place, cent in enumerate(cents)]
    project = insert(events)
    assert measure(ask, project, "sum") == [[1248025.57]]
    rows = measure(ask, project, "sum", breakdown=["user_id"], limit=3, others=True)
    assert sum(Decimal(repr(row[-1])) for row in rows) == Decimal("1248025.57")
    found = ask_metric(
        Sum(name="m", event_name="seen"),
        SPAN,
        lambda one: _run(ask, project, one),
        {},
    )
    assert found.rows[0][0] == 1248025.57
    assert found.exact


@pytest.mark.store
@many
@given(cents=money, places=st.integers(0, 4))
def test_sums_of_decimals_are_decimals(insert, ask, cents, places):
    """The sum of decimals of so many places is the decimal that they add up to, of both signs too."""
    values = [Decimal(cent).scaleb(-places) for cent in cents]
    (row,) = measure(ask, insert([{"value": float(value)} for value in values]), "sum")
    assert Decimal(repr(row[0])) == sum(values)


@given(values=st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=1, max_size=50))
def test_settling_moves_a_sum_by_no_more_than_its_error(values):
    """What is called the shortest decimal is nearer to the exact sum than the error that sums of doubles have."""
    whole = math.fsum(values)
    magnitude = math.fsum(map(abs, values))
    assert (
        abs(Fraction(settle_sum(whole, magnitude)) - Fraction(whole))
        <= Fraction(magnitude) * Fraction(2) ** -51
    )


@pytest.mark.parametrize(
    ("value", "magnitude", "settled"),
    [(1248025.5699999998, 1248025.57, 1248025.57), (0.30000000000000004, 0.3, 0.3), (1 / 3, 1 / 3, 1 / 3), (2.0**53 - 1, 2.0**53, 2.0**53 - 1),
     (0.04999999999999716, 200.15, 0.05), (math.inf, math.inf, math.inf), (0.0, 0.0, 0.0), (5e-324, 5e-324, 5e-324), (1e308, 1e308, 1e308)],
)  # fmt: skip
def test_settled(value, magnitude, settled):
    """The shortest decimal within a sum's error; whole numbers and what cannot be told better stay."""
    assert settle_sum(value, magnitude) == settled


@pytest.mark.store
@many
@given(
    values=st.lists(st.floats(1e-3, 1e9), min_size=2, max_size=20),
    counts=st.lists(st.integers(1, 5), min_size=20, max_size=20),
)
def test_sketches_deviate_around_their_mean(insert, ask, values, counts):
    """The deviation of sketches is that of their values as often as these were seen, also where they are nearly the same."""
    assume(len(values) > 1)
    events = [
        {"sketch_values": [value], "sketch_counts": [count]}
        for value, count in zip(values, counts, strict=False)
    ]
    (row,) = measure(ask, insert(events), "deviation", "sketch")
    own = [value for value, count in zip(values, counts, strict=False) for _ in range(count)]
    assert row[0] == pytest.approx(exact_deviation(own), rel=1e-6, abs=4 * math.ulp(max(own)))


# What is marked as exact is exact


def ask_all(ask, project, field, *ops, **more):
    series = [
        {"event_name": "seen", "name": str(number), "measure": {"field": field, **op}}
        for number, op in enumerate(ops)
    ]
    return ask(project, {"kind": "trend", **DAY, "series": series}, **more)


def marks(answer):
    return [column.exact is True for column in answer.columns]


SUM, LEAST, MOST, LAST = ({"op": op} for op in ("sum", "minimum", "maximum", "last"))


@pytest.mark.store
@pytest.mark.parametrize("field", ["attributes.n", "value"])
def test_whole_numbers_beyond_the_doubles_are_not_called_exact(insert, ask, field):
    """Of 9007199254740993 and 1 the sum and the maximum are rounded: they are not marked, and a note says so; the minimum is exact."""
    numbers = [9_007_199_254_740_993, 1]
    events = [{"attributes": {"n": one}} if field != "value" else {"value": float(one)} for one in numbers]
    answer = ask_all(ask, insert(events), field, SUM, MOST, LEAST)
    assert marks(answer) == [False, False, True]
    assert answer.rows[0][2] == 1
    assert [note.partition(" has more digits")[0] for note in answer.notes] == [
        f"sum of {field} of seen", f"maximum of {field} of seen"
    ]  # fmt: skip


@pytest.mark.store
def test_whole_numbers_that_doubles_carry_are_exact(insert, ask):
    """Up to 2⁵³ - 1 what is read is exact, and sums of whole numbers are, as far as no decimal can hide in them."""
    project = insert([{"value": float(one)} for one in (2**53 - 1, 7)])
    assert marks(ask_all(ask, project, "value", MOST, LEAST)) == [True, True]
    answer = ask_all(ask, insert([{"value": 3_000_000_000_001.0}, {"value": 2.0}]), "value", SUM)
    assert (answer.rows, marks(answer), answer.notes) == ([[3_000_000_000_003.0]], [True], [])


@pytest.mark.store
def test_a_sum_whose_cents_a_double_cannot_hold_is_not_called_exact(insert, ask):
    """Three times 10000000000000.07: the last digit is lost, so the sum is not exact, in the question, its groups and the metric."""
    project = insert([{"value": 10_000_000_000_000.07, "user_id": "u"}] * 3)
    for more in ({}, {"breakdown": ["user_id"]}, {"interval": "hour"}):
        answer = ask_all(ask, project, "value", SUM, **more)
        assert marks(answer)[-1] is False
        assert any("rounded to about 15 digits" in note for note in answer.notes)
    found = ask_metric(Sum(name="m", event_name="seen"), SPAN, lambda one: _run(ask, project, one), {})
    assert not found.exact
    assert any("rounded to about 15 digits" in note for note in found.notes)


@pytest.mark.store
def test_a_question_and_a_metric_agree_that_a_median_is_an_estimate(insert, ask):
    """A median lies between two values and has an interval: neither says that it is exact."""
    project = insert([{"value": 1_748_025.57}, {"value": -500_000.0}])
    answer = ask_all(ask, project, "value", {"op": "quantile", "q": 0.5}, SUM, LAST)
    assert marks(answer) == [False, True, True]
    found = ask_metric(
        Quantile(name="m", event_name="seen", q=0.5), SPAN, lambda one: _run(ask, project, one), {}
    )
    assert not found.exact


@pytest.mark.store
def test_a_formula_is_exact_where_a_double_carries_it(insert, ask):
    """Twice a sum of money is exact; the product of two large numbers is not, though both are."""
    project = insert([{"value": 0.1}, {"value": 100_000_001.2}])
    parts = {"money": Sum(name="money", event_name="seen")}

    def is_exact(expression):
        formula = Formula(name="f", expression=expression)
        return ask_metric(formula, SPAN, lambda one: _run(ask, project, one), parts).exact

    assert is_exact("money * 2")
    assert not is_exact("money * money * 3")


@pytest.mark.store
def test_what_is_not_carried_is_written_with_all_that_is(insert, ask):
    """A sum with more digits than a double has is not marked as exact, and is no estimate either: no digit of it is rounded away."""
    project = insert([{"value": 12_345_678_901_234.56}])
    money = Sum(name="money", event_name="seen", unit="EUR")
    figures = ask_metric(money, SPAN, lambda one: _run(ask, project, one), {})
    (row,) = [one for one in figures.rows if one[-5]]
    assert (figures.exact, figures.estimate) == (False, False)
    written = write_figure(row[-5], None, None, figures.unit, figures.sample_of(row))
    assert written == "12,345,678,901,234.6 EUR"


@pytest.mark.store
@pytest.mark.parametrize(("exact_rows", "estimate"), [(1_000_000, False), (1, True)])
def test_unique_values_that_were_only_estimated_are_an_estimate(
    insert, ask, monkeypatch, exact_rows, estimate
):
    """Past the stated number of rows unique values are approximate: the metric and formulas of it say so, and counts stay exact."""
    monkeypatch.setattr("tallymark.queries.run.EXACT_ROWS", exact_rows)
    project = insert([{"session_id": f"s{number}"} for number in range(20)])
    parts = {
        "people": Unique(name="people", event_name="seen"),
        "twice": Formula(name="twice", expression="people * 2"),
        "events": Count(name="events", event_name="seen"),
    }
    asked = {
        name: ask_metric(one, SPAN, lambda question: _run(ask, project, question), parts)
        for name, one in parts.items()
    }
    assert {name: one.estimate for name, one in asked.items()} == {
        "people": estimate,
        "twice": estimate,
        "events": False,
    }
    assert {name: one.exact for name, one in asked.items()} == {
        "people": not estimate,
        "twice": not estimate,
        "events": True,
    }


@pytest.mark.store
@pytest.mark.parametrize(("value", "exact"), [(0.07, True), (10_000_000_000_000.07, False)])
def test_a_change_is_exact_where_its_sums_are(insert, ask, value, exact):
    """The difference of sums of money is exact; where a double cannot hold the cents it is not, and a note says so."""
    project = insert([{"value": value, "user_id": "a"}] * 3)
    question = {
        "kind": "change", **DAY, "before": {"from": "2023-12-31", "to": "2024-01-01"}, "dimensions": ["user_id"],
        "numerator": {"event_name": "seen", "measure": {"op": "sum", "field": "value"}},
    }  # fmt: skip
    answer = ask(project, question)
    assert {one.exact for one in answer.columns if one.name in ("before", "after", "contribution")} == {exact}
    assert any("rounded to about 15 digits" in note for note in answer.notes) is not exact


@pytest.mark.store
@many
@given(
    digits=st.lists(st.integers(-(10**14), 10**14), min_size=1, max_size=9),
    places=st.integers(0, 6),
    op=st.sampled_from(["sum", "minimum", "maximum"]),
)
def test_what_is_marked_as_exact_is_exact(insert, ask, digits, places, op):
    """Of decimals whose sum has up to 15 digits, a marked figure is theirs to the last digit."""
    values = [Decimal(one).scaleb(-places) for one in digits]
    answer = ask_all(ask, insert([{"value": float(one)} for one in values]), "value", {"op": op})
    right = {"sum": sum, "minimum": min, "maximum": max}[op](values)
    if marks(answer)[0]:
        assert Decimal(repr(answer.rows[0][0])) == right


@given(
    digits=st.lists(st.integers(-(10**12), 10**12), min_size=1, max_size=500),
    places=st.integers(0, 6),
)
def test_a_certain_sum_is_the_sum_of_its_decimals(digits, places):
    """A sum that is called certain is that of the decimals, where it has up to 15 digits; one with digits to spare is called so."""
    values = [Decimal(one).scaleb(-places) for one in digits]
    doubles = [float(one) for one in values]
    settled, certain = settle_exactly(math.fsum(doubles), math.fsum(map(abs, doubles)))
    if certain:
        assert Decimal(repr(settled)) == sum(values)
    assert certain or sum(map(abs, digits)) > 10**12


# Beyond the doubles

HUGE = 1e308


def beyond(column, count=1, rows=1):
    return (
        f"{column} is null in {count} of {rows} rows: it, or what it is computed of, is beyond the largest"
        " number that can be written, 1.8e+308."
    )


@pytest.mark.store
@pytest.mark.parametrize(
    ("op", "values"),
    [
        ("deviation", [HUGE, -HUGE]),
        ("sum", [HUGE, HUGE]),
        ("sum", [-HUGE, -HUGE]),
        ("average", [HUGE, HUGE]),
    ],
)
def test_what_cannot_be_expressed_says_so(insert, ask, op, values):
    """A figure beyond the doubles is null with a note; one that there is none of, of a single value or of none, has no such note."""
    series = [{"event_name": "seen", "name": "figure", "measure": {"op": op, "field": "value"}}]
    question = {"kind": "trend", **DAY, "series": series}
    answer = ask(insert([{"value": value} for value in values]), question)
    assert (answer.rows, answer.notes) == ([[None]], [beyond("figure")])
    single = ask(insert([{"value": HUGE}]), question)
    assert single.rows == [[None if op == "deviation" else HUGE]]
    assert [note for note in single.notes if "rounded to about 15 digits" not in note] == []
    ordinary = ask(insert([{"value": 1.0}, {"value": 3.0}]), question)
    assert (ordinary.rows[0][0] is not None, ordinary.notes) == (True, [])


@pytest.mark.store
@pytest.mark.parametrize("others", [False, True])
def test_one_group_beyond_the_doubles_leaves_the_others_as_they_are(insert, ask, others):
    """The note counts the rows that have no figure for that reason; other groups have theirs."""
    events = [{"value": value, "user_id": "large"} for value in (HUGE, -HUGE, HUGE)]
    events += [{"value": value, "user_id": "small"} for value in (1.0, 3.0)]
    series = [
        {"event_name": "seen", "name": name, "measure": {"op": name, "field": "value"}}
        for name in ("deviation", "maximum")
    ]
    question = {"kind": "trend", **DAY, "series": series, "breakdown": ["user_id"], "others": others}
    answer = ask(insert(events), question)
    assert [[row[0], *row[-2:]] for row in answer.rows] == [
        ["large", None, HUGE],
        ["small", pytest.approx(math.sqrt(2)), 3.0],
    ]
    assert beyond("deviation", 1, 2) in answer.notes


@pytest.mark.store
def test_a_ratio_of_what_cannot_be_expressed_says_so(insert, ask):
    """A ratio over a sum beyond the doubles is no 0: it is null as the sum is, and both are named."""
    project = insert([{"value": HUGE}, {"value": HUGE}])
    question = {
        "kind": "ratio", **DAY,
        "numerator": {"event_name": "seen"},
        "denominator": {"event_name": "seen", "measure": {"op": "sum", "field": "value"}},
    }  # fmt: skip
    answer = ask(project, question)
    assert answer.rows == [[2, None, None, None, None]]
    assert {beyond("denominator"), beyond("ratio")} <= set(answer.notes)


@pytest.mark.store
def test_a_change_of_what_cannot_be_expressed_is_not_split(insert, ask):
    """A sum beyond the doubles is no sum of 0: the change that it is part of is not explained, and the note says why."""
    project = insert([{"value": HUGE, "user_id": "a"}, {"value": HUGE, "user_id": "a"}])
    question = {
        "kind": "change", **DAY, "before": {"from": "2023-12-31", "to": "2024-01-01"}, "dimensions": ["user_id"],
        "numerator": {"event_name": "seen", "measure": {"op": "sum", "field": "value"}},
    }  # fmt: skip
    answer = ask(project, question)
    assert answer.rows == []
    assert any("beyond the largest number" in note for note in answer.notes)


@pytest.mark.store
def test_an_average_whose_deviation_cannot_be_expressed_says_why_it_has_no_interval(insert, ask):
    """The page of a metric has the reason beside the figure."""
    project = insert([{"value": HUGE}, {"value": -HUGE}])
    figures = ask_metric(
        Average(name="m", event_name="seen"), SPAN, lambda question: _run(ask, project, question), {}
    )
    assert figures.rows[0][:4] == [0.0, 2, None, None]
    assert any("beyond the largest number" in note for note in figures.notes)
