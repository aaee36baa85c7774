"""What the last round was like, in a file of the data folder, for who looks after the server.

The jobs process writes it after every round; pages, the API and the server's own numbers read it.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec

_FILE: Final = "alerts.json"
_STALE: Final = timedelta(minutes=2)


class Pulse(msgspec.Struct, frozen=True, kw_only=True):
    """What the last round was like: when, until when the data was complete, how long it took, what it judged."""

    at: datetime
    complete: datetime
    took_seconds: float
    alerts: int = 0
    judged: int = 0
    # Of all alerts together: how many windows never were judged, and how long the oldest has waited that should have been.
    missed: int = 0
    lag_seconds: float = 0.0
    problems: dict[str, str] = {}


def write_pulse(data: Path, pulse: Pulse) -> None:
    """Write it in place of the last one. A disk that is full is told elsewhere."""
    path = data / _FILE
    with suppress(OSError):
        part = path.with_suffix(".part")
        part.write_bytes(msgspec.json.encode(pulse))
        part.replace(path)


def read_pulse(data: Path) -> Pulse | None:
    """Return what the last round was like; None before the first."""
    try:
        return msgspec.json.decode((data / _FILE).read_bytes(), type=Pulse)
    except (OSError, msgspec.MsgspecError):
        return None


def is_stale(pulse: Pulse | None, now: datetime) -> bool:
    """Tell whether alerts have not been judged for a while."""
    return pulse is None or now - pulse.at > _STALE
