"""How numbers, times and values are written on a page. Pure; the templates use these as filters."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import Any

import msgspec

from tallymark.metrics.digits import write_number

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))
# What stands where there is no value.
NOTHING = "\N{EN DASH}"
_SHORT = 120
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]")


def shape_count(value: int) -> str:
    """Write a whole number with separators: 992,643."""
    return f"{value:,}"


def shape_bytes(value: int) -> str:
    """Write a size: 12.3 kB."""
    size = float(value)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def shape_duration(seconds: float) -> str:
    """Write a length of time in the one or two units that matter: 0.4 s, 12 min, 3 h 20 min."""
    if seconds < 0.0005:
        return "0 s"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for place, (size, name) in enumerate(_UNITS):
        if whole >= size:
            text = f"{whole // size:,} {name}"
            if place + 1 < len(_UNITS):
                smaller, other = _UNITS[place + 1]
                rest = whole % size // smaller
                text += f" {rest} {other}" if rest else ""
            return text
    return f"{whole} s"


def shape_time(value: datetime | str, *, precise: bool = False) -> str:
    """Write a time in UTC: 2013-02-08 14:05:00, with milliseconds where asked."""
    time = datetime.fromisoformat(value) if isinstance(value, str) else value
    time = time.astimezone(UTC)
    text = f"{time:%Y-%m-%d %H:%M:%S}"
    return f"{text}.{time.microsecond // 1000:03d}" if precise else text


def shape_ago(value: datetime | str, now: datetime) -> str:
    """Write how long ago a time was."""
    time = datetime.fromisoformat(value) if isinstance(value, str) else value
    seconds = (now - time).total_seconds()
    if seconds < 1:
        return "just now"
    return f"{math.floor(seconds)} s ago" if seconds < 60 else f"{shape_duration(seconds)} ago"


def shape_number(value: float) -> str:
    """Write a figure with as many digits as it carries, at most six significant ones after rounding."""
    if isinstance(value, int) or not math.isfinite(value) or (value.is_integer() and abs(value) < 1e15):
        return write_number(value, None)
    if abs(value) >= 1e15:
        return f"{value:.4g}"
    if abs(value) >= 1000:
        return f"{value:,.1f}"
    if abs(value) >= 0.001:
        return f"{value:.4g}"
    return f"{value:.3g}"


def shape_share(value: float) -> str:
    """Write a share as a percentage that tells near-certain from certain: 99.97 %."""
    percent = value * 100
    if percent in (0.0, 100.0):
        return f"{percent:.2f} %"
    text = f"{percent:.2f}"
    return f"{percent:.5f} %" if float(text) in (0.0, 100.0) else f"{text} %"


def shape_cell(value: Any, unit: str | None = None, *, exact: bool = False) -> str:
    """Write one cell of an answer; an exact figure in full."""
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        if unit == "ratio":
            return shape_share(value)
        if unit == "s":
            return shape_duration(value)
        return write_number(value, None) if exact else shape_number(value)
    return str(value)


def shape_group(value: Any) -> str:
    """Write the value of a group: one that is missing, and one that is the empty text, are told apart."""
    if value is None:
        return "(none)"
    return "(empty)" if value == "" else shape_cell(value)


def shape_things(number: int, one: str, more: str = "") -> str:
    """Write how many there are of something: 1 hour, 12 hours; `more` is their name where it is not that with an s."""
    return f"{shape_count(number)} {one if number == 1 else more or one + 's'}"


def find_share(value: float, low: float, high: float) -> float:
    """Return where a value lies from one end (0) of a range to the other (1), any finite numbers; 0.5 of no range."""
    # Halves do not overflow, where the range of very large numbers would.
    width = high / 2 - low / 2
    return (value / 2 - low / 2) / width if width > 0 else 0.5


def shape_json(value: Any) -> str:
    """Write a value as indented JSON; a text that is JSON is taken as what it says."""
    if isinstance(value, str):
        given: str = value
        try:
            value = msgspec.json.decode(given)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return given
    text: str = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    return text


def shape_attributes(attributes: dict[str, Any]) -> str:
    """Write attributes on one short line: carrier=UA origin=EWR."""
    text = ""
    for name, value in attributes.items():
        shown = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        text += f"{_visible(name[:40])}={_visible(shown[:60])}  "
        if len(text) > _SHORT:
            return text[:_SHORT].rstrip() + "…"
    return text.rstrip()


def shape_value(value: Any) -> str:
    """Write a field's value: a text as it is, short data on one line, long data indented."""
    if isinstance(value, str):
        return value
    short = msgspec.json.encode(value).decode()
    return short if len(short) <= _SHORT // 2 else shape_json(value)


def _visible(text: str) -> str:
    """Return a text in which what turns or hides its neighbours can be seen: it stands in a line with others."""
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
