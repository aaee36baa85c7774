"""chDB inside the store process: one data path, many connections, each made for one request and one role.

`chdb_server` opens the `Engine`, `service` asks it for connections; a connection runs statements and gives bytes.
A fresh connection costs a fifth of a millisecond, so that no setting, role or database ever outlives its request.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tallymark.store.engine_config import (
    INTERNAL_SCOPE,
    SCOPE_SETTING,
    VISITOR_ROLE,
    render_config,
    render_users,
)
from tallymark.store.errors import EngineError, parse_engine_error

# In the data folder; beside it what is received and not inserted yet, and the settings that are made at each start.
STORE_FOLDER: Final = "store"

# Each piece of a streamed answer stands for itself in these formats, so pieces can be put one after another.
STREAMED_FORMATS: Final = frozenset({"Native", "TabSeparated", "TSV", "CSV", "RowBinary", "JSONEachRow"})

# The engine's address carries its options behind the path, as a URL does.
_OPTION_CHARACTERS: Final = frozenset("?&=%")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a statement gave: bytes in the asked format, and what it read and wrote; elapsed in seconds."""

    body: bytes
    read_rows: int = 0
    read_bytes: int = 0
    written_rows: int = 0
    written_bytes: int = 0
    result_rows: int = 0
    elapsed: float = 0.0


@dataclass(frozen=True, slots=True)
class Scope:
    """Who asks: the internal role, or the visitors of one project."""

    project: str = ""

    @property
    def internal(self) -> bool:
        """Whether the asker is one of our own processes."""
        return not self.project

    def comment(self, query_id: str) -> str:
        """Return what the row filter and `Engine.kill` read from the connection."""
        return f"{self.project or INTERNAL_SCOPE}\n{query_id}"


def quote_text(text: str) -> str:
    """Return `text` as a ClickHouse string literal."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\0", "\\0")
    return f"'{escaped}'"


def quote_name(name: str) -> str:
    """Return `name` as a ClickHouse identifier."""
    escaped = name.replace("\\", "\\\\").replace("`", "\\`")
    return f"`{escaped}`"


class Connection:
    """One chDB connection; runs one statement at a time."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw

    def run(self, sql: str, fmt: str = "TabSeparated", parameters: Mapping[str, str] | None = None) -> Answer:
        """Run one statement. Parameter values are in ClickHouse's escaped text form. Raises EngineError."""
        try:
            result = self._raw.query(sql, fmt, params=dict(parameters or {}))
        except RuntimeError as error:
            raise parse_engine_error(str(error)) from None
        if result.has_error():
            raise parse_engine_error(str(result.error_message()))
        return Answer(
            body=result.bytes() or b"",
            read_rows=result.storage_rows_read(),
            read_bytes=result.storage_bytes_read(),
            written_rows=result.rows_written(),
            written_bytes=result.bytes_written(),
            result_rows=result.rows_read(),
            elapsed=result.elapsed(),
        )

    def stream(self, sql: str, fmt: str, parameters: Mapping[str, str] | None = None) -> Iterator[bytes]:
        """Run one SELECT and yield its answer piece by piece; leaving early cancels it. Raises EngineError."""
        try:
            stream = self._raw.send_query(sql, fmt, params=dict(parameters or {}))
        except RuntimeError as error:
            raise parse_engine_error(str(error)) from None
        finished = False
        try:
            while True:
                try:
                    piece = self._raw.streaming_fetch_result(stream)
                except RuntimeError as error:
                    finished = True
                    raise parse_engine_error(str(error)) from None
                if piece is None or piece.rows_read() == 0:
                    finished = True
                    return
                yield piece.bytes()
        finally:
            if not finished:
                self._raw.streaming_cancel_query(stream)

    def apply(self, settings: Mapping[str, str]) -> None:
        """Set settings on this connection. Raises EngineError for an unknown one or a wrong value."""
        if settings:
            pairs = ", ".join(f"{quote_name(name)} = {quote_text(value)}" for name, value in settings.items())
            self.run(f"SET {pairs}")

    def classify(self, sql: str) -> tuple[str, int]:
        """Return the engine's own judgement of `sql`: its class, such as READ_ONLY, and its number of statements."""
        judged = self._raw.classify_query(sql)
        return str(judged["query_class"].name), int(judged["statement_count"])

    def close(self) -> None:
        """Give the connection back to the engine."""
        self._raw.close()


class Engine:
    """The engine over one data folder. Only the store process makes one: chDB allows one path per process."""

    def __init__(self, data_dir: Path, *, memory_limit_bytes: int) -> None:
        self.path = data_dir / STORE_FOLDER
        self.spool = data_dir / f"{STORE_FOLDER}-spool"
        config_dir = data_dir / f"{STORE_FOLDER}-config"
        for folder in (self.path, self.spool, config_dir):
            folder.mkdir(parents=True, exist_ok=True)
        users_file = config_dir / "users.xml"
        config_file = config_dir / "config.xml"
        users_file.write_text(render_users(), encoding="utf-8")
        config_file.write_text(render_config(users_file, memory_limit_bytes), encoding="utf-8")
        if not _OPTION_CHARACTERS.isdisjoint(str(data_dir)):
            raise EngineError(
                36, f"The data folder {data_dir} has a '?', '&', '=' or '%' in its name; chDB takes none"
            )
        self._address = f"{self.path}?config-file={config_file}"
        self._lock = threading.Lock()
        self._root = self._open()
        # Now the folder is ours alone: what a crash left half received can go, its sender got no answer.
        for leftover in self.spool.iterdir():
            leftover.unlink()
        self._root.run("CREATE DATABASE IF NOT EXISTS tallymark ENGINE = Atomic")
        listed = self._root.run("SELECT name FROM system.settings", "TabSeparated").body
        self.setting_names = frozenset(listed.decode().split("\n")) - {""}
        self.version = self._root.run("SELECT version()").body.decode().strip()
        self.timezone = self._root.run("SELECT timezone()").body.decode().strip()

    def _open(self) -> Connection:
        # chDB must never be imported in a process that forks, so only here, and by name: its types are not told.
        chdb: Any = importlib.import_module("chdb._chdb")
        try:
            return Connection(chdb.connect(self._address))
        except RuntimeError as error:
            raise parse_engine_error(str(error)) from None

    def open_connection(
        self, scope: Scope, query_id: str, settings: Mapping[str, str], database: str = ""
    ) -> Connection:
        """Return a new connection that can see what `scope` may see and nothing else. Raises EngineError."""
        connection = self._open()
        try:
            if not scope.internal:
                connection.run(f"SET ROLE {VISITOR_ROLE}")
            if database:
                connection.run(f"USE {quote_name(database)}")
            connection.apply({**settings, SCOPE_SETTING: scope.comment(query_id)})
            if not scope.internal:
                connection.apply({"readonly": "1"})
        except EngineError:
            connection.close()
            raise
        return connection

    @contextmanager
    def connection(
        self, scope: Scope, query_id: str, settings: Mapping[str, str], database: str = ""
    ) -> Iterator[Connection]:
        """Lend a new connection for the length of a `with` block."""
        connection = self.open_connection(scope, query_id, settings, database)
        try:
            yield connection
        finally:
            connection.close()

    def kill(self, scope: Scope, query_id: str) -> None:
        """Ask the engine to stop the query that runs under `query_id`; it ends at its next check."""
        comment = quote_text(scope.comment(query_id))
        with self._lock:
            self._root.run(f"KILL QUERY WHERE Settings['{SCOPE_SETTING}'] = {comment} ASYNC")

    def close(self) -> None:
        """Close the engine once nobody holds a connection."""
        self._root.close()
