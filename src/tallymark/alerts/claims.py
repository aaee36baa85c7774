"""Which of the notices that wait go out now, which are held back, and which have nothing left to tell.

Comes in: a connection, for the catalog at one moment. Goes out: a decision, which `notices` writes. Nothing is written here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import groupby
from typing import Final

import msgspec
import sqlalchemy as sa

from tallymark.alerts.batches import Batch
from tallymark.alerts.book import read_begins, read_change, read_troubles
from tallymark.alerts.changes import ChangeRow, Kept
from tallymark.alerts.outbox import UNTOLD, split
from tallymark.alerts.outlet_services import KEEP_INCIDENTS
from tallymark.alerts.silences import Silence, read_silences
from tallymark.alerts.standing import OPEN, ORDER, Standing, is_quiet, is_silent, is_told
from tallymark.alerts.values import Values, key_of
from tallymark.catalog.repository import aware
from tallymark.catalog.tables import ALERT_CHANGE, NOTICE, RECEIVER

# So many alerts are told apart. More of them at once, as when the store or a sender is away, are one message.
MOST_APART: Final = 3
# How soon it is looked again whether a project is still silent.
_LOOK_AGAIN: Final = timedelta(minutes=1)


# Which silences hold, and until when.
Holding = frozenset[tuple[int, datetime]]


@dataclass(slots=True)
class Decision:
    """What to do: notices to drop, to hold by the time until then, to let wait again, and messages that are sent now."""

    holding: Holding
    drops: list[int] = field(default_factory=list)
    holds: dict[datetime, list[int]] = field(default_factory=lambda: defaultdict(list))
    frees: list[int] = field(default_factory=list)
    batches: list[Batch] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.drops or self.holds or self.frees or self.batches)


def decide(
    connection: sa.Connection, now: datetime, busy: set[int], failing: int, seen: Holding | None
) -> Decision:
    """Decide about all notices that wait; to receivers that are `busy` nothing is sent.

    Of receivers whose last message did not arrive, `failing` at most are told: the others need somebody who has time. `seen` are
    the silences that held at the last decision: as long as they are the same, what they hold is not looked at.
    """
    silences = read_silences(connection, now)
    decision = Decision(frozenset((one.id, one.ends_at) for one in silences))
    looked = _choose_looked_at(now, decision.holding == seen)
    if connection.execute(sa.select(NOTICE.c.id).where(looked).limit(1)).first() is None:
        return decision
    rows = _find_due(_read_waiting(connection, looked, busy, failing), now)
    if not rows:
        # Of what is due all waits for the next attempt of something older.
        return decision
    known = _Known.read(connection, rows, silences, now)
    free = [row for row in rows if _is_free(row, known, decision)]
    due = _choose_receivers([row for row in free if row["receiver"] not in busy], failing)
    for group in _gather(due, known):
        decision.batches.append(_build(group, known))
    sent = {number for one in decision.batches for number in one.notices}
    decision.frees = [row["id"] for row in free if row["status"] == "held" and row["id"] not in sent]
    return decision


def _is_free(row: sa.RowMapping, known: _Known, decision: Decision) -> bool:
    """Tell whether a notice can be told; where it cannot, note that it is dropped or held."""
    if known.is_void(row):
        decision.drops.append(row["id"])
        known.status[row["id"]] = "dropped"
        return False
    until = known.find_silence(row)
    if until is None:
        return True
    known.status[row["id"]] = "held"
    if row["status"] != "held" or aware(row["due_at"]) != until:
        decision.holds[until].append(row["id"])
    return False


def _choose_looked_at(now: datetime, is_same: bool) -> sa.ColumnElement[bool]:
    """Return which notices are looked at: those that are due, and all that are held where the silences are not the same."""
    is_due = NOTICE.c.due_at <= now
    held = NOTICE.c.status == "held"
    return ((NOTICE.c.status == "waiting") & is_due) | (held & is_due if is_same else held)


def _read_waiting(
    connection: sa.Connection, looked: sa.ColumnElement[bool], busy: set[int], failing: int
) -> list[sa.RowMapping]:
    """Return what is looked at and what waits beside it, the oldest first, with the receivers; nothing that cannot be sent now."""
    receiver = (RECEIVER.c.name, RECEIVER.c.hint, RECEIVER.c.failing_since)
    question = (
        sa.select(NOTICE, *receiver)
        .join(RECEIVER, RECEIVER.c.id == NOTICE.c.receiver)
        .where(looked | (NOTICE.c.status == "waiting"))
        .order_by(NOTICE.c.id)
    )
    return [
        row
        for row in connection.execute(question).mappings()
        if row["status"] == "held"
        or (row["receiver"] not in busy and (failing > 0 or row["failing_since"] is None))
    ]


@dataclass(frozen=True, slots=True)
class _Past:
    """A notice of a trouble: what it told, of which value, and what became of it."""

    id: int
    kind: str
    status: str
    change: int
    key: str
    after: str


@dataclass(slots=True)
class _Known:
    """What is known beside the notices themselves. `status` is what was decided about them so far."""

    connection: sa.Connection
    changes: dict[int, ChangeRow]
    present: dict[tuple[str, str], Kept]
    past: dict[tuple[int, int], list[_Past]]
    silences: list[Silence]
    now: datetime
    projects_without_data: _SilentProjects
    status: dict[int, str] = field(default_factory=dict)

    @classmethod
    def read(
        cls, connection: sa.Connection, rows: list[sa.RowMapping], silences: list[Silence], now: datetime
    ) -> _Known:
        changes = _read_changes(connection, sorted({row["change"] for row in rows}))
        past = _read_past(connection, {one.incident for one in changes.values()})
        present = read_troubles(connection, {one.alert for one in changes.values()})
        projects = {one.project for one in changes.values() if is_project_without_data(one)}
        return cls(
            connection, changes, present, past, silences, now, _SilentProjects.read(connection, projects)
        )

    def list_still(self, change: ChangeRow) -> list[ChangeRow]:
        """Return what is wrong now in the trouble that a change belongs to, the worst first, in the form of changes."""
        found = self.present.get((change.project, change.alert))
        if found is None or found.watch.incident != change.incident:
            return []
        told = [
            _build_present(change, values, one)
            for values, one in found.standings.items()
            if is_told(change.cause.alert, one.state)
        ]
        return sorted(told, key=lambda one: (ORDER.index(one.after), str(one.values)))

    def is_void(self, row: sa.RowMapping) -> bool:
        """Tell whether a notice has nothing left to say to its receiver."""
        change = self.changes[row["change"]]
        if row["kind"] != "change":
            return not self.list_still(change)
        if change.is_over:
            return not self._is_known(row, change)
        if row["status"] == "held":
            # Of trouble that came and went unsaid nobody has to hear now.
            return change.values not in [one.values for one in self.list_still(change)]
        return self._is_ended(row, change)

    def _is_known(self, row: sa.RowMapping, change: ChangeRow) -> bool:
        """Tell whether a receiver heard of the trouble whose end this is, or hears of it now."""
        past = self.past[row["receiver"], change.incident]
        heard = [
            one for one in past if one.id < row["id"] and self.status.get(one.id, one.status) not in UNTOLD
        ]
        if heard and not self.list_still(change):
            # Nothing is wrong any more: that ends what was told, of whichever value.
            return True
        key = key_of(change.values)
        return any(one.kind != "change" or (one.key == key and one.after in OPEN) for one in heard)

    def _is_ended(self, row: sa.RowMapping, change: ChangeRow) -> bool:
        """Tell whether a receiver was told of the end already: what comes after that would open it again."""
        key = key_of(change.values)
        return any(
            one.status == "sent" and one.kind == "change" and one.change > change.id and one.key == key and one.after not in OPEN
            for one in self.past[row["receiver"], change.incident]
        )  # fmt: skip

    def find_silence(self, row: sa.RowMapping) -> datetime | None:
        """Return until when a notice is held back, None where it can be told. An end is told to who knows of the trouble."""
        change = self.changes[row["change"]]
        if row["kind"] == "change" and change.after not in OPEN:
            return None
        ends = [
            one.ends_at
            for one in self.silences
            if one.project == change.project
            and one.concerns(change.alert, change.incident)
            and (not one.is_acknowledgement or self._was_known(row, change, one))
        ]
        if self._is_covered(row, change):
            ends.append(self.now + _LOOK_AGAIN)
        return max(ends, default=None)

    def _is_covered(self, row: sa.RowMapping, change: ChangeRow) -> bool:
        """Tell whether a receiver knows by another alert that the project is silent: that is one trouble, and told once.

        It is looked again while that lasts. What is still without data when the project is not silent any more is told then.
        """
        present = self.list_still(change)
        if not is_project_without_data(change) or not any(is_project_without_data(one) for one in present):
            return False
        told = self.projects_without_data.told.get((change.project, row["receiver"]), {})
        # Whoever heard only of alerts that never had data does not know that a project fell silent.
        others = {
            name for name, fell in told.items() if name != change.alert and (fell or not fell_silent(change))
        }
        if row["kind"] != "change":
            # That it still is so one alert says for all.
            others = {name for name in others if name < change.alert}
        resumed = self.projects_without_data.resumed.get(change.project)
        judged = self.present[change.project, change.alert].watch.judged_until
        # Once another alert has seen events this one waits for its own next window.
        return bool(others) or (row["status"] == "held" and resumed is not None and judged <= resumed)

    def _was_known(self, row: sa.RowMapping, change: ChangeRow, silence: Silence) -> bool:
        """Tell whether who said that they are at it knew of this: of values that joined later they did not."""
        if row["kind"] == "repeat":
            return True
        told = [change] if row["kind"] == "change" else self.list_still(change)
        last = change.id if row["kind"] == "change" else None
        begins = read_begins(self.connection, change.incident, change.cause.alert, last)
        return all(begins.get(key_of(one.values), one.found_at) <= silence.begins_at for one in told)


def is_project_without_data(change: ChangeRow) -> bool:
    """Tell whether a change says that there is no data while the whole project has none."""
    return is_quiet(change.cause.standing)


def fell_silent(change: ChangeRow) -> bool:
    """Tell whether a change says that there is no data any more because the whole project fell silent."""
    return is_silent(change.values, change.cause.standing)


@dataclass(frozen=True, slots=True)
class _SilentProjects:
    """What was told of projects that are silent.

    `told` are the alerts that have no data as all of the project is silent, by project and by the receiver that was told so,
    each with whether it had data before.
    `resumed` is the end of the last window in which an alert of the project had data again.
    """

    told: dict[tuple[str, int], dict[str, bool]]
    resumed: dict[str, datetime]

    @classmethod
    def read(cls, connection: sa.Connection, projects: set[str]) -> _SilentProjects:
        if not projects:
            return cls({}, {})
        ended = (ALERT_CHANGE.c.before == "no data") & ALERT_CHANGE.c.project.in_(projects)
        newest = sa.func.max(ALERT_CHANGE.c.at)
        question = sa.select(ALERT_CHANGE.c.project, newest).where(ended).group_by(ALERT_CHANGE.c.project)
        resumed = {project: aware(at) for project, at in connection.execute(question)}
        return cls(_read_silent(connection, projects), resumed)


def _read_silent(connection: sa.Connection, projects: set[str]) -> dict[tuple[str, int], dict[str, bool]]:
    """Return which alerts of silent projects receivers were told of, where they are silent still, and which had data."""
    question = (
        sa.select(ALERT_CHANGE.c.project, ALERT_CHANGE.c.alert, ALERT_CHANGE.c.incident, NOTICE.c.receiver)
        .join(ALERT_CHANGE, ALERT_CHANGE.c.id == NOTICE.c.change)
        .where(ALERT_CHANGE.c.project.in_(projects) & (ALERT_CHANGE.c.after == "no data"))
        .where(NOTICE.c.status.in_(("sending", "sent")))
        .distinct()
    )
    told = connection.execute(question).all()
    present = read_troubles(connection, {alert for _, alert, *_ in told})
    silent: dict[tuple[str, int], dict[str, bool]] = defaultdict(dict)
    for project, alert, incident, receiver in told:
        kept = present.get((project, alert))
        if kept is None or kept.watch.incident != incident:
            continue
        fell = [is_silent(values, one) for values, one in kept.standings.items() if is_quiet(one)]
        if fell:
            silent[project, receiver][alert] = any(fell)
    return silent


def _read_changes(connection: sa.Connection, numbers: list[int]) -> dict[int, ChangeRow]:
    changes: dict[int, ChangeRow] = {}
    for part in split(numbers):
        question = sa.select(ALERT_CHANGE).where(ALERT_CHANGE.c.id.in_(part))
        changes |= {row["id"]: read_change(row) for row in connection.execute(question).mappings()}
    return changes


def _read_past(connection: sa.Connection, incidents: set[int]) -> dict[tuple[int, int], list[_Past]]:
    """Return what became of all notices of some troubles, by receiver and trouble."""
    columns = (NOTICE.c.id, NOTICE.c.kind, NOTICE.c.status, NOTICE.c.receiver)
    question = (
        sa.select(*columns, ALERT_CHANGE.c.incident, ALERT_CHANGE.c.id, ALERT_CHANGE.c.group_key, ALERT_CHANGE.c.after)
        .join(ALERT_CHANGE, ALERT_CHANGE.c.id == NOTICE.c.change)
        .where(ALERT_CHANGE.c.incident.in_(incidents))
    )  # fmt: skip
    past: dict[tuple[int, int], list[_Past]] = defaultdict(list)
    for number, kind, status, receiver, incident, change, key, after in connection.execute(question):
        past[receiver, incident].append(_Past(number, kind, status, change, key, after))
    return past


def _build_present(change: ChangeRow, values: Values, standing: Standing) -> ChangeRow:
    """Return how a value stands as if it were a change: with the figures of now."""
    cause = msgspec.structs.replace(change.cause, standing=standing)
    return ChangeRow(
        change.id, change.project, change.alert, values, standing.state, standing.state, change.incident,
        standing.since, change.found_at, cause,
    )  # fmt: skip


def _find_due(rows: list[sa.RowMapping], now: datetime) -> list[sa.RowMapping]:
    """Return the notices that are due, with the older ones about the same alert, for news comes in its order.

    Of a message that was tried before all goes out again. What was held and is free now has waited long enough.
    """
    # What failed is tried again when it is due, and news of the same alert does not bring that forward.
    later = {
        (row["receiver"], row["alert"])
        for row in rows
        if row["batch"] and row["status"] == "waiting" and aware(row["due_at"]) > now
    }
    rows = [row for row in rows if row["status"] == "held" or (row["receiver"], row["alert"]) not in later]
    taken = {row["id"] for row in rows if row["status"] == "held" or aware(row["due_at"]) <= now}
    while True:
        newest = {(row["receiver"], row["alert"]): row["id"] for row in rows if row["id"] in taken}
        batches = {(row["receiver"], row["batch"]) for row in rows if row["batch"] and row["id"] in taken}
        more = {
            row["id"]
            for row in rows
            if row["id"] not in taken
            and (
                row["id"] <= newest.get((row["receiver"], row["alert"]), 0)
                or (row["receiver"], row["batch"]) in batches
            )
        }
        if not more:
            return [row for row in rows if row["id"] in taken]
        taken |= more


def _choose_receivers(rows: list[sa.RowMapping], failing: int) -> list[sa.RowMapping]:
    """Leave out receivers that fail, but for those that have waited longest."""
    waited: dict[int, datetime] = {}
    for row in rows:
        if row["failing_since"] is not None:
            due = aware(row["due_at"])
            waited[row["receiver"]] = min(due, waited.get(row["receiver"], due))
    left_out = sorted(waited, key=waited.__getitem__)[max(0, failing) :]
    return [row for row in rows if row["receiver"] not in left_out]


def _gather(rows: list[sa.RowMapping], known: _Known) -> Iterable[list[sa.RowMapping]]:
    """Put together what is one message: what was one before, else what is about one trouble, else all that is new to a receiver."""
    again: dict[tuple[int, int], list[sa.RowMapping]] = defaultdict(list)
    fresh: dict[int, dict[tuple[str, int], list[sa.RowMapping]]] = defaultdict(lambda: defaultdict(list))
    older = {(row["receiver"], row["alert"]) for row in rows if row["batch"]}
    for row in rows:
        if row["batch"]:
            again[row["receiver"], row["batch"]].append(row)
        else:
            place = (row["alert"], known.changes[row["change"]].incident)
            fresh[row["receiver"]][place].append(row)
    yield from again.values()
    for receiver, groups in fresh.items():
        # What has to come after another message waits for it, and is not put before it with the others.
        joined = {place: group for place, group in groups.items() if (receiver, place[0]) not in older}
        # That a project is silent is one message, however many alerts notice it.
        for silent in _find_silent(joined.values(), known):
            if len(silent) > 1 and _may_join(silent[0][0]):
                yield sorted((row for group in silent for row in group), key=lambda row: int(row["id"]))
                joined = {place: group for place, group in joined.items() if group not in silent}
        not_deferred = {place for place in groups if (receiver, place[0]) not in older}
        if len({alert for alert, _ in joined}) > MOST_APART and _may_join(next(iter(joined.values()))[0]):
            yield sorted((row for group in joined.values() for row in group), key=lambda row: int(row["id"]))
        else:
            yield from joined.values()
        yield from (group for place, group in groups.items() if place not in not_deferred)


def _find_silent(
    groups: Iterable[list[sa.RowMapping]], known: _Known
) -> tuple[list[list[sa.RowMapping]], list[list[sa.RowMapping]]]:
    """Return the groups of what fell silent with its project, and of what never had data in a project without any."""
    fell, never = [], []
    for group in groups:
        changes = [known.changes[one["change"]] for one in group]
        if all(map(fell_silent, changes)):
            fell.append(group)
        elif all(map(is_project_without_data, changes)):
            never.append(group)
    return fell, never


def _may_join(row: sa.RowMapping) -> bool:
    return str(row["hint"]).partition("://")[0] not in KEEP_INCIDENTS


def _build(rows: list[sa.RowMapping], known: _Known) -> Batch:
    """Return the message of some notices; each alert's trouble is a part of it."""
    number = rows[0]["batch"] or min(row["id"] for row in rows)
    attempt = max(row["attempts"] for row in rows) + 1

    def place(row: sa.RowMapping) -> tuple[str, int]:
        return row["alert"], known.changes[row["change"]].incident

    ids = [row["id"] for row in rows]
    parts = [
        _build_part(list(group), known, number, attempt)
        for _, group in groupby(sorted(rows, key=place), place)
    ]
    first, *others = sorted(parts, key=lambda one: one.notices[0])
    return replace(first, notices=ids, others=others) if others else first


def _build_part(rows: list[sa.RowMapping], known: _Known, number: int, attempt: int) -> Batch:
    row = rows[-1]
    change = known.changes[row["change"]]
    still = known.list_still(change)
    news = [known.changes[one["change"]] for one in rows if one["kind"] == "change"]
    return Batch(
        number, row["receiver"], row["project"], row["alert"], change.incident, attempt,
        all(one["kind"] == "repeat" for one in rows), news or still, [one["id"] for one in rows], still,
        row["name"], row["failing_since"] is not None,
    )  # fmt: skip
