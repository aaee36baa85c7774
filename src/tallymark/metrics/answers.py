"""Answers that are remembered as long as the data is the same, and asked once however many wait for them.

The key is the project, the question and the position up to which events are in the store; so an answer from here is
never older than what the store would say. Panels that share a question, and viewers that share a dashboard, share it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

from tallymark.queries.result import Answer

_MOST_ANSWERS = 512
# An answer of more cells is given, and not kept.
_MOST_CELLS = 200_000

Key = tuple[str, bytes, int]


@dataclass(slots=True)
class Answers:
    """Thread-safe. Failures are not remembered: the next one asks again."""

    _lock: threading.Lock = field(default_factory=threading.Lock)
    _kept: OrderedDict[Key, Future[Answer]] = field(default_factory=OrderedDict)

    def get(self, key: Key, ask: Callable[[], Answer]) -> Answer:
        """Return the answer of that key, asking when nobody has or does."""
        with self._lock:
            found = self._kept.get(key)
            if found is None:
                mine: Future[Answer] = Future()
                self._kept[key] = mine
            else:
                self._kept.move_to_end(key)
        if found is not None:
            return found.result()
        try:
            answer = ask()
        except BaseException as error:
            self._forget(key)
            mine.set_exception(error)
            raise
        mine.set_result(answer)
        if len(answer.rows) * len(answer.columns) > _MOST_CELLS:
            self._forget(key)
        self._shrink()
        return answer

    def _forget(self, key: Key) -> None:
        with self._lock:
            self._kept.pop(key, None)

    def _shrink(self) -> None:
        with self._lock:
            while len(self._kept) > _MOST_ANSWERS:
                self._kept.popitem(last=False)
