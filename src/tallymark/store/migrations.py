"""The store's format: numbered steps, forward only, run at start by the one process that owns the store.

`run_migrations` brings an older folder up to date and refuses a newer one. To change a table, change it in
`schema` and append a step that brings older ones there; a test compares the two ways.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import structlog

from tallymark.crashpoints import reach
from tallymark.errors import FormatError
from tallymark.store.client import StoreClient
from tallymark.store.copying import CopyOptions, CopyPostponed, copy_events, drop_old_table
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

log = structlog.get_logger("tallymark.store")


@dataclass(frozen=True, slots=True)
class Migration:
    """One step. Its statements may run again after a crash in the middle, so each must bear that.

    A step that `copies` gives the event table the partitions that `schema` says.
    """

    version: int
    name: str
    statements: tuple[str, ...] = ()
    copies: bool = False


MIGRATIONS: Final = (
    # Makes the tables as they are now; what follows brings older ones to that, and changes nothing about new ones.
    Migration(1, "events", (CREATE_EVENTS, CREATE_PROBE)),
    Migration(2, "large parts are wide", (CHANGE_PARTS,)),
    Migration(3, "partitions by week and bucket of projects", copies=True),
)
STORE_VERSION: Final = MIGRATIONS[-1].version


def read_version(client: StoreClient) -> int:
    """Return the version of the store's format; 0 for an empty store. Raises StoreError, StoreUnavailable."""
    return int(client.query_rows(_READ_VERSION).rows[0][0])


def run_migrations(
    client: StoreClient,
    migrations: tuple[Migration, ...] = MIGRATIONS,
    options: CopyOptions | None = None,
) -> int:
    """Bring the store up to date and return its version: the newest, or an earlier one where a copy must wait.

    Raises FormatError when a newer tallymark wrote it, StoreError or StoreUnavailable when a step fails, CopyStopped
    when `options.stopping` was set.
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
    options = options or CopyOptions()
    for migration in migrations:
        if migration.version > present:
            try:
                _run_step(client, migration, options)
            except CopyPostponed as postponed:
                options.postpone(str(postponed))
                log.warning("store_copy_postponed", reason=str(postponed), fix="the next start tries again")
                return migration.version - 1
        elif migration.copies:
            # The end of the step may have been interrupted.
            drop_old_table(client)
    return newest


def _run_step(client: StoreClient, migration: Migration, options: CopyOptions) -> None:
    for statement in migration.statements:
        client.command(statement)
    if migration.copies:
        copy_events(client, options)
        reach("copy.before_version")
    client.command(_ADD_VERSION, parameters={"version": migration.version, "name": migration.name})
