"""What is kept of alerts: how they stand, what changed, and the notices that follow. In the catalog's database.

A round's outcomes are written in one transaction with the notices that follow from them: after a crash there is all of a
round or nothing of it. Judging writes through `write`, pages and the command line read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from tallymark.alerts.changes import BriefChange, Cause, Change, ChangeRow, Kept, News, Outcome, Watch
from tallymark.alerts.conditions import Judged
from tallymark.alerts.outbox import UNTOLD, add_notice
from tallymark.alerts.standing import OPEN, Standing, State, find_shown, is_over, is_told
from tallymark.alerts.values import Values, decode_values, encode_values, key_of
from tallymark.catalog.repository import Catalog, aware
from tallymark.catalog.tables import ALERT_CHANGE, NOTICE, SILENCE, STANDING
from tallymark.plan.kinds.alert import Alert

# The row of an alert itself, besides those of its values.
_WHOLE: Final = "*"
_MOST_BRIEF: Final = 2000


class Book:
    """Reads and writes. Thread-safe, as the engine is; one process alone judges."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def load(self, project: str) -> dict[str, Kept]:
        """Return what is kept of a project's alerts, by name."""
        with self._catalog.engine.connect() as connection:
            kept = _read_kept(connection, STANDING.c.project == project)
        return {alert: one for (_, alert), one in kept.items()}

    def write(self, project: str, news: Sequence[News], now: datetime) -> list[Watch]:
        """Write the outcomes of a round, all or nothing; returns the watches, which know their incidents now."""
        with self._catalog.begin_write() as connection:
            watches = [_write_changes(connection, project, one, now) for one in news]
            gone = [(one.outcome.alert.name, values) for one in news for values in one.outcome.forgotten]
            for alert, values in gone:
                connection.execute(sa.delete(STANDING).where(_same(project, alert, key_of(values))))
            rows = []
            for one, watch in zip(news, watches, strict=True):
                name = one.outcome.alert.name
                rows.append(_row(project, name, _WHOLE, "[]", "", msgspec.json.encode(watch)))
                for values, standing in one.outcome.standings.items():
                    body = msgspec.json.encode(standing)
                    rows.append(
                        _row(project, name, key_of(values), encode_values(values), standing.state, body)
                    )
            _upsert(connection, rows)
        return watches

    def close(self, project: str, alert: str, why: str, now: datetime) -> None:
        """Forget how an alert stands that is not watched any more; of trouble that was told the end is told."""
        kept = self.load(project).get(alert)
        last = next(iter(self.list_changes(project, alert, most=1)), None)
        with self._catalog.begin_write() as connection:
            if kept is not None and last is not None and kept.watch.incident:
                cause = last.cause
                ended = {
                    values: msgspec.structs.replace(
                        one, state="ok", since=now, judged=Judged(verdict="not met", reason=why)
                    )
                    for values, one in kept.standings.items()
                    if one.state in OPEN
                }
                changes = [Change(values, kept.standings[values], one, now) for values, one in ended.items()]
                outcome = Outcome(cause.alert, kept.watch, {**kept.standings, **ended}, changes=changes)
                _write_changes(connection, project, News(outcome, cause.title, cause.unit, cause.owner), now)
            same = (STANDING.c.project == project) & (STANDING.c.alert == alert)
            connection.execute(sa.delete(STANDING).where(same))

    def prune(self, before: datetime) -> int:
        """Forget what changed before a time, with who was told of it, and silences that were over; returns how many changes.

        What belongs to trouble that is not over stays.
        """
        with self._catalog.begin_write() as connection:
            watches = connection.execute(
                sa.select(STANDING.c.body).where(STANDING.c.group_key == _WHOLE)
            ).scalars()
            present = [msgspec.json.decode(body, type=Watch).incident for body in watches]
            # By what is selected, and not by a list that may be long.
            old = (ALERT_CHANGE.c.at < before) & ALERT_CHANGE.c.incident.not_in(
                [one for one in present if one]
            )
            gone = sa.select(ALERT_CHANGE.c.id).where(old)
            connection.execute(sa.delete(NOTICE).where(NOTICE.c.change.in_(gone)))
            connection.execute(sa.delete(SILENCE).where(SILENCE.c.ends_at < before))
            return connection.execute(sa.delete(ALERT_CHANGE).where(old)).rowcount

    def list_changes(
        self, project: str, alert: str = "", *, start: datetime | None = None, most: int = 200
    ) -> list[ChangeRow]:
        """Return changes, the newest first: of a project, of one alert, since a time."""
        question = sa.select(ALERT_CHANGE).where(ALERT_CHANGE.c.project == project)
        if alert:
            question = question.where(ALERT_CHANGE.c.alert == alert)
        if start is not None:
            question = question.where(ALERT_CHANGE.c.at >= start)
        with self._catalog.engine.connect() as connection:
            rows = connection.execute(question.order_by(ALERT_CHANGE.c.id.desc()).limit(most)).mappings()
            return [read_change(row) for row in rows]

    def find_begins(self, incident: int, alert: Alert) -> dict[str, datetime]:
        """Return when the values of a trouble were found to be in it, without being well since, by their keys."""
        with self._catalog.engine.connect() as connection:
            return read_begins(connection, incident, alert)

    def list_states(self, project: str) -> dict[str, list[State]]:
        """Return in which states the values of each alert are."""
        question = sa.select(STANDING.c.alert, STANDING.c.state).distinct()
        same = (STANDING.c.project == project) & (STANDING.c.group_key != _WHOLE)
        states: dict[str, list[State]] = {}
        with self._catalog.engine.connect() as connection:
            for alert, state in connection.execute(question.where(same)):
                states.setdefault(alert, []).append(state)
        return states

    def list_never(self, project: str) -> frozenset[str]:
        """Return the alerts that stand as ok for want of any data: no value has had an event since the watch began."""
        question = sa.select(STANDING.c.alert, STANDING.c.body)
        same = (STANDING.c.project == project) & (STANDING.c.group_key != _WHOLE)
        known: dict[str, bool] = {}
        with self._catalog.engine.connect() as connection:
            for alert, body in connection.execute(question.where(same)):
                standing = msgspec.json.decode(body, type=Standing)
                known[alert] = known.get(alert, False) or find_shown(standing) == standing.state
        return frozenset(alert for alert, has_data in known.items() if not has_data)

    def list_brief(self, project: str, alerts: Sequence[str], before: datetime) -> list[BriefChange]:
        """Return the changes of some alerts until a time, the oldest first; of very many the last ones."""
        columns = [ALERT_CHANGE.c[name] for name in ("alert", "group_key", "before", "after", "at")]
        question = sa.select(*columns).where(
            (ALERT_CHANGE.c.project == project)
            & ALERT_CHANGE.c.alert.in_(alerts)
            & (ALERT_CHANGE.c.at < before)
        )
        with self._catalog.engine.connect() as connection:
            rows = connection.execute(question.order_by(ALERT_CHANGE.c.id.desc()).limit(_MOST_BRIEF)).all()
        return [BriefChange(alert, key, was, now, aware(at)) for alert, key, was, now, at in reversed(rows)]

    def list_unrecorded(self, most: int = 500) -> list[ChangeRow]:
        """Return changes of all projects that are no events yet, the oldest first."""
        question = sa.select(ALERT_CHANGE).where(ALERT_CHANGE.c.recorded_at.is_(None))
        with self._catalog.engine.connect() as connection:
            rows = connection.execute(question.order_by(ALERT_CHANGE.c.id).limit(most)).mappings()
            return [read_change(row) for row in rows]

    def mark_recorded(self, changes: Iterable[int], now: datetime) -> None:
        """Note that changes are events now."""
        with self._catalog.begin_write() as connection:
            same = ALERT_CHANGE.c.id.in_(list(changes))
            connection.execute(sa.update(ALERT_CHANGE).where(same).values(recorded_at=now))


