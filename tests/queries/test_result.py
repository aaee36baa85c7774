"""Answers as bytes: valid JSON whatever is in them, and cells that no spreadsheet runs."""

from __future__ import annotations

import csv
import io
import json
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tallymark.queries.result import MEDIA_TYPES, Answer, Column, Cost, render_answer


def answer(*rows, names=("group", "figure"), notes=()):
    columns = tuple(Column(name, "text") for name in names)
    return Answer(columns, [list(row) for row in rows], list(notes), Cost(1.5))


def test_the_json_has_the_documented_shape():
    """Columns with name, type and unit; rows as lists; notes; statistics."""
    body = json.loads(render_answer(answer(["a", 1], notes=["Mind."]), "application/json"))
    assert body == {
        "columns": [{"name": name, "type": "text", "unit": None} for name in ("group", "figure")],
        "rows": [["a", 1]],
        "notes": ["Mind."],
        "statistics": {"elapsed_ms": 1.5},
    }


def test_ndjson_is_one_object_per_row():
    """Each line is an object by column name."""
    lines = render_answer(answer(["a", 1], [None, 2.5]), "application/x-ndjson").splitlines()
    assert [json.loads(line) for line in lines] == [
        {"group": "a", "figure": 1},
        {"group": None, "figure": 2.5},
    ]


@pytest.mark.parametrize("media_type", MEDIA_TYPES)
def test_nothing_that_is_not_finite_leaves(media_type):
    """NaN and infinities become null, or an empty cell."""
    body = render_answer(answer([math.nan, math.inf], [-math.inf, 1.0]), media_type)
    assert b"nan" not in body.lower()
    assert b"inf" not in body.lower()


@given(text=st.text())
@example(text="\xa0=1+1")
@example(text="\u2003\t=1+1")
def test_no_cell_of_a_csv_is_a_formula(text):
    """Whatever a group is called, its cell reads back as that text, with an apostrophe in front of a formula."""
    body = render_answer(answer([text, -1]), "text/csv").decode("utf-8", "surrogatepass")
    cell = list(csv.reader(io.StringIO(body, newline="")))[1][0]
    assert cell in (text, "'" + text)
    assert not cell.lstrip().startswith(("=", "+", "-", "@"))


def test_numbers_of_a_csv_stay_numbers():
    """A negative figure is no formula; booleans are words; null is empty."""
    body = render_answer(answer([-1.5, True], [None, "=1+1"]), "text/csv").decode()
    assert body.splitlines() == ["group,figure", "-1.5,true", ",'=1+1"]


def test_an_unknown_media_type_is_refused():
    """The caller learns which forms there are."""
    with pytest.raises(ValueError, match="text/csv"):
        render_answer(answer(), "text/html")
