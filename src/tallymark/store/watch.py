"""Notices callers that go away while their question still runs, so that the engine does not work for nobody.

`http_handler` puts a socket under watch for the length of a question. Once the far end of the socket has closed, the watch calls
an action, which ends the question.
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
        self._actions: dict[int, Callable[[], bool]] = {}
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()

    @contextmanager
    def guard(self, connection: socket.socket, action: Callable[[], bool]) -> Iterator[None]:
        """Call `action` from another thread once the far end of `connection` has closed.

        While the `with` block lasts it is called again and again until it returns True: there may be nothing to end yet.
        """
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

    def _act(self, number: int, action: Callable[[], bool]) -> None:
        with self._lock:
            # The number may stand for another connection by now.
            if self._actions.get(number) is not action:
                return
        ended = False
        # The question may have ended in the meantime, and then there is nothing to stop.
        with suppress(EngineError):
            ended = action()
        if ended:
            with self._lock:
                if self._actions.get(number) is action:
                    del self._actions[number]
