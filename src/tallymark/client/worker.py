"""One daemon thread that sleeps until it is woken or something is due.

Comes in: a step to run, which answers how long to sleep (None: until woken). Started when first needed, again
after a fork; where no thread can start (interpreter shutdown) the step runs in whoever closes.
"""

from __future__ import annotations

import math
import queue
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from tallymark.client.log import warn_sometimes

_AFTER_FAULT_SECONDS = 1.0


class Worker:
    """Runs `step` in a thread named `tallymark` until it is stopped; `ended` is called in the thread as its last act.

    `finish` is for processes that leave without atexit: it delivers what waits.
    """

    def __init__(
        self,
        step: Callable[[], float | None],
        finish: Callable[[], object],
        ended: Callable[[], object] = lambda: None,
    ) -> None:
        self._step = step
        self._finish = finish
        self._ended = ended
        self.reset()

    def reset(self) -> None:
        """Forget the thread: a child process has none."""
        self._thread: threading.Thread | None = None
        # Its `put` may be called while the same thread is inside `put`: by a finalizer, a signal handler.
        self._signals: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._woken = False
        self._starting = threading.Lock()
        self._failed_at = -_AFTER_FAULT_SECONDS
        self._exit_hook: Any = None
        self.stopping = False

    def wake(self) -> None:
        """Let the step run now; starts the thread when there is none. Never raises, never waits."""
        if not self._woken:
            self._woken = True
            self._signals.put(None)
        if (
            self._thread is None
            and not self.stopping
            and time.monotonic() - self._failed_at >= _AFTER_FAULT_SECONDS
        ):
            self._start()

    def _start(self) -> None:
        # Two threads may come here at once; the second need not wait, the first starts it for both.
        if not self._starting.acquire(blocking=False):
            return
        try:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="tallymark", daemon=True)
                thread.start()
                self._thread = thread
                self._exit_hook = _finish_with_process(self._finish)
        except (RuntimeError, MemoryError):
            # No threads (any more): events wait in the buffer, and close() sends them.
            self._failed_at = time.monotonic()
        finally:
            self._starting.release()

    def _run(self) -> None:
        while not self.stopping:
            self._woken = False
            try:
                delay = self._step()
            except Exception:  # noqa: BLE001  the thread must outlive any fault of ours
                warn_sometimes(
                    "worker",
                    "tallymark: the sender hit a fault of its own. Fix: report it with this trace.",
                    trace=True,
                )
                delay = _AFTER_FAULT_SECONDS
            if not self.stopping:
                self._sleep(delay)
        self._ended()

    def _sleep(self, seconds: float | None) -> None:
        try:
            self._signals.get(timeout=seconds if seconds is None else min(seconds, threading.TIMEOUT_MAX))
        except queue.Empty:
            return

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def is_current(self) -> bool:
        """Whether the caller is the thread itself."""
        return self._thread is threading.current_thread()

    def stop(self) -> None:
        """Let the thread end after its present step. Never waits."""
        self.stopping = True
        self._signals.put(None)
        hook, self._exit_hook = self._exit_hook, None
        if hook is not None:
            hook.cancel()

    def forbid(self) -> None:
        """Start no thread from now on: whoever closes runs the step."""
        self._failed_at = math.inf

    def join(self, timeout: float) -> None:
        """Wait for the thread to end, at most `timeout` seconds."""
        if self._thread is not None and not self.is_current:
            self._thread.join(max(0.0, timeout))


def _finish_with_process(finish: Callable[[], object]) -> Any:
    """Run `finish` at the end of a multiprocessing child too, which leaves without atexit; return what cancels that."""
    util = sys.modules.get("multiprocessing.util")
    process = sys.modules.get("multiprocessing.process")
    if util is not None and process is not None and process.parent_process() is not None:
        return util.Finalize(None, finish, exitpriority=100)
    return None
