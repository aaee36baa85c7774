"""Numbers of other libraries: numpy's and torch's scalars, arrays without dimensions, fractions, decimals.

Comes in: a value that is not one of Python's own plain types. Goes out: the number, truth value or time that it stands
for. Nothing is imported for it: what counts is what the object can do. `plain`, `context` and `aggregate` call it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from datetime import datetime, timedelta
from numbers import Complex, Real
from typing import Any, Final

# What stands for itself nowhere: no number, no truth value, no time.
NO_SCALAR: Final = object()


def read_scalar(value: Any) -> Any:
    """Return the int, float, bool, datetime, timedelta or text that `value` stands for, else NO_SCALAR.

    A number is what has `__index__` or `__float__`, no length and no imaginary part. Calls the value's own methods
    and so may raise whatever they raise.
    """
    kind = type(value)
    if not hasattr(kind, "__index__") and not hasattr(kind, "__float__"):
        return NO_SCALAR
    if _has_length(value) or _is_complex(value):
        return NO_SCALAR
    read = _READERS.get(_read_array_kind(value))
    return _read_number(value) if read is None else read(value)


def read_number(value: Any) -> Any:
    """Return the int or float that `value` stands for, else NO_SCALAR. Never raises."""
    try:
        number = read_scalar(value)
    except Exception:  # noqa: BLE001  a class of the application's may raise anything
        return NO_SCALAR
    return number if type(number) is int or type(number) is float else NO_SCALAR


def _read_number(value: Any) -> Any:
    try:
        return operator.index(value)
    except TypeError:
        # An array of a fraction has __index__ and refuses it.
        return float(value)


def _has_length(value: Any) -> bool:
    """Tell whether the value is a collection: an array of one number converts to a float, and is still an array."""
    if not hasattr(type(value), "__len__"):
        return False
    try:
        len(value)
    except TypeError:
        # What numpy says of an array without dimensions.
        return False
    return True


def _is_complex(value: Any) -> bool:
    if isinstance(value, Complex) and not isinstance(value, Real):
        return True
    return bool(getattr(value, "imag", 0))


def _read_array_kind(value: Any) -> Any:
    """Return numpy's letter for the kind of a scalar (`value.dtype.kind`), None for what has none."""
    kind = getattr(getattr(value, "dtype", None), "kind", None)
    return kind if isinstance(kind, str) else None


def _read_time(value: Any) -> Any:
    moment = value.astype("M8[us]").item()
    return moment if isinstance(moment, datetime) else str(value)


def _read_duration(value: Any) -> Any:
    duration = value.astype("m8[us]").item()
    return duration if isinstance(duration, timedelta) else str(value)


# Kinds of numpy whose conversion to a number would lose what they are.
_READERS: Final[dict[Any, Callable[[Any], Any]]] = {"b": bool, "M": _read_time, "m": _read_duration}
