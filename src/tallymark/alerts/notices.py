"""Notices on their way: which are sent now, and what came of it.

What was `sending` when the process ended may have arrived or not: it is sent once more as the same message, with the same id, so
that who gets it twice can tell.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa

from tallymark.alerts.batches import Batch, Kind
from tallymark.alerts.claims import Decision, Holding, decide
from tallymark.alerts.outbox import ON_THE_WAY, UNTOLD, add_notice, split
from tallymark.catalog.receivers import note_outcome
from tallymark.catalog.repository import Catalog, aware
from tallymark.catalog.tables import ALERT_CHANGE, NOTICE, RECEIVER

# After so many seconds a message that could not be sent is tried again; after the last of them it is given up.
RETRY_SECONDS: Final = (10, 30, 60, 300, 900, *[3600] * 20)


@dataclass(frozen=True, slots=True)
class Trouble:
    """A trouble that is not over: who is to know of it, and how often it is said that it still is so.

    `called` are those of them who are told because nobody has answered since `since`: also if they were told before that.
    """

    alert: str
    incident: int
    receivers: tuple[int, ...]
    pause: timedelta
    called: frozenset[int] = frozenset()
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """A notice as people see it: to whom, what became of it, when, and how the last attempt failed."""

    change: int
    receiver: str
    kind: str
    status: str
    attempts: int
    due_at: datetime
    ended_at: datetime | None
    error: str


class Notices:
    """The notices of all projects. One process alone sends."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._seen: Holding | None = None

    def recover(self, now: datetime, besides: Collection[int] = ()) -> int:
        """Let what was being sent and is not any more be sent again; returns how many notices that are.

        That is all of it when the process ended, and later what `besides` does not name: what is being sent now.
        """
        sending = sa.select(NOTICE.c.id).where(NOTICE.c.status == "sending")
        with self._catalog.engine.connect() as connection:
            lost = sorted(set(connection.execute(sending).scalars()).difference(besides))
        if lost:
            with self._catalog.begin_write() as connection:
                _set(connection, lost, status="waiting", due_at=now)
        return len(lost)

    def claim(self, now: datetime, busy: Iterable[int] = (), failing: int = 1_000_000) -> list[Batch]:
        """Return the messages that are due, and note that they are being sent; none to receivers that are `busy`.

        Notices of one trouble to one receiver are one message, and of many that begin at once; also those that failed before.
        Of receivers whose last message did not arrive `failing` at most are told.
        """
        with self._catalog.engine.connect() as connection:
            decision = decide(connection, now, set(busy), failing, self._seen)
        if decision:
            with self._catalog.begin_write() as connection:
                decision = decide(connection, now, set(busy), failing, self._seen)
                _write(connection, decision, now)
        self._seen = decision.holding
        return decision.batches

    def finish(self, batch: Batch, error: str, now: datetime, rest: Sequence[Batch] = ()) -> None:
        """Note that a message was sent, or with an error that it was not and will be tried again, or is given up.

        `rest` are messages that are not tried now because this one failed. What is about the same alert waits for its next attempt.
        """
        with self._catalog.begin_write() as connection:
            note_outcome(connection, batch.receiver, error, now)
            if not error:
                _set(connection, batch.notices, status="sent", ended_at=now, error="")
                return
            again = now
            if batch.attempt > len(RETRY_SECONDS):
                _set(connection, batch.notices, status="failed", ended_at=now, error=error[:500])
            else:
                again += timedelta(seconds=RETRY_SECONDS[batch.attempt - 1])
                _set(connection, batch.notices, status="waiting", due_at=again, error=error[:500])
            for one in rest:
                _put_back(connection, one, again if one.alerts & batch.alerts else now)

    def remind(self, project: str, troubles: Sequence[Trouble], now: datetime) -> None:
        """Make notices of what is wrong now: for receivers that were told of it so long ago and nothing since, and for new ones."""
        with self._catalog.engine.connect() as connection:
            wanted = _list_reminders(connection, troubles, now)
        if not wanted:
            return
        with self._catalog.begin_write() as connection:
            present = set(connection.execute(sa.select(RECEIVER.c.id)).scalars())
            for alert, change, receiver, kind in wanted:
                if receiver in present:
                    add_notice(connection, project, alert, change, receiver, kind, now)

    def find_told(self, incident: int) -> datetime | None:
        """Return when people began to be told of a trouble; None while all that is to be said is held by a silence."""
        question = (
            sa.select(sa.func.min(NOTICE.c.created_at))
            .join(ALERT_CHANGE, ALERT_CHANGE.c.id == NOTICE.c.change)
            .where((ALERT_CHANGE.c.incident == incident) & NOTICE.c.status.not_in(UNTOLD))
        )
        with self._catalog.engine.connect() as connection:
            found = connection.execute(question).scalar()
        return aware(found) if found else None

    def list_deliveries(self, changes: Iterable[int]) -> dict[int, list[Delivery]]:
        """Return what became of the notices of changes, by change."""
        question = (
            sa.select(NOTICE, RECEIVER.c.name)
            .join(RECEIVER, RECEIVER.c.id == NOTICE.c.receiver)
            .where(NOTICE.c.change.in_(list(changes)))
            .order_by(NOTICE.c.id)
        )
        found: dict[int, list[Delivery]] = {}
        with self._catalog.engine.connect() as connection:
            for row in connection.execute(question).mappings():
                ended = aware(row["ended_at"]) if row["ended_at"] else None
                found.setdefault(row["change"], []).append(
                    Delivery(row["change"], row["name"], row["kind"], row["status"], row["attempts"],
                             aware(row["due_at"]), ended, row["error"])
                )  # fmt: skip
        return found


