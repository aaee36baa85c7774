"""Silences and acknowledgements: about what nobody is told for a time, why, and who said so."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa

from tallymark.catalog.repository import Catalog, aware
from tallymark.catalog.tables import SILENCE
from tallymark.errors import RequestRefused

LONGEST: Final = timedelta(days=366)


@dataclass(frozen=True, slots=True)
class Silence:
    """One of them. `alert` is '' for all alerts of the project; `incident` is that which was acknowledged, 0 of a silence."""

    id: int
    project: str
    alert: str
    incident: int
    reason: str
    person: str
    begins_at: datetime
    ends_at: datetime

    @property
    def is_acknowledgement(self) -> bool:
        """Whether somebody is at it: it holds for one incident, and ends with it."""
        return self.incident > 0

    def concerns(self, alert: str, incident: int) -> bool:
        """Tell whether it is about an alert, in its present incident (0: there is none)."""
        return self.alert in ("", alert) and self.incident in (0, incident)


class Silences:
    """The silences of all projects. Thread-safe, as the engine is."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def create(
        self,
        project: str,
        alert: str,
        reason: str,
        person: str,
        now: datetime,
        ends_at: datetime,
        *,
        incident: int = 0,
    ) -> Silence:
        """Silence an alert, or all with '', until a time; raises RequestRefused (invalid_request) without a reason or an end."""
        if not reason.strip():
            raise RequestRefused("invalid_request", "Say why: others will read it.", at="reason")
        if not now < ends_at <= now + LONGEST:
            message = "The end lies in the past, or more than a year ahead."
            raise RequestRefused("invalid_request", message, at="until")
        row = {
            "project": project, "alert": alert, "incident": incident, "reason": reason.strip()[:500], "person": person[:128],
            "begins_at": now, "ends_at": ends_at.replace(microsecond=0),
        }  # fmt: skip
        with self._catalog.begin_write() as connection:
            done = connection.execute(sa.insert(SILENCE).values(**row))
            (number,) = done.inserted_primary_key or (0,)
        return Silence(number, **row)  # type: ignore[arg-type]

    def list(self, project: str, now: datetime | None = None) -> list[Silence]:
        """Return a project's silences, those that end last first; with `now` only those that hold then."""
        question = sa.select(SILENCE).where(SILENCE.c.project == project)
        if now is not None:
            question = question.where(_hold(now))
        with self._catalog.engine.connect() as connection:
            return _read(connection, question)

    def end(self, number: int, project: str, now: datetime) -> None:
        """End a silence at once; raises RequestRefused (not_found)."""
        same = (SILENCE.c.id == number) & (SILENCE.c.project == project) & (SILENCE.c.ends_at > now)
        with self._catalog.begin_write() as connection:
            done = connection.execute(sa.update(SILENCE).where(same).values(ends_at=now))
            if done.rowcount == 0:
                raise RequestRefused("not_found", f"There is no silence {number} that holds.", at="id")


def read_silences(connection: sa.Connection, now: datetime) -> list[Silence]:
    """Return the silences of all projects that hold at a time."""
    return _read(connection, sa.select(SILENCE).where(_hold(now)))


def _hold(now: datetime) -> sa.ColumnElement[bool]:
    return (SILENCE.c.begins_at <= now) & (SILENCE.c.ends_at > now)


def _read(connection: sa.Connection, question: sa.Select[Any]) -> list[Silence]:
    rows = connection.execute(question.order_by(SILENCE.c.ends_at.desc(), SILENCE.c.id.desc())).mappings()
    return [
        Silence(
            row["id"], row["project"], row["alert"], row["incident"], row["reason"], row["person"],
            aware(row["begins_at"]), aware(row["ends_at"]),
        )
        for row in rows
    ]  # fmt: skip
