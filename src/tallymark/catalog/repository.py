"""Reading and writing the catalog: projects, keys, people and their sessions.

The command line, the pages and the first start write here; every change raises the catalog's version, by
which other processes see that their snapshot is old. Keys and session tokens are stored as digests only.
"""

from __future__ import annotations

import functools
import hashlib
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from tallymark.catalog.passwords import hash_password, is_password
from tallymark.catalog.tables import API_KEY, FACT, PERSON, PROJECT, SESSION
from tallymark.errors import RequestRefused
from tallymark.rules.privacy import RULES

SCOPES = ("write", "read", "admin")
SESSION_DAYS = 14
_PROJECT_NAME = re.compile(r"^[a-z0-9](?:[a-z0-9_-]{0,62}[a-z0-9])?$")
_MIN_GIVEN_KEY = 16
_MIN_PASSWORD = 8
_MAX_PERSON = 64


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A key as people see it: never the key itself."""

    id: int
    project: str
    scope: str
    name: str
    hint: str
    created_at: datetime
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class ProjectRow:
    """A project and its switches."""

    name: str
    privacy_off: tuple[str, ...]
    rate_limit: int


@dataclass(frozen=True, slots=True)
class PersonRow:
    """Somebody who can sign in."""

    name: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class SessionRow:
    """Somebody who has signed in."""

    person: str
    csrf: str
    expires_at: datetime


class Catalog:
    """The catalog behind an engine. Thread-safe, as the engine is."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine

    # Facts

    def fact(self, name: str) -> str | None:
        """Return a fact of the installation, or None."""
        with self.engine.connect() as connection:
            return connection.execute(sa.select(FACT.c.value).where(FACT.c.name == name)).scalar()

    def set_fact(self, name: str, value: str) -> None:
        """Write a fact."""
        with self.change() as connection:
            connection.execute(sa.delete(FACT).where(FACT.c.name == name))
            connection.execute(sa.insert(FACT).values(name=name, value=value))

    def version(self) -> int:
        """Return the number that rises with every change."""
        return int(self.fact("version") or 0)

    # Projects

    def create_project(self, name: str) -> None:
        """Make a project; raises RequestRefused (invalid_request, conflict)."""
        if not _PROJECT_NAME.match(name):
            raise RequestRefused(
                "invalid_request",
                f"{name!r} is no project name. Use 1 to 64 of a-z, 0-9, '-' and '_', not at the ends.",
                at="name",
            )
        with self.change() as connection:
            if connection.execute(sa.select(PROJECT.c.name).where(PROJECT.c.name == name)).first():
                raise RequestRefused("conflict", f"Project {name!r} exists already.", at="name")
            connection.execute(
                sa.insert(PROJECT).values(name=name, created_at=_now(), privacy_off=[], rate_limit=0)
            )

    def list_projects(self) -> list[ProjectRow]:
        """Return all projects by name."""
        with self.engine.connect() as connection:
            rows = connection.execute(sa.select(PROJECT).order_by(PROJECT.c.name)).mappings()
            return [ProjectRow(row["name"], tuple(row["privacy_off"]), row["rate_limit"]) for row in rows]

    def change_project(
        self, name: str, *, privacy_off: list[str] | None = None, rate_limit: int | None = None
    ) -> None:
        """Set a project's switches; raises RequestRefused (not_found, invalid_request)."""
        values: dict[str, object] = {}
        if privacy_off is not None:
            unknown = sorted(set(privacy_off) - set(RULES))
            if unknown:
                message = f"There is no privacy rule {unknown[0]!r}. Rules: {', '.join(RULES)}."
                raise RequestRefused("invalid_request", message, at="privacy_off")
            values["privacy_off"] = sorted(set(privacy_off))
        if rate_limit is not None:
            if rate_limit < 0:
                raise RequestRefused(
                    "invalid_request", "rate_limit is events a second, 0 for none.", at="rate_limit"
                )
            values["rate_limit"] = rate_limit
        with self.change() as connection:
            self._require_project(connection, name)
            if values:
                connection.execute(sa.update(PROJECT).where(PROJECT.c.name == name).values(**values))

    # Keys

    def create_key(self, project: str, scope: str, name: str = "", *, key: str = "") -> str:
        """Make a key and return it, for the only time; `key` takes one that is given from outside."""
        if scope not in SCOPES:
            raise RequestRefused(
                "invalid_request", f"There is no scope {scope!r}. Scopes: {', '.join(SCOPES)}.", at="scope"
            )
        check_given_key(key, "key")
        key = key or f"tm_{scope}_{secrets.token_urlsafe(24)}"
        row = {
            "project": project,
            "scope": scope,
            "name": name or scope,
            "digest": digest(key),
            "hint": f"…{key[-4:]}",
            "created_at": _now(),
        }
        with self.change() as connection:
            self._require_project(connection, project)
            if connection.execute(sa.select(API_KEY.c.id).where(API_KEY.c.digest == row["digest"])).first():
                raise RequestRefused("conflict", "This key exists already.", at="key")
            connection.execute(sa.insert(API_KEY).values(**row))
        return key

    def list_keys(self, project: str | None = None) -> list[KeyRow]:
        """Return the keys of a project, or of all, oldest first."""
        question = sa.select(API_KEY).order_by(API_KEY.c.id)
        if project is not None:
            question = question.where(API_KEY.c.project == project)
        with self.engine.connect() as connection:
            return [
                KeyRow(
                    row["id"],
                    row["project"],
                    row["scope"],
                    row["name"],
                    row["hint"],
                    aware(row["created_at"]),
                    aware(row["revoked_at"]) if row["revoked_at"] else None,
                )
                for row in connection.execute(question).mappings()
            ]

    def revoke_key(self, key_id: int, project: str | None = None) -> None:
        """Make a key useless at once; raises RequestRefused (not_found)."""
        condition = API_KEY.c.id == key_id
        if project is not None:
            condition &= API_KEY.c.project == project
        with self.change() as connection:
            changed = connection.execute(
                sa.update(API_KEY).where(condition, API_KEY.c.revoked_at.is_(None)).values(revoked_at=_now())
            )
            if changed.rowcount == 0:
                raise RequestRefused("not_found", f"There is no key {key_id} in use.", at="id")

    def valid_keys(self) -> list[tuple[str, str, str]]:
        """Return (digest, project, scope) of all keys in use."""
        question = sa.select(API_KEY.c.digest, API_KEY.c.project, API_KEY.c.scope).where(
            API_KEY.c.revoked_at.is_(None)
        )
        with self.engine.connect() as connection:
            return [(row[0], row[1], row[2]) for row in connection.execute(question)]

    # People

    def list_people(self) -> list[PersonRow]:
        """Return everybody who can sign in, by name."""
        with self.engine.connect() as connection:
            rows = connection.execute(sa.select(PERSON).order_by(PERSON.c.name)).mappings()
            return [PersonRow(row["name"], aware(row["created_at"])) for row in rows]

    def require_person(self, person: str) -> None:
        """Raise RequestRefused (not_found) where there is nobody of that name."""
        names = [one.name for one in self.list_people()]
        if person not in names:
            message = (
                f"There is nobody called {person!r}. People: {', '.join(names) or 'none'}. "
                "Add somebody with 'tallymark people add NAME'."
            )
            raise RequestRefused("not_found", message, at="name")

    def add_person(self, person: str, password: str) -> None:
        """Make a person who can sign in, with every right. Slow by intent.

        Raises RequestRefused: conflict where the name is taken, invalid_request for a name that is empty, longer than 64
        characters or has unseen ones, and for a password of fewer than 8 characters.
        """
        if not 0 < len(person) <= _MAX_PERSON or not person.isprintable() or person != person.strip():
            message = f"{person[:80]!r} is no name. Use 1 to {_MAX_PERSON} printable characters, without blanks at the ends."
            raise RequestRefused("invalid_request", message, at="name")
        row = {"name": person, "password_hash": _hash_checked(password), "created_at": _now()}
        with self.change() as connection:
            if connection.execute(sa.select(PERSON.c.name).where(PERSON.c.name == person)).first():
                message = f"{person!r} exists already. 'tallymark password' sets a new password."
                raise RequestRefused("conflict", message, at="name")
            connection.execute(sa.insert(PERSON).values(**row))

    def set_password(self, person: str, password: str) -> None:
        """Set the password of somebody who exists, and end their sessions. Slow by intent.

        Raises RequestRefused: not_found for anybody else, invalid_request for a password of fewer than 8 characters.
        """
        self.require_person(person)
        password_hash = _hash_checked(password)
        with self.change() as connection:
            connection.execute(sa.delete(SESSION).where(SESSION.c.person == person))
            connection.execute(
                sa.update(PERSON).where(PERSON.c.name == person).values(password_hash=password_hash)
            )

    def sign_in(self, person: str, password: str) -> tuple[str, SessionRow] | None:
        """Return a new session's token and row, or None when name or password is wrong. Slow by intent."""
        with self.engine.connect() as connection:
            known = connection.execute(
                sa.select(PERSON.c.password_hash).where(PERSON.c.name == person)
            ).scalar()
        if not is_password(password, known):
            return None
        token, csrf, expires = (
            secrets.token_urlsafe(32),
            secrets.token_urlsafe(24),
            _now() + timedelta(days=SESSION_DAYS),
        )
        with self.engine.begin() as connection:
            connection.execute(sa.delete(SESSION).where(SESSION.c.expires_at < _now()))
            connection.execute(
                sa.insert(SESSION).values(
                    digest=digest(token), person=person, csrf=csrf, created_at=_now(), expires_at=expires
                )
            )
        return token, SessionRow(person, csrf, expires)

    def find_session(self, token: str) -> SessionRow | None:
        """Return who a session's token belongs to, or None when it is unknown or over."""
        with self.engine.connect() as connection:
            row = (
                connection.execute(sa.select(SESSION).where(SESSION.c.digest == digest(token)))
                .mappings()
                .first()
            )
        if row is None or aware(row["expires_at"]) <= _now():
            return None
        return SessionRow(row["person"], row["csrf"], aware(row["expires_at"]))

    def end_session(self, token: str) -> None:
        """Forget a session."""
        with self.engine.begin() as connection:
            connection.execute(sa.delete(SESSION).where(SESSION.c.digest == digest(token)))

    @contextmanager
    def begin_write(self) -> Iterator[sa.Connection]:
        """Open a transaction that writes, and leaves the catalog's version: nobody has to read keys and projects anew."""
        with self.engine.begin() as connection:
            if self.engine.dialect.name == "sqlite":
                # Take the write lock first: a read that turns into a write may not wait for another writer.
                connection.exec_driver_sql("UPDATE fact SET value = value WHERE name = 'version'")
            yield connection

    @contextmanager
    def change(self) -> Iterator[sa.Connection]:
        """Open a transaction that raises the catalog's version."""
        with self.begin_write() as connection:
            yield connection
            version = int(
                connection.execute(sa.select(FACT.c.value).where(FACT.c.name == "version")).scalar() or 0
            )
            connection.execute(sa.delete(FACT).where(FACT.c.name == "version"))
            connection.execute(sa.insert(FACT).values(name="version", value=str(version + 1)))

    @staticmethod
    def _require_project(connection: sa.Connection, name: str) -> None:
        if not connection.execute(sa.select(PROJECT.c.name).where(PROJECT.c.name == name)).first():
            raise RequestRefused("not_found", f"There is no project {name!r}.", at="project")


def _hash_checked(password: str) -> str:
    """Return what is stored of a password; raises RequestRefused for one that is too short."""
    if len(password) < _MIN_PASSWORD:
        message = f"A password needs {_MIN_PASSWORD} characters or more."
        raise RequestRefused("invalid_request", message, at="password")
    return hash_password(password)


def check_given_key(key: str, place: str) -> None:
    """Raise RequestRefused for a key that somebody chose too short or with characters that do not travel; '' is none."""
    if key and (len(key) < _MIN_GIVEN_KEY or not key.isascii() or not key.isprintable() or " " in key):
        message = f"A given key must have {_MIN_GIVEN_KEY} or more printable characters and no space."
        raise RequestRefused("invalid_request", message, at=place)


@functools.lru_cache(1024)
def digest(secret: str) -> str:
    """Return what is stored of a random secret: SHA-256, in hex."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _now() -> datetime:
    return datetime.now(UTC)


def aware(time: datetime) -> datetime:
    """SQLite forgets the zone; all times in the catalog are UTC."""
    return time if time.tzinfo else time.replace(tzinfo=UTC)
