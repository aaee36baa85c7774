"""How many digits of a figure mean something: as many as its interval supports, and no more.

The rule: a figure is rounded to the decimal place of the first significant digit of half its interval, as one writes
a measurement with its uncertainty (JCGM 100:2008, section 7.2.6).

An estimate without an interval is rounded as if its standard error were |figure| / √n, which is that of a mean of n values
that spread as much as they are large, as waiting times do; two digits stay in any case, and no more than four. What was
counted, added up or read has no n here: whole figures are written whole, others with four digits.
"""

from __future__ import annotations

import math

from tallymark.queries.measures import Z

_LEAST_DIGITS = 2
_DEFAULT_DIGITS = 4
# Of a range, as a share of where it lies: there it is one figure.
_NO_WIDTH = 1e-6


def places_for(value: float, low: float | None, high: float | None, n: int | None = None) -> int:
    """Return the number of decimal places (negative: tens, hundreds, ...) that a figure is written with.

    `n` is what an estimate stands on; it matters where there is no interval.
    """
    if low is not None and high is not None and high > low:
        return -math.floor(math.log10((high - low) / 2))
    if value == 0 or not math.isfinite(value):
        return 0
    is_whole = float(value).is_integer()
    if n is None and is_whole:
        return 0
    size = math.log10(abs(value))
    places = _DEFAULT_DIGITS - 1 - math.floor(size)
    if n is not None:
        supported = -math.floor(size + math.log10(Z / math.sqrt(max(n, 1))))
        places = max(min(places, supported), _LEAST_DIGITS - 1 - math.floor(size))
    return min(places, 0) if is_whole else places


def write_figure(
    value: float | None, low: float | None, high: float | None, unit: str = "", n: int | None = None
) -> str:
    """Write a figure with its unit: 0.4312 between 0.41 and 0.45 as `43 %`; nothing for no figure.

    `n` is what an estimate stands on, None for what is exact.
    """
    if value is None:
        return "\N{EN DASH}"
    scale = 100.0 if unit == "ratio" else 1.0
    low, high = (None if end is None else end * scale for end in (low, high))
    places = places_for(value * scale, low, high, n)
    text = f"{round(value * scale, places):,.{max(0, min(places, 12))}f}"
    name = "%" if unit == "ratio" else unit
    return f"{text} {name}".rstrip()


def write_range(low: float, high: float, unit: str = "", *, whole: bool = False) -> str:
    """Write a range that figures are held against: `900 to 1,400 min`, with one digit more than its half width has.

    Both ends are rounded inwards, so that no figure outside is written as if it lay inside. `whole` is for counts.
    """
    scale = 100.0 if unit == "ratio" else 1.0
    low, high = low * scale, high * scale
    middle = (low + high) / 2
    name = "%" if unit == "ratio" else unit
    if high - low <= _NO_WIDTH * abs(middle):
        return write_figure(middle, None, None, name)
    places = places_for(middle, low, high) + 1
    places = min(places, 0) if whole else places
    step = 10.0**-places
    ends = (math.ceil(low / step - _NO_WIDTH) * step, math.floor(high / step + _NO_WIDTH) * step)
    texts = [f"{round(end, places):,.{max(0, min(places, 12))}f}" for end in ends]
    return f"{texts[0]} to {texts[1]} {name}".rstrip()
