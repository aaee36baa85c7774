"""How alerts stand, what changed, who is told, and about what nobody is."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make the tables."""
    _make_states()
    _make_telling()


def _make_states() -> None:
    op.create_table(
        "standing",
        sa.Column("project", sa.String(64), sa.ForeignKey("project.name"), primary_key=True),
        sa.Column("alert", sa.String(64), primary_key=True),
        sa.Column("group_key", sa.String(32), primary_key=True),
        sa.Column("group_values", sa.Text, nullable=False, server_default="[]"),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_table(
        "alert_change",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("project", sa.String(64), sa.ForeignKey("project.name"), nullable=False),
        sa.Column("alert", sa.String(64), nullable=False),
        sa.Column("group_key", sa.String(32), nullable=False),
        sa.Column("group_values", sa.Text, nullable=False),
        sa.Column("before", sa.String(16), nullable=False),
        sa.Column("after", sa.String(16), nullable=False),
        sa.Column("incident", sa.Integer, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("found_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True)),
        sa.Index("alert_change_of", "project", "alert", "at"),
        sqlite_autoincrement=True,
    )


def _make_telling() -> None:
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
    )
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
    op.create_table(
        "silence",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("project", sa.String(64), sa.ForeignKey("project.name"), nullable=False),
        sa.Column("alert", sa.String(64), nullable=False),
        sa.Column("incident", sa.Integer, nullable=False, server_default="0"),
        sa.Column("reason", sa.String(500), nullable=False),
        sa.Column("person", sa.String(128), nullable=False),
        sa.Column("begins_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
    )
