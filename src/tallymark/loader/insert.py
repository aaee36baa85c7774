"""Getting rows into the store exactly once, whatever the store does.

`Inserter.insert` takes judged records and returns when every new row is either in the store or refused by it.
A row that the store cannot take is found by bisection; the rest goes in. When the outcome of an insert is
unknown the store is asked what it has: rows carry the number of their journal record.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import structlog
import xxhash

from tallymark.crashpoints import reach
from tallymark.dedup.judge import JudgedRecord, Verdict
from tallymark.journal.record import render_rows
from tallymark.loader.account import RefusedRow
from tallymark.loader.identity import parse_identity
from tallymark.store.client import StoreClient
from tallymark.store.errors import StoreError, StoreUnavailable
from tallymark.store.schema import EVENTS_TABLE, PROBE_TABLE

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
# Its numbers for trouble that is never a row's, however often it comes: no room, no memory, no time, no table.
_STORE_ERRORS = frozenset(
    {
        60,  # UNKNOWN_TABLE
        74,  # CANNOT_READ_FROM_FILE_DESCRIPTOR
        75,  # CANNOT_WRITE_TO_FILE_DESCRIPTOR
        76,  # CANNOT_OPEN_FILE
        81,  # UNKNOWN_DATABASE
        159,  # TIMEOUT_EXCEEDED
        202,  # TOO_MANY_SIMULTANEOUS_QUERIES
        209,  # SOCKET_TIMEOUT
        210,  # NETWORK_ERROR
        236,  # ABORTED
        241,  # MEMORY_LIMIT_EXCEEDED
        242,  # TABLE_IS_READ_ONLY
        243,  # NOT_ENOUGH_SPACE
        252,  # TOO_MANY_PARTS
        394,  # QUERY_WAS_CANCELLED
        425,  # SYSTEM_ERROR
        439,  # CANNOT_SCHEDULE_TASK
        497,  # ACCESS_DENIED
        516,  # AUTHENTICATION_FAILED
    }
)
# How the operating system says it where the store has no number of its own for it.
_NO_ROOM = "No space left on device"
# (journal record, event id) of rows that are in the store.
Present = set[tuple[int, str]]

_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 10.0
_STILL_RUNNING = 216  # QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING


# After so many failures of one batch its rows are suspected, unless the store names trouble of its own.
_SUSPECT_AFTER = 5
# A row that any sound store takes: it goes to a table that keeps nothing.
_PROBE_BATCH = "probe"
_PROBE = (
    b'{"client_time":"2026-01-01T00:00:00Z","event_id":"probe","event_type":"probe","event_name":"probe",'
    b'"attributes":{"a":1},"project":"default","source":"probe","received_at":"2026-01-01T00:00:00Z","skew_ms":0,'
    b'"journal_shard":0,"journal_record":0}\n'
)


@dataclass(frozen=True, slots=True)
class _Row:
    """A row for the store, and where in the journal it stands."""

    text: bytes
    record: int
    position: int


class Stopped(Exception):
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
        pause, failures = _FIRST_PAUSE, 0
        while True:
            try:
                present = self._find_present(judged) if self._doubtful else set()
                refused = self._insert_missing(judged, present, suspect=failures >= _SUSPECT_AFTER)
            except (StoreUnavailable, StoreError) as error:
                self._doubtful = True
                failures += isinstance(error, StoreError) and error.number != _STILL_RUNNING
                log.warning(
                    "store_insert_failed", error=str(error), retry_in_s=pause, fix="see the store's log lines"
                )
                if self._stopping.wait(pause):
                    raise Stopped from error
                pause = min(_LONGEST_PAUSE, pause * 2)
            else:
                self._doubtful = False
                return refused

    def _insert_missing(
        self, judged: list[JudgedRecord], present: Present, *, suspect: bool
    ) -> list[RefusedRow]:
        first, last = judged[0].record.number, judged[-1].record.number
        token = f"{judged[0].record.shard}:{first}-{last}"
        reach("loader.mid_insert")
        if not present:
            try:
                body = b"".join([_new_rows(item) for item in judged])
                if body:
                    self._store.insert_ndjson(
                        EVENTS_TABLE, body, token=token, settings=self._settings(judged)
                    )
            except StoreError as error:
                if not _may_be_a_rows_fault(error, suspect=suspect):
                    raise
                log.warning("store_refused_rows", first_record=first, last_record=last, error=str(error))
            else:
                return []
        rows = _build_rows(judged, present)
        return self._insert_piecewise(rows, token, self._settings(judged), suspect=suspect) if rows else []

    @staticmethod
    def _settings(judged: list[JudgedRecord]) -> dict[str, str]:
        return {"query_id": f"tallymark-loader-{judged[0].record.shard}"}

    def _insert_piecewise(
        self, rows: list[_Row], token: str, settings: dict[str, str], *, suspect: bool
    ) -> list[RefusedRow]:
        """Insert by halves until the rows that the store refuses stand alone."""
        refused: list[RefusedRow] = []
        waiting = [rows]
        while waiting:
            piece = waiting.pop()
            body = _join(piece)
            try:
                # By content: after a restart the same places may hold other rows, and the store would take
                # them for those that it has.
                piece_token = f"{token}/{xxhash.xxh3_128_hexdigest(body)}"
                self._store.insert_ndjson(EVENTS_TABLE, body, token=piece_token, settings=settings)
            except StoreError as error:
                if not _may_be_a_rows_fault(error, suspect=suspect):
                    raise
                if len(piece) == 1:
                    # A store that takes no row at all is at fault itself: then this raises, and nothing is refused.
                    self._store.insert_ndjson(PROBE_TABLE, _PROBE, token=_PROBE_BATCH)
                    refused.append(RefusedRow(piece[0].record, piece[0].position, error.message))
                    continue
                middle = len(piece) // 2
                waiting += [piece[middle:], piece[:middle]]
        return refused

    def _find_present(self, judged: list[JudgedRecord]) -> Present:
        """Ask the store which events of these records it has.

        Asked under the inserts' own query id, so that none is running: a loader that was killed may have left one,
        and the store finishes it without its sender. Raises StoreError (216) while that is so.
        """
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
            self._settings(judged),
        )
        return {(int(record), str(event_id)) for record, event_id in result.rows}


def _may_be_a_rows_fault(error: StoreError, *, suspect: bool) -> bool:
    """Tell whether looking for the row that the store will not have makes sense."""
    own_trouble = error.number in _STORE_ERRORS or _NO_ROOM in error.message
    return error.number in _ROW_ERRORS or (suspect and not own_trouble)


def _new_rows(item: JudgedRecord) -> bytes:
    rows = render_rows(item.record)
    if not item.all_new:
        rows = [
            row for row, verdict in zip(rows, item.verdicts.tolist(), strict=True) if verdict == Verdict.NEW
        ]
    return b"\n".join(rows) + b"\n" if rows else b""


def _build_rows(judged: list[JudgedRecord], present: Present) -> list[_Row]:
    """List the new rows that the store does not have yet."""
    rows = []
    for item in judged:
        number = item.record.number
        for position, (text, verdict) in enumerate(
            zip(render_rows(item.record), item.verdicts.tolist(), strict=True)
        ):
            if verdict != Verdict.NEW:
                continue
            if not present or (number, parse_identity(text).event_id) not in present:
                rows.append(_Row(text, number, position))
    return rows


def _join(rows: list[_Row]) -> bytes:
    return b"\n".join([row.text for row in rows]) + b"\n"
