"""How the event table is cut into partitions, and which partition a row of the journal belongs to.

The expression stands in `schema`. The loader asks here how many partitions an insert would touch, and the migrations
whether a table has today's partitions.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final

import xxhash

from tallymark.clock import DAY_US
from tallymark.store.client import StoreClient
from tallymark.store.schema import BUCKETS, PARTITION_BY

# More partitions than these are never written by one insert. ClickHouse's own default, which a server may enforce.
PARTITIONS_PER_INSERT: Final = 100

# Names one partition among those that an insert touches.
Partition = tuple[int, int | str]
FindPartition = Callable[[str, int], Partition]


def find_partition(project: str, received_us: int) -> Partition:
    """Return the partition of a project's rows that were received at a time (µs since 1970)."""
    return _find_week(received_us), find_bucket(project)


def find_partition_by_project(project: str, received_us: int) -> Partition:
    """Return the partition in a table of format version 2."""
    return _find_week(received_us), project


@lru_cache(maxsize=65536)
def find_bucket(project: str) -> int:
    """Return a project's bucket: the same number as the engine's `BUCKET`."""
    return xxhash.xxh64_intdigest(project.encode()) % BUCKETS


def _find_week(received_us: int) -> int:
    """Return the number of a week from Monday to Sunday, UTC. 1970 began on a Thursday."""
    return (received_us // DAY_US + 3) // 7


def read_partition_key(client: StoreClient, table: str) -> str | None:
    """Return the partition expression of `database.name` as the engine writes it; None where there is no such table."""
    database, _, name = table.partition(".")
    rows = client.query_rows(
        "SELECT partition_key FROM system.tables WHERE database = {database:String} AND name = {name:String}",
        {"database": database, "name": name},
    ).rows
    return str(rows[0][0]) if rows else None


def is_current(key: str | None) -> bool:
    """Tell whether a table with this partition expression has today's partitions."""
    return key is not None and key.replace(" ", "") == PARTITION_BY.replace(" ", "")


def read_finder(client: StoreClient, table: str) -> FindPartition:
    """Return what tells the partition of a row in `table`; of an unknown expression the finest is assumed."""
    return find_partition if is_current(read_partition_key(client, table)) else find_partition_by_project
