"""What judging gives and what is kept of it: how an alert is watched, how it stands, and what changed. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from tallymark.alerts.standing import Standing, State, is_over
from tallymark.alerts.values import Values
from tallymark.plan.kinds.alert import Alert, Severity


class Watch(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of an alert besides its values.

    `digest` tells its definition, `judged_until` is the end of the last window that was judged, `settled_until` of the last
    that was judged after its delay. `missed` windows were never judged; `gaps` are the first and last ends of those of the newest
    pauses, between which some were judged. `incident` is the present trouble, 0 of none.
    """

    digest: str
    judged_until: datetime
    settled_until: datetime
    missed: int = 0
    gaps: tuple[tuple[datetime, datetime], ...] = ()
    incident: int = 0
    # Since when it is watched by this definition, and whether the next window to be judged for good could not be.
    since: datetime | None = None
    is_stuck: bool = False
    breakdown: tuple[str, ...] = ()
    # How many seconds lie between the ends of windows that are judged; 0 where an older version judged last.
    step: int = 0


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of one alert."""

    watch: Watch
    standings: dict[Values, Standing]


@dataclass(frozen=True, slots=True)
class Change:
    """An alert, of one value, went from one state to another, because of the window that ended at `at`."""

    values: Values
    before: Standing
    after: Standing
    at: datetime


@dataclass(slots=True)
class Outcome:
    """What a round found about one alert. `problem` says why it could not be judged now; it will be tried again."""

    alert: Alert
    watch: Watch
    standings: dict[Values, Standing]
    forgotten: list[Values] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    problem: str = ""


@dataclass(frozen=True, slots=True)
class News:
    """An outcome with what has to be kept beside it: the metric's words, and the receivers by number."""

    outcome: Outcome
    title: str
    unit: str
    owner: str
    receivers: tuple[int, ...] = ()


class Cause(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a change was caused by, and what was known of the alert then: its definition may be another one by now."""

    standing: Standing
    alert: Alert
    # When the value's trouble began that this change is part of, or ends.
    opened: datetime | None = None
    # Of the metric.
    title: str = ""
    unit: str = ""
    owner: str = ""


@dataclass(frozen=True, slots=True)
class ChangeRow:
    """A change as it is kept; `at` is when it was so: the end of the window that caused it, in most cases (see `standing`)."""

    id: int
    project: str
    alert: str
    values: Values
    before: State
    after: State
    incident: int
    at: datetime
    found_at: datetime
    cause: Cause

    @property
    def severity(self) -> Severity:
        """How much it matters."""
        return self.cause.alert.severity

    @property
    def is_over(self) -> bool:
        """Whether something that was wrong is not any more."""
        return is_over(self.before, self.after)


@dataclass(frozen=True, slots=True)
class BriefChange:
    """A change without what caused it; `key` is that of its values (see `key_of`)."""

    alert: str
    key: str
    before: State
    after: State
    at: datetime
