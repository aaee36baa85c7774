"""What goes out as one message to one receiver. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Literal

from tallymark.alerts.changes import ChangeRow

# Why somebody is told: of a change, that it still is so, or of what was wrong already when they came to be told.
Kind = Literal["change", "repeat", "present"]


@dataclass(frozen=True, slots=True)
class Batch:
    """Notices that go out as one message to one receiver. `id` stays the same when it is sent again.

    `attempt` counts from 1. `repeats` says that nothing changed: it is told again that something is still wrong. `changes` are the
    news; where there are none they are what is wrong now. `still` is all that is wrong now in this trouble, with its last figures.
    Where much begins at once, `others` are the other alerts of the same message; `notices` are those of all of them.
    """

    id: int
    receiver: int
    project: str
    alert: str
    incident: int
    attempt: int
    repeats: bool
    changes: list[ChangeRow]
    notices: list[int]
    still: list[ChangeRow] = field(default_factory=list)
    # Of the receiver: its name, and whether the last message did not arrive.
    name: str = ""
    is_failing: bool = False
    others: list[Batch] = field(default_factory=list)

    @property
    def parts(self) -> list[Batch]:
        """The alerts of the message, each by itself."""
        return [self, *self.others]

    @property
    def key(self) -> str:
        """What all messages about its trouble have in common, and no others: a text of letters and digits."""
        parts = f"{self.project}\0{self.alert}\0{self.incident}"
        return hashlib.sha256(parts.encode()).hexdigest()[:24]

    @property
    def alerts(self) -> frozenset[str]:
        """The names of its alerts."""
        return frozenset(one.alert for one in self.parts)