def _write(connection: sa.Connection, decision: Decision, now: datetime) -> None:
    _set(connection, decision.drops, status="dropped", ended_at=now)
    _set(connection, decision.frees, status="waiting", due_at=now)
    for until, held in decision.holds.items():
        _set(connection, held, status="held", due_at=until)
    for one in decision.batches:
        _set(connection, one.notices, status="sending", batch=one.id, attempts=one.attempt, due_at=now)


def _list_reminders(
    connection: sa.Connection, troubles: Sequence[Trouble], now: datetime
) -> list[tuple[str, int, int, Kind]]:
    """Return which notices are to be made: alert, change, receiver and kind."""
    question = (
        sa.select(
            ALERT_CHANGE.c.incident, NOTICE.c.receiver, RECEIVER.c.created_at.label("added_at"),
            sa.func.max(ALERT_CHANGE.c.id).label("change"), sa.func.max(NOTICE.c.ended_at).label("ended_at"),
            sa.func.max(NOTICE.c.created_at).label("created_at"),
            sa.func.sum(sa.case((NOTICE.c.status.in_(ON_THE_WAY), 1), else_=0)).label("waiting"),
        )
        .join(ALERT_CHANGE, ALERT_CHANGE.c.id == NOTICE.c.change)
        .join(RECEIVER, RECEIVER.c.id == NOTICE.c.receiver)
        .where(ALERT_CHANGE.c.incident.in_([one.incident for one in troubles]))
        .group_by(ALERT_CHANGE.c.incident, NOTICE.c.receiver, RECEIVER.c.created_at)
    )  # fmt: skip
    told: dict[int, dict[int, sa.RowMapping]] = defaultdict(dict)
    for row in connection.execute(question).mappings():
        told[row["incident"]][row["receiver"]] = row
    wanted: list[tuple[str, int, int, Kind]] = []
    for one in troubles:
        known = told[one.incident]
        new = [
            receiver
            for receiver in one.receivers
            if _is_new(known.get(receiver))
            or (receiver in one.called and _is_called(known[receiver], one.since))
        ]
        wanted += [(one.alert, one.incident, receiver, "present") for receiver in new]
        # Whose turn is over hears of the end, and not that it still is so.
        for receiver, row in known.items():
            if receiver not in one.receivers:
                continue
            ended = row["ended_at"]
            if receiver not in new and not row["waiting"] and ended and now - aware(ended) >= one.pause:
                wanted.append((one.alert, row["change"], receiver, "repeat"))
    return wanted


def _is_new(row: sa.RowMapping | None) -> bool:
    """Tell whether a receiver was never told of a trouble. Given another address it is somebody else."""
    return row is None or (not row["waiting"] and aware(row["created_at"]) < aware(row["added_at"]))


def _is_called(row: sa.RowMapping, since: datetime | None) -> bool:
    """Tell whether a receiver that was told of a trouble is to be told anew: the waiting began again after that."""
    return since is not None and not row["waiting"] and aware(row["created_at"]) < since


def _put_back(connection: sa.Connection, batch: Batch, due: datetime) -> None:
    """Let a message wait that was not tried. One that never was may go together with others then."""
    values: dict[str, Any] = {"status": "waiting", "due_at": due, "attempts": batch.attempt - 1}
    if batch.attempt == 1:
        values["batch"] = 0
    _set(connection, batch.notices, **values)


def _set(connection: sa.Connection, notices: Sequence[int], **values: Any) -> None:
    for part in split(notices):
        connection.execute(sa.update(NOTICE).where(NOTICE.c.id.in_(part)).values(**values))
