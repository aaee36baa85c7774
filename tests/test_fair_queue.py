"""Places are shared: projects take turns, and within a project its senders."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallymark.fair_queue import Bounds, QueueFull, Turns


def _drain(turns: Turns[str], held: list[str]) -> list[str]:
    """Give places back one after another; return who got one, in that order."""
    order: list[str] = []
    while held:
        woken = turns.give_back(held.pop(0))
        order += woken
        held += [one[0] for one in woken]
    return order


def test_projects_take_turns_however_much_one_wants():
    """Somebody who comes after a hundred of another project waits for one of them, not for all."""
    turns: Turns[str] = Turns(Bounds(places=1, each=1))
    assert turns.take("a")
    for number in range(100):
        turns.wait("a", "", f"a{number}")
    turns.wait("b", "", "b0")
    assert _drain(turns, ["a"])[:3] == ["a0", "b0", "a1"]


def test_senders_of_a_project_take_turns():
    """Of one project a sender with many does not keep another waiting."""
    turns: Turns[str] = Turns(Bounds(places=1, each=1))
    assert turns.take("p")
    for number in range(3):
        turns.wait("p", "token", f"t{number}")
    turns.wait("p", "person", "person")
    order = [turns.give_back("p")[0] for _ in range(4)]
    assert order == ["t0", "person", "t1", "t2"]


def test_one_project_never_has_all_places():
    """The last place is for another project, which gets it at once."""
    turns: Turns[str] = Turns(Bounds(places=3, each=2))
    assert [turns.take("a") for _ in range(3)] == [True, True, False]
    turns.wait("a", "", "a2")
    assert turns.take("b")
    assert not turns.take("c")


def test_what_waits_is_bounded():
    """So many of a project and of a sender may wait; those of another project may too."""
    turns: Turns[str] = Turns(Bounds(places=1, each=1, waiting=3, of_sender=2))
    assert turns.take("a")
    turns.wait("a", "x", "1")
    turns.wait("a", "x", "2")
    with pytest.raises(QueueFull):
        turns.wait("a", "x", "3")
    turns.wait("a", "y", "3")
    with pytest.raises(QueueFull):
        turns.wait("a", "y", "4")
    turns.wait("b", "x", "5")
    assert turns.waiting == 4


def test_who_leaves_is_not_woken():
    """A waiter that left has no turn, and leaving twice, or with a place, is told."""
    turns: Turns[str] = Turns(Bounds(places=1, each=1))
    assert turns.take("a")
    turns.wait("a", "", "1")
    turns.wait("a", "", "2")
    assert turns.leave("a", "", "1")
    assert not turns.leave("a", "", "1")
    assert turns.give_back("a") == ["2"]
    assert not turns.leave("a", "", "2")


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=60))
def test_no_place_is_lost_or_made(steps):
    """Whatever is taken, waited for and given back: as many hold a place as there are places, and nobody waits beside a free one."""
    turns: Turns[str] = Turns(Bounds(places=3, each=2))
    held: list[str] = []
    waiting: list[str] = []
    for project, gives in steps:
        if gives and held:
            woken = turns.give_back(held.pop(0))
            for one in woken:
                waiting.remove(one)
            held += woken
        elif turns.take(project):
            held.append(project)
        else:
            turns.wait(project, "", project)
            waiting.append(project)
        assert len(held) <= 3
        assert all(held.count(one) <= 2 for one in "abc")
        assert turns.waiting == len(waiting)
        if len(held) < 3:
            assert all(held.count(one) == 2 for one in waiting)