def read_troubles(connection: sa.Connection, alerts: Iterable[str]) -> dict[tuple[str, str], Kept]:
    """Return alerts of some names by project and name, with those of their values in which something is wrong."""
    wrong = STANDING.c.state.in_(OPEN) | (STANDING.c.group_key == _WHOLE)
    return _read_kept(connection, STANDING.c.alert.in_(alerts) & wrong)


def read_begins(
    connection: sa.Connection, incident: int, alert: Alert, last: int | None = None
) -> dict[str, datetime]:
    """Return when the values of a trouble were found to be in it, without being well since, by their keys; up to one change."""
    columns = (ALERT_CHANGE.c.group_key, ALERT_CHANGE.c.before, ALERT_CHANGE.c.after, ALERT_CHANGE.c.found_at)
    question = sa.select(*columns).where(ALERT_CHANGE.c.incident == incident).order_by(ALERT_CHANGE.c.id)
    if last is not None:
        question = question.where(ALERT_CHANGE.c.id <= last)
    begins: dict[str, datetime] = {}
    for key, before, after, found_at in connection.execute(question):
        if before not in OPEN:
            begins.pop(key, None)
        if is_told(alert, after):
            begins.setdefault(key, aware(found_at))
    return begins


def _read_kept(connection: sa.Connection, which: sa.ColumnElement[bool]) -> dict[tuple[str, str], Kept]:
    rows = connection.execute(sa.select(STANDING).where(which)).mappings().all()
    kept = {
        (row["project"], row["alert"]): Kept(msgspec.json.decode(row["body"], type=Watch), {})
        for row in rows
        if row["group_key"] == _WHOLE
    }
    for row in rows:
        place = (row["project"], row["alert"])
        if row["group_key"] != _WHOLE and place in kept:
            standing = msgspec.json.decode(row["body"], type=Standing)
            kept[place].standings[decode_values(row["group_values"])] = standing
    return kept


