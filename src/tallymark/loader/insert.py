"""Getting rows into the store exactly once, whatever the store does.

`Inserter.insert` takes judged records and returns when every new row is either in the store or refused by it.
What is too much for one insert goes in several; a row that the store cannot take is found by bisection. When the
outcome of an insert is unknown the store is asked what it has: rows carry the number of their journal record.
"""

from __future__ import annotations

import sys
import threading
from typing import Final

import structlog
import xxhash

from tallymark.crashpoints import reach
from tallymark.journal.judged import JudgedRecord
from tallymark.loader.account import RefusedRow
from tallymark.loader.causes import Cause, find_cause
from tallymark.loader.rows import (
    Present,
    Row,
    build_rows,
    count_new_rows,
    count_partitions,
    group_rows,
    join_rows,
    render_new_rows,
)
from tallymark.loader.state import LoaderState
from tallymark.store.client import StoreClient
from tallymark.store.errors import STILL_RUNNING, StoreError, StoreUnavailable
from tallymark.store.partitions import PARTITIONS_PER_INSERT, FindPartition, find_partition, read_finder
from tallymark.store.schema import EVENTS_TABLE, PROBE_TABLE, build_insert_id

log = structlog.get_logger("tallymark.loader")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 10.0
# After so many failures of one batch its rows are suspected, unless the store names trouble of its own.
_SUSPECT_AFTER = 5
# After so many batches in a row that went well, twice as many rows are tried again.
_CALM_BATCHES: Final = 20
# How long the store may look for the rows that it has, in seconds: as long as an insert.
_PRESENT_SECONDS: Final = 600
# A row that any sound store takes: it goes to a table that keeps nothing.
_PROBE_BATCH = "probe"
_PROBE = (
    b'{"client_time":"2026-01-01T00:00:00Z","event_id":"probe","event_type":"probe","event_name":"probe",'
    b'"attributes":{"a":1},"project":"default","source":"probe","received_at":"2026-01-01T00:00:00Z","skew_ms":0,'
    b'"journal_shard":0,"journal_record":0}\n'
)


class Stopped(Exception):
    """The loader was told to stop while the store could not be reached; nothing was committed."""


