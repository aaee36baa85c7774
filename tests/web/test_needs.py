"""What needs somebody: the sentence, how figures and bands are written, whose metrics they are, what is remembered."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tallymark.clock import FixedClock
from tallymark.errors import RequestRefused
from tallymark.metrics.figures import Figure
from tallymark.metrics.usual import Band, Day, Judged
from tallymark.plan.kinds.metric import Count, Formula, Sum, Unique
from tallymark.web import judging as judging_room
from tallymark.web.judging import KEPT_SECONDS, Failed, Judging
from tallymark.web.needs import Needs, add_verdict, list_owners


def make_needs(leaves, **more):
    return Needs(datetime(2026, 5, 11, tzinfo=UTC).date(), "UTC", leaves, leaves, leaves, [], **more)


METRIC = Count(name="orders", event_name="order", title="Orders")


def judged(verdict, value, band, *, exact=True):
    return Judged(
        verdict,
        datetime(2026, 5, 11, tzinfo=UTC).date(),
        Day(Figure(value, value), exact=exact),
        8,
        None,
        band,
    )


@pytest.mark.parametrize(
    ("leaves", "out", "usual", "later", "sentence", "state"),
    [
        (12, 0, 12, 0, "All 12 of your metrics are in their usual range.", "good"),
        (2, 0, 2, 0, "Both your metrics are in their usual range.", "good"),
        (12, 1, 11, 0, "1 of your 12 metrics is out of its usual range.", "bad"),
        (12, 2, 3, 0, "2 of your 12 metrics are out of their usual range.", "bad"),
        (12, 0, 5, 0, "5 of your 12 metrics are in their usual range, none is out of it.", "good"),
        (12, 0, 1, 0, "1 of your 12 metrics is in its usual range, none is out of it.", "good"),
        (12, 0, 0, 0, "None of your 12 metrics can be judged.", ""),
        (60, 0, 50, 0, "All 50 metrics looked at are in their usual range.", "good"),
        (60, 3, 37, 10, "3 of the 40 metrics looked at are out of their usual range.", "bad"),
        (1, 1, 0, 0, "Your one metric is out of its usual range.", "bad"),
        (1, 0, 1, 0, "Your one metric is in its usual range.", "good"),
        (1, 0, 0, 0, "Your one metric cannot be judged.", ""),
        (0, 0, 0, 0, "", ""),
        (2, 0, 0, 2, "", ""),
    ],
)
def test_the_sentence(leaves, out, usual, later, sentence, state):
    """How it stands is one sentence with the right numbers."""
    needs = make_needs(leaves, usual=usual, later=later)
    for _ in range(out):
        add_verdict(needs, METRIC, judged("below", 3, Band(60, 40, 80, 8)))
    assert (needs.sentence, needs.state) == (sentence, state)


def test_how_a_metric_that_is_out_is_written():
    """Counts are whole and sums in full; the range beside them has its own digits, and they never seem to lie inside it."""
    needs = make_needs(2)
    add_verdict(needs, METRIC, judged("below", 12, Band(60.5, 41.3, 79.7, 8)))
    add_verdict(
        needs,
        Sum(name="revenue", event_name="order", unit="EUR"),
        judged("above", 1_234_341.5, Band(1_230_000, 1_225_660, 1_234_340, 8)),
    )
    count_row, sum_row = needs.out
    assert (count_row.figure, count_row.usual, count_row.news) == ("12", "42 to 79", "bad")
    assert (sum_row.figure, sum_row.usual, sum_row.news) == (
        "1,234,341.5 EUR",
        "1,225,700 to 1,234,300 EUR",
        "good",
    )
    assert count_row.strip == (44, 94, 6)


@pytest.mark.parametrize(("exact", "figure"), [(True, "12,345,678"), (False, "12,346,000")])
def test_an_estimate_is_no_finer_than_the_range_beside_it(exact, figure):
    """Unique values that were counted are written in full; those of very many events are approximate."""
    needs = make_needs(1)
    metric = Unique(name="people", event_name="seen")
    add_verdict(needs, metric, judged("below", 12_345_678, Band(15.5e6, 15e6, 16e6, 8), exact=exact))
    assert [one.figure for one in needs.out] == [figure]


@pytest.mark.parametrize(
    ("least", "n", "why"),
    [(50, 20, "20 of the 50 that it needs"), (10, 20, "a part has too few events"), (0, 20, "a part has too few events")],
)  # fmt: skip
def test_why_there_are_too_few(least, n, why):
    """A figure names its own minimum only where it has fewer events than that."""
    day = datetime(2026, 5, 11, tzinfo=UTC).date()
    metric = Formula(name="f", expression="orders * 2", minimum_sample=least)
    needs = make_needs(1)
    add_verdict(needs, metric, Judged("no data", day, Day(Figure(40, n), enough=False), 8, day))
    assert [one.words for one in needs.no_data] == [why]


def test_whose_metrics_they_are():
    """The person's own name counts in any case; followed owners stay in the list when nothing is theirs."""
    metrics = [
        Count(name=f"m{n}", event_name="x", owner=owner) for n, owner in enumerate(["Ana", "growth", "", " "])
    ]
    owners = {one.name: one for one in list_owners(metrics, frozenset({"gone"}), "ana")}
    assert list(owners) == ["Ana", "gone", "growth"]
    assert (owners["Ana"].is_person, owners["gone"].is_followed, owners["growth"].is_followed) == (
        True,
        True,
        False,
    )
    assert len({one.mark for one in owners.values()}) == 3


class _Services:
    """The little that judging needs."""

    def __init__(self):
        self.clock, self.store, self.query_limits = FixedClock(), None, None


class _Asker:
    project, digest, metrics, ask = "shop", b"one", {}, None


def test_a_verdict_holds_for_minutes(monkeypatch):
    """The same day is judged once in five minutes; another definition, or a passing failure, is judged at once."""
    day, answers = datetime(2026, 5, 11, tzinfo=UTC).date(), []

    def ask_days(*_):
        answers.append(1)
        if len(answers) == 4:
            raise RequestRefused("store_unavailable", retry_after=5)
        return {day: Day(Figure(5, 5))}

    monkeypatch.setattr(judging_room, "ask_days", ask_days)
    services, asker = _Services(), _Asker()
    judging = Judging(services)
    first = judging.judge(asker, METRIC, day, "UTC")
    assert judging.judge(asker, METRIC, day, "UTC") is first
    assert len(answers) == 1
    judging.judge(asker, METRIC, day, "Asia/Tokyo")
    assert len(answers) == 2
    services.clock.advance(KEPT_SECONDS)
    judging.judge(asker, METRIC, day, "UTC")
    assert len(answers) == 3
    asker.digest = b"other"
    failed = judging.judge(asker, METRIC, day, "UTC")
    assert isinstance(failed, Failed)
    assert failed.passes
    assert isinstance(judging.judge(asker, METRIC, day, "UTC"), Judged)
