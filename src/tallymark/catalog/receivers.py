"""Receivers: where the people are told who own alerts. Their addresses are sealed, and never shown again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec
import sqlalchemy as sa

from tallymark.catalog.repository import Catalog, aware
from tallymark.catalog.sealing import Sealer
from tallymark.catalog.tables import NOTICE, RECEIVER
from tallymark.errors import RequestRefused

# Told about the alerts of all owners.
EVERYBODY: Final = "*"
MAX_RECEIVERS: Final = 200


@dataclass(frozen=True, slots=True)
class Receiver:
    """One receiver. `hint` is its address without what is secret; `failing_since` is None where the last message arrived."""

    id: int
    project: str
    name: str
    owners: tuple[str, ...]
    hint: str
    created_at: datetime
    created_by: str
    succeeded_at: datetime | None
    failing_since: datetime | None
    error: str


class Receivers:
    """The receivers of all projects. Thread-safe, as the engine is."""

    def __init__(self, catalog: Catalog, sealer: Sealer) -> None:
        self._catalog = catalog
        self._sealer = sealer

    def create(
        self, project: str, name: str, address: str, hint: str, owners: Sequence[str], who: str, now: datetime
    ) -> None:
        """Add a receiver, or give one of this name another address and other owners; raises RequestRefused."""
        values = {
            "owners": msgspec.json.encode(sorted(set(owners))).decode(), "sealed": self._sealer.seal(address),
            "hint": hint[:128], "created_by": who[:128], "created_at": now,
            "succeeded_at": None, "failing_since": None, "error": "",
        }  # fmt: skip
        same = (RECEIVER.c.project == project) & (RECEIVER.c.name == name)
        with self._catalog.begin_write() as connection:
            present = (
                connection.execute(sa.select(sa.func.count()).where(RECEIVER.c.project == project)).scalar()
                or 0
            )
            if connection.execute(sa.update(RECEIVER).where(same).values(**values)).rowcount:
                return
            if present >= MAX_RECEIVERS:
                raise RequestRefused(
                    "invalid_request", f"A project has {MAX_RECEIVERS} receivers at most.", at="name"
                )
            connection.execute(sa.insert(RECEIVER).values(project=project, name=name, **values))

    def list(self, project: str) -> list[Receiver]:
        """Return a project's receivers by name."""
        question = sa.select(RECEIVER).where(RECEIVER.c.project == project).order_by(RECEIVER.c.name)
        with self._catalog.engine.connect() as connection:
            return [_receiver(row) for row in connection.execute(question).mappings()]

    def open_address(self, number: int) -> str:
        """Return a receiver's address; '' where there is none any more. Raises TallymarkError (sealed)."""
        with self._catalog.engine.connect() as connection:
            sealed = connection.execute(sa.select(RECEIVER.c.sealed).where(RECEIVER.c.id == number)).scalar()
        return self._sealer.open(sealed) if sealed else ""

    def remove(self, project: str, name: str) -> None:
        """Take a receiver away with the notices that wait for it; raises RequestRefused (not_found)."""
        same = (RECEIVER.c.project == project) & (RECEIVER.c.name == name)
        with self._catalog.begin_write() as connection:
            number = connection.execute(sa.select(RECEIVER.c.id).where(same)).scalar()
            if number is None:
                raise RequestRefused("not_found", f"There is no receiver {name[:80]!r}.", at="name")
            connection.execute(sa.delete(NOTICE).where(NOTICE.c.receiver == number))
            connection.execute(sa.delete(RECEIVER).where(RECEIVER.c.id == number))


def choose_receivers(receivers: Sequence[Receiver], names: Sequence[str], owner: str) -> list[Receiver]:
    """Return who is told: those that the alert names, else those of its owner, else those of everybody.

    Nobody is left out by a mistake: where a name is gone, those of everybody are told as well.
    """
    everybody = [one for one in receivers if EVERYBODY in one.owners]
    if names:
        named = [one for one in receivers if one.name in names]
        return named if len(named) == len(set(names)) else list(dict.fromkeys([*named, *everybody]))
    own = [one for one in receivers if owner and owner.casefold() in {name.casefold() for name in one.owners}]
    return list(dict.fromkeys([*own, *everybody]))


def _receiver(row: sa.RowMapping) -> Receiver:
    return Receiver(
        row["id"], row["project"], row["name"], tuple(msgspec.json.decode(row["owners"])), row["hint"],
        aware(row["created_at"]), row["created_by"],
        aware(row["succeeded_at"]) if row["succeeded_at"] else None,
        aware(row["failing_since"]) if row["failing_since"] else None, row["error"],
    )  # fmt: skip
