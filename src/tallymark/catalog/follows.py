"""Whose metrics somebody looks after besides their own, by person and project."""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa

from tallymark.catalog.repository import Catalog
from tallymark.catalog.tables import FOLLOW, PERSON


class Follows:
    """The owners that people follow. Thread-safe, as the engine is."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def list(self, person: str, project: str) -> frozenset[str]:
        """Return the owners that a person follows in a project."""
        question = sa.select(FOLLOW.c.owner).where(_same(person, project))
        with self._catalog.engine.connect() as connection:
            return frozenset(connection.execute(question).scalars())

    def list_looked_after(self, project: str) -> frozenset[str]:
        """Return the owners that somebody is, or follows; names of people in lower case."""
        followed = sa.select(FOLLOW.c.owner).where(FOLLOW.c.project == project)
        with self._catalog.engine.connect() as connection:
            names = connection.execute(sa.select(PERSON.c.name)).scalars()
            return frozenset([*(name.casefold() for name in names), *connection.execute(followed).scalars()])

    def replace(self, person: str, project: str, owners: Iterable[str]) -> None:
        """Let a person follow these owners in a project, and no others."""
        rows = [{"person": person, "project": project, "owner": owner} for owner in sorted(set(owners))]
        with self._catalog.begin_write() as connection:
            connection.execute(sa.delete(FOLLOW).where(_same(person, project)))
            if rows:
                connection.execute(sa.insert(FOLLOW), rows)


def _same(person: str, project: str) -> sa.ColumnElement[bool]:
    return (FOLLOW.c.person == person) & (FOLLOW.c.project == project)
