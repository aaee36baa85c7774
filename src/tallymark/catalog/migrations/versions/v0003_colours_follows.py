"""Which colour a value has in every chart of a project, and whose metrics somebody looks after."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "colour",
        sa.Column("project", sa.String(64), sa.ForeignKey("project.name"), primary_key=True),
        sa.Column("meaning", sa.String(32), primary_key=True),
        sa.Column("slot", sa.Integer, nullable=False),
    )
    op.create_table(
        "follow",
        sa.Column("person", sa.String(64), sa.ForeignKey("person.name"), primary_key=True),
        sa.Column("project", sa.String(64), sa.ForeignKey("project.name"), primary_key=True),
        sa.Column("owner", sa.String(200), primary_key=True),
    )
