"""Answers are shared while the data is the same."""

from __future__ import annotations

import threading

import pytest

from tallymark.metrics.remembered import Remembered
from tallymark.queries.result import Answer, Cost

_ANSWER = Answer((), [], [], Cost(1.0, 0))
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
    for key in (_KEY, ("p", b"q", 2), ("p", b"other", 1), ("other", b"q", 1), _KEY):
        answers.get(key, lambda key=key: asked.append(key) or _ANSWER)
    assert len(asked) == 4


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
    large = Answer((), [[1]] * 101, [], Cost(1.0, 0))
    for _ in range(2):
        assert answers.get(_KEY, lambda: asked.append("large") or large) is large
    for version in (1, 2, 3, 1):
        answers.get(("p", b"small", version), lambda: asked.append("small") or _ANSWER)
    assert asked == ["large", "large", "small", "small", "small", "small"]
