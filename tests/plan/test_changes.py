"""Files against what is there: what would change, what is wrong, and whose an object is."""

from __future__ import annotations

import msgspec
import pytest

from tallymark.catalog.definitions import Definition, Removal, Write
from tallymark.plan.changes import prepare
from tallymark.plan.files import File, read_files
from tallymark.plan.objects import describe_files

COUNT = "metrics:\n  - {name: sales, kind: count, event_name: sold}\n"


def _definition(name, body, *, origin="files", file="a.yaml", version=1, kind="metric"):
    return Definition(kind, name, msgspec.json.encode(body).decode(), origin, file, version)


def _sales(**more):
    return {"kind": "count", "name": "sales", "event_name": "sold", **more}


def _plan(text, present=(), file="a.yaml", origin="files"):
    return prepare([File(file, text)], origin, list(present))


def _actions(prepared):
    return [(change.action, change.name, change.fields) for change in prepared.plan.changes]


def test_create_update_none_and_remove():
    """An object of the files is made, changed where it differs, left alone where not; what the files dropped goes."""
    assert _actions(_plan(COUNT)) == [("create", "sales", [])]
    same = _plan(COUNT, [_definition("sales", _sales())])
    assert (_actions(same), same.writes) == ([("none", "sales", [])], [])
    changed = _plan(COUNT, [_definition("sales", _sales(title="Old"), version=4)])
    assert _actions(changed) == [("update", "sales", ["title"])]
    (write,) = changed.writes
    assert isinstance(write, Write)
    assert write.seen == 4
    dropped = _plan("", [_definition("sales", _sales(), version=2)])
    assert _actions(dropped) == [("remove", "sales", [])]
    assert dropped.writes == [Removal("metric", "sales", 2)]


def test_whose_an_object_is():
    """What was made by hand is taken over; what another origin holds is a mistake; another origin's is not removed."""
    by_hand = _plan(COUNT, [_definition("sales", _sales(), origin="", file="")])
    assert _actions(by_hand) == [("take over", "sales", [])]
    others = _plan(COUNT, [_definition("sales", _sales(), origin="team-b", file="b.yaml")])
    assert "belongs to b.yaml of the origin 'team-b'" in others.plan.problems[0].message
    assert others.writes == []
    assert _actions(_plan("", [_definition("sales", _sales(), origin="team-b")])) == []


def test_a_mistake_anywhere_applies_nothing():
    """All mistakes of all files are told at once, each with its line and column, and then nothing is written."""
    files = [
        File("good.yaml", COUNT),
        File("a.yaml", "metrics:\n  - name: x\n    kind: count\n    event_nam: sold\n  - {name: y, kind: nothing}\n"),
        File("b.yaml", "metric: []\n"),
        File("c.yaml", "metrics: [1, 2\n"),
    ]  # fmt: skip
    prepared = prepare(files, "files", [])
    told = [(one.file, one.line, one.column) for one in prepared.plan.problems]
    assert told == [("a.yaml", 4, 5), ("a.yaml", 5, 15), ("b.yaml", 1, 1), ("c.yaml", 2, 1)]
    messages = [one.message for one in prepared.plan.problems]
    assert "event_nam" in messages[0]
    assert "Kinds: count, unique" in messages[1]
    assert "Allowed keys: metrics, dashboards" in messages[2]
    assert prepared.writes == []


@pytest.mark.parametrize(
    ("metric", "path", "says"),
    [
        ("kind: sum, event_name: sold, field: event_name", "field", "needs numbers"),
        ("kind: unique, event_name: sold, field: sketch", "field", "holds lists"),
        ("kind: count, event_name: sold, filters: [{field: x, op: in, value: 1}]", "filters[0].value", ""),
        ("kind: count, event_name: sold, role: intermediate", "caveat", "needs a caveat"),
        ("kind: funnel, by: session_id, window: soon, steps: [{event_name: a}, {event_name: b}]", "window", "30m"),
        ("kind: funnel, by: session_id, window: 1d, step: 3, steps: [{event_name: a}, {event_name: b}]", "step", "2 to 2"),
        ("kind: formula, expression: nothing * 2", "expression", "no metric 'nothing'"),
        ("kind: formula, expression: bad", "expression", "circle: bad → bad"),
        ("kind: count, event_name: sold, tags: [Ä]", "tags[0]", ""),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_told_at_its_place(metric, path, says):
    """A definition that could not be asked is refused with the path of the field, as it stands in the file."""
    prepared = _plan(f"metrics:\n  - {{name: bad, {metric}}}\n")
    (problem,) = prepared.plan.problems
    assert problem.path == f"metrics[0].{path}"
    assert says in problem.message
    assert problem.line == 2
    assert problem.column >= 5


def test_circles_of_formulas():
    """Formulas that need each other are refused at each of them."""
    text = "metrics:\n" + "".join(
        f"  - {{name: {name}, kind: formula, expression: {other} + 1}}\n"
        for name, other in ("ab", "bc", "ca")
    )
    problems = _plan(text).plan.problems
    assert [one.message for one in problems] == [
        "The formulas go in a circle: a → b → c → a.",
        "The formulas go in a circle: b → c → a → b.",
        "The formulas go in a circle: c → a → b → c.",
    ]


def test_what_stays_must_not_miss_what_goes():
    """Removing a metric that another origin's formula or a dashboard needs is refused."""
    formula = {"kind": "formula", "name": "twice", "expression": "sales * 2"}
    present = [_definition("sales", _sales()), _definition("twice", formula, origin="", file="")]
    (problem,) = _plan("", present).plan.problems
    assert "'twice' needs the metric 'sales', which would be removed" in problem.message


def test_one_name_once():
    """A name in two files is a mistake that tells both places."""
    reading = read_files([File("a.yaml", COUNT), File("b.yaml", COUNT)])
    (problem,) = reading.problems
    assert (problem.file, problem.message) == ("b.yaml", "The metric 'sales' stands in a.yaml, line 2, too.")


def test_dashboard_needs_its_metrics():
    """A panel of a metric that there is not is refused, with names that are near."""
    text = COUNT + "dashboards:\n  - {name: d, last: 30d, panels: [{name: p, kind: line, metrics: [sale]}]}\n"
    (problem,) = _plan(text).plan.problems
    assert problem.path == "dashboards[0].panels[0].metrics[0]"
    assert problem.message == "There is no metric 'sale'. Near: sales."


def test_schema_for_editors():
    """The schema names both kinds and every kind of metric, and takes no key that we do not take."""
    schema = describe_files()
    assert list(schema["properties"]) == ["metrics", "dashboards", "alerts", "rotas"]
    assert schema["additionalProperties"] is False
    assert {"Count", "Quantile", "Rate", "Dashboard", "Panel"} <= set(schema["$defs"])
