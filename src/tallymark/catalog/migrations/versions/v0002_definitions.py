"""Definitions: metrics and dashboards, panels shown elsewhere, and who asked what."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "definition",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("project", sa.String(64), sa.ForeignKey("project.name"), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("origin", sa.String(64), nullable=False, server_default=""),
        sa.Column("file", sa.String(256), nullable=False, server_default=""),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_by", sa.String(128), nullable=False),
        sa.UniqueConstraint("project", "kind", "name"),
    )
    op.create_table(
        "embed",
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
    op.create_table(
        "asked",
        sa.Column("project", sa.String(64), primary_key=True),
        sa.Column("kind", sa.String(32), primary_key=True),
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("who", sa.String(128), primary_key=True),
        sa.Column("day", sa.Date, primary_key=True),
        sa.Column("times", sa.Integer, nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
    )
