"""Getting rows into the store exactly once, whatever the store does.

`Inserter.insert` takes judged records and returns when every new row is either in the store or refused by it.
A row that the store cannot take is found by bisection; the rest goes in. When the outcome of an insert is
unknown the store is asked what it has: rows carry the number of their journal record.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import msgspec
import structlog

from tallymark.crashpoints import reach
from tallymark.dedup.judge import JudgedRecord, Verdict
from tallymark.loader.account import RefusedRow
from tallymark.store.client import StoreClient
from tallymark.store.errors import StoreError, StoreUnavailable
from tallymark.store.schema import EVENTS_TABLE

log = structlog.get_logger("tallymark.loader")

# ClickHouse's numbers for "this row cannot be": everything else is the store's trouble, not the row's.
_ROW_ERRORS = frozenset(
    {
        6,  # CANNOT_PARSE_TEXT
        26,  # CANNOT_PARSE_QUOTED_STRING
        27,  # CANNOT_PARSE_INPUT_ASSERTION_FAILED
        36,  # BAD_ARGUMENTS
        38,  # CANNOT_PARSE_DATE
        41,  # CANNOT_PARSE_DATETIME
        53,  # TYPE_MISMATCH
        69,  # ARGUMENT_OUT_OF_BOUND
        70,  # CANNOT_CONVERT_TYPE
        72,  # CANNOT_PARSE_NUMBER
        117,  # INCORRECT_DATA
        131,  # TOO_LARGE_STRING_SIZE
        306,  # TOO_DEEP_RECURSION
        321,  # VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE
        349,  # CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN
        407,  # DECIMAL_OVERFLOW
        467,  # CANNOT_PARSE_BOOL
    }
)
# (journal record, event id) of rows that are in the store.
Present = set[tuple[int, str]]

_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 10.0


@dataclass(frozen=True, slots=True)
class _Rows:
    """Some rows of one batch with the records that they belong to."""

    rows: list[bytes]
    records: list[int]


class Stopped(Exception):  # noqa: N818 - no error: the loader was told to stop
    """The loader was told to stop while the store could not be reached; nothing was committed."""


class Inserter:
    """Inserts batches into the store; gives up only when `stopping` is set."""

    def __init__(self, store: StoreClient, stopping: threading.Event) -> None:
        self._store = store
        self._stopping = stopping
        # Rows at and after the cursor may be there already: always after a start, and after a doubtful insert.
        self._doubtful = True

    def insert(self, judged: list[JudgedRecord]) -> list[RefusedRow]:
        """Store all new rows of `judged`; return those that the store refused. Raises Stopped."""
        pause = _FIRST_PAUSE
        while True:
            try:
                present = self._find_present(judged) if self._doubtful else set()
                refused = self._insert_missing(judged, present)
            except (StoreUnavailable, StoreError) as error:
                self._doubtful = True
                log.warning(
                    "store_insert_failed", error=str(error), retry_in_s=pause, fix="see the store's log lines"
                )
                if self._stopping.wait(pause):
                    raise Stopped from error
                pause = min(_LONGEST_PAUSE, pause * 2)
            else:
                self._doubtful = False
                return refused

    def _insert_missing(self, judged: list[JudgedRecord], present: Present) -> list[RefusedRow]:
        first, last = judged[0].record.number, judged[-1].record.number
        shard = judged[0].record.shard
        token = f"{shard}:{first}-{last}"
        reach("loader.mid_insert")
        if not present:
            body = b"".join([_new_rows(item) for item in judged])
            if not body:
                return []
            try:
                self._store.insert_ndjson(EVENTS_TABLE, body, token=token)
            except StoreError as error:
                if error.number not in _ROW_ERRORS:
                    raise
                log.warning("store_refused_rows", first_record=first, last_record=last, error=str(error))
            else:
                return []
        return self._insert_piecewise(_build_rows(judged, present), token)

    def _insert_piecewise(self, whole: _Rows, token: str) -> list[RefusedRow]:
        """Insert by halves until the rows that the store refuses stand alone."""
        refused: list[RefusedRow] = []
        waiting = [(0, len(whole.rows))]
        while waiting:
            start, end = waiting.pop()
            if start == end:
                continue
            body = b"\n".join(whole.rows[start:end]) + b"\n"
            try:
                self._store.insert_ndjson(EVENTS_TABLE, body, token=f"{token}/{start}-{end}")
            except StoreError as error:
                if error.number not in _ROW_ERRORS:
                    raise
                if end - start == 1:
                    refused.append(RefusedRow(whole.records[start], whole.rows[start], error.message))
                    continue
                middle = (start + end) // 2
                waiting += [(middle, end), (start, middle)]
        return refused

    def _find_present(self, judged: list[JudgedRecord]) -> Present:
        """Ask the store which events of these records it has."""
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
        )
        return {(int(record), str(event_id)) for record, event_id in result.rows}


def _new_rows(item: JudgedRecord) -> bytes:
    if item.all_new:
        return item.record.rows
    rows = item.record.rows.split(b"\n")
    return b"".join(
        [rows[position] + b"\n" for position, verdict in enumerate(item.verdicts) if verdict == Verdict.NEW]
    )


class _Identity(msgspec.Struct):
    event_id: str


_identity = msgspec.json.Decoder(_Identity)


def _build_rows(judged: list[JudgedRecord], present: Present) -> _Rows:
    """List the new rows that the store does not have yet."""
    rows, records = [], []
    for item in judged:
        number = item.record.number
        for row in _new_rows(item).splitlines():
            if not present or (number, _identity.decode(row).event_id) not in present:
                rows.append(row)
                records.append(number)
    return _Rows(rows, records)
