"""A receiver's number is never given to another one: what waits for one that was removed would go there."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Make the table of receivers anew, on SQLite alone: PostgreSQL counts on by itself."""
    if op.get_bind().dialect.name != "sqlite":
        return
    # SQLite begins a transaction with the first statement that writes, and not with one that makes a table.
    op.execute("UPDATE alembic_version SET version_num = version_num")
    last = op.get_bind().execute(sa.text("SELECT seq FROM sqlite_sequence WHERE name = 'notice'")).scalar()
    # Dropped under its name the table would take the notices along that point to it.
    op.execute("CREATE TABLE kept_notice AS SELECT * FROM notice")
    op.drop_table("notice")
    op.execute("CREATE TABLE kept_receiver AS SELECT * FROM receiver")
    op.drop_table("receiver")
    _make_receiver()
    _make_notice()
    op.execute("INSERT INTO receiver SELECT * FROM kept_receiver")
    op.execute("INSERT INTO notice SELECT * FROM kept_notice")
    op.drop_table("kept_notice")
    op.drop_table("kept_receiver")
    if last:
        op.execute("DELETE FROM sqlite_sequence WHERE name = 'notice'")
        counted = sa.text("INSERT INTO sqlite_sequence (name, seq) VALUES ('notice', :last)")
        op.get_bind().execute(counted, {"last": last})


def _make_receiver() -> None:
    op.create_table(
        "receiver",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("project", sa.String(64), sa.ForeignKey("project.name"), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("owners", sa.Text, nullable=False),
        sa.Column("sealed", sa.Text, nullable=False),
        sa.Column("hint", sa.String(128), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(128), nullable=False),
        sa.Column("succeeded_at", sa.DateTime(timezone=True)),
        sa.Column("failing_since", sa.DateTime(timezone=True)),
        sa.Column("error", sa.Text, nullable=False, server_default=""),
        sa.UniqueConstraint("project", "name"),
        sqlite_autoincrement=True,
    )


def _make_notice() -> None:
    op.create_table(
        "notice",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("project", sa.String(64), sa.ForeignKey("project.name"), nullable=False),
        sa.Column("alert", sa.String(64), nullable=False),
        sa.Column("change", sa.Integer, sa.ForeignKey("alert_change.id"), nullable=False),
        sa.Column("receiver", sa.Integer, sa.ForeignKey("receiver.id", ondelete="CASCADE"), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("batch", sa.Integer, nullable=False, server_default="0"),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.Column("error", sa.Text, nullable=False, server_default=""),
        sa.Index("notice_by_status", "status", "due_at"),
        sqlite_autoincrement=True,
    )
