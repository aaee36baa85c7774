"""Notices on their way: which are due, which of them go out as one message, and what came of it.

A notice is `waiting`, then `sending`, then `sent`, or `failed` once it was given up. While an alert is silenced it is `held`;
where nothing is left to tell it is `dropped`. What was `sending` when the process ended may have arrived or not: it is sent
once more as the same message, with the same id, so that who gets it twice can tell.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from tallymark.alerts.book import ChangeRow, read_change
from tallymark.alerts.rounds import Watch
from tallymark.alerts.standing import OPEN
from tallymark.catalog.repository import Catalog, aware
from tallymark.catalog.tables import ALERT_CHANGE, NOTICE, RECEIVER, SILENCE, STANDING

# After so many seconds a message that could not be sent is tried again; after the last of them it is given up.
RETRY_SECONDS: Final = (10, 30, 60, 300, 900, *[3600] * 20)
_WAITING: Final = ("waiting", "held")


@dataclass(frozen=True, slots=True)
class Batch:
    """Notices that go out as one message to one receiver. `id` stays the same when it is sent again.

    `attempt` counts from 1. `repeats` says that nothing changed: it is told again that something is still wrong.
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

    def recover(self, now: datetime) -> int:
        """Let what was being sent when the process ended be sent again; returns how many notices that are."""
        with self._catalog.begin_write() as connection:
            done = connection.execute(
                sa.update(NOTICE).where(NOTICE.c.status == "sending").values(status="waiting", due_at=now)
            )
            return int(done.rowcount)

    def claim(self, now: datetime, busy: Iterable[int] = ()) -> list[Batch]:
        """Return the messages that are due, and note that they are being sent; none to receivers that are `busy`.

        Notices of one alert to one receiver are one message, also those that failed before.
        """
        with self._catalog.begin_write() as connection:
            _drop_what_is_over(connection, now)
            rows = _find_due(connection, now, set(busy))
            changes = _find_changes(connection, {row["change"] for row in rows})
            groups: dict[tuple[Any, ...], list[sa.RowMapping]] = {}
            for row in rows:
                change = changes[row["change"]]
                until = _find_silence(connection, change, now)
                if until is not None:
                    _set(connection, [row["id"]], status="held", due_at=until)
                    continue
                if change.is_over and not _is_known(connection, row["receiver"], change):
                    _set(connection, [row["id"]], status="dropped", ended_at=now)
                    continue
                groups.setdefault((row["receiver"], row["project"], row["alert"], row["batch"]), []).append(
                    row
                )
            return [_claim(connection, group, changes, now) for group in groups.values()]

    def finish(self, batch: Batch, error: str, now: datetime) -> None:
        """Note that a message was sent, or with an error that it was not and will be tried again, or is given up."""
        with self._catalog.begin_write() as connection:
            receiver = RECEIVER.c.id == batch.receiver
            if not error:
                _set(connection, batch.notices, status="sent", ended_at=now, error="")
                connection.execute(
                    sa.update(RECEIVER).where(receiver).values(succeeded_at=now, failing_since=None, error="")
                )
                return
            connection.execute(
                sa.update(RECEIVER).where(receiver).values(
                    failing_since=sa.func.coalesce(RECEIVER.c.failing_since, now), error=error[:500]
                )
            )  # fmt: skip
            if batch.attempt > len(RETRY_SECONDS):
                _set(connection, batch.notices, status="failed", ended_at=now, error=error[:500])
                return
            pause = timedelta(seconds=RETRY_SECONDS[batch.attempt - 1])
            _set(connection, batch.notices, status="waiting", due_at=now + pause, error=error[:500])

    def repeat(self, project: str, alert: str, incident: int, pause: timedelta, now: datetime) -> None:
        """Make notices that something is still wrong, for receivers that were told of it so long ago and nothing since."""
        with self._catalog.begin_write() as connection:
            same = (ALERT_CHANGE.c.incident == incident) & (ALERT_CHANGE.c.project == project)
            question = (
                sa.select(
                    NOTICE.c.receiver,
                    sa.func.max(ALERT_CHANGE.c.id),
                    sa.func.max(NOTICE.c.ended_at),
                    sa.func.sum(sa.case((NOTICE.c.status.in_((*_WAITING, "sending")), 1), else_=0)),
                )
                .join(ALERT_CHANGE, ALERT_CHANGE.c.id == NOTICE.c.change)
                .where(same)
                .group_by(NOTICE.c.receiver)
            )
            for receiver, change, ended, waiting in connection.execute(question).all():
                if waiting or ended is None or now - aware(ended) < pause:
                    continue
                connection.execute(
                    sa.insert(NOTICE).values(
                        project=project, alert=alert, change=change, receiver=receiver, kind="repeat",
                        status="waiting", due_at=now, created_at=now,
                    )
                )  # fmt: skip

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


