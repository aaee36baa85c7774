"""Single events: the newest, those that meet conditions, page by page, and one of them whole.

Comes in: a store, a project, conditions. Goes out: events as dictionaries of what they have. The web room calls it.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from tallymark.event import CORE_FIELDS, OWN_SOURCE
from tallymark.queries.ask import DEFAULT_LIMITS, Limits, QueryStore, ask_store
from tallymark.queries.fields import NULLABLE
from tallymark.queries.filters import build_filters
from tallymark.queries.period import ALWAYS, Period, parse_time, parse_zone
from tallymark.queries.question import Filter, refuse
from tallymark.queries.sql import Parameters, build_scope

MAX_PAGE: Final = 500
# A page ends with the event that brings it past so many bytes, as the store counts them.
PAGE_BYTES: Final = 8 * 1024 * 1024
_MOST_NAMES: Final = 2_000
_TIMES: Final = ("event_time", "client_time", "received_at")
_OTHERS: Final = tuple(field for field in CORE_FIELDS if field != "event_time")
_COLUMNS: Final = (*_TIMES, *_OTHERS, "source", "streams", "skew_ms", "attributes")
# Always shown, also when they are false, zero or empty.
_ALWAYS: Final = frozenset(
    {"event_id", "event_type", "event_name", "source", "streams", "attributes", *_TIMES}
)


class EventPage(msgspec.Struct, frozen=True):
    """Some events, newest first, and the cursor of the next page (None on the last).

    `note` says that the page ended by its bytes, before as many events as were asked for.
    """

    events: list[dict[str, Any]]
    next_cursor: str | None
    note: str | msgspec.UnsetType = msgspec.UNSET


class _Cursor(msgspec.Struct, frozen=True, array_like=True):
    """The last event of a page: its time as ISO text in UTC, and its id."""

    time: str
    event_id: str


def list_events(
    store: QueryStore,
    project: str,
    *,
    event_name: str | None = None,
    filters: Sequence[Filter] = (),
    start: str | None = None,
    end: str | None = None,
    timezone: str = "UTC",
    cursor: str | None = None,
    limit: int = 50,
    limits: Limits = DEFAULT_LIMITS,
) -> EventPage:
    """Return events by falling time, from `start` up to, not including, `end` (as in a question).

    `cursor` is a page's `next_cursor`: paging by it neither repeats nor skips an event that was there at the start.
    A page of large events ends early, and says so. Raises `RequestRefused` for what is not well formed, and as
    `ask_store` does.
    """
    if not 1 <= limit <= MAX_PAGE:
        raise refuse(f"limit is {limit}; allowed are 1 to {MAX_PAGE}.", "limit")
    after = None if cursor is None else _parse_cursor(cursor)
    zone = parse_zone(timezone)
    first = ALWAYS.start if start is None else parse_time(start, zone, "start")
    last = ALWAYS.end if end is None else parse_time(end, zone, "end")
    parameters = Parameters(local_seconds=Period(first, max(first, last), "", zone).local_sql)
    conditions = build_filters(filters, "filters", parameters)
    if start is not None:
        conditions.append(f"event_time >= {parameters.time(first)}")
    if end is not None:
        conditions.append(f"event_time < {parameters.time(last)}")
    if after is not None:
        conditions.append(_before(after, parameters))
    scope = build_scope(parameters, project, None, [event_name] if event_name else [], conditions)
    # First only times are read, to find from when on the page lies; then the whole of these few events.
    count = parameters.add(limit + 1, "UInt32")
    newest = f"SELECT event_time {scope} ORDER BY event_time DESC LIMIT {count}"
    oldest = f"SELECT min(event_time) FROM ({newest})"  # noqa: S608 - made of fixed words and placeholders
    page_scope = f"{scope} AND event_time >= ({oldest})"
    sql = _bound_bytes(
        f"SELECT {_columns(named=True)}, events.event_time AS at, byteSize({', '.join(_COLUMNS)}) AS size\n"
        f"{page_scope}\nORDER BY events.event_time DESC, event_id DESC LIMIT {count}",
        parameters,
    )
    rows = ask_store(store, parameters.statement(sql), limits)
    return _build_page(rows, limit)


def _build_page(rows: Sequence[Any], limit: int) -> EventPage:
    """Return a page of rows whose last cell says how many events it would have without a bound on its bytes."""
    events = [_event(row[:-1]) for row in rows[:limit]]
    if not rows or rows[0][-1] <= len(events):
        return EventPage(events, None)
    cursor = _render_cursor(events[-1])
    if len(events) == limit:
        return EventPage(events, cursor)
    note = f"The page ends after {len(events)} of {limit} events: it holds {PAGE_BYTES >> 20} MiB at most. Go on with next_cursor."
    return EventPage(events, cursor, note)


def _bound_bytes(page: str, parameters: Parameters) -> str:
    """Return the first events of a page up to its bytes, each with how many the page has."""
    order = "ORDER BY at DESC, c_event_id DESC"
    before = f"sum(size) OVER ({order} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)"
    most = parameters.add(PAGE_BYTES, "UInt64")
    names = ", ".join(f"c_{name}" for name in _COLUMNS)
    counted = f"SELECT *, {before} AS before, count() OVER () AS there FROM (\n{page}\n)"  # noqa: S608 - made of fixed words and placeholders
    return f"SELECT {names}, there FROM (\n{counted}\n) WHERE before < {most}\n{order}"  # noqa: S608 - the same


def list_arrivals(
    store: QueryStore, project: str, since: datetime, *, limit: int = 50, limits: Limits = DEFAULT_LIMITS
) -> list[dict[str, Any]]:
    """Return the events that were received last, from `since` on, newest receipt first.

    Raises `RequestRefused` as `ask_store` does.
    """
    parameters = Parameters()
    scope = build_scope(parameters, project, None, [], [f"received_at >= {parameters.time(since)}"])
    count = parameters.add(limit, "UInt32")
    sql = f"SELECT {_columns()}\n{scope}\nORDER BY events.received_at DESC, event_id DESC LIMIT {count}"
    rows = ask_store(store, parameters.statement(sql), limits)
    return [_event(row) for row in rows]


class Present(msgspec.Struct, frozen=True):
    """What came in a time: how many events by their names, None of too many names, and whether all were tallymark's own."""

    events: dict[str, int] | None
    quiet: bool


