"""Runs what one request asks: picks a lane and a connection, spools an insert's data, registers the query for KILL.

Comes in: a `StoreRequest` with its statement and data. Goes out: an `Outcome` whose pieces `http_handler` sends.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Final

from tallymark.clock import SYSTEM_CLOCK, Clock
from tallymark.fair_queue import Bounds, Turns
from tallymark.store.engine import STREAMED_FORMATS, Answer, Connection, Engine, Scope, quote_text
from tallymark.store.engine_config import SCOPE_SETTING
from tallymark.store.errors import READ_LIMIT_CODES, EngineError
from tallymark.store.limits import PLACE_SECONDS, VISITOR_BOUNDS, build_settings
from tallymark.store.parser import part_format, read_tree
from tallymark.store.requests import StoreRequest
from tallymark.store.schema import DATABASE
from tallymark.store.sessions import Sessions
from tallymark.store.statements import (
    InsertHead,
    is_insert,
    is_select,
    parse_kill,
    parse_words,
)
from tallymark.store.visitors import Gate


@dataclass(slots=True)
class Outcome:
    """An answer on its way: its format, its pieces and, once they are all taken, what it cost."""

    format: str
    pieces: Iterator[bytes]
    answer: Answer | None = None
    # The statement itself: ended, it gives back its place, its connection and its id.
    statement: Generator[bytes, None, None] | None = None

    def close(self) -> None:
        """End the statement, read to its end or not."""
        if self.statement is not None:
            self.statement.close()


# Our own work has no project.
_INSERTS: Final = Bounds(places=2, each=2)
_INTERNAL: Final = Bounds(places=12, each=12)

# How long a query that was stopped may take to end before another takes over its id, in seconds.
_REPLACED_SECONDS: Final = 5.0
_JOIN_SECONDS: Final = 5.0
# How often queries that were stopped and have not ended are killed again, and how often a drain looks for new ones, in seconds.
_AGAIN: Final = 0.25


@dataclass(slots=True)
class _Running:
    scope: Scope
    done: threading.Event
    reads: bool
    killed: bool = False
    # Set when it has its place, and when it is stopped while it waits for one.
    woken: threading.Event = field(default_factory=threading.Event)
    # Held while it is killed, and when it ends: its id may be another query's afterwards, which no late KILL may meet.
    ending: threading.Lock = field(default_factory=threading.Lock)


class Lane:
    """A number of places for one kind of work, so that questions never keep an insert waiting.

    Projects get places in rotation, and none may have more than `bounds` says. A request that gets no place within `wait`
    seconds is told that there is none.
    """

    def __init__(self, name: str, bounds: Bounds, wait: float = PLACE_SECONDS) -> None:
        self._name = name
        self._places = bounds.places
        self._wait = wait
        self._lock = threading.Lock()
        self._turns: Turns[threading.Event] = Turns(bounds)

    @contextmanager
    def place(self, project: str = "", woken: threading.Event | None = None) -> Iterator[None]:
        """Hold a place. Raises EngineError 202 when none becomes free in time, 394 when `woken` is set by somebody else."""
        self._take(project, woken or threading.Event())
        try:
            yield
        finally:
            with self._lock:
                for waiter in self._turns.give_back(project):
                    waiter.set()

    def _take(self, project: str, woken: threading.Event) -> None:
        with self._lock:
            if self._turns.take(project):
                return
            self._turns.wait(project, "", woken)
        in_time = woken.wait(self._wait)
        with self._lock:
            if not self._turns.leave(project, "", woken):
                return
        if in_time:
            raise EngineError(394, "Query was cancelled")
        raise EngineError(202, f"Too many simultaneous {self._name}. Maximum: {self._places}")


class Service:
    """Everything that the HTTP side may ask of the engine."""

    def __init__(self, engine: Engine, clock: Clock = SYSTEM_CLOCK) -> None:
        self.engine = engine
        self._sessions = Sessions(clock)
        with engine.connection(Scope(), "start", {}) as connection:
            self._gate = Gate(connection)
        self._inserts = Lane("inserts", _INSERTS)
        self._internal = Lane("internal queries", _INTERNAL)
        self._visitors = Lane("queries of other tools", VISITOR_BOUNDS)
        # By project and query id: ids are the askers' own, and one project must not meet those of another.
        self._running: dict[tuple[str, str], _Running] = {}
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._killing = threading.Thread(target=self._kill_again, name="kill", daemon=True)
        self._killing.start()

    def write_spool(self, pieces: Iterator[bytes]) -> Path:
        """Write an insert's data into a file of its own and return its path; the caller removes it."""
        path = self.engine.spool / f"{uuid.uuid4().hex}.data"
        try:
            with path.open("wb") as file:
                for piece in pieces:
                    file.write(piece)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return path

    @staticmethod
    def check_insert(request: StoreRequest) -> None:
        """Raise EngineError where this asker may not insert, before any of the data is taken in."""
        if request.project or request.read_only:
            raise EngineError(164, "Cannot insert in readonly mode")

    def run_insert(self, request: StoreRequest, head: InsertHead, data: Iterator[bytes]) -> Answer:
        """Spool rows and insert them. All of them are there when this returns, or none. Raises EngineError.

        Its query id is taken before the first row is read and given back at the end: whoever asks under the same
        id in between is told that it runs (216), and knows afterwards that it is over.
        """
        self.check_insert(request)
        settings = build_settings(request, insert=True)
        scope = Scope(request.project)
        with self._register(request, scope, reads=False):
            spooled = self.write_spool(data)
            source = f"file({quote_text(str(spooled))}, {quote_text(head.format)})"
            sql = f"INSERT {head.target} SELECT * FROM {source}"  # noqa: S608 - the asker's own statement
            try:
                with self._inserts.place(), self._connect(request, scope, settings) as connection:
                    return connection.run(sql, "Null", request.parameters)
            finally:
                spooled.unlink(missing_ok=True)

    def open_query(self, request: StoreRequest, sql: str) -> Outcome:
        """Start a statement that brings no data of its own. Raises EngineError before the first piece where it can."""
        kill = parse_kill(sql)
        if kill is not None and not request.project and not request.read_only:
            return self._kill(kill)
        outcome = Outcome(request.default_format, iter(()))
        outcome.statement = self._run(request, sql, outcome)
        outcome.pieces = self._begin(outcome.statement)
        return outcome

    def stop(self, query_id: str, project: str = "") -> bool:
        """Stop a query of a project (our own without one), running or waiting. Returns False where there is none of that id.

        It ends soon after; nobody has to stop it twice.
        """
        with self._lock:
            running = self._running.get((project, query_id))
        if running is None:
            return False
        running.killed = True
        running.woken.set()
        self._kill_running(running, query_id)
        return True

    def expire_sessions(self) -> None:
        """Close the sessions whose time is over, with what they hold; nobody has to ask for another one first."""
        self._sessions.expire()

    def drain(self, seconds: float) -> None:
        """Stop the questions and let the inserts end, for at most so many seconds; then close sessions and stop killing."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            with self._lock:
                running = dict(self._running)
            if not running:
                break
            for (project, query_id), one in running.items():
                if one.reads and not one.killed:
                    self.stop(query_id, project)
            # A request that came before the drain may begin its query only now.
            next(iter(running.values())).done.wait(min(_AGAIN, left))
        self._sessions.close()
        self._closed.set()
        self._killing.join(timeout=_JOIN_SECONDS)

    def _kill_again(self) -> None:
        """Kill what was stopped until it has ended: a KILL misses a query that is just beginning, or between two of its statements."""
        while not self._closed.wait(_AGAIN):
            with self._lock:
                stopped = [(name, one) for name, one in self._running.items() if one.killed]
            for (_, query_id), one in stopped:
                with suppress(EngineError):
                    self._kill_running(one, query_id)

    def _kill_running(self, running: _Running, query_id: str) -> None:
        """Kill a query where it has not ended."""
        with running.ending:
            if not running.done.is_set():
                self.engine.kill(running.scope, query_id)

    @staticmethod
    def _begin(pieces: Iterator[bytes]) -> Iterator[bytes]:
        """Take the first piece now, so that an error at the start gets a status of its own."""
        first = next(pieces, None)

        def rest() -> Iterator[bytes]:
            if first is not None:
                yield first
                yield from pieces

        return rest()

    @contextmanager
    def _connect(self, request: StoreRequest, scope: Scope, settings: dict[str, str]) -> Iterator[Connection]:
        """Lend a connection for one request: the session's where it names one, else a new one."""
        database = request.database
        if not scope.internal:
            if database not in {"", "default", DATABASE}:
                raise EngineError(81, f"Database {database} does not exist")
            if request.session_check:
                raise EngineError(372, f"Session {request.session_id} does not exist")
            database = DATABASE
        # Of visitors nothing lasts, so a session, which tools name without being asked, is no more than a name.
        if not request.session_id or not scope.internal:
            with self.engine.connection(scope, request.query_id, settings, database) as connection:
                yield connection
            return
        with self._sessions.borrow(
            request.session_id,
            request.session_seconds,
            {**request.settings, SCOPE_SETTING: scope.comment(request.query_id)},
            lambda: self.engine.open_connection(scope, request.query_id, settings, database),
            must_exist=request.session_check,
        ) as connection:
            yield connection

    def _run(self, request: StoreRequest, sql: str, outcome: Outcome) -> Generator[bytes, None, None]:
        scope = Scope(request.project)
        lane = self._internal if scope.internal else self._visitors
        if not scope.internal:
            self._gate.check_settings(request.settings)
        settings = build_settings(request, insert=False)
        with (
            self._register(request, scope, reads=True) as running,
            lane.place(request.project, running.woken),
            self._connect(request, scope, settings) as connection,
        ):
            if running.killed:
                # While it waited for its place.
                raise EngineError(394, "Query was cancelled")
            if scope.internal:
                reads = self._judge(request, connection, sql)
                fmt = request.default_format
                if reads:
                    sql, named = part_format(connection, sql)
                    fmt = named or fmt
            else:
                sql, fmt = self._gate.check(connection, sql, request.default_format, request.parameters)
                reads = True
            outcome.format = fmt
            # chDB streams nothing but a SELECT; what DESCRIBE and SHOW answer is short.
            streams = reads and is_select(sql) and outcome.format in STREAMED_FORMATS
            if streams and not request.wait_end:
                yield from self._stream(connection, sql, fmt, request.parameters)
            else:
                answer = outcome.answer = connection.run(sql, fmt, request.parameters)
                empty = reads and not answer.body
                yield _build_empty(connection, sql, fmt, request.parameters) if empty else answer.body

    @staticmethod
    def _stream(connection: Connection, sql: str, fmt: str, parameters: dict[str, str]) -> Iterator[bytes]:
        empty = True
        for piece in connection.stream(sql, fmt, parameters):
            empty = False
            yield piece
        if empty:
            yield _build_empty(connection, sql, fmt, parameters)

    @staticmethod
    def _judge(request: StoreRequest, connection: Connection, sql: str) -> bool:
        """Tell whether the statement only reads. Raises EngineError for what may not run here."""
        kind, count = connection.classify(sql)
        if count > 1:
            raise EngineError(62, "Multi-statements are not allowed")
        words = parse_words(sql) if kind != "READ_ONLY" else ()
        if (
            is_insert(sql)
            and ("FROM", "INFILE") in pairwise(words)
            and "infile" in _read_keys(connection, sql)
        ):
            raise EngineError(
                48, "INSERT ... FROM INFILE is not supported by this server: send the data as the body"
            )
        if kind == "CONTROL" and "OUTFILE" in words and "out_file" in _read_keys(connection, sql):
            raise EngineError(48, "INTO OUTFILE is not supported by this server")
        if request.read_only and kind not in {"READ_ONLY", "UNKNOWN"}:
            raise EngineError(164, "Cannot execute this query in readonly mode: a GET request only reads")
        return kind == "READ_ONLY"

    @contextmanager
    def _register(self, request: StoreRequest, scope: Scope, *, reads: bool) -> Iterator[_Running]:
        running = _Running(scope, threading.Event(), reads)
        name = (request.project, request.query_id)
        with self._lock:
            other = self._running.get(name)
            if other is None:
                self._running[name] = running
        if other is not None:
            self._replace(request, running, other)
        try:
            yield running
        except EngineError as error:
            if running.killed and error.number != 394:
                raise EngineError(394, "Query was cancelled") from error
            if request.project and error.number in READ_LIMIT_CODES:
                # How much it would be the engine's text says, and counts rows of other projects with it.
                raise EngineError(error.number, "The query would read more than is allowed") from None
            raise
        finally:
            with running.ending:
                with self._lock:
                    if self._running.get(name) is running:
                        del self._running[name]
                running.done.set()

    def _replace(self, request: StoreRequest, running: _Running, other: _Running) -> None:
        query_id = request.query_id
        if not request.replace_running:
            raise EngineError(216, f"Query with id = {query_id} is already running")
        self.stop(query_id, request.project)
        if not other.done.wait(_REPLACED_SECONDS):
            raise EngineError(216, f"Query with id = {query_id} is already running and can't be stopped")
        with self._lock:
            if (request.project, query_id) in self._running:
                raise EngineError(216, f"Query with id = {query_id} is already running")
            self._running[request.project, query_id] = running

    def _kill(self, query_id: str) -> Outcome:
        found = self.stop(query_id)
        line = f"waiting\t{query_id}\tdefault\t\n" if found else ""
        body = line.encode()
        return Outcome("TabSeparated", iter((body,)), Answer(body))


def _read_keys(connection: Connection, sql: str) -> frozenset[str]:
    """Return what the engine's parser finds at the top of the statement, by its names."""
    return frozenset(read_tree(connection, sql) or ())


def _build_empty(connection: Connection, sql: str, fmt: str, parameters: dict[str, str]) -> bytes:
    """Return an answer without rows. In the Native format it still tells its columns, which chDB leaves out."""
    if fmt != "Native":
        return b""
    try:
        described = connection.run(f"DESCRIBE TABLE (\n{sql}\n)", "JSONCompactEachRow", parameters).body
    except EngineError:
        # Not a SELECT: such a statement has no columns that could be told.
        return b""
    columns = [json.loads(line)[:2] for line in described.splitlines()]
    parts = [_render_varint(len(columns)), _render_varint(0)]
    for pair in columns:
        for encoded in (text.encode() for text in pair):
            parts += [_render_varint(len(encoded)), encoded]
    return b"".join(parts)


def _render_varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
