"""Alembic's entry: runs the revisions over the connection that `run_migrations` hands in."""

from alembic import context

from tallymark.catalog.tables import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
with context.begin_transaction():
    context.run_migrations()
