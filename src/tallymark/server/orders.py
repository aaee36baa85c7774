"""What the supervisor tells a process at its start, and where each part keeps its files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from tallymark.server.config import Config


class Orders(msgspec.Struct):
    """The settings, where the store listens, and its password, which is made at each start."""

    config: Config
    store_url: str
    store_port: int
    store_password: str


@dataclass(frozen=True, slots=True)
class DataPaths:
    """The files below the data folder. The store and the catalog know their own."""

    journal: Path
    dedup: Path
    ledger: Path
    readers: Path


def find_paths(data: str | Path) -> DataPaths:
    """Return the places in a data folder."""
    folder = Path(data)
    return DataPaths(
        journal=folder / "journal" / "0000",
        dedup=folder / "dedup",
        ledger=folder / "ledger.sqlite",
        readers=folder / "readers.sqlite",
    )
