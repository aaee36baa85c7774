"""Ending what somebody asked of the store when they do not want the answer any more.

Comes in: a `Cancellation`, under which a thread works (`work_under`). `client` names each question that is asked meanwhile, so
that it can be stopped; the web room cancels when the asker is gone.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from tallymark.store.errors import StoreUnavailable

# To stop a question that is still on its way does nothing: the store does not know it yet. So it is stopped again, at most this
# often and so many seconds apart. One that the store knows needs to be stopped only once (`service`).
_TIMES: Final = 20
_APART: Final = 0.25


class QuestionCancelled(StoreUnavailable):
    """Nobody waits for the answer any more."""

    def __init__(self) -> None:
        super().__init__("The question was cancelled: nobody waits for its answer.")


class Cancellation:
    """Stops the questions of one piece of work, those that run and those that would follow. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cancelled = threading.Event()
        self._idle = threading.Event()
        self._idle.set()
        self._running: dict[str, Callable[[str], None]] = {}

    @property
    def cancelled(self) -> bool:
        """Whether nobody waits for the work any more."""
        return self._cancelled.is_set()

    def check(self) -> None:
        """Raise QuestionCancelled where nobody waits any more; long loops call it."""
        if self._cancelled.is_set():
            raise QuestionCancelled

    @contextmanager
    def question(self, stop: Callable[[str], None]) -> Iterator[str]:
        """Give a question its id and remember how to stop it while it runs. Raises QuestionCancelled."""
        query_id = uuid.uuid4().hex
        with self._lock:
            self.check()
            self._running[query_id] = stop
            self._idle.clear()
        try:
            yield query_id
            self.check()
        finally:
            with self._lock:
                del self._running[query_id]
                if not self._running:
                    self._idle.set()

    def cancel(self) -> bool:
        """Let no question begin any more. Returns whether one runs that `stop` has to end. Does not block."""
        self._cancelled.set()
        return not self._idle.is_set()

    def stop(self) -> None:
        """Stop what runs, until it has ended; blocks for a few seconds at most."""
        for _ in range(_TIMES):
            with self._lock:
                running = dict(self._running)
            if not running:
                return
            for query_id, stop in running.items():
                stop(query_id)
            if self._idle.wait(_APART):
                return


_present: ContextVar[Cancellation | None] = ContextVar("cancellation", default=None)


@contextmanager
def work_under(cancellation: Cancellation) -> Iterator[None]:
    """Let `cancellation` stop what this thread asks."""
    token = _present.set(cancellation)
    try:
        yield
    finally:
        _present.reset(token)


def present() -> Cancellation | None:
    """Return what may stop this thread's questions, None where nothing may."""
    return _present.get()
