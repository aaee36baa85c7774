"""Metrics and dashboards as the catalog keeps them: their JSON by project, kind and name, with who changed them last.

What the JSON means is the plan's business; here it is text with a version. The pages, the API and `tallymark apply`
write through `change`, all of one call or nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime

import sqlalchemy as sa

from tallymark.catalog.repository import Catalog, aware
from tallymark.catalog.tables import ASKED, DEFINITION
from tallymark.errors import RequestRefused


@dataclass(frozen=True, slots=True)
class Definition:
    """One object. `file` and `origin` are '' when it was made in the pages or over the API."""

    kind: str
    name: str
    body: str
    origin: str = ""
    file: str = ""
    version: int = 0
    changed_at: datetime = datetime(1970, 1, 1, tzinfo=UTC)
    changed_by: str = ""


@dataclass(frozen=True, slots=True)
class Write:
    """A definition to be written, over the version that its writer saw (0: there was none)."""

    kind: str
    name: str
    body: str
    seen: int
    origin: str = ""
    file: str = ""


@dataclass(frozen=True, slots=True)
class Removal:
    """A definition to be taken away, in the version that was seen."""

    kind: str
    name: str
    seen: int


@dataclass(frozen=True, slots=True)
class Use:
    """How often a definition was asked since a day, when last, and by how many different people and keys."""

    kind: str
    name: str
    times: int
    last_at: datetime
    askers: int


class Definitions:
    """The definitions of all projects. Thread-safe, as the engine is."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def list(self, project: str, kind: str = "") -> list[Definition]:
        """Return a project's definitions, of one kind or all, by kind and name."""
        question = sa.select(DEFINITION).where(DEFINITION.c.project == project)
        if kind:
            question = question.where(DEFINITION.c.kind == kind)
        with self._catalog.engine.connect() as connection:
            rows = connection.execute(question.order_by(DEFINITION.c.kind, DEFINITION.c.name)).mappings()
            return [_definition(row) for row in rows]

    def find(self, project: str, kind: str, name: str) -> Definition | None:
        """Return one definition, or None."""
        with self._catalog.engine.connect() as connection:
            row = (
                connection.execute(sa.select(DEFINITION).where(_same(project, kind, name))).mappings().first()
            )
        return _definition(row) if row else None

    def change(self, project: str, who: str, changes: Iterable[Write | Removal]) -> None:
        """Make all changes or none; raises RequestRefused (conflict) where somebody else was quicker."""
        with self._catalog.change() as connection:
            for change in changes:
                present = connection.execute(
                    sa.select(DEFINITION.c.version).where(_same(project, change.kind, change.name))
                ).scalar()
                if (present or 0) != change.seen:
                    raise _conflict(change, present)
                _apply(connection, project, who, change)

    def note_asked(self, project: str, asked: dict[tuple[str, str, str], int], now: datetime) -> None:
        """Add up who asked what: `asked` holds times by (kind, name, who). What is not defined is left out."""
        with self._catalog.engine.begin() as connection:
            question = sa.select(DEFINITION.c.kind, DEFINITION.c.name).where(DEFINITION.c.project == project)
            present = {(kind, name) for kind, name in connection.execute(question)}
            for (kind, name, who), times in asked.items():
                if (kind, name) not in present:
                    continue
                same = (
                    (ASKED.c.project == project)
                    & (ASKED.c.kind == kind)
                    & (ASKED.c.name == name)
                    & (ASKED.c.who == who)
                    & (ASKED.c.day == now.date())
                )
                row = connection.execute(
                    sa.update(ASKED).where(same).values(times=ASKED.c.times + times, last_at=now)
                )
                if row.rowcount == 0:
                    connection.execute(
                        sa.insert(ASKED).values(
                            project=project,
                            kind=kind,
                            name=name,
                            who=who,
                            day=now.date(),
                            times=times,
                            last_at=now,
                        )
                    )

    def list_uses(self, project: str, kind: str, since: date) -> dict[str, Use]:
        """Return how often each definition of a kind was asked since a day, by name; never asked = not there."""
        question = (
            sa.select(
                ASKED.c.name,
                sa.func.sum(ASKED.c.times),
                sa.func.max(ASKED.c.last_at),
                sa.func.count(sa.distinct(ASKED.c.who)),
            )
            .where((ASKED.c.project == project) & (ASKED.c.kind == kind) & (ASKED.c.day >= since))
            .group_by(ASKED.c.name)
        )
        with self._catalog.engine.connect() as connection:
            rows = connection.execute(question).all()
        return {name: Use(kind, name, int(times), aware(last), askers) for name, times, last, askers in rows}


def _same(project: str, kind: str, name: str) -> sa.ColumnElement[bool]:
    return (DEFINITION.c.project == project) & (DEFINITION.c.kind == kind) & (DEFINITION.c.name == name)


def _apply(connection: sa.Connection, project: str, who: str, change: Write | Removal) -> None:
    same = _same(project, change.kind, change.name)
    if isinstance(change, Removal):
        connection.execute(sa.delete(DEFINITION).where(same))
        _forget_asked(connection, project, change)
        return
    values = {
        "body": change.body,
        "origin": change.origin,
        "file": change.file,
        "version": change.seen + 1,
        "changed_at": datetime.now(UTC),
        "changed_by": who[:128],
    }
    if change.seen:
        connection.execute(sa.update(DEFINITION).where(same).values(**values))
    else:
        # A new one has no past, also where an older version of the program kept one.
        _forget_asked(connection, project, change)
        identity = {"project": project, "kind": change.kind, "name": change.name}
        connection.execute(sa.insert(DEFINITION).values(**identity, **values))


def _forget_asked(connection: sa.Connection, project: str, change: Write | Removal) -> None:
    same = (ASKED.c.project == project) & (ASKED.c.kind == change.kind) & (ASKED.c.name == change.name)
    connection.execute(sa.delete(ASKED).where(same))


def _conflict(change: Write | Removal, present: int | None) -> RequestRefused:
    found = f"is at version {present}" if present else "is gone"
    message = (
        f"The {change.kind} {change.name!r} {found}: somebody else changed it. Load it again, then change it."
    )
    if not change.seen:
        message = f"The {change.kind} {change.name!r} exists already, at version {present}."
    return RequestRefused("conflict", message, at=f"{change.kind}s.{change.name}")


def _definition(row: sa.RowMapping) -> Definition:
    return Definition(
        row["kind"], row["name"], row["body"], row["origin"], row["file"], row["version"],
        aware(row["changed_at"]), row["changed_by"],
    )  # fmt: skip
