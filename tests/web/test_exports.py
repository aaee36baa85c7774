"""Figures that leave the pages as a file: what must be said about them goes with them."""

from __future__ import annotations

import csv
import io

from tallymark.metrics.figures import Figures
from tallymark.plan.kinds.dashboard import Panel
from tallymark.queries.result import Column, Cost
from tallymark.web.exports import _render_csv
from tallymark.web.panels import View

CAVEAT = "An intermediate metric: counts what was put in the cart, not what was paid for."


def test_a_file_of_figures_carries_its_notes():
    """Notes stand in a column of the first row, figures without any have none, and no row is anything but a row."""
    columns = (Column("figure", "number"), Column("n", "integer"))
    told = Figures("put", "carts", columns, [[1.0, 5], [2.0, 6]], [CAVEAT, "=1+1"], Cost(1.0, 1))
    silent = Figures("paid", "orders", columns, [[3.0, 7]], [], Cost(1.0, 1))
    view = View(Panel(name="course", kind="line", metrics=("put", "paid")), "In carts", asked=[told, silent])
    rows = list(csv.reader(io.StringIO(_render_csv(view).decode())))
    assert rows == [
        ["figure", "n", "notes"],
        ["1.0", "5", f"{CAVEAT} =1+1"],
        ["2.0", "6", ""],
        [],
        ["figure", "n"],
        ["3.0", "7"],
    ]
