"""Answers are shared while the data is the same."""

from __future__ import annotations

import threading

import pytest

from tallymark.clock import FixedClock
from tallymark.queries.result import Answer, Cost
from tallymark.web.remembered import Remembered

_ANSWER = Answer((), [], [], Cost(1.0))
_KEY = ("p", b"q", 1)


def _remembered(**more):
    return Remembered(**{"most": 8, "weigh": lambda answer: len(answer.rows), "heaviest": 100, **more})


def test_one_asks_for_all_who_wait():
    """However many want an answer at once, it is asked once; all get it."""
    answers, asked, begun, going_on = _remembered(), [], threading.Event(), threading.Event()

    def ask() -> Answer:
        asked.append(1)
        begun.set()
        assert going_on.wait(30)
        return _ANSWER

    got: list[Answer] = []
    threads = [threading.Thread(target=lambda: got.append(answers.get(_KEY, ask))) for _ in range(8)]
    threads[0].start()
    assert begun.wait(30)
    for thread in threads[1:]:
        thread.start()
    going_on.set()
    for thread in threads:
        thread.join(30)
    assert (len(asked), len(got)) == (1, 8)


def test_new_data_is_asked_again():
    """With another position of the data, project or question the store is asked."""
    answers, asked = _remembered(), []
    for key in (_KEY, ("p", b"q", 2), ("p", b"other", 1), ("other", b"q", 1), ("p", b"q", 2)):
        answers.get(key, lambda key=key: asked.append(key) or _ANSWER)
    assert len(asked) == 4


def test_what_took_long_holds_as_long_again():
    """Three seconds of work are worth three seconds; after that, and for what is quick, new data is asked again."""
    clock = FixedClock()
    answers, asked = _remembered(clock=clock), []

    def ask(number: int, takes: float) -> None:
        def make() -> Answer:
            asked.append(number)
            clock.advance(takes)
            return _ANSWER

        answers.get(("p", b"q", number), make)

    ask(1, 3.0)
    clock.advance(2.9)
    ask(2, 3.0)
    assert asked == [1]
    clock.advance(0.2)
    ask(3, 60.0)
    assert asked == [1, 3]
    # However long something takes, five seconds later it is made again.
    clock.advance(5.1)
    ask(4, 0.2)
    ask(5, 0.2)
    assert asked == [1, 3, 4, 5]


def test_who_comes_while_a_slow_one_is_made_waits_for_it():
    """Work that goes on for a while is not begun a second time because an event arrived meanwhile; quick work is."""
    clock = FixedClock()
    answers, begun, going_on = _remembered(clock=clock), threading.Event(), threading.Event()

    def slow() -> Answer:
        begun.set()
        assert going_on.wait(30)
        return _ANSWER

    first = threading.Thread(target=lambda: answers.get(("p", b"q", 1), slow))
    first.start()
    assert begun.wait(30)
    other = Answer((), [], ["other"], Cost(1.0))
    assert answers.get(("p", b"q", 2), lambda: other) is other
    second = threading.Thread(target=lambda: answers.get(("p", b"slow", 1), slow))
    begun.clear()
    second.start()
    assert begun.wait(30)
    clock.advance(1.0)
    got: list[Answer] = []
    third = threading.Thread(target=lambda: got.append(answers.get(("p", b"slow", 2), lambda: other)))
    third.start()
    going_on.set()
    for thread in (first, second, third):
        thread.join(30)
    assert got == [_ANSWER]


def test_failures_are_not_remembered():
    """A question that failed is asked again by the next one."""
    answers = _remembered()

    def fail() -> Answer:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        answers.get(_KEY, fail)
    assert answers.get(_KEY, lambda: _ANSWER) is _ANSWER


def test_large_and_many_are_let_go():
    """What is too large is given and not kept; of many the oldest go first."""
    answers, asked = _remembered(most=2), []
    large = Answer((), [[1]] * 101, [], Cost(1.0))
    for _ in range(2):
        assert answers.get(_KEY, lambda: asked.append("large") or large) is large
    for version in (1, 2, 3, 1):
        answers.get(("p", b"small", version), lambda: asked.append("small") or _ANSWER)
    assert asked == ["large", "large", "small", "small", "small", "small"]


def test_recalling_makes_nothing():
    """What is made and holds is recalled; what is not there, is old, or is still being made, is not."""
    clock = FixedClock()
    answers = _remembered(clock=clock)
    assert answers.recall(_KEY) is None

    def ask() -> Answer:
        assert answers.recall(_KEY) is None
        return _ANSWER

    answers.get(_KEY, ask)
    assert answers.recall(_KEY) is _ANSWER
    assert answers.recall(("p", b"q", 2)) is None
