"""An object as it is typed: one and the right one, with the place of every mistake."""

from __future__ import annotations

import pytest

from tallymark.plan.drafts import compare_lines, excerpt, read_draft
from tallymark.plan.files import Problem
from tallymark.plan.kinds import BY_NAME
from tallymark.plan.kinds.metric import Count

_OBJECTS = {"metric": {"orders": Count(name="orders", event_name="order")}, "dashboard": {}}
_COUNT = "metrics:\n  - name: orders\n    kind: count\n    event_name: order\n"


def _read(text, kind="metric", name="orders"):
    return read_draft(BY_NAME[kind], name, text, _OBJECTS)


def test_a_good_text_is_its_object():
    """The object comes out, with comments and all; other objects of the project stay as they are."""
    before = {name: dict(ones) for name, ones in _OBJECTS.items()}
    draft = _read("# why\n" + _COUNT.replace("order\n", "bought # here\n"))
    assert draft.one == Count(name="orders", event_name="bought")
    assert draft.problems == ()
    assert before == _OBJECTS


@pytest.mark.parametrize(
    ("text", "line", "column", "says"),
    [
        ("", 1, 1, "There is no metric: begin with 'metrics:'"),
        ("# only a comment", 1, 1, "There is no metric"),
        ("orders", 1, 1, "Allowed keys: metrics, dashboards"),
        ("metrics: []", 1, 1, "There is no metric"),
        ("metrics:\n  orders: 1", 1, 1, "begin each metric with '- name"),
        ("metrics:\n  - name: a\n   kind: b", 3, 4, "This is no YAML"),
        (_COUNT + "    colour: red\n", 5, 5, "Fields: name, title"),
        (_COUNT.replace("kind: count", "kind: cuont"), 3, 5, "Kinds: count, unique"),
        (_COUNT.replace("event_name: order", "unit: 5\n    event_name: order"), 4, 5, "Expected `str`"),
        (_COUNT + "    filters: [{field: value, op: lt, value: many}]\n", 5, 38, ""),
        (_COUNT + "    role: intermediate\n", 2, 5, "needs a caveat"),
        (_COUNT + "    better: sideways\n", 5, 5, "down, neither, up"),
        (_COUNT + "    filters:\n      - field: value\n        op: eq\n        valeu: 1\n", 8, 9, "Fields: field, op, value"),
        (_COUNT.replace("orders", "sales"), 2, 5, "is called 'orders'"),
        (_COUNT + _COUNT.removeprefix("metrics:\n").replace("orders", "others"), 5, 5, "and nothing else"),
        (_COUNT + "dashboards:\n  - name: b\n    last: 7d\n", 6, 5, "and nothing else"),
        ("dashboards:\n  - name: b\n    last: 7d\n", 2, 5, "below 'metrics:'"),
        ("metrics:\n  - name: orders\n    kind: formula\n    expression: nothing * 2\n", 4, 5, "no metric 'nothing'"),
        ("metrics:\n  - name: orders\n    kind: formula\n    expression: orders * 2\n", 4, 5, "circle"),
    ],
)  # fmt: skip
def test_mistakes_have_their_place(text, line, column, says):
    """Whatever is wrong is told with its line and column, and nothing comes out."""
    draft = _read(text)
    assert draft.one is None
    assert (draft.problems[0].line, draft.problems[0].column) == (line, column)
    assert says in draft.problems[0].message


def test_a_new_object_has_the_name_that_it_says():
    """Without a name that was there before, any will do."""
    assert _read(_COUNT.replace("orders", "sales"), name="").one.name == "sales"


def test_a_dashboards_mistake_is_told_at_its_panel():
    """The second panel asks for a metric that there is not."""
    text = "dashboards:\n  - name: b\n    last: 7d\n    panels:\n      - {name: a, kind: line, metrics: [orders]}\n      - name: c\n        kind: line\n        metrics: [oders]\n"
    (problem,) = _read(text, "dashboard", "b").problems
    assert (problem.line, problem.column) == (8, 19)
    assert "Near: orders" in problem.message


def test_the_lines_around_a_mistake():
    """The line above, the wrong one, the one below; at the ends of the text those that there are."""
    text = "a\nb\nc\nd"

    def around(line, column=1, text=text):
        return [(one.number, one.text, one.wrong) for one in excerpt(text, Problem("", line, column, "", ""))]

    assert around(2) == [(1, "a", False), (2, "b", True), (3, "c", False)]
    assert around(1) == [(1, "a", True), (2, "b", False)]
    assert around(9) == [(3, "c", False), (4, "d", True)]
    assert around(1, text="") == [(1, "", True)]
    long = "x" * 1000 + "HERE" + "y" * 1000
    ((_, shown, _),) = around(1, 1001, long)
    assert "HERE" in shown
    assert len(shown) < 200


def test_lines_that_the_other_text_has_not():
    """What differs can be marked, whatever ends its line."""
    assert compare_lines("a\nb\nc\n", "a\r\nc") == [("a", False), ("b", True), ("c", False)]
