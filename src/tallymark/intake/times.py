"""Times as other protocols write them: ISO 8601, perhaps without a zone, and milliseconds since 1970."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any


def read_time(value: Any) -> datetime | None:
    """Return a time from ISO 8601 (UTC where it has no zone); None for all else."""
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def read_epoch(text: str) -> datetime | None:
    """Return a time from milliseconds since 1970, as browsers put it into `_`."""
    if not (text.isascii() and text.isdigit()) or len(text) > 14:
        return None
    return datetime.fromtimestamp(int(text) / 1000, UTC)
