"""Figures of alerts are those of the metric's page: as exact, and the same where no event came."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec import UNSET

from tallymark.alerts.links import Links
from tallymark.alerts.messages import build_message
from tallymark.alerts.questions import Questions, Wanted, build_span
from tallymark.alerts.standing import begin, find_shown, has_events
from tallymark.alerts.verdicts import find_verdicts
from tallymark.alerts.windows import Window
from tallymark.alerts.words import write_judged
from tallymark.metrics.digits import write_figure
from tallymark.metrics.figures import ask_metric
from tallymark.plan.kinds.alert import Above, Alert, Below, Rises
from tallymark.plan.kinds.metric import Count, Formula, Rate, Unique
from tallymark.queries.events import Present
from tallymark.queries.kinds.ratio import Ratio
from tallymark.queries.question import Measure, Selection
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


def test_a_metric_without_a_figure_has_data_all_the_same(world):
    """Events come from the first window on, and the formula divides by zero: it does not stand as what never had any."""
    world.watch(metric="by_zero", when={"is": "above", "value": 1}, no_data={"for": "10m"})
    world.happen(4, at=world.now + timedelta(seconds=5))
    world.tick(10)
    standing = world.book.load("shop")["low"].standings[()]
    assert (standing.judged.verdict, find_shown(standing)) == ("no data", "ok")
    assert world.book.list_never("shop") == set()
    # Once that has lasted, the state and the message say why.
    world.receiver("pager", "growth")
    for _ in range(66):
        world.happen(4, at=world.now - timedelta(seconds=5))
        world.events = world.events[-4:]
        world.tick(10)
    assert world.state() == "no data"
    (batch,) = world.notices.claim(world.now)
    title = build_message(batch, Links(), world.now).title
    assert title == "Warning: low: no data: a part has no figure, or there is a division by zero"


PER_VISIT = Rate(
    name="per_visit", numerator=Selection(event_name="ordered"), denominator=Selection(event_name="visited")
)
VALUE = Measure(op="sum", field="value")
OF_SUMS = Rate(
    name="of_sums",
    numerator=Selection(event_name="ordered", measure=VALUE),
    denominator=Selection(event_name="visited", measure=VALUE),
)
RATES = {
    "per_visit": PER_VISIT,
    "of_sums": OF_SUMS,
    "orders": Count(name="orders", event_name="ordered"),
    "visits": Count(name="visits", event_name="visited"),
    "formula": Formula(name="formula", expression="orders / visits"),
    "of_formula": Formula(name="of_formula", expression="formula * 2"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("metric", "orders", "visits", "came", "said"),
    [
        ("per_visit", 5, 0, True, "The denominator is 0"),
        ("of_sums", 5, 0, True, "The denominator is 0"),
        # Visits whose values add up to 0.
        ("of_sums", 5, 3, True, "The denominator is 0"),
        ("of_sums", 0, 3, True, "The denominator is 0"),
        ("formula", 5, 0, True, "A part has no figure, or there is a division by zero"),
        ("of_formula", 5, 0, True, "A part has no figure"),
        # Nothing came: an ordinary outage.
        ("per_visit", 0, 0, False, "no events in the last 15m"),
        ("of_sums", 0, 0, False, "no events in the last 15m"),
        ("formula", 0, 0, False, "A part has no figure, or there is a division by zero"),
    ],
)  # fmt: skip
def test_events_of_one_side_are_not_told_as_no_events(metric, orders, visits, came, said):
    """Orders came, and no visits that a figure could be made of: that is no data, and not as if nothing had come."""
    counted = {"ordered": orders, "visited": visits}

    def ask(question):
        if isinstance(question, Ratio):
            cells = [orders, 0, None, None, None]
        else:
            cells = [counted[one.event_name] for one in question.series]
        return Answer(tuple(Column("figure", "number") for _ in cells), [cells], [], Cost(1.0))

    events = {name: count for name, count in {**counted, "other": 1}.items() if count}
    questions = Questions(RATES, ask, lambda _: Present(events, quiet=False))
    alert = Alert(name="low", metric=metric, when=Below(value=1), window="15m")
    (judged,) = find_verdicts(questions, alert, RATES[metric], START, {}).values()
    assert (judged.verdict, has_events(judged), write_judged(alert, judged)) == ("no data", came, said)


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
