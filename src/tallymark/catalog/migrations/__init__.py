"""Bring a catalog to the present version; older programs refuse a newer one.

Forward only. `run_migrations` is called by the supervisor before any process opens the catalog.
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from tallymark.errors import FormatError


def run_migrations(engine: sa.Engine) -> None:
    """Apply what is missing; raises FormatError when a newer program has changed the catalog."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    with engine.begin() as connection:
        present = MigrationContext.configure(connection).get_current_revision()
        if present is not None and present not in known:
            raise FormatError(
                f"The catalog has version {present}; this program knows up to {max(known)}. "
                "Start the newer program again, or restore the backup made before the upgrade.",
                at="catalog",
            )
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