def find_present(
    store: QueryStore, project: str, start: datetime, end: datetime, limits: Limits = DEFAULT_LIMITS
) -> Present:
    """Return which events came in a time. Raises `RequestRefused` as `ask_store` does."""
    parameters = Parameters()
    is_own = f"source = {parameters.text(OWN_SOURCE)}"
    scope = build_scope(parameters, project, Period(start, end, "", UTC))
    most = parameters.add(_MOST_NAMES + 1, "UInt32")
    sql = f"SELECT event_name, count(), min({is_own})\n{scope}\nGROUP BY event_name LIMIT {most}"
    rows = ask_store(store, parameters.statement(sql), limits)
    events = {name: int(count) for name, count, _ in rows} if len(rows) <= _MOST_NAMES else None
    return Present(events, quiet=all(own for *_, own in rows))


def find_event(
    store: QueryStore, project: str, event_id: str, limits: Limits = DEFAULT_LIMITS
) -> dict[str, Any] | None:
    """Return the stored event of that id, None where there is none. Raises `RequestRefused` as `ask_store` does."""
    parameters = Parameters()
    scope = build_scope(parameters, project, None, [], [f"event_id = {parameters.text(event_id)}"])
    rows = ask_store(store, parameters.statement(f"SELECT {_columns()}\n{scope}\nLIMIT 1"), limits)
    return _event(rows[0]) if rows else None


def _columns(*, named: bool = False) -> str:
    times = [f"formatDateTime(events.{name}, '%Y-%m-%dT%H:%i:%S.%fZ', 'UTC')" for name in _TIMES]
    columns = [*times, *_COLUMNS[len(_TIMES) :]]
    if named:
        columns = [f"{column} AS c_{name}" for column, name in zip(columns, _COLUMNS, strict=True)]
    return ", ".join(columns)


def _event(row: list[Any]) -> dict[str, Any]:
    """Return an event with the fields that it has."""
    event = dict(zip(_COLUMNS, row, strict=True))
    # `value` may be 0 and a person may be known not to be a bot; elsewhere false, 0 and '' mean "not given".
    return {
        name: value
        for name, value in event.items()
        if name in _ALWAYS or (value is not None if name in NULLABLE else bool(value))
    }


def _before(cursor: _Cursor, parameters: Parameters) -> str:
    time = parameters.time(datetime.fromisoformat(cursor.time))
    event_id = parameters.text(cursor.event_id)
    return f"(event_time < {time} OR (event_time = {time} AND event_id < {event_id}))"


def _render_cursor(event: dict[str, Any]) -> str:
    encoded = msgspec.json.encode(_Cursor(event["event_time"], event["event_id"]))
    return base64.urlsafe_b64encode(encoded).decode().rstrip("=")


def _parse_cursor(text: str) -> _Cursor:
    try:
        decoded = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        cursor = msgspec.json.decode(decoded, type=_Cursor)
        time = datetime.fromisoformat(cursor.time)
        is_whole = time.tzinfo is not None and 1970 <= time.year < 9000 and "\0" not in cursor.event_id
    except (ValueError, RecursionError, msgspec.DecodeError):
        is_whole = False
    if not is_whole:
        message = f"The cursor {text[:80]!r} is not one. Allowed is the next_cursor of a page, or none."
        raise refuse(message, "cursor")
    return cursor
