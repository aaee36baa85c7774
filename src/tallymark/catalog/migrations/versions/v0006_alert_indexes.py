"""The changes of a trouble, and the notices of a change, are found without reading a year of them."""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Make the indexes."""
    op.create_index("alert_change_incident", "alert_change", ["incident"])
    op.create_index("notice_of_change", "notice", ["change"])
