"""A funnel's shares are written as sure as they are, in a table as in a headline."""

from __future__ import annotations

import pytest

from tallymark.metrics.digits import write_figure
from tallymark.metrics.steps import write_share, write_steps
from tallymark.queries.kinds.ratio import wilson_interval
from tallymark.queries.result import Answer, Column, Cost

NAMES = (
    "os",
    "step",
    "name",
    "reached",
    "conversion_from_previous",
    "conversion_from_first",
    "median_seconds",
)


@pytest.mark.parametrize(
    ("share", "of", "text"),
    [(0.9878, 902, "98.78 %"), (0.9451, 902, "94.5 %"), (0.7003, 1000, "70.0 %"), (0.700312, 10**6, "70.031 %"), (1.0, 20, "100.0 %"),
     (None, 10, "–"), (1.234, 100, "120 %"), (0.5, 0, "50 %")],
)  # fmt: skip
def test_a_share_has_the_digits_of_its_interval(share, of, text):
    """It is Wilson's at that n; what is no share of a whole has the digits that its n allows."""
    assert write_share(share, of) == text


def test_each_step_has_its_own_base():
    """A step's shares are of the step before and of the first one, of its own group; medians stay what they are."""
    rows = [
        ["a", 1, "seen", 1000, 1.0, 1.0, None], ["a", 2, "tried", 700, 0.7, 0.7, 3.5], ["a", 3, "done", 21, 0.03, 0.021, 9.0],
        ["b", 1, "seen", 0, None, None, None], ["b", 2, "tried", 0, None, None, None],
    ]  # fmt: skip
    columns = tuple(Column(name, "number") for name in NAMES)
    written = write_steps(Answer(columns, rows, [], Cost(0.0))).rows

    def share(reached, of):
        return write_figure(reached / of, *wilson_interval(reached, of), "ratio")

    assert [row[4:6] for row in written[:3]] == [
        [share(1000, 1000)] * 2,
        [share(700, 1000)] * 2,
        [share(21, 700), share(21, 1000)],
    ]
    assert [row[4:6] for row in written[3:]] == [[None, None]] * 2
    assert [row[-1] for row in written] == [row[-1] for row in rows]
    assert rows[1][4] == 0.7, "the answer itself is as it was"
