"""Arithmetic over metrics: a text such as `revenue / sign_ups * 100` to a tree, and its value for given figures.

Only numbers, names, + - * / and parentheses. Python's own grammar reads it; nothing of it is ever executed.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from tallymark.plan.words import NAME_PATTERN, refuse

_NAME: Final = re.compile(NAME_PATTERN)
_ALLOWED: Final = "Allowed are names of metrics, numbers, + - * / and parentheses."
_MAX_PARTS: Final = 200
_OPERATORS: Final[dict[type[ast.operator], Callable[[Decimal, Decimal], Decimal]]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
}


@dataclass(frozen=True, slots=True)
class Expression:
    """A parsed expression; `names` are the metrics in it, in order, each once."""

    names: tuple[str, ...]
    _root: ast.expr

    @property
    def divides(self) -> bool:
        """Whether anything is divided."""
        return any(isinstance(node, ast.Div) for node in ast.walk(self._root))

    def evaluate(self, figures: Mapping[str, float | None]) -> tuple[float | None, bool]:
        """Return the value, and whether a double carries it exactly, given that the figures are exact.

        It is None where a figure is missing, something is divided by zero or nothing finite comes out. Figures count as the
        decimals that they are written as: 0.1 + 0.2 is 0.3.
        """
        try:
            found = _value(self._root, figures)
            value = None if found is None else float(found)
        except (ArithmeticError, ValueError):
            return None, True
        if value is None or not math.isfinite(value):
            return None, True
        return value, Decimal(repr(value)) == found


def parse_expression(text: str) -> Expression:
    """Read an expression; raises RequestRefused (invalid_definition) that says what is allowed."""
    try:
        root = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise refuse(f"{text[:80]!r} is no expression. {_ALLOWED}", "expression") from None
    names: dict[str, None] = {}
    parts = 0
    for node in ast.walk(root):
        parts += 1
        _check(node)
        if isinstance(node, ast.Name):
            names[node.id] = None
    if parts > _MAX_PARTS:
        raise refuse(f"The expression has {parts} parts, {_MAX_PARTS} are allowed.", "expression")
    return Expression(tuple(names), root)


def _check(node: ast.AST) -> None:
    if isinstance(node, ast.Name):
        if not _NAME.fullmatch(node.id):
            raise refuse(f"{node.id[:80]!r} is no name of a metric.", "expression")
    elif isinstance(node, ast.Constant):
        value = node.value
        if isinstance(value, bool) or not isinstance(value, (int, float)) or abs(value) > 1e15:
            raise refuse(f"{str(value)[:80]!r} is no number up to 1e15. {_ALLOWED}", "expression")
    elif not isinstance(node, (ast.BinOp, ast.UnaryOp, ast.USub, ast.Load, *_OPERATORS)):
        raise refuse(f"An expression cannot hold {type(node).__name__}. {_ALLOWED}", "expression")


def _value(node: ast.expr, figures: Mapping[str, float | None]) -> Decimal | None:
    if isinstance(node, ast.Name):
        figure = figures.get(node.id)
        return None if figure is None else Decimal(repr(figure))
    if isinstance(node, ast.Constant):
        return Decimal(repr(node.value))
    if isinstance(node, ast.UnaryOp):
        inner = _value(node.operand, figures)
        return None if inner is None else -inner
    if isinstance(node, ast.BinOp):
        left, right = _value(node.left, figures), _value(node.right, figures)
        if left is not None and right is not None:
            return _OPERATORS[type(node.op)](left, right)
    return None