def _find_due(connection: sa.Connection, now: datetime, busy: set[int]) -> list[sa.RowMapping]:
    """Return the notices that are due, and before each the older ones about the same alert: news comes in its order."""
    waiting = NOTICE.c.status.in_(_WAITING)
    rows = connection.execute(sa.select(NOTICE).where(waiting).order_by(NOTICE.c.id)).mappings().all()
    rows = [row for row in rows if row["receiver"] not in busy]
    newest = {
        (row["receiver"], row["project"], row["alert"]): row["id"]
        for row in rows
        if aware(row["due_at"]) <= now
    }
    return [
        row for row in rows if row["id"] <= newest.get((row["receiver"], row["project"], row["alert"]), 0)
    ]


def _claim(
    connection: sa.Connection, group: list[sa.RowMapping], changes: dict[int, ChangeRow], now: datetime
) -> Batch:
    first = group[0]
    ids = [row["id"] for row in group]
    batch = first["batch"] or min(ids)
    attempt = max(row["attempts"] for row in group) + 1
    _set(connection, ids, status="sending", batch=batch, attempts=attempt, due_at=now)
    told = [changes[row["change"]] for row in group]
    repeats = all(row["kind"] == "repeat" for row in group)
    return Batch(
        batch,
        first["receiver"],
        first["project"],
        first["alert"],
        told[0].incident,
        attempt,
        repeats,
        told,
        ids,
    )


def _drop_what_is_over(connection: sa.Connection, now: datetime) -> None:
    """Drop what was held back and is over: of trouble that came and went unsaid nobody has to hear now."""
    held = connection.execute(
        sa.select(NOTICE.c.id, NOTICE.c.project, NOTICE.c.alert, ALERT_CHANGE.c.incident)
        .join(ALERT_CHANGE, ALERT_CHANGE.c.id == NOTICE.c.change)
        .where((NOTICE.c.status == "held") | (NOTICE.c.kind == "repeat") & (NOTICE.c.status == "waiting"))
    ).all()
    for number, project, alert, incident in held:
        body = connection.execute(
            sa.select(STANDING.c.body).where(
                (STANDING.c.project == project) & (STANDING.c.alert == alert) & (STANDING.c.group_key == "*")
            )
        ).scalar()
        if body is None or msgspec.json.decode(body, type=Watch).incident != incident:
            _set(connection, [number], status="dropped", ended_at=now)


def _find_silence(connection: sa.Connection, change: ChangeRow, now: datetime) -> datetime | None:
    """Return until when nobody is told of a change, None where it can be told. An end is told to who knows of the trouble."""
    if change.after not in OPEN:
        return None
    ends = connection.execute(
        sa.select(sa.func.max(SILENCE.c.ends_at)).where(
            (SILENCE.c.project == change.project)
            & SILENCE.c.alert.in_(("", change.alert))
            & SILENCE.c.incident.in_((0, change.incident))
            & (SILENCE.c.begins_at <= now)
            & (SILENCE.c.ends_at > now)
        )
    ).scalar()
    return aware(ends) if ends is not None else None


def _is_known(connection: sa.Connection, receiver: int, change: ChangeRow) -> bool:
    """Tell whether a receiver heard of the trouble whose end this is, or hears of it now."""
    return bool(
        connection.execute(
            sa.select(NOTICE.c.id)
            .join(ALERT_CHANGE, ALERT_CHANGE.c.id == NOTICE.c.change)
            .where(
                (NOTICE.c.receiver == receiver)
                & (ALERT_CHANGE.c.incident == change.incident)
                & (ALERT_CHANGE.c.id < change.id)
                & NOTICE.c.status.not_in(("dropped", "held"))
            )
            .limit(1)
        ).first()
    )


def _find_changes(connection: sa.Connection, numbers: set[int]) -> dict[int, ChangeRow]:
    question = sa.select(ALERT_CHANGE).where(ALERT_CHANGE.c.id.in_(numbers))
    return {row["id"]: read_change(row) for row in connection.execute(question).mappings()}


def _set(connection: sa.Connection, notices: list[int], **values: Any) -> None:
    connection.execute(sa.update(NOTICE).where(NOTICE.c.id.in_(notices)).values(**values))
