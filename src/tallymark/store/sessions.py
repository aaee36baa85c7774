"""Sessions of ClickHouse's HTTP interface: a connection that several requests share, with its SETs and temporary tables.

`service` asks for one by id; a session serves one request at a time and ends when nobody used it for its timeout.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from tallymark.clock import Clock
from tallymark.store.engine import Connection
from tallymark.store.errors import EngineError

MAX_SESSIONS: Final = 16


@dataclass(slots=True)
class _Session:
    connection: Connection | None = None
    expires: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)


class Sessions:
    """The open sessions of one server."""

    def __init__(self, clock: Clock, most: int = MAX_SESSIONS) -> None:
        self._clock = clock
        self._most = most
        self._sessions: dict[str, _Session] = {}
        self._lock = threading.Lock()

    @contextmanager
    def borrow(
        self,
        session_id: str,
        seconds: float,
        settings: Mapping[str, str],
        open_connection: Callable[[], Connection],
        *,
        must_exist: bool,
    ) -> Iterator[Connection]:
        """Lend the session's connection with `settings` for this request alone, making the session if need be.

        Raises EngineError 372 for a session that must exist and does not, 373 for one in use, 202 for one too many.
        """
        session = self._find(session_id, must_exist=must_exist)
        try:
            if session.connection is None:
                session.connection = open_connection()
            with _borrow_settings(session.connection, settings):
                yield session.connection
        except BaseException:
            if session.connection is None:
                with self._lock:
                    self._sessions.pop(session_id, None)
            raise
        finally:
            session.expires = self._clock.monotonic() + seconds
            session.lock.release()

    def _find(self, session_id: str, *, must_exist: bool) -> _Session:
        """Return the session with its lock held."""
        self.expire()
        with self._lock:
            session = self._sessions.get(session_id)
            if session is None:
                if must_exist:
                    raise EngineError(372, f"Session {session_id} not found")
                if len(self._sessions) >= self._most:
                    raise EngineError(202, f"Too many sessions. Maximum: {self._most}")
                session = self._sessions[session_id] = _Session()
            if not session.lock.acquire(blocking=False):
                raise EngineError(373, f"Session {session_id} is locked by a concurrent client")
            return session

    def expire(self) -> None:
        """Close the sessions whose time is over."""
        now = self._clock.monotonic()
        with self._lock:
            for session_id, session in list(self._sessions.items()):
                if session.expires < now and session.lock.acquire(blocking=False):
                    del self._sessions[session_id]
                    if session.connection is not None:
                        session.connection.close()

    def close(self) -> None:
        """Close all sessions that are not in use."""
        with self._lock:
            for session in self._sessions.values():
                if session.connection is not None and session.lock.acquire(blocking=False):
                    session.connection.close()
            self._sessions.clear()


@contextmanager
def _borrow_settings(connection: Connection, settings: Mapping[str, str]) -> Iterator[None]:
    names = ", ".join(f"'{name}'" for name in settings)
    sql = f"SELECT name, value, changed FROM system.settings WHERE name IN ({names})"  # noqa: S608 - known names
    before = connection.run(sql).body.decode()
    connection.apply(settings)
    try:
        yield
    finally:
        for line in before.splitlines():
            name, value, changed = line.split("\t")
            # The value came in ClickHouse's escaped form, which a literal understands as well.
            quoted = value.replace("'", "\\'")
            connection.run(f"SET `{name}` = '{quoted}'" if changed == "1" else f"SET `{name}` = DEFAULT")
