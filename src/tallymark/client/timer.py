"""`client.timer(name)`: measures a block, every call of a function, or every run of a generator, as a timing."""

from __future__ import annotations

import contextlib
import functools
import inspect
import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextvars import ContextVar
from typing import Any, Self, TypeVar

_F = TypeVar("_F", bound=Callable[..., Any])


class _Start:
    """When a block began, in seconds of `perf_counter`; `timer` is None once it has ended."""

    __slots__ = ("at", "timer")

    def __init__(self, timer: Timer) -> None:
        self.timer: Timer | None = timer
        self.at = time.perf_counter()


# The blocks that are open here, of all timers: tasks that share a timer must not end each other's blocks.
_OPEN: ContextVar[tuple[_Start, ...]] = ContextVar("tallymark_timers", default=())


class Timer:
    """A context manager, plain or `async`, and a decorator; may be used many times, nested, by threads and tasks.

    `seconds` is the last duration measured in the present thread. A block that raises is measured too.
    """

    def __init__(self, observe: Callable[[float], None]) -> None:
        self._observe = observe
        self._starts: list[_Start] = []
        self._local = threading.local()

    @property
    def seconds(self) -> float:
        """Seconds of the last block that ended in this thread; 0.0 before any did."""
        seconds: float = getattr(self._local, "seconds", 0.0)
        return seconds

    def __enter__(self) -> Self:
        start = _Start(self)
        self._starts.append(start)
        _OPEN.set((*(each for each in _OPEN.get() if each.timer is not None), start))
        return self

    def __exit__(self, *_: object) -> None:
        start = self._find_start()
        if start is None:
            return
        seconds = time.perf_counter() - start.at
        start.timer = None
        with contextlib.suppress(ValueError):  # somebody else ended it at the same moment
            self._starts.remove(start)
        _OPEN.set(tuple(each for each in _OPEN.get() if each.timer is not None))
        self._local.seconds = seconds
        self._observe(seconds)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, *_: object) -> None:
        self.__exit__()

    def _find_start(self) -> _Start | None:
        """Return the innermost open block of this context, or the last of any: a framework may end it elsewhere."""
        for start in reversed(_OPEN.get()):
            if start.timer is self:
                return start
        return self._starts[-1] if self._starts else None

    def __call__(self, function: _F) -> _F:
        """Return `function` measured at every call; `async` functions until they return, generators until they end.

        A generator's time begins when its first item is asked for and includes whoever takes the items; it ends with
        the last, an exception, or `close`. One that nobody begins is not measured.
        """
        for is_kind, measure in _KINDS:
            if is_kind(function):
                return functools.wraps(function)(measure(self._observe, function))  # type: ignore[return-value]
        return functools.wraps(function)(_measure_function(self._observe, function))  # type: ignore[return-value]


def _measure_function(observe: Callable[[float], None], function: Callable[..., Any]) -> Callable[..., Any]:
    def measured(*args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            observe(time.perf_counter() - start)

    return measured


def _measure_coroutine(observe: Callable[[float], None], function: Callable[..., Any]) -> Callable[..., Any]:
    async def measured(*args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        try:
            return await function(*args, **kwargs)
        finally:
            observe(time.perf_counter() - start)

    return measured


def _measure_generator(observe: Callable[[float], None], function: Callable[..., Any]) -> Callable[..., Any]:
    def measured(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        start = time.perf_counter()
        try:
            return (yield from function(*args, **kwargs))
        finally:
            observe(time.perf_counter() - start)

    return measured


def _measure_async_generator(
    observe: Callable[[float], None], function: Callable[..., Any]
) -> Callable[..., Any]:
    async def measured(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        start = time.perf_counter()
        inner = function(*args, **kwargs)
        try:
            item = await anext(inner)
            while True:
                try:
                    sent = yield item
                except GeneratorExit:
                    await inner.aclose()
                    raise
                except BaseException as error:  # noqa: BLE001  whatever is thrown in is the inner one's to judge
                    item = await inner.athrow(error)
                else:
                    item = await inner.asend(sent)
        except StopAsyncIteration:
            return
        finally:
            observe(time.perf_counter() - start)

    return measured


_KINDS: tuple[tuple[Callable[[Any], bool], Callable[..., Callable[..., Any]]], ...] = (
    (inspect.iscoroutinefunction, _measure_coroutine),
    (inspect.isgeneratorfunction, _measure_generator),
    (inspect.isasyncgenfunction, _measure_async_generator),
)
