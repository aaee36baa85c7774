"""`client.timer(name)`: measures a `with` block or every call of a function, and records a timing."""

from __future__ import annotations

import functools
import inspect
import threading
import time
from collections.abc import Callable
from typing import Any, Self, TypeVar

_F = TypeVar("_F", bound=Callable[..., Any])


class Timer:
    """A context manager and a decorator; one may be used many times, nested and from several threads.

    `seconds` is the last duration measured in the present thread. A block that raises is measured too.
    """

    def __init__(self, observe: Callable[[float], None]) -> None:
        self._observe = observe
        self._local = threading.local()

    @property
    def seconds(self) -> float:
        """Seconds of the last block that ended in this thread; 0.0 before any did."""
        seconds: float = getattr(self._local, "seconds", 0.0)
        return seconds

    def __enter__(self) -> Self:
        self._local.__dict__.setdefault("starts", []).append(time.perf_counter())
        return self

    def __exit__(self, *_: object) -> None:
        starts = self._local.__dict__.get("starts")
        if starts:
            self._local.seconds = time.perf_counter() - starts.pop()
            self._observe(self._local.seconds)

    def __call__(self, function: _F) -> _F:
        """Return `function`, plain or `async`, measured at every call."""
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def measured_async(*args: Any, **kwargs: Any) -> Any:
                start = time.perf_counter()
                try:
                    return await function(*args, **kwargs)
                finally:
                    self._observe(time.perf_counter() - start)

            return measured_async  # type: ignore[return-value]

        @functools.wraps(function)
        def measured(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self._observe(time.perf_counter() - start)

        return measured  # type: ignore[return-value]
