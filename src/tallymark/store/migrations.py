"""The store's format: numbered steps, forward only, run at start by the one process that owns the store.

`run_migrations` brings an older folder up to date and refuses a newer one. To change a table, change it in
`schema` and append a step that brings older ones there; a test compares the two ways.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tallymark.errors import FormatError
from tallymark.store.client import StoreClient
from tallymark.store.schema import CHANGE_PARTS, CREATE_EVENTS, CREATE_PROBE, DATABASE

VERSION_TABLE: Final = f"{DATABASE}.migrations"
_CREATE_VERSIONS: Final = (
    f"CREATE TABLE IF NOT EXISTS {VERSION_TABLE} "
    "(version UInt32, name String, applied_at DateTime64(3, 'UTC') DEFAULT now64(3)) "
    "ENGINE = MergeTree ORDER BY version SETTINGS fsync_after_insert = 1, fsync_part_directory = 1"
)
_READ_VERSION: Final = f"SELECT max(version) FROM {VERSION_TABLE}"  # noqa: S608 - a constant of ours
_ADD_VERSION: Final = (
    f"INSERT INTO {VERSION_TABLE} (version, name) "  # noqa: S608 - a constant of ours
    f"SELECT {{version:UInt32}} AS version, {{name:String}} AS name "
    f"WHERE version NOT IN (SELECT version FROM {VERSION_TABLE})"
)


@dataclass(frozen=True, slots=True)
class Migration:
    """One step. Its statements may run again after a crash in the middle, so each must bear that."""

    version: int
    name: str
    statements: tuple[str, ...]


MIGRATIONS: Final = (
    # Makes the tables as they are now; what follows brings older ones to that, and changes nothing about new ones.
    Migration(1, "events", (CREATE_EVENTS, CREATE_PROBE)),
    Migration(2, "large parts are wide", (CHANGE_PARTS,)),
)
STORE_VERSION: Final = MIGRATIONS[-1].version


def read_version(client: StoreClient) -> int:
    """Return the version of the store's format; 0 for an empty store. Raises StoreError, StoreUnavailable."""
    return int(client.query_rows(_READ_VERSION).rows[0][0])


def run_migrations(client: StoreClient, migrations: tuple[Migration, ...] = MIGRATIONS) -> int:
    """Bring the store up to date and return its version.

    Raises FormatError when a newer tallymark wrote it, StoreError or StoreUnavailable when a step fails.
    """
    client.command(f"CREATE DATABASE IF NOT EXISTS {DATABASE}")
    client.command(_CREATE_VERSIONS)
    present = read_version(client)
    newest = migrations[-1].version
    if present > newest:
        raise FormatError(
            f"The store has format version {present}, this tallymark knows versions up to {newest}. "
            "Start the newer tallymark that wrote it, or restore a backup made before the upgrade.",
            at=client.url,
        )
    for migration in migrations:
        if migration.version > present:
            for statement in migration.statements:
                client.command(statement)
            client.command(
                _ADD_VERSION,
                parameters={"version": migration.version, "name": migration.name},
            )
    return newest
