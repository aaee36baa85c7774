"""Receivers: where the people are told who own alerts. Their addresses are sealed, and never shown again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from tallymark.catalog.repository import Catalog, aware
from tallymark.catalog.sealing import SEALED, Sealer
from tallymark.catalog.tables import NOTICE, RECEIVER
from tallymark.errors import RequestRefused, TallymarkError

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
        self._prepare()

    def create(
        self, project: str, name: str, address: str, hint: str, owners: Sequence[str], who: str, now: datetime
    ) -> None:
        """Add a receiver, or give one of this name another address and other owners; raises RequestRefused."""
        values = {
            "owners": msgspec.json.encode(sorted(set(owners))).decode(), "sealed": self._seal(address),
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
                # Whoever mends an address waits for what did not arrive, and not for the pause before the next attempt.
                mine = NOTICE.c.receiver == sa.select(RECEIVER.c.id).where(same).scalar_subquery()
                again = sa.update(NOTICE).where(mine & (NOTICE.c.status == "waiting"))
                connection.execute(again.values(due_at=now))
                return
            if present >= MAX_RECEIVERS:
                raise RequestRefused(
                    "invalid_request", f"A project has {MAX_RECEIVERS} receivers at most.", at="name"
                )
            connection.execute(sa.insert(RECEIVER).values(project=project, name=name, **values))

    def _seal(self, address: str) -> str:
        self._prepare()
        try:
            return self._sealer.seal(address)
        except TallymarkError as error:
            raise RequestRefused("conflict", error.message, at="url") from error

    def _prepare(self) -> None:
        with self._catalog.engine.connect() as connection:
            used = connection.execute(sa.select(RECEIVER.c.id).limit(1)).first() is not None
        if not used:
            self._sealer.prepare()

    def list(self, project: str) -> list[Receiver]:
        """Return a project's receivers by name."""
        question = sa.select(RECEIVER).where(RECEIVER.c.project == project).order_by(RECEIVER.c.name)
        with self._catalog.engine.connect() as connection:
            return [_receiver(row) for row in connection.execute(question).mappings()]

    def open_address(self, number: int, project: str, name: str = "") -> str:
        """Return the address of a project's receiver; '' where there is none any more. Raises TallymarkError (sealed).

        With a name only that of the receiver that still bears it.
        """
        same = (RECEIVER.c.id == number) & (RECEIVER.c.project == project)
        if name:
            same &= RECEIVER.c.name == name
        with self._catalog.engine.connect() as connection:
            sealed = connection.execute(sa.select(RECEIVER.c.sealed).where(same)).scalar()
        return self._sealer.open(sealed) if sealed else ""

    def note(self, number: int, error: str, now: datetime) -> None:
        """Note that a message to a receiver arrived, or with an error that it did not."""
        with self._catalog.begin_write() as connection:
            note_outcome(connection, number, error, now)

    def check(self, now: datetime) -> dict[str, str]:
        """Try to open all addresses; returns what is wrong by project and name. It is noted with the receiver, and taken back."""
        columns = (RECEIVER.c.id, RECEIVER.c.project, RECEIVER.c.name, RECEIVER.c.sealed, RECEIVER.c.error)
        with self._catalog.engine.connect() as connection:
            rows = connection.execute(sa.select(*columns).order_by(RECEIVER.c.id)).all()
        wrong: dict[str, str] = {}
        for number, project, name, sealed, before in rows:
            try:
                self._sealer.open(sealed)
            except TallymarkError as error:
                wrong[f"{project}/{name}"] = error.message
                self.note(number, error.message, now)
            else:
                if before in SEALED:
                    with self._catalog.begin_write() as connection:
                        well = sa.update(RECEIVER).where(RECEIVER.c.id == number)
                        connection.execute(well.values(failing_since=None, error=""))
        return wrong

    def remove(self, project: str, name: str) -> None:
        """Take a receiver away with the notices that wait for it; raises RequestRefused (not_found)."""
        same = (RECEIVER.c.project == project) & (RECEIVER.c.name == name)
        with self._catalog.begin_write() as connection:
            number = connection.execute(sa.select(RECEIVER.c.id).where(same)).scalar()
            if number is None:
                raise RequestRefused("not_found", f"There is no receiver {name[:80]!r}.", at="name")
            connection.execute(sa.delete(NOTICE).where(NOTICE.c.receiver == number))
            connection.execute(sa.delete(RECEIVER).where(RECEIVER.c.id == number))


def note_outcome(connection: sa.Connection, number: int, error: str, now: datetime) -> None:
    """Note with a receiver that a message arrived, or with an error that it did not."""
    values: dict[str, Any] = {"succeeded_at": now, "failing_since": None, "error": ""}
    if error:
        since = sa.func.coalesce(RECEIVER.c.failing_since, now)
        values = {"failing_since": since, "error": error[:500]}
    connection.execute(sa.update(RECEIVER).where(RECEIVER.c.id == number).values(**values))


def _receiver(row: sa.RowMapping) -> Receiver:
    return Receiver(
        row["id"], row["project"], row["name"], tuple(msgspec.json.decode(row["owners"])), row["hint"],
        aware(row["created_at"]), row["created_by"],
        aware(row["succeeded_at"]) if row["succeeded_at"] else None,
        aware(row["failing_since"]) if row["failing_since"] else None, row["error"],
    )  # fmt: skip
