"""Formulas: arithmetic and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark.errors import RequestRefused
from tallymark.plan.expression import parse_expression


@pytest.mark.parametrize(
    ("text", "figures", "value"),
    [
        ("a / b * 100", {"a": 1, "b": 4}, 25.0),
        ("-(a - 2) + b", {"a": 5.0, "b": 1}, -2.0),
        ("a / b", {"a": 1, "b": 0}, None),
        ("a + b", {"a": 1}, None),
        ("a * b", {"a": None, "b": 2}, None),
        ("a * 1e15 * 1e15 * a", {"a": 1e300}, None),
    ],
)
def test_value(text, figures, value):
    """A formula is what arithmetic says; a missing part, a division by zero or no finite value give none."""
    assert parse_expression(text).evaluate(figures)[0] == value


def test_names_are_told_once():
    """The names in the order in which they come."""
    assert parse_expression("b + a / (b - c)").names == ("b", "a", "c")


@pytest.mark.parametrize(
    "text",
    ["", "a b", "a +", "__import__('os')", "a.b", "a[0]", "a ** b", "a // b", "a if b else c", "lambda: a", "[a]",
     "'x'", "True", "1j", "a < b", "a and b", "not a", "~a", "A", "(a := b)", "9e999", "f'{a}'", "(" * 3000 + "a" + ")" * 3000,
     "+".join(["a"] * 200)],
)  # fmt: skip
def test_anything_else_is_refused(text):
    """What is no plain arithmetic over names is refused, and never run."""
    with pytest.raises(RequestRefused) as refusal:
        parse_expression(text)
    assert (refusal.value.code, refusal.value.at) == ("invalid_definition", "expression")


@given(text=st.text(alphabet="ab01+-*/(). _", max_size=60))
def test_no_text_breaks_it(text):
    """Any text is an expression or an error that says so."""
    try:
        expression = parse_expression(text)
    except RequestRefused:
        return
    found, _ = expression.evaluate(dict.fromkeys(expression.names, 2.0))
    assert found is None or isinstance(found, float)