def _write_changes(connection: sa.Connection, project: str, one: News, now: datetime) -> Watch:
    """Write an alert's changes with their notices; returns its watch with the incident that is open afterwards."""
    outcome = one.outcome
    incident = outcome.watch.incident
    open_values = {values for values, before in _states_before(outcome).items() if before in OPEN}
    for change in outcome.changes:
        row = {
            "project": project,
            "alert": outcome.alert.name,
            "group_key": key_of(change.values),
            "group_values": encode_values(change.values),
            "before": change.before.state,
            "after": change.after.state,
            "incident": incident,
            "at": change.at,
            "found_at": now,
            "body": msgspec.json.encode(
                Cause(
                    standing=change.after,
                    opened=change.after.opened or change.before.opened,
                    alert=outcome.alert,
                    title=one.title,
                    unit=one.unit,
                    owner=one.owner,
                )
            ).decode(),
        }
        (number,) = connection.execute(sa.insert(ALERT_CHANGE).values(**row)).inserted_primary_key or (0,)
        if change.after.state in OPEN and not incident:
            incident = number
            connection.execute(
                sa.update(ALERT_CHANGE).where(ALERT_CHANGE.c.id == number).values(incident=incident)
            )
        if change.after.state in OPEN:
            open_values.add(change.values)
        else:
            open_values.discard(change.values)
        _write_notices(
            connection, project, one, number, incident, change.before.state, change.after.state, now
        )
        if not open_values:
            incident = 0
    return msgspec.structs.replace(outcome.watch, incident=incident)


def _states_before(outcome: Outcome) -> dict[Values, State]:
    """Return how each value stood before the round."""
    states = {values: standing.state for values, standing in outcome.standings.items()}
    for change in reversed(outcome.changes):
        states[change.values] = change.before.state
    return states


def _write_notices(
    connection: sa.Connection, project: str, one: News, change: int, incident: int, before: State, after: State, now: datetime
) -> None:  # fmt: skip
    """Write who has to be told of a change. Of an end only those are told who were told of the trouble."""
    alert = one.outcome.alert
    over = is_over(before, after)
    if not over and not is_told(alert, after):
        return
    receivers: Iterable[int] = one.receivers
    if over:
        told = sa.select(NOTICE.c.receiver).join(ALERT_CHANGE, ALERT_CHANGE.c.id == NOTICE.c.change).where(
            (ALERT_CHANGE.c.incident == incident) & NOTICE.c.status.not_in(UNTOLD)
        ).distinct()  # fmt: skip
        receivers = connection.execute(told).scalars().all()
    for receiver in receivers:
        add_notice(connection, project, alert.name, change, receiver, "change", now)


def _same(project: str, alert: str, key: str) -> sa.ColumnElement[bool]:
    return (STANDING.c.project == project) & (STANDING.c.alert == alert) & (STANDING.c.group_key == key)


def _row(project: str, alert: str, key: str, values: str, state: str, body: bytes) -> dict[str, Any]:
    return {
        "project": project, "alert": alert, "group_key": key, "group_values": values, "state": state, "body": body.decode(),
    }  # fmt: skip


def _upsert(connection: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows over those that are there."""
    if not rows:
        return
    insert = (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(STANDING)
    changed = {name: insert.excluded[name] for name in ("group_values", "state", "body")}
    connection.execute(
        insert.on_conflict_do_update(index_elements=["project", "alert", "group_key"], set_=changed), rows
    )


def read_change(row: sa.RowMapping) -> ChangeRow:
    """Return a change from its row."""
    return ChangeRow(
        row["id"], row["project"], row["alert"], decode_values(row["group_values"]), row["before"], row["after"],
        row["incident"], aware(row["at"]), aware(row["found_at"]), msgspec.json.decode(row["body"], type=Cause),
    )  # fmt: skip
