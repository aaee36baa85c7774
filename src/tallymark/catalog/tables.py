"""The catalog's tables (SQLAlchemy Core), on SQLite by default and PostgreSQL by URL.

The migrations bring a database to this state; a test compares the two.
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

METADATA = sa.MetaData()

PROJECT = sa.Table(
    "project",
    METADATA,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    # Names of privacy rules that are switched off, as a JSON list.
    sa.Column("privacy_off", sa.JSON, nullable=False),
    # Events a second; 0 is no limit.
    sa.Column("rate_limit", sa.Integer, nullable=False, server_default="0"),
)

API_KEY = sa.Table(
    "api_key",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("project", sa.String(64), sa.ForeignKey("project.name"), nullable=False),
    sa.Column("scope", sa.String(16), nullable=False),
    sa.Column("name", sa.String(128), nullable=False),
    # SHA-256 of the key, in hex. Keys are random and long, so a fast hash is enough.
    sa.Column("digest", sa.String(64), nullable=False, unique=True),
    sa.Column("hint", sa.String(16), nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("revoked_at", sa.DateTime(timezone=True)),
)

PERSON = sa.Table(
    "person",
    METADATA,
    sa.Column("name", sa.String(64), primary_key=True),
    # Argon2id in its standard text form.
    sa.Column("password_hash", sa.String(256), nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
)

SESSION = sa.Table(
    "session",
    METADATA,
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("person", sa.String(64), sa.ForeignKey("person.name"), nullable=False),
    sa.Column("csrf", sa.String(64), nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
)

# A metric or dashboard as its JSON. `file` is the file that it stands in, '' when it was made here; what one
# `origin` (a folder of files that somebody applies) no longer holds is taken away with its next application.
DEFINITION = sa.Table(
    "definition",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("project", sa.String(64), sa.ForeignKey("project.name"), nullable=False),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("name", sa.String(64), nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("origin", sa.String(64), nullable=False, server_default=""),
    sa.Column("file", sa.String(256), nullable=False, server_default=""),
    # Rises with every change of this one; who changes it says which they saw.
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("changed_by", sa.String(128), nullable=False),
    sa.UniqueConstraint("project", "kind", "name"),
)

# A panel that may be shown in other sites, with conditions that its viewers cannot lift (a JSON list of filters).
EMBED = sa.Table(
    "embed",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("project", sa.String(64), sa.ForeignKey("project.name"), nullable=False),
    sa.Column("dashboard", sa.String(64), nullable=False),
    sa.Column("panel", sa.String(64), nullable=False),
    sa.Column("filters", sa.Text, nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("created_by", sa.String(128), nullable=False),
    sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("revoked_at", sa.DateTime(timezone=True)),
)

# How often somebody asked a definition on a day (UTC).
ASKED = sa.Table(
    "asked",
    METADATA,
    sa.Column("project", sa.String(64), primary_key=True),
    sa.Column("kind", sa.String(32), primary_key=True),
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("who", sa.String(128), primary_key=True),
    sa.Column("day", sa.Date, primary_key=True),
    sa.Column("times", sa.Integer, nullable=False),
    sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
)

# In every chart of a project one thing has one colour: `meaning` is a digest of a field and its value, so that no value is
# kept here; `slot` counts a field's values in the order in which they were first drawn. The row of a field alone, without a
# value, has the number of its values.
COLOUR = sa.Table(
    "colour",
    METADATA,
    sa.Column("project", sa.String(64), sa.ForeignKey("project.name"), primary_key=True),
    sa.Column("meaning", sa.String(32), primary_key=True),
    sa.Column("slot", sa.Integer, nullable=False),
)

# The owners whose metrics a person looks after, besides those that bear the person's own name.
FOLLOW = sa.Table(
    "follow",
    METADATA,
    sa.Column("person", sa.String(64), sa.ForeignKey("person.name"), primary_key=True),
    sa.Column("project", sa.String(64), sa.ForeignKey("project.name"), primary_key=True),
    sa.Column("owner", sa.String(200), primary_key=True),
)

# How alerts stand. `group_key` is a digest of the values that an alert is broken down by, '' without a breakdown; `body` is the
# standing as JSON. A row without any value ('*') is the alert's own: until when it was judged, by which definition.
STANDING = sa.Table(
    "standing",
    METADATA,
    sa.Column("project", sa.String(64), sa.ForeignKey("project.name"), primary_key=True),
    sa.Column("alert", sa.String(64), primary_key=True),
    sa.Column("group_key", sa.String(32), primary_key=True),
    sa.Column("group_values", sa.Text, nullable=False, server_default="[]"),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("body", sa.Text, nullable=False),
)

# Every change of an alert's state, with the figures that caused it (JSON). `incident` is the first change of the trouble that
# it belongs to; `recorded_at` is when it became an event.
ALERT_CHANGE = sa.Table(
    "alert_change",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("project", sa.String(64), sa.ForeignKey("project.name"), nullable=False),
    sa.Column("alert", sa.String(64), nullable=False),
    sa.Column("group_key", sa.String(32), nullable=False),
    sa.Column("group_values", sa.Text, nullable=False),
    sa.Column("before", sa.String(16), nullable=False),
    sa.Column("after", sa.String(16), nullable=False),
    sa.Column("incident", sa.Integer, nullable=False),
    # The end of the window that caused it, and when that was found out.
    sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("found_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("recorded_at", sa.DateTime(timezone=True)),
    sa.Index("alert_change_of", "project", "alert", "at"),
    sa.Index("alert_change_incident", "incident"),
    sqlite_autoincrement=True,
)

# Where people are told. `sealed` is the address, encrypted; `hint` is what of it may be shown.
RECEIVER = sa.Table(
    "receiver",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("project", sa.String(64), sa.ForeignKey("project.name"), nullable=False),
    sa.Column("name", sa.String(64), nullable=False),
    # Whose alerts it is told, as a JSON list; ["*"] are all.
    sa.Column("owners", sa.Text, nullable=False),
    sa.Column("sealed", sa.Text, nullable=False),
    sa.Column("hint", sa.String(128), nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("created_by", sa.String(128), nullable=False),
    sa.Column("succeeded_at", sa.DateTime(timezone=True)),
    # Since when all attempts failed, and how the last one did.
    sa.Column("failing_since", sa.DateTime(timezone=True)),
    sa.Column("error", sa.Text, nullable=False, server_default=""),
    sa.UniqueConstraint("project", "name"),
    sqlite_autoincrement=True,
)

# One change that one receiver is to be told. `batch` is the message that it went into: the smallest id of its notices.
NOTICE = sa.Table(
    "notice",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("project", sa.String(64), sa.ForeignKey("project.name"), nullable=False),
    sa.Column("alert", sa.String(64), nullable=False),
    sa.Column("change", sa.Integer, sa.ForeignKey("alert_change.id"), nullable=False),
    sa.Column("receiver", sa.Integer, sa.ForeignKey("receiver.id", ondelete="CASCADE"), nullable=False),
    # change, repeat of one, or present: what was wrong already when somebody became a receiver.
    sa.Column("kind", sa.String(16), nullable=False),
    # waiting, sending, sent, failed (given up), held (silenced), dropped (nothing left to tell).
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("batch", sa.Integer, nullable=False, server_default="0"),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("ended_at", sa.DateTime(timezone=True)),
    sa.Column("error", sa.Text, nullable=False, server_default=""),
    sa.Index("notice_by_status", "status", "due_at"),
    sa.Index("notice_of_change", "change"),
    sqlite_autoincrement=True,
)

# An alert, '' for all, about which nobody is told for a time. `incident` is that which was
# acknowledged, 0 of a silence.
SILENCE = sa.Table(
    "silence",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("project", sa.String(64), sa.ForeignKey("project.name"), nullable=False),
    sa.Column("alert", sa.String(64), nullable=False),
    sa.Column("incident", sa.Integer, nullable=False, server_default="0"),
    sa.Column("reason", sa.String(500), nullable=False),
    sa.Column("person", sa.String(128), nullable=False),
    sa.Column("begins_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
)

# One value by name: `secret` (hex) keys fingerprints and pseudonyms, `version` rises with every change.
FACT = sa.Table(
    "fact",
    METADATA,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)


def open_engine(url: str) -> sa.Engine:
    """Connect to the catalog; SQLite gets WAL, synced commits and a patient wait for other writers."""
    engine = sa.create_engine(url)
    if engine.dialect.name == "sqlite":

        @sa.event.listens_for(engine, "connect")
        def prepare(connection: sa.engine.interfaces.DBAPIConnection, _: object) -> None:
            cursor = connection.cursor()
            for pragma in (
                "journal_mode = WAL",
                "synchronous = FULL",
                "foreign_keys = ON",
                "busy_timeout = 10000",
            ):
                cursor.execute(f"PRAGMA {pragma}")
            cursor.close()

    return engine


CATALOG_FILE = "catalog.sqlite"


def sqlite_url(data: Path) -> str:
    """Return the URL of the catalog that stands in the data folder."""
    return f"sqlite:///{data / CATALOG_FILE}"
