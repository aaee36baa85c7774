"""Figures of alerts are those of the metric's page: as exact, and the same where no event came."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec import UNSET

from tallymark.alerts.questions import Questions, Wanted, build_span
from tallymark.alerts.standing import begin
from tallymark.alerts.verdicts import find_verdicts
from tallymark.alerts.windows import Window
from tallymark.alerts.words import write_judged
from tallymark.metrics.digits import write_figure
from tallymark.metrics.figures import ask_metric
from tallymark.plan.kinds.alert import Above, Alert, Rises
from tallymark.plan.kinds.metric import Formula, Unique
from tallymark.queries.events import Present
from tallymark.queries.result import Answer, Column, Cost
from tests.alerts.stories import COUNT, START, World

# A formula of counts, and one whose parts are a count and such a formula.
QUARTER = {"kind": "formula", "name": "quarter", "expression": "seen * 0.25", "owner": "growth"}
NESTED = {"kind": "formula", "name": "nested", "expression": "seen + quarter", "owner": "growth"}
QUOTIENT = {"kind": "formula", "name": "quotient", "expression": "seen / 4", "owner": "growth"}

BY_ZERO = {"kind": "formula", "name": "by_zero", "expression": "seen / (seen - 4)", "owner": "growth"}


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    for metric in (COUNT, QUARTER, NESTED, QUOTIENT, BY_ZERO):
        made.define("metric", metric)
    yield made
    made.close()


def ask_page(world, metric, wanted):
    """Return what the page of a metric shows for the window of an alert."""
    metrics = world.watcher.metrics_of("shop")
    return ask_metric(metrics[metric], build_span(wanted), lambda one: world._ask("shop", one), metrics)


@pytest.mark.parametrize(
    ("metric", "exact", "text"),
    [
        ("seen", True, "4,937 (n 4,937), above 0.5"),
        ("quarter", True, "1,234.25 (n 4,937), above 0.5"),
        ("nested", True, "6,171.25 (n 4,937), above 0.5"),
        # A quotient is an estimate on the page, and so it is here.
        ("quotient", False, "1,230 (n 4,937), above 0.5"),
    ],
)
def test_a_figure_is_as_exact_in_an_alert_as_on_the_page(world, metric, exact, text):
    """A formula of counts is a count: alerts keep and write it in full, as the metric's page does."""
    world.watch(metric=metric, when={"is": "above", "value": 0.5})
    world.happen(4937, at=world.now + timedelta(seconds=5))
    world.tick(10)
    judged = world.book.load("shop")["low"].standings[()].judged
    page = ask_page(world, metric, Wanted(metric, Window(START, world.now)))
    assert (judged.value, judged.exact) == (page.rows[0][0], page.exact)
    assert judged.exact is exact
    alert = world.watcher._projects["shop"].alerts["low"]
    assert write_judged(alert, judged) == text
    shown = write_figure(judged.value, None, None, sample=page.sample_of(page.rows[0]))
    assert text.startswith(f"{shown} (")


PEOPLE = {
    "people": Unique(name="people", event_name="seen"),
    "all_people": Formula(name="all_people", expression="people * 1"),
}


@pytest.mark.parametrize("metric", PEOPLE)
@pytest.mark.parametrize(
    ("marks", "when", "said"),
    [
        ([True], Above(value=0.5), "4,937 (n 4,937), above 0.5"),
        ([UNSET], Above(value=0.5), "4,900 (n 4,937), above 0.5"),
        # What it is held against may be what was estimated.
        ([True, True], Rises(by=1, against="previous"), "4,937 (n 4,937), 1 % above 4,888 in the window before"),
        ([True, UNSET], Rises(by=1, against="previous"), "4,940 (n 4,937), 1 % above 4,900 in the window before"),
    ],
)  # fmt: skip
def test_what_the_store_only_estimated_is_no_exact_figure(metric, marks, when, said):
    """Unique values of very many events are approximate, and have the digits of an estimate in alerts too."""
    counts = iter(zip([4937, 4888], marks, strict=False))

    def ask(_):
        count, mark = next(counts)
        columns = (Column("figure", "integer", exact=mark), Column("n", "integer"))
        return Answer(columns, [[count, count]], [], Cost(1.0))

    alert = Alert(name="low", metric=metric, when=when, window="1m")
    questions = Questions(PEOPLE, ask, lambda _: Present({"seen": 1}, quiet=False))
    (judged,) = find_verdicts(questions, alert, PEOPLE[metric], START, {}).values()
    assert judged.exact is (UNSET not in marks)
    assert write_judged(alert, judged) == said


