"""Notices callers that go away while their question still runs, so that the engine does not work for nobody.

`http_handler` puts a socket under watch for the length of a question. Once its far end has closed the action runs again and
again until the question has ended: the engine does not know one that is just beginning, and would run it for nobody.
"""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from tallymark.store.errors import EngineError

# How soon a caller's leaving is noticed, in seconds.
_INTERVAL: Final = 0.1
_GONE: Final = select.POLLRDHUP | select.POLLHUP | select.POLLERR


class Watch:
    """One thread that looks after any number of sockets."""

    def __init__(self) -> None:
        self._actions: dict[int, Callable[[], None]] = {}
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()

    @contextmanager
    def guard(self, connection: socket.socket, action: Callable[[], None]) -> Iterator[None]:
        """Call `action` from another thread once the far end of `connection` has closed, until the `with` block ends."""
        number = connection.fileno()
        with self._lock:
            self._actions[number] = action
        try:
            yield
        finally:
            with self._lock:
                self._actions.pop(number, None)

    def close(self) -> None:
        """End the thread."""
        self._closed.set()
        self._thread.join(timeout=5.0)

    def _run(self) -> None:
        # Looking now and then costs a short question nothing; waking this thread for each one would.
        while not self._closed.wait(_INTERVAL):
            with self._lock:
                watched = dict(self._actions)
            poll = select.poll()
            for number in watched:
                poll.register(number, _GONE)
            for number, events in poll.poll(0):
                if events & _GONE:
                    self._act(number, watched[number])

    def _act(self, number: int, action: Callable[[], None]) -> None:
        with self._lock:
            # The number may stand for another connection by now.
            if self._actions.get(number) is not action:
                return
        # The question may have ended in the meantime, and then there is nothing to stop.
        with suppress(EngineError):
            action()
