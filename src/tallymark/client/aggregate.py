"""Counters summed, gauges kept last, timings and histograms sketched: one event per series and interval.

Comes in: calls from any thread. Goes out: `metric` events, when a sender polls or a client is flushed. A series is
kind, name, attributes and context. Past `max_series` of a name in one interval, further series of it become one.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from tallymark.client.context import Context
from tallymark.client.encoding import build_metric_line, encode_attributes
from tallymark.client.plain import build_plain_attributes
from tallymark.client.scalars import NO_SCALAR, read_number
from tallymark.client.sketch import Sketch

OVERFLOW = "__overflow__"
# Attribute names that an aggregated event uses itself; a caller's attribute of that name gets an underscore.
TAKEN = frozenset({"kind", "count", "sum", "minimum", "maximum", "unit", OVERFLOW})
_MAX_KEY_BYTES = 4096
_MAX_FAST_KEYS = 50_000
_encode = msgspec.json.Encoder().encode

Key = tuple[str, bytes, bytes]


class _Series:
    __slots__ = ("attributes", "context", "kind", "name", "sketch", "total", "unit")

    def __init__(
        self, kind: str, name: str, context: Context, attributes: Mapping[str, Any], unit: str
    ) -> None:
        self.kind = kind
        self.name = name
        self.context = context
        self.attributes = attributes
        self.unit = unit
        self.total: float = 0
        self.sketch = Sketch() if kind in ("timing", "histogram") else None

    def render(self) -> bytes:
        mine: dict[str, Any] = {"kind": self.kind}
        core: dict[str, Any] = {}
        if self.unit:
            mine["unit"] = self.unit
        if self.sketch is None:
            core["value"] = self.total
        else:
            bins = self.sketch.bins()
            # Nine digits: far finer than the sketch's error, and half as long.
            core["sketch_values"] = [float(f"{value:.9g}") for value, _ in bins]
            core["sketch_counts"] = [count for _, count in bins]
            mine |= {"count": self.sketch.count, "sum": self.sketch.sum}
            mine |= {"minimum": self.sketch.minimum, "maximum": self.sketch.maximum}
        return build_metric_line(self.name, self.context, core, {**self.attributes, **mine})


class Aggregator:
    """All series of the present interval."""

    def __init__(
        self,
        emit: Callable[[bytes], None],
        arm: Callable[[], None],
        root: Context,
        interval: float,
        max_series: int,
    ) -> None:
        self.emit = emit
        self._arm = arm
        self._counted: Callable[[], object] = _do_nothing
        self._root = root
        self._interval = interval
        self._max_series = max_series
        self.reset()

    def reset(self) -> None:
        """Begin empty: in a child process the parent sends what was gathered before the fork."""
        # Re-entrant: a signal handler or finalizer may count while its own thread counts.
        self.lock = threading.RLock()
        self.closed = False
        self._due: float | None = None
        self._clear()

    def _clear(self) -> None:
        # By the exact call (fast) and by the sorted attributes (right): both lead to the same series.
        self.fast: dict[Any, _Series] = {}
        self._series: dict[tuple[str, ...], dict[Any, _Series]] = {}
        self._count = 0

    def find(
        self, kind: str, name: Any, context: Context, attributes: Mapping[str, Any], unit: str, fast_key: Any
    ) -> _Series | None:
        """Return the series of a call that has none yet under `fast_key`, made when new; None after close.

        The caller holds the lock.
        """
        if self.closed:
            return None
        text = name if type(name) is str else str(name)
        plain = build_plain_attributes(attributes)
        plain = {(f"{key}_" if key in TAKEN else key): plain[key] for key in sorted(plain)}
        body = encode_attributes(plain)
        family = self._series.get((kind, text, unit))
        if family is None:
            if len(self._series) >= self._max_series:
                text = OVERFLOW
            family = self._series.setdefault((kind, text, unit), {})
        key = (body, context.key)
        series = family.get(key)
        if series is None:
            full = len(family) >= self._max_series or self._count >= 10 * self._max_series
            if full or len(body) + len(context.key) > _MAX_KEY_BYTES:
                return self._find_overflow(family, kind, text, unit)
            series = family[key] = _Series(kind, text, context, plain, unit)
            self._count += 1
            self._begin()
        if fast_key is not None and len(self.fast) < _MAX_FAST_KEYS:
            self.fast[fast_key] = series
        return series

    def _find_overflow(self, family: dict[Any, _Series], kind: str, name: str, unit: str) -> _Series:
        series = family.get(OVERFLOW)
        if series is None:
            series = family[OVERFLOW] = _Series(kind, name, self._root, {OVERFLOW: True}, unit)
            self._begin()
        return series

    def _begin(self) -> None:
        if self._due is None:
            self._due = time.monotonic() + self._interval
            self._arm()

    def add(
        self, name: Any, amount: Any, context: Context, attributes: Mapping[str, Any], fast_key: Any = None
    ) -> bool:
        """Add to a counter; False when the client is closed. A ValueError or TypeError tells of a wrong amount."""
        number = check_amount(amount)
        with self.lock:
            series = self.find("counter", name, context, attributes, "", fast_key)
            if series is not None:
                series.total += number
        self._counted()
        return series is not None

    def set(self, name: Any, value: Any, context: Context, attributes: Mapping[str, Any]) -> bool:
        """Set a gauge; the last value of the interval is sent. Otherwise as `add`."""
        number = check_amount(value)
        key = ("gauge", name, _encode_key(attributes), context.key)
        with self.lock:
            series = self.fast.get(key) or self.find("gauge", name, context, attributes, "", key)
            if series is not None:
                series.total = number
        self._counted()
        return series is not None

    def observe(
        self, kind: str, name: Any, value: Any, context: Context, attributes: Mapping[str, Any], unit: str
    ) -> bool:
        """Count a value of a timing or histogram. Otherwise as `add`."""
        number = check_amount(value)
        key = (kind, name, _encode_key(attributes), context.key, unit)
        with self.lock:
            series = self.fast.get(key) or self.find(kind, name, context, attributes, unit, key)
            if series is not None and series.sketch is not None:
                series.sketch.add(number)
        self._counted()
        return series is not None

    def due(self) -> float | None:
        """Return the monotonic time at which the interval ends; None while nothing was counted."""
        return self._due

    def poll(self) -> None:
        """End the interval: emit one event for each series."""
        with self.lock:
            families = self._series
            self._clear()
            self._due = None
        for family in families.values():
            for series in family.values():
                self.emit(series.render())

    def close(self) -> None:
        """Take nothing more."""
        with self.lock:
            self.closed = True

    def reopen(self, counted: Callable[[], object]) -> None:
        """Take counts again and call `counted` after each: there is no interval any more, the process ends."""
        with self.lock:
            self._counted = counted
            self.closed = False


def _do_nothing() -> None:
    """Nobody wants to know of each count."""


def _encode_key(attributes: Mapping[str, Any]) -> bytes:
    try:
        return _encode(attributes)
    except (TypeError, ValueError, RecursionError):
        return encode_attributes(attributes)


def check_amount(value: Any) -> float:
    """Return a finite number; raise ValueError or TypeError for anything else."""
    if type(value) is int or type(value) is float:
        number: float = value
    else:
        read = read_number(value)
        # A truth value counts as 0 or 1, as Python has it.
        number = float(value) if read is NO_SCALAR else read
    if not math.isfinite(number):
        raise ValueError(f"an amount must be a finite number, not {value!r}")
    return number
