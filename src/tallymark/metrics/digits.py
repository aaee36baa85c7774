"""How many digits of a figure mean something, for pages, pictures, messages and the command line alike.

What was counted, added up or read is exact (`EXACT`) and written in full. An estimate and both ends of its interval share
their decimal places: those that give half the interval two significant digits, the most that an uncertainty is stated with
(JCGM 100:2008, section 7.2.6); shares have at least one decimal of a per cent. So an interval is never coarser than its
figure. An estimate without an interval is rounded as if its standard error were |figure| / √n, which is that of a mean of
n values that spread as much as they are large, as waiting times do: two to four digits stay.
"""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Final, Literal

from tallymark.queries.measures import Z

Exact = Literal["exact"]
EXACT: Final[Exact] = "exact"
# What limits a figure's digits where it has no interval: the n of an estimate, None where that is not known.
Sample = int | Exact | None

_LEAST_DIGITS = 2
_DEFAULT_DIGITS = 4
_INTERVAL_DIGITS = 2
# Of a share, in per cent.
_LEAST_SHARE_PLACES = 1
# A double tells apart all decimals of so many significant digits.
_ALL_DIGITS = 15
# Beyond these, zeros say less than a power of ten.
_MOST_PLACES = 12
_MOST_SIZE = 1e21
# Of a range, as a share of where it lies: there it is one figure.
_NO_WIDTH = 1e-6
NOTHING: Final = "\N{EN DASH}"


def places_for(value: float, low: float | None, high: float | None, sample: Sample = None) -> int | None:
    """Return the number of decimal places (negative: tens, hundreds, ...) of a figure; None where it is written in full.

    `sample` matters where there is no interval.
    """
    if low is not None and high is not None and high > low:
        half = high / 2 - low / 2
        return _INTERVAL_DIGITS - 1 - _size(half) if half > 0 and math.isfinite(half) else None
    if sample == EXACT:
        return None
    if value == 0 or not math.isfinite(value):
        return 0
    is_whole = float(value).is_integer()
    if sample is None and is_whole:
        return 0
    size = math.log10(abs(value))
    places = _DEFAULT_DIGITS - 1 - math.floor(size)
    if sample is not None:
        supported = -math.floor(size + math.log10(Z / math.sqrt(max(sample, 1))))
        places = max(min(places, supported), _LEAST_DIGITS - 1 - math.floor(size))
    return min(places, 0) if is_whole else places


def _size(value: float) -> int:
    return math.floor(math.log10(value))


def write_figure(
    value: float | None, low: float | None, high: float | None, unit: str = "", sample: Sample = None
) -> str:
    """Write a figure with its unit: 0.4312 between 0.40 and 0.46 as `43.1 %`; a dash for no figure."""
    return write_estimate(value, low, high, unit, sample)[0]


def write_estimate(
    value: float | None,
    low: float | None,
    high: float | None,
    unit: str = "",
    sample: Sample = None,
    *,
    beside: float | None = None,
) -> tuple[str, str]:
    """Write a figure and its interval, `57.8 %` and `45.6 to 69.1 %`; the interval is '' where there is none.

    `beside` is a limit on one side of which the figure lies: there are as many digits as tell the two apart.
    """
    if value is None:
        return NOTHING, ""
    name = "%" if unit == "ratio" else unit
    if unit == "ratio":
        value *= 100
        low, high, beside = (None if one is None else one * 100 for one in (low, high, beside))
    places = _share_places(places_for(value, low, high, sample), low, unit)
    if beside is not None and value != beside:
        while places is not None and write_number(value, places) == write_number(beside, places):
            places = places + 1 if places < _ALL_DIGITS else None
    interval = ""
    if low is not None and high is not None:
        interval = f"{write_number(low, places)} to {write_number(high, places)} {name}".rstrip()
    return f"{write_number(value, places)} {name}".rstrip(), interval


def _share_places(places: int | None, low: float | None, unit: str) -> int | None:
    """Return the places of a share; one with an interval has at least one decimal of a per cent."""
    if places is None or unit != "ratio" or low is None:
        return places
    return max(places, _LEAST_SHARE_PLACES)


def write_number(value: float, places: int | None) -> str:
    """Write a number with so many decimal places and thousands apart; None stands for all of its digits."""
    if not math.isfinite(value):
        return NOTHING
    if isinstance(value, int) and places is None:
        return f"{value:,}"
    if places is None:
        exact = Decimal(int(value)) if float(value).is_integer() else Decimal(f"{value:.{_ALL_DIGITS}g}")
        return f"{exact.normalize():,f}" if _is_readable(value) else f"{value:.{_ALL_DIGITS}g}"
    if not _is_readable(value) and value:
        return f"{value:.{max(1, min(_ALL_DIGITS, places + _size(abs(value)) + 1))}g}"
    return f"{_round(value, places):,.{max(0, min(places, _MOST_PLACES))}f}"


def _is_readable(value: float) -> bool:
    return value == 0 or 10.0**-_MOST_PLACES <= abs(value) < _MOST_SIZE


def _round(value: float, places: int) -> float:
    # Minus zero is nothing that anybody wants to read.
    return round(value, places) or 0.0


def write_range(low: float, high: float, unit: str = "", *, whole: bool = False) -> str:
    """Write a range that figures are held against: `900 to 1,400 min`, with two digits of its half width.

    Both ends are rounded inwards, so that no figure outside is written as if it lay inside. `whole` is for counts.
    """
    scale = 100.0 if unit == "ratio" else 1.0
    low, high = low * scale, high * scale
    middle = low / 2 + high / 2
    name = "%" if unit == "ratio" else unit
    if high - low <= _NO_WIDTH * abs(middle):
        return write_figure(middle, None, None, name)
    places = places_for(middle, low, high)
    if places is not None and whole:
        places = min(places, 0)
    step = 0.0 if places is None else 10.0**-places
    # In steps; beyond the doubles there is nothing to round.
    steps = (low / step, high / step) if step else (math.inf, math.inf)
    if places is None or not all(map(math.isfinite, steps)):
        return f"{write_number(low, None)} to {write_number(high, None)} {name}".rstrip()
    ends = (math.ceil(steps[0] - _NO_WIDTH) * step, math.floor(steps[1] + _NO_WIDTH) * step)
    return f"{write_number(ends[0], places)} to {write_number(ends[1], places)} {name}".rstrip()