@pytest.mark.parametrize(
    ("metric", "least", "said"),
    [
        ("quarter", None, "5 (n 20), a part has fewer events than its own minimum"),
        ("nested", None, "25 (n 20), a part has fewer events than its own minimum"),
        ("quarter", 10, "5 (n 20), above 0.5"),
        ("nested", 10, "25 (n 20), above 0.5"),
        ("quarter", 21, "5 (n 20), a part has fewer than 21 events"),
    ],
)
def test_an_alert_on_a_formula_may_need_fewer_events_than_its_parts(world, metric, least, said):
    """The minimum of a part is for those who say nothing, as a metric's own is."""
    world.watch(
        metric=metric,
        when={"is": "above", "value": 0.5},
        **({} if least is None else {"minimum_sample": least}),
    )
    world.define("metric", {**COUNT, "minimum_sample": 50})
    world.happen(20, at=world.now + timedelta(seconds=5))
    world.tick(10)
    judged = world.book.load("shop")["low"].standings[()].judged
    assert judged.verdict == ("met" if least == 10 else "too few")
    assert write_judged(world.watcher._projects["shop"].alerts["low"], judged) == said


def test_a_division_by_zero_is_not_told_as_no_events(world):
    """Four events came, so nobody is told that none did."""
    world.watch(metric="by_zero", when={"is": "above", "value": 1})
    world.happen(4, at=world.now + timedelta(seconds=5))
    world.tick(10)
    judged = world.book.load("shop")["low"].standings[()].judged
    assert (judged.verdict, judged.value) == ("no data", None)
    said = write_judged(world.watcher._projects["shop"].alerts["low"], judged)
    assert said == "A part has no figure, or there is a division by zero"


@pytest.mark.parametrize("window", ["1m", "2h"])
@pytest.mark.parametrize("metric", ["seen", "quarter", "nested"])
def test_no_events_are_the_same_figure_in_an_alert_and_on_the_page(world, metric, window):
    """Beside other events a count of nothing is 0, and so is a formula of such counts, over short and long windows alike."""
    world.others = True
    world.watch(metric=metric, when={"is": "below", "value": 1}, window=window)
    world.tick(10)
    judged = world.book.load("shop")["low"].standings[()].judged
    page = ask_page(world, metric, Wanted(metric, Window(START, world.now)))
    assert (judged.verdict, judged.value, judged.n) == ("met", 0, 0)
    assert [page.rows[0][0], page.rows[0][1]] == [0, 0]


def test_a_value_without_events_is_what_the_formula_is_then(world):
    """Of a value that did not come a formula of counts is 0, as a count is, and no missing figure."""
    world.watch(metric="nested", breakdown=["os"], when={"is": "above", "value": 5})
    world.happen(4, "iOS", START)
    world.tick(10)
    known = world.watcher._projects["shop"]
    end = START + timedelta(seconds=10)
    standings = {(name,): begin(end, known.alerts["low"]) for name in ("iOS", "Android")}
    found = find_verdicts(known.questions, known.alerts["low"], known.metrics["nested"], end, standings)
    assert {values: (one.verdict, one.value, one.n) for values, one in found.items()} == {
        ("iOS",): ("not met", 5, 4),
        ("Android",): ("not met", 0, 0),
    }
