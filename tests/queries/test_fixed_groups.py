"""Groups that are named are shown, in their order, with or without events; all others stand together where asked."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tallymark.errors import RequestRefused
from tallymark.queries.parse import parse_question

pytestmark = pytest.mark.store

DAY = {
    "kind": "trend",
    "from": "2024-01-01",
    "to": "2024-01-03",
    "series": [{"event_name": "seen", "name": "n"}],
}


def test_named_groups_in_their_order(insert, ask):
    """Missing, empty, a text and a number are told apart; a group without events is 0 in every interval."""
    values = [None, None, "", "5", 5, "a", "b"]
    project = insert(
        [
            {
                "event_time": f"2024-01-0{1 + place % 2}T00:00:00Z",
                "attributes": {} if one is None else {"x": one},
            }
            for place, one in enumerate(values)
        ]
    )
    groups = [["b"], [None], [""], ["nobody"], ["5"]]
    answer = ask(project, DAY, breakdown=["x"], groups=groups)
    assert answer.rows == [["b", 1], [None, 2], ["", 1], ["nobody", 0], ["5", 2]]
    with_others = ask(project, DAY, breakdown=["x"], groups=groups, others=True)
    assert with_others.rows[-1] == [None, 2, 1]
    by_day = ask(project, DAY, breakdown=["x"], groups=[["a"], ["b"]], interval="day")
    assert [row[1:] for row in by_day.rows] == [["a", 0], ["b", 1], ["a", 1], ["b", 0]]


def test_core_fields_numbers_and_several_fields(insert, ask):
    """A core text that was not given is null, hours are numbers, several fields make one group."""
    project = insert(
        [
            {"event_time": "2024-01-01T03:00:00Z", "agent_os": "iOS", "is_dev": True},
            {"event_time": "2024-01-01T03:30:00Z", "agent_os": "", "is_dev": False},
            {"event_time": "2024-01-01T14:00:00Z", "agent_os": "iOS", "is_dev": False},
        ]
    )
    answer = ask(
        project, DAY, breakdown=["agent_os", "event_hour"], groups=[["iOS", 14], [None, 3], ["iOS", 4]]
    )
    assert [row[-1] for row in answer.rows] == [1, 1, 0]
    assert [row[-1] for row in ask(project, DAY, breakdown=["is_dev"], groups=[[True], [False]]).rows] == [
        1,
        2,
    ]


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.sampled_from(["a", "b:1", "1:b", "", "ä", "-", "'", "\\"]), min_size=1, max_size=30))
def test_named_groups_are_those_of_the_whole(insert, ask, made):
    """Whatever the values: asked by name, each group has the figure that it has among all."""
    project = insert([{"attributes": {"g": name}} for name in made])
    whole = ask(project, DAY, breakdown=["g"])
    named = ask(project, DAY, breakdown=["g"], groups=[[row[0]] for row in whole.rows])
    assert named.rows == whole.rows


def test_a_group_has_a_value_per_field():
    """Too few values are refused with the place."""
    with pytest.raises(RequestRefused) as caught:
        parse_question({**DAY, "breakdown": ["a", "b"], "groups": [["x", "y"], ["x"]]})
    assert caught.value.at == "groups[1]"