class Inserter:
    """Inserts batches into the store; gives up only when `stopping` is set. `state` is told of failures."""

    def __init__(
        self, store: StoreClient, stopping: threading.Event, state: LoaderState | None = None
    ) -> None:
        self._store = store
        self._stopping = stopping
        self._state = state
        # After a start, and after an insert whose outcome is not known, rows at and after the cursor may be there already.
        self._doubtful = True
        # The store may have rows of records before this one: those of an insert that was not committed, or, after a
        # restore, all that came after the ledger was copied.
        self._sure_from = 0
        self._find: FindPartition = find_partition
        # What the store showed that it can take at once.
        self._most_rows = sys.maxsize
        self._calm = 0

    def insert(self, judged: list[JudgedRecord], stored_us: int) -> list[RefusedRow]:
        """Store all new rows of `judged`, stored at `stored_us` (µs since 1970); return those that the store refused.

        Raises Stopped.
        """
        pause, failures = _FIRST_PAUSE, 0
        while True:
            try:
                refused = self._insert_once(judged, stored_us, suspect=failures >= _SUSPECT_AFTER)
            except (StoreUnavailable, StoreError) as error:
                self._doubtful = True
                failures += isinstance(error, StoreError) and error.number != STILL_RUNNING
                log.warning(
                    "store_insert_failed", error=str(error), retry_in_s=pause, fix="see the store's log lines"
                )
                if self._state is not None:
                    self._state.say_failed(error.message)
                if self._stopping.wait(pause):
                    raise Stopped from error
                pause = min(_LONGEST_PAUSE, pause * 2)
            else:
                self._doubtful = False
                self._try_more()
                return refused

    def _insert_once(self, judged: list[JudgedRecord], stored_us: int, *, suspect: bool) -> list[RefusedRow]:
        present: Present = set()
        first, last = judged[0].record.number, judged[-1].record.number
        if self._doubtful:
            self._sure_from = self._find_last(judged) + 1
            self._find = read_finder(self._store, EVENTS_TABLE)
        if first < self._sure_from:
            present = self._find_present(judged)
        # By content too: the same records may hold other rows, after a restore for one, and the store would take them
        # for those that it has.
        token = f"{judged[0].record.shard}:{first}-{last}"
        if not present and self._fits(judged):
            body = b"".join([render_new_rows(item, stored_us) for item in judged])
            if self._insert_whole(
                body, f"{token}/{xxhash.xxh3_128_hexdigest(body)}", self._settings(judged), suspect=suspect
            ):
                return []
        rows = build_rows(judged, present, self._find, stored_us)
        return self._insert_piecewise(rows, token, self._settings(judged), suspect=suspect)

    def _fits(self, judged: list[JudgedRecord]) -> bool:
        """Tell whether one insert may take all rows."""
        if self._most_rows < sys.maxsize and count_new_rows(judged) > self._most_rows:
            return False
        return count_partitions(judged, self._find) <= PARTITIONS_PER_INSERT

    def _insert_whole(self, body: bytes, token: str, settings: dict[str, str], *, suspect: bool) -> bool:
        """Insert all rows at once; False where it has to be done in pieces."""
        reach("loader.mid_insert")
        if not body:
            return True
        try:
            self._send(body, token, settings)
        except StoreError as error:
            self._check_pieces_help(error, suspect=suspect)
            log.warning("insert_in_pieces", batch=token, error=str(error))
            return False
        return True

    def _send(self, body: bytes, token: str, settings: dict[str, str]) -> None:
        """Send one insert. One that fails for its size, or that the store perhaps died of, is not tried again as large."""
        try:
            self._store.insert_ndjson(EVENTS_TABLE, body, token=token, settings=settings)
        except (StoreError, StoreUnavailable) as error:
            if isinstance(error, StoreUnavailable) or find_cause(error) in (Cause.SIZE, Cause.UNKNOWN):
                self._most_rows = max(1, min(self._most_rows, body.count(b"\n") // 2))
                self._calm = 0
            raise

    def _try_more(self) -> None:
        """Let inserts grow again after a while in which all went well."""
        self._calm += 1
        if self._most_rows < sys.maxsize and self._calm >= _CALM_BATCHES:
            self._most_rows, self._calm = min(sys.maxsize, self._most_rows * 2), 0

    @staticmethod
    def _settings(judged: list[JudgedRecord]) -> dict[str, str]:
        return {"query_id": build_insert_id(judged[0].record.shard)}

    @staticmethod
    def _check_pieces_help(error: StoreError, *, suspect: bool) -> Cause:
        """Return an error's cause; raise the error where fewer rows would fare no better."""
        cause = find_cause(error)
        if cause is Cause.STORE or (cause is Cause.UNKNOWN and not suspect):
            raise error
        return cause

    def _insert_piecewise(
        self, rows: list[Row], token: str, settings: dict[str, str], *, suspect: bool
    ) -> list[RefusedRow]:
        """Insert group by group, and by halves until each fits and the rows that the store refuses stand alone."""
        refused: list[RefusedRow] = []
        waiting = group_rows(rows, self._most_rows)[::-1]
        while waiting:
            piece = waiting.pop()
            body = join_rows(piece)
            reach("loader.mid_insert")
            try:
                self._send(body, f"{token}/{xxhash.xxh3_128_hexdigest(body)}", settings)
            except StoreError as error:
                cause = self._check_pieces_help(error, suspect=suspect)
                if len(piece) == 1:
                    if cause is Cause.SIZE:
                        # Smaller is none: it is the store that has too little for anything now.
                        raise
                    # A store that takes no row at all is at fault itself: then this raises, and nothing is refused.
                    self._store.insert_ndjson(PROBE_TABLE, _PROBE, token=_PROBE_BATCH)
                    refused.append(RefusedRow(piece[0].record, piece[0].position, error.message))
                    continue
                middle = len(piece) // 2
                waiting += [piece[middle:], piece[:middle]]
        return refused

    def _find_last(self, judged: list[JudgedRecord]) -> int:
        """Ask the store for the last record of which it has a row, at or after these; -1 where there is none.

        Asked under the inserts' own query id, so that none is running: a loader that was killed may have left one,
        and the store finishes it without its sender. Raises StoreError (216) while that is so.
        """
        (row,) = self._store.query_rows(
            f"SELECT if(count() > 0, toInt64(max(journal_record)), -1) FROM {EVENTS_TABLE}"  # noqa: S608 - constant text
            " WHERE journal_shard = {shard:UInt16} AND journal_record >= {first:UInt64}",
            {"shard": judged[0].record.shard, "first": judged[0].record.number},
            {**self._settings(judged), "max_execution_time": _PRESENT_SECONDS},
        ).rows
        return int(row[0])

    def _find_present(self, judged: list[JudgedRecord]) -> Present:
        """Ask the store which events of these records it has, about fewer records at a time where that is too much.

        Asked under the inserts' own query id as well: none is running.
        """
        try:
            return self._ask_present(judged)
        except StoreError as error:
            if find_cause(error) is not Cause.SIZE or len(judged) == 1:
                raise
        middle = len(judged) // 2
        return self._find_present(judged[:middle]) | self._find_present(judged[middle:])

    def _ask_present(self, judged: list[JudgedRecord]) -> Present:
        earliest = min(item.record.heading.received_us for item in judged)
        latest = max(item.record.heading.received_us for item in judged)
        result = self._store.query_rows(
            f"SELECT journal_record, event_id FROM {EVENTS_TABLE}"  # noqa: S608 - constant text
            " WHERE journal_shard = {shard:UInt16} AND journal_record BETWEEN {first:UInt64} AND {last:UInt64}"
            " AND received_at BETWEEN fromUnixTimestamp64Micro({earliest:Int64}, 'UTC')"
            " AND fromUnixTimestamp64Micro({latest:Int64}, 'UTC')",
            {
                "shard": judged[0].record.shard,
                "first": judged[0].record.number,
                "last": judged[-1].record.number,
                "earliest": earliest,
                "latest": latest,
            },
            {**self._settings(judged), "max_execution_time": _PRESENT_SECONDS},
        )
        return {(int(record), str(event_id)) for record, event_id in result.rows}
