"""What a notice is in the database: its states, how one is added, how many are found at once.

A notice is `waiting`, then `sending`, then `sent`, or `failed` once it was given up. While an alert is silenced it is `held`;
where nothing is left to tell it is `dropped`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final, Literal

import sqlalchemy as sa

from tallymark.alerts.batches import Kind
from tallymark.catalog.tables import NOTICE

Status = Literal["waiting", "sending", "sent", "failed", "held", "dropped"]
# Of these its receiver heard nothing.
UNTOLD: Final[frozenset[Status]] = frozenset({"dropped", "held"})
ON_THE_WAY: Final[frozenset[Status]] = frozenset({"waiting", "held", "sending"})
# Databases take a limited number of values in one statement.
_MOST_NUMBERS: Final = 10_000


def add_notice(
    connection: sa.Connection, project: str, alert: str, change: int, receiver: int, kind: Kind, now: datetime
) -> None:
    """Let a receiver be told of a change."""
    status: Status = "waiting"
    row = {"project": project, "alert": alert, "change": change, "receiver": receiver, "kind": kind}
    connection.execute(sa.insert(NOTICE).values(**row, status=status, due_at=now, created_at=now))


def split(numbers: Sequence[int]) -> Iterable[Sequence[int]]:
    """Return numbers in parts that one statement takes."""
    return (numbers[first : first + _MOST_NUMBERS] for first in range(0, len(numbers), _MOST_NUMBERS))
