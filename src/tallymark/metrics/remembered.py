"""What is remembered as long as the data is the same, and made once however many wait for it: answers, and panels.

The key is the project, what was asked and the position up to which events are in the store; so what comes from here is
never older than what the store would say. Panels that share a question, and viewers that share a dashboard, share it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")

Key = tuple[str, bytes, int]


class Remembered(Generic[T]):
    """Keeps the last `most` things. Thread-safe. Failures are not remembered: the next one tries again.

    `weigh` tells how large a thing is; one above `heaviest` is given, and not kept.
    """

    def __init__(self, most: int, weigh: Callable[[T], int], heaviest: int) -> None:
        self._most = most
        self._weigh = weigh
        self._heaviest = heaviest
        self._lock = threading.Lock()
        self._kept: OrderedDict[Key, Future[T]] = OrderedDict()

    def get(self, key: Key, make: Callable[[], T]) -> T:
        """Return what belongs to the key, making it when nobody has or does."""
        with self._lock:
            found = self._kept.get(key)
            if found is None:
                mine: Future[T] = Future()
                self._kept[key] = mine
            else:
                self._kept.move_to_end(key)
        if found is not None:
            return found.result()
        try:
            made = make()
        except BaseException as error:
            self._forget(key)
            mine.set_exception(error)
            raise
        mine.set_result(made)
        if self._weigh(made) > self._heaviest:
            self._forget(key)
        self._shrink()
        return made

    def _forget(self, key: Key) -> None:
        with self._lock:
            self._kept.pop(key, None)

    def _shrink(self) -> None:
        with self._lock:
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
