"""Panels that may be shown in other sites: which, with which fixed conditions, until when, and whether revoked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa

from tallymark.catalog.repository import Catalog, aware
from tallymark.catalog.tables import EMBED
from tallymark.errors import RequestRefused


@dataclass(frozen=True, slots=True)
class Embed:
    """One panel shown elsewhere. `filters` is the JSON of a list of conditions."""

    id: int
    project: str
    dashboard: str
    panel: str
    filters: str
    created_at: datetime
    created_by: str
    expires_at: datetime
    revoked_at: datetime | None = None


class Embeds:
    """The embeds of all projects. Thread-safe, as the engine is."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def create(
        self, project: str, dashboard: str, panel: str, filters: str, who: str, expires_at: datetime
    ) -> Embed:
        """Allow a panel to be shown, and return how."""
        row = {
            "project": project,
            "dashboard": dashboard,
            "panel": panel,
            "filters": filters,
            "created_at": datetime.now(UTC).replace(microsecond=0),
            "created_by": who[:128],
            "expires_at": expires_at.replace(microsecond=0),
        }
        with self._catalog.change() as connection:
            done = connection.execute(sa.insert(EMBED).values(**row))
            (identity,) = done.inserted_primary_key or (0,)
        return Embed(identity, **row)  # type: ignore[arg-type]

    def list(self, project: str) -> list[Embed]:
        """Return a project's embeds, the newest first, also those that are over."""
        question = sa.select(EMBED).where(EMBED.c.project == project).order_by(EMBED.c.id.desc())
        with self._catalog.engine.connect() as connection:
            return [_embed(row) for row in connection.execute(question).mappings()]

    def find(self, identity: int) -> Embed | None:
        """Return an embed by its number, or None."""
        with self._catalog.engine.connect() as connection:
            row = connection.execute(sa.select(EMBED).where(EMBED.c.id == identity)).mappings().first()
        return _embed(row) if row else None

    def revoke(self, identity: int, project: str) -> None:
        """End an embed at once; raises RequestRefused (not_found)."""
        same = (EMBED.c.id == identity) & (EMBED.c.project == project) & EMBED.c.revoked_at.is_(None)
        with self._catalog.change() as connection:
            done = connection.execute(sa.update(EMBED).where(same).values(revoked_at=datetime.now(UTC)))
            if done.rowcount == 0:
                raise RequestRefused("not_found", f"There is no embed {identity} in use.", at="id")


def _embed(row: sa.RowMapping) -> Embed:
    return Embed(
        row["id"],
        row["project"],
        row["dashboard"],
        row["panel"],
        row["filters"],
        aware(row["created_at"]),
        row["created_by"],
        aware(row["expires_at"]),
        aware(row["revoked_at"]) if row["revoked_at"] else None,
    )
