"""Copies an event table with older partitions into one with today's, and puts that in its place.

Partitions cannot be altered. `migrations` calls `copy_events` in the loader, before anything is inserted: the old table
answers questions until the new one is whole. A copy may end at any point, and the next call goes on: what is done is
read from the two tables themselves, and a partition that is not whole is copied anew.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Final

import structlog

from tallymark.crashpoints import reach
from tallymark.store.client import StoreClient
from tallymark.store.errors import STILL_RUNNING, QueryTooExpensive, StoreError, StoreUnavailable
from tallymark.store.partitions import is_current, read_partition_key
from tallymark.store.schema import (
    BUCKET,
    DATABASE,
    EVENT_COLUMNS,
    EVENTS_TABLE,
    NEXT_TABLE,
    WEEK,
    build_create_events,
    build_insert_id,
)

log = structlog.get_logger("tallymark.store")

# (Monday, bucket) of a partition, and (rows, checksum) of what is in it.
Partition = tuple[date, int]
Content = tuple[int, int]

_COLUMNS: Final = ", ".join(f"`{column.name}`" for column in EVENT_COLUMNS)
_CHECKED: Final = "project, event_id, event_name, event_time, received_at, journal_shard, journal_record"
# A copied part must have room while merges write it once more.
_ROOM_FACTOR: Final = 1.3
# A partition with more rows is copied day by day, so that no statement comes near its limit of time.
_ROWS_PER_STATEMENT: Final = 5_000_000
_STATEMENT_SECONDS: Final = 3600
_FIRST_BLOCK_ROWS, _SMALLEST_BLOCK_ROWS = 262_144, 1024
_BLOCK_BYTES: Final = 64 * 1024 * 1024
_PROGRESS_SECONDS: Final = 1.0
_RETRY_SECONDS: Final = 1.0
# After so many failures of the store the old table is used for now.
_ATTEMPTS: Final = 5
# Tables of any size may go: every row of them stands in the other one.
_DROP: Final = {"max_table_size_to_drop": 0, "max_partition_size_to_drop": 0}


class CopyPostponed(Exception):
    """The copy cannot be made now. The old table goes on to be used; the next start tries again."""


class CopyStopped(Exception):
    """The caller was told to stop; the next start goes on with the copy."""


def _ignore(*_: object) -> None:
    """Take no notice."""


@dataclass(frozen=True, slots=True)
class CopyOptions:
    """How to copy: `report` gets rows done and rows in total about once a second, and `stopping` ends the copy.

    `postpone` gets the reason where the copy has to wait for another start. `reserve_bytes` stay free on the disk.
    `query_id` is the one under which rows are inserted: statements of the copy run under it too, so they wait for an
    insert that a dead loader left behind, and the other way round.
    """

    stopping: threading.Event = field(default_factory=threading.Event)
    report: Callable[[int, int], None] = _ignore
    postpone: Callable[[str], None] = _ignore
    reserve_bytes: int = 0
    query_id: str = build_insert_id(0)


def copy_events(client: StoreClient, options: CopyOptions) -> None:
    """Give the event table today's partitions; returns at once where it has them.

    Raises CopyPostponed and CopyStopped; StoreUnavailable only before the copy begins.
    """
    if not is_current(read_partition_key(client, EVENTS_TABLE)):
        _Copy(client, options).run()
    drop_old_table(client)


def drop_old_table(client: StoreClient) -> None:
    """Remove the old table that changed places with the new one. What fails is tried again at the next start."""
    if read_partition_key(client, NEXT_TABLE) is None:
        return
    try:
        client.command(f"DROP TABLE IF EXISTS {NEXT_TABLE} SYNC", settings=_DROP)
    except StoreError as error:
        log.warning("old_table_not_dropped", error=error.message, fix="the next start tries again")


class _Copy:
    """One attempt to copy the table."""

    def __init__(self, client: StoreClient, options: CopyOptions) -> None:
        self._client = client
        self._options = options
        self._block_rows = _FIRST_BLOCK_ROWS
        self._total = 0
        self._reported = -1

    def run(self) -> None:
        """Copy what is missing, compare the tables and let them change names."""
        failures = 0
        while True:
            if self._options.stopping.is_set():
                raise CopyStopped
            try:
                self._copy_and_exchange()
            except (StoreError, StoreUnavailable) as error:
                if self._options.stopping.is_set():
                    raise CopyStopped from error
                waits = isinstance(error, StoreError) and error.number == STILL_RUNNING
                failures += not waits
                if failures >= _ATTEMPTS:
                    raise CopyPostponed(error.message) from error
                if isinstance(error, QueryTooExpensive | StoreUnavailable):
                    # Too much at once, which a store may also die of.
                    self._block_rows = max(_SMALLEST_BLOCK_ROWS, self._block_rows // 8)
                log.warning("copy_interrupted", error=error.message, fix="it goes on in a moment")
                self._wait_for_store()
            else:
                return

    def _wait_for_store(self) -> None:
        stopping = self._options.stopping
        while not stopping.wait(_RETRY_SECONDS) and not self._client.ping():
            pass

    def _copy_and_exchange(self) -> None:
        self._check_columns()
        old = self._read_content(EVENTS_TABLE)
        self._client.command(build_create_events(NEXT_TABLE))
        new = self._read_content(NEXT_TABLE)
        self._total = sum(rows for rows, _ in old.values())
        missing = [partition for partition, content in old.items() if new.get(partition) != content]
        self._drop([partition for partition in new if old.get(partition) != new[partition]])
        self._say_progress()
        log.info("copy_begun", rows=self._total, partitions=len(old), partitions_left=len(missing))
        for partition in missing:
            if self._options.stopping.is_set():
                raise CopyStopped
            self._check_room()
            reach("copy.before_partition")
            with self._watched():
                self._copy_partition(partition, old[partition][0])
            reach("copy.after_partition")
            self._say_progress()
        if self._read_content(EVENTS_TABLE) != self._read_content(NEXT_TABLE):
            raise StoreError(1002, "COPY_DIFFERS", "The copied table differs from the old one")
        reach("copy.before_exchange")
        self._client.command(f"EXCHANGE TABLES {EVENTS_TABLE} AND {NEXT_TABLE}")
        reach("copy.after_exchange")
        log.info("copy_finished", rows=self._total)

    def _check_columns(self) -> None:
        """Refuse to lose columns that somebody added to the table."""
        described = self._client.query_rows(f"DESCRIBE TABLE {EVENTS_TABLE}").rows
        odd = {str(row[0]) for row in described} ^ {column.name for column in EVENT_COLUMNS}
        if odd:
            raise CopyPostponed(
                f"The table {EVENTS_TABLE} has other columns than tallymark's: {', '.join(sorted(odd))}. "
                "Take them away or rename them back."
            )

    def _read_content(self, table: str) -> dict[Partition, Content]:
        """Return rows and checksum of each of today's partitions, oldest first.

        Raises StoreError 216 while an insert or an earlier copy still runs.
        """
        rows = self._client.query_rows(
            f"SELECT {WEEK} AS week, {BUCKET} AS bucket, count(), sum(cityHash64({_CHECKED}))"  # noqa: S608 - constants
            f" FROM {table} GROUP BY week, bucket ORDER BY week, bucket",
            settings={"max_execution_time": _STATEMENT_SECONDS, "query_id": self._options.query_id},
        ).rows
        return {(week, int(bucket)): (int(count), int(checksum)) for week, bucket, count, checksum in rows}

    def _drop(self, partitions: list[Partition]) -> None:
        """Take away what an interrupted copy left half done."""
        for week, bucket in partitions:
            self._client.command(
                f"ALTER TABLE {NEXT_TABLE} DROP PARTITION ('{week:%Y-%m-%d}', {bucket})", settings=_DROP
            )

    def _check_room(self) -> None:
        """Raise CopyPostponed, and give back what the copy took, where the rest would not fit on the disk."""
        sizes = "SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND database = {d:String} AND table = {t:String}"
        old, new = (
            int(self._client.query_rows(sizes, {"d": DATABASE, "t": table.partition(".")[2]}).rows[0][0])
            for table in (EVENTS_TABLE, NEXT_TABLE)
        )
        free = int(self._client.query_rows("SELECT max(free_space) FROM system.disks").rows[0][0])
        needed = round(max(0, old - new) * _ROOM_FACTOR) + self._options.reserve_bytes
        if free >= needed:
            return
        self._client.command(f"DROP TABLE IF EXISTS {NEXT_TABLE} SYNC", settings=_DROP)
        raise CopyPostponed(
            f"The copy of the stored events needs {needed:,} bytes on the store's disk, {free:,} are free. "
            "Make room and start the server again."
        )

    def _copy_partition(self, partition: Partition, rows: int) -> None:
        week, bucket = partition
        for condition in _list_ranges(week, rows):
            self._client.command(
                f"INSERT INTO {NEXT_TABLE} ({_COLUMNS}) SELECT {_COLUMNS} FROM {EVENTS_TABLE}"  # noqa: S608 - constants
                f" WHERE {WEEK} = '{week:%Y-%m-%d}' AND {BUCKET} = {bucket}{condition}",
                settings={
                    "query_id": self._options.query_id,
                    # Equal blocks are equal rows here, and both are wanted.
                    "insert_deduplicate": 0,
                    "max_insert_threads": 1,
                    "max_block_size": min(self._block_rows, 65_536),
                    "min_insert_block_size_rows": self._block_rows,
                    "min_insert_block_size_bytes": _BLOCK_BYTES,
                    "max_execution_time": _STATEMENT_SECONDS,
                },
            )

    def _say_progress(self) -> None:
        table = NEXT_TABLE.partition(".")[2]
        done = self._client.query_rows(
            "SELECT sum(rows) FROM system.parts WHERE active AND database = {d:String} AND table = {t:String}",
            {"d": DATABASE, "t": table},
        ).rows[0][0]
        self._options.report(int(done), self._total)
        percent = int(done) * 100 // max(1, self._total)
        if percent != self._reported:
            self._reported = percent
            log.info("copying_events", percent=percent, rows=int(done), of=self._total)

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Tell the progress while a statement runs, and end it when the process is to stop."""
        over = threading.Event()
        thread = threading.Thread(target=self._watch, args=(over,), name="copy-progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _watch(self, over: threading.Event) -> None:
        while not over.wait(_PROGRESS_SECONDS):
            try:
                if self._options.stopping.is_set():
                    self._client.command(f"KILL QUERY WHERE query_id = '{self._options.query_id}'")
                self._say_progress()
            except (StoreError, StoreUnavailable):
                # The statement itself meets the same trouble, and tells it.
                continue


def _list_ranges(week: date, rows: int) -> list[str]:
    """Return conditions that cut a partition's rows into pieces of moderate size."""
    if rows <= _ROWS_PER_STATEMENT:
        return [""]
    days = [week + timedelta(days=number) for number in range(7)]
    return [f" AND toDate(received_at) = '{day:%Y-%m-%d}'" for day in days]
