"""A metric's figures: what their n counts, how sure they are, and for which time they are."""

from __future__ import annotations

import msgspec
import pytest
from msgspec import UNSET

from tallymark.metrics.figures import ask_metric
from tallymark.metrics.intervals import mean_interval
from tallymark.plan.kinds.metric import (
    Average,
    Count,
    Formula,
    Gauge,
    Metric,
    Quantile,
    Rate,
    Span,
    Sum,
    Unique,
)
from tallymark.queries.question import Measure, Selection
from tallymark.queries.result import Answer, Column, Cost

SPAN = Span(start="2026-03-28", end="2026-03-30", timezone="Europe/Berlin")


def figures_of(metric, *cells, others=None, span=SPAN, exact=True):
    """Return the figures where the store answers each question with one row of these cells; `exact` is their columns' mark."""
    asked = []

    def ask(question):
        asked.append(question)
        row = list(cells)[: len(getattr(question, "series", ())) or None]
        return Answer(
            tuple(Column(f"c{n}", "number", exact=exact) for n, _ in enumerate(row)), [row], [], Cost(0.0)
        )

    return ask_metric(metric, span, ask, others or {}), asked


def test_a_mean_of_sketches_is_as_sure_as_their_values_and_their_error_allow():
    """It stands on the number of values, and both ends lie one per cent of the mean farther out than those of single values."""
    sketch, _ = figures_of(
        Average(name="m", event_name="a", field="sketch", minimum_sample=400), 200.0, 400, 20.0
    )
    single, _ = figures_of(Average(name="m", event_name="a", minimum_sample=401), 200.0, 400, 20.0)
    low, high = mean_interval(200.0, 20.0, 400)
    assert single.rows == [[200.0, 400, low, high, False]]
    assert sketch.rows == [[200.0, 400, low - 2.0, high + 2.0, True]]


def test_values_of_sketches_are_counted_and_not_events():
    """What n is asked with is the number of values, of all kinds that sketches have; else the events that have the field."""
    for metric in (Sum, Average, Quantile):
        _, (question,) = figures_of(metric(name="m", event_name="a", field="sketch"), 1.0, 2, None, None)
        assert question.series[1].measure == Measure(op="count", field="sketch")
        _, (question,) = figures_of(metric(name="m", event_name="a"), 1.0, 2, None, None)
        assert (question.series[1].measure.field, question.series[1].filters[0].op) == (None, "exists")
    sum_of = Selection(event_name="a", measure=Measure(op="sum", field="sketch"))
    _, (_, counts) = figures_of(
        Rate(name="m", numerator=Selection(event_name="a"), denominator=sum_of), 1.0, 2, 0.5, None, None
    )
    assert [one.measure.field for one in counts.series] == [None, "sketch"]


def test_a_group_of_one_part_only_has_a_figure_where_the_other_part_is_a_formula():
    """Of what a formula's parts do not know it is made of zeros, like a count: it is no missing figure."""
    others = {
        "orders": Count(name="orders", event_name="o"),
        "returns": Count(name="returns", event_name="r"),
        "kept": Formula(name="kept", expression="orders - returns"),
        "opened": Count(name="opened", event_name="p"),
    }
    rows = {"o": [["DE", 3]], "r": [], "p": [["DE", 2], ["FR", 7]]}

    def ask(question):
        columns = (Column("country", "text"), Column("figure", "number"))
        return Answer(columns, rows[question.series[0].event_name], [], Cost(0.0))

    span = Span(start="2026-03-28", end="2026-03-30", breakdown=("country",), groups=(("DE",), ("FR",)))
    figures = ask_metric(Formula(name="all", expression="opened + kept"), span, ask, others)
    assert [row[:3] for row in figures.rows] == [["DE", 5, 0], ["FR", 7, 0]]


@pytest.mark.parametrize(
    ("own", "of_part", "note"),
    [
        (50, 0, "1 of 1 figures stand on too few events to rely on: fewer than 50."),
        (50, 60, "1 of 1 figures stand on too few events to rely on: fewer than 50."),
        (10, 50, "1 of 1 figures stand on too few events to rely on."),
        (0, 50, "1 of 1 figures stand on too few events to rely on."),
    ],
)
def test_the_minimum_that_is_named_was_not_reached(own, of_part, note):
    """20 events are not fewer than 10: where only a part's minimum is not reached the formula's own is not named."""
    others = {"orders": Count(name="orders", event_name="o", minimum_sample=of_part)}
    metric = Formula(name="f", expression="orders * 2", minimum_sample=own)
    found, _ = figures_of(metric, 20, others=others)
    assert found.notes == [note]


PARTS = {
    "orders": Count(name="orders", event_name="o"), "revenue": Sum(name="revenue", event_name="o"),
    "delay": Average(name="delay", event_name="o"), "took": Sum(name="took", event_name="o", field="sketch"),
}  # fmt: skip


def formula(text):
    return Formula(name="f", expression=text)


@pytest.mark.parametrize(
    ("metric", "exact"),
    [
        (PARTS["orders"], True), (Unique(name="m", event_name="a"), True), (PARTS["revenue"], True), (Gauge(name="m", event_name="a"), True),
        (PARTS["delay"], False), (Quantile(name="m", event_name="a"), False), (PARTS["took"], False),
        (formula("orders * 2 - revenue"), True), (formula("revenue / orders"), False), (formula("delay + 1"), False),
    ],
)  # fmt: skip
def test_what_was_counted_is_exact(metric: Metric, exact):
    """Counted, added up or read is exact, also sums of it; what is divided or averaged is an estimate, limited by its n."""
    found, _ = figures_of(metric, 3.0, 9, 1.0, 5.0, others=PARTS)
    assert found.exact is exact
    (row,) = found.rows
    assert found.sample_of(row) == ("exact" if exact else row[-4])


@pytest.mark.parametrize(
    ("metric", "others"),
    [
        (Unique(name="m", event_name="a"), {}),
        (formula("people * 2"), {"people": Unique(name="people", event_name="a")}),
        (formula("orders + twice"), {**PARTS, "people": Unique(name="people", event_name="a"),
                                     "twice": Formula(name="twice", expression="people * 2")}),
    ],
)  # fmt: skip
def test_what_the_store_only_estimated_is_an_estimate(metric, others):
    """Unique values of very many events are approximate: their figures, and formulas of them, have the digits of estimates."""
    found, _ = figures_of(metric, 12_345_678, 20_000_000, others=others, exact=UNSET)
    assert (found.exact, found.estimate) == (False, True)
    assert found.sample_of(found.rows[0]) == found.rows[0][-4]
    counted, _ = figures_of(metric, 12_345_678, 20_000_000, others=others)
    assert (counted.exact, counted.estimate) == (True, False)
    # What a double does not carry was counted all the same.
    large, _ = figures_of(metric, 12_345_678, 20_000_000, others=others, exact=False)
    assert (large.exact, large.estimate) == (False, False)


def test_figures_say_their_time():
    """From and to stand in the answer with their offset, so that nobody has to know how a comparison was shifted."""
    found, _ = figures_of(PARTS["orders"], 3)
    said = msgspec.to_builtins(found)
    assert (said["from"], said["to"]) == ("2026-03-28T00:00:00+01:00", "2026-03-30T00:00:00+02:00")
    in_utc, _ = figures_of(PARTS["orders"], 3, span=Span(start="2026-03-28", end="2026-03-30"))
    assert in_utc.start == "2026-03-28T00:00:00Z"
