"""The catalog as the hot path reads it: frozen, in memory, renewed when its version rises.

The intake and the API ask `SnapshotSource.current()` at every request. A newer version is looked for a few times
a second, so a revoked key ends within that time; while the catalog cannot be read the last snapshot goes on.
"""

from __future__ import annotations

from dataclasses import dataclass

from tallymark.catalog.repository import Catalog, ProjectRow, digest

LOOK_EVERY_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class KeyHolder:
    """Whom a key lets in."""

    project: str
    scope: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Keys by digest and projects by name, at one version."""

    version: int
    keys: dict[str, KeyHolder]
    projects: dict[str, ProjectRow]

    def find_key(self, key: str) -> KeyHolder | None:
        """Return whom `key` lets in, or None."""
        return self.keys.get(digest(key))


class SnapshotSource:
    """Gives the present snapshot; whoever owns it calls `look` now and then."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._snapshot = _read(catalog)

    def current(self) -> Snapshot:
        """Return the snapshot. Never waits for the catalog."""
        return self._snapshot

    def look(self) -> None:
        """Read the catalog again when its version has risen. Blocking."""
        if self._catalog.version() != self._snapshot.version:
            self._snapshot = _read(self._catalog)


def _read(catalog: Catalog) -> Snapshot:
    version = catalog.version()
    keys = {key: KeyHolder(project, scope) for key, project, scope in catalog.valid_keys()}
    return Snapshot(version, keys, {row.name: row for row in catalog.list_projects()})
