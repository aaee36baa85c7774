"""The page about questions: what it shows works, and what it lists is what there is."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import get_args

import pytest

from tallymark.queries import filters, grid, measures, period, question, result
from tallymark.queries.kinds import KINDS, change, funnel, trend

PAGE = (Path(__file__).parents[2] / "docs" / "questions.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)


def test_every_kind_has_an_example():
    """Whoever reads the page sees each kind asked."""
    kinds = {json.loads(example)["kind"] for example in EXAMPLES}
    assert kinds == {kind.__struct_config__.tag for kind in KINDS}


@pytest.mark.store
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: json.loads(example)["kind"])
def test_the_examples_are_answered(example, ask, flights_project):
    """Each example, asked of the flights, has rows with figures in them."""
    answer = ask(flights_project, json.loads(example))
    assert answer.rows
    assert any(isinstance(cell, int | float) and cell > 0 for row in answer.rows for cell in row)


def test_every_word_is_on_the_page():
    """Operators, intervals, types and forms of answers are all documented."""
    words = [
        *get_args(question.FilterOp),
        *get_args(question.MeasureOp),
        *get_args(question.Interval),
        *result.MEDIA_TYPES[1:],
    ]
    assert [word for word in words if f"`{word}`" not in PAGE] == []


@pytest.mark.parametrize(
    "limit",
    [
        measures.EXACT_ROWS,
        period.MAX_INTERVALS,
        grid.MAX_ROWS,
        filters.MAX_LIST,
        filters.MAX_VALUE,
        filters.MAX_PATTERN,
        funnel.MAX_STEPS,
        change.MAX_DIMENSIONS,
        trend.MAX_SERIES,
        question.MAX_FILTERS,
        question.MAX_BREAKDOWNS,
    ],
)
def test_the_limits_are_those_of_the_program(limit):
    """A number on the page is the number that is checked."""
    assert re.search(rf"\b{limit:,}\b", PAGE)


def test_the_stated_errors_are_those_of_the_notes():
    """What the notes say about approximate figures stands on the page."""
    flat = " ".join(PAGE.split())
    for error in (measures.UNIQUE_ERROR, measures.QUANTILE_ERROR, measures.SKETCH_ERROR):
        assert error.replace("standard error", "standard error of") in flat or error in flat
