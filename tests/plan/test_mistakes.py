"""All that is wrong with the form of an object is told at once, each at its place and in words."""

from __future__ import annotations

import json
from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark.plan.files import File, read_files
from tallymark.plan.kinds import BY_NAME
from tallymark.plan.kinds.dashboard import Dashboard
from tallymark.plan.kinds.metric import Conversion, Metric, Quantile
from tallymark.plan.mistakes import find_mistakes
from tallymark.plan.objects import MOST_MISTAKES, describe_files, read_object
from tallymark.plan.words import PATTERN_WORDS

TEXT = """metrics:
  - name: Ä
    kind: quantile
    event_name: 5
    q: 2
    fild: value
    scrape: soon
    filters: [{field: x, op: is}, {op: eq}, 3]
  - name: b
    kind: funnel
    window: 1d
    steps: [{event_name: a}, {event_nam: b}, {event_name: 4, filters: {}}]
  - {kind: countt, q: 7}
  - {name: c, kind: funnel, by: x, window: 1d, steps: [{event_name: a}]}
dashboards:
  - name: d
    panels:
      - {name: x, kind: pie, metrics: []}
      - {name: y, kind: line, metrics: [B], width: 99}
"""
TOLD = [
    (2, "metrics[0].name"), (4, "metrics[0].event_name"), (5, "metrics[0].q"), (6, "metrics[0].fild"), (7, "metrics[0].scrape"),
    (8, "metrics[0].filters[0].op"), (8, "metrics[0].filters[1]"), (8, "metrics[0].filters[2]"),
    (9, "metrics[1]"), (12, "metrics[1].steps[1].event_nam"), (12, "metrics[1].steps[2].event_name"), (12, "metrics[1].steps[2].filters"),
    (13, "metrics[2].kind"), (14, "metrics[3].steps"),
    (18, "dashboards[0].panels[0].kind"), (18, "dashboards[0].panels[0].metrics"),
    (19, "dashboards[0].panels[1].metrics[0]"), (19, "dashboards[0].panels[1].width"),
]  # fmt: skip


def test_all_of_an_object_is_told_at_once():
    """Each wrong field, each missing one, and in lists each element; of an object of no known kind only that."""
    reading = read_files([File("a.yaml", TEXT)])
    assert [(one.line, one.path) for one in reading.problems] == TOLD
    assert reading.found == []


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("name", "Ä", "Expected a name of a-z, 0-9 and _ that begins with a letter and has at most 64 characters, not 'Ä'."),
        ("tags", ["shop", "9"], "Expected a name of a-z, 0-9 and _ that begins with a letter and has at most 64 characters, not '9'."),
        ("scrape", "5 minutes", "Expected a length of time such as 30s, 5m, 1h or 1d, not '5 minutes'."),
        ("better", "left", "Invalid enum value 'left'. Allowed: down, neither, up."),
    ],
)  # fmt: skip
def test_what_is_allowed_is_told_in_words(field, value, says):
    """Nobody has to read a pattern."""
    _, (refused,) = read_object(
        BY_NAME["metric"], {"name": "m", "kind": "count", "event_name": "a", field: value}
    )
    assert str(refused.message) == says


def test_every_pattern_has_words():
    """A pattern that a type gets later needs words, too."""
    patterns = set()

    def gather(schema):
        if isinstance(schema, dict):
            patterns.update([schema["pattern"]] if isinstance(schema.get("pattern"), str) else [])
            for one in schema.values():
                gather(one)
        elif isinstance(schema, list):
            for one in schema:
                gather(one)

    gather(json.loads(msgspec.json.encode(describe_files())))
    assert patterns == set(PATTERN_WORDS)


def test_there_is_an_end_to_it():
    """Of one object the first mistakes are told."""
    panels = [{"name": "P", "kind": "line", "metrics": ["B"]} for _ in range(40)]
    one, mistakes = read_object(BY_NAME["dashboard"], {"name": "d", "last": "30d", "panels": panels})
    assert (one, len(mistakes)) == (None, MOST_MISTAKES)


GOOD = {
    Quantile: {"name": "m", "kind": "quantile", "event_name": "a", "q": 0.5, "filters": [{"field": "x", "op": "eq", "value": 1}]},
    Conversion: {"name": "m", "kind": "funnel", "by": "x", "window": "1d", "steps": [{"event_name": "a"}, {"event_name": "b"}]},
    Dashboard: {"name": "d", "last": "30d", "panels": [{"name": "p", "kind": "line", "metrics": ["m"], "interval": None}]},
}  # fmt: skip
_plain = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["", "a", "day", "eq", "Ä", "1d"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "field", "op", "z"]), inner)
    ),
    max_leaves=5,
)
_changes = st.dictionaries(
    st.sampled_from(["name", "event_name", "q", "filters", "steps", "panels", "tags", "interval", "odd"]),
    _plain,
    max_size=4,
)


@pytest.mark.parametrize("struct", GOOD, ids=lambda one: one.__name__)
@given(changes=_changes, gone=st.sets(st.sampled_from(["name", "steps", "event_name"]), max_size=1))
def test_the_parts_are_wrong_where_the_whole_is(struct, changes, gone):
    """A mistake is found exactly where decoding the whole refuses it."""
    value = {name: one for name, one in {**GOOD[struct], **changes}.items() if name not in gone}
    try:
        msgspec.convert(value, Metric if struct in get_args(Metric) else struct)
    except msgspec.ValidationError:
        assert list(find_mistakes(struct, value))
    else:
        assert list(find_mistakes(struct, value)) == []
